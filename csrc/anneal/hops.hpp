#pragma once
#include <cstdint>
#include <vector>

namespace moesaic {

// What the annealing may gain, and what it must keep. Items are the contents of a layer's slots.
struct HopTask {
  std::int64_t layers, items;
  std::int32_t ranks, node_ranks;
  const double* flow;           // [layers - 1, items, items]: from an item to one of the next layer
  const double* pairs;          // [layers, items, items] symmetric, or null: within a layer
  const double* bias;           // [layers, ranks, items], or null: gain of an item on a rank
  const double* loads;          // [layers, items]
  const double* limit;          // [layers]: no rank goes above it
  const std::int32_t* held;     // [layers, items]: the expert of each item; no rank holds one twice
  double flow_rank, flow_node;  // gain of a unit of flow kept on a rank, and on a node
  double pair_rank, pair_node;  // the same for a unit of pairs
};

// Simulated annealing of homes[layers, items] by swaps of two items of a layer. The gain of a swap
// is four table reads; an accepted swap updates the tables of the layer and its two neighbours.
class HopAnneal {
 public:
  HopAnneal(const HopTask& task, const std::int32_t* homes, std::uint64_t seed);

  // One pass over all layers: `tries` random swaps an item, at a temperature in units of gain.
  void sweep(double temperature, std::int64_t tries);
  // Best swaps only, until none gains more than `least`, or `most` swaps were made.
  std::int64_t descend(double least, std::int64_t most);
  // Mean of what a random allowed swap loses: the scale for a first temperature.
  double mean_loss(std::int64_t samples);
  const std::vector<std::int32_t>& homes() const { return homes_; }
  std::int64_t accepted() const { return accepted_; }

 private:
  double gain(std::int64_t layer, std::int32_t a, std::int32_t b) const;
  bool allowed(std::int64_t layer, std::int32_t a, std::int32_t b) const;
  void swap(std::int64_t layer, std::int32_t a, std::int32_t b);
  void shift(std::int64_t layer, const double* row, std::int32_t from, std::int32_t to,
             double per_rank, double per_node);
  std::uint64_t draw();

  HopTask task_;
  std::int32_t nodes_, experts_;
  bool copies_;
  std::vector<double> flow_back_;    // [layers - 1, items, items], transposed: rows run along cache lines
  std::vector<double> on_rank_;      // [layers, ranks, items]: gain if the item lived there
  std::vector<double> on_node_;      // [layers, nodes, items]
  std::vector<double> rank_loads_;   // [layers, ranks]
  std::vector<std::int8_t> holds_;   // [layers, ranks, experts], only where there are copies
  std::vector<std::int32_t> homes_;  // [layers, items]
  std::uint64_t state_;
  std::int64_t accepted_ = 0;
};

}  // namespace moesaic
