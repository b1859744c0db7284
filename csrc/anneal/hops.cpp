#include "anneal/hops.hpp"

#include <algorithm>
#include <cmath>

namespace moesaic {
namespace {

// log of a uniform draw, by table: annealing needs no more digits, and every machine gets the same.
constexpr int kLogBits = 12;

const std::vector<double>& log_uniform() {
  static const std::vector<double> table = [] {
    std::vector<double> out(1 << kLogBits);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::log((i + 0.5) / out.size());
    return out;
  }();
  return table;
}

void add(double* to, const double* row, double weight, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] += weight * row[i];
}

}  // namespace

HopAnneal::HopAnneal(const HopTask& task, const std::int32_t* homes, std::uint64_t seed)
    : task_(task),
      nodes_(task.ranks / task.node_ranks),
      homes_(homes, homes + task.layers * task.items),
      state_(seed * 0x9E3779B97F4A7C15ull + 0x2545F4914F6CDD1Dull) {
  const std::int64_t L = task.layers, P = task.items;
  experts_ = 1 + *std::max_element(task.held, task.held + L * P);
  copies_ = experts_ < P;
  flow_back_.resize((L - 1) * P * P);
  for (std::int64_t l = 0; l + 1 < L; ++l)
    for (std::int64_t i = 0; i < P; ++i)
      for (std::int64_t j = 0; j < P; ++j)
        flow_back_[(l * P + j) * P + i] = task.flow[(l * P + i) * P + j];
  on_rank_.assign(L * task.ranks * P, 0.0);
  if (task.bias) std::copy(task.bias, task.bias + on_rank_.size(), on_rank_.begin());
  on_node_.assign(L * nodes_ * P, 0.0);
  rank_loads_.assign(L * task.ranks, 0.0);
  if (copies_) holds_.assign(L * task.ranks * experts_, 0);
  for (std::int64_t l = 0; l < L; ++l)
    for (std::int64_t i = 0; i < P; ++i) {
      const std::int32_t home = homes_[l * P + i];
      rank_loads_[l * task.ranks + home] += task.loads[l * P + i];
      if (copies_) ++holds_[(l * task.ranks + home) * experts_ + task.held[l * P + i]];
      if (l + 1 < L)
        shift(l + 1, task.flow + (l * P + i) * P, -1, home, task.flow_rank, task.flow_node);
      if (l > 0)
        shift(l - 1, flow_back_.data() + ((l - 1) * P + i) * P, -1, home, task.flow_rank,
              task.flow_node);
      if (task.pairs)
        shift(l, task.pairs + (l * P + i) * P, -1, home, task.pair_rank, task.pair_node);
    }
}

// An item moved: all items of `layer` are drawn to its new home instead of the old (-1: none).
void HopAnneal::shift(std::int64_t layer, const double* row, std::int32_t from, std::int32_t to,
                      double per_rank, double per_node) {
  const std::int64_t P = task_.items;
  double* ranks = on_rank_.data() + layer * task_.ranks * P;
  if (from >= 0) add(ranks + from * P, row, -per_rank, P);
  add(ranks + to * P, row, per_rank, P);
  const std::int32_t a = from < 0 ? -1 : from / task_.node_ranks, b = to / task_.node_ranks;
  if (nodes_ == 1 || a == b || per_node == 0) return;
  double* nodes = on_node_.data() + layer * nodes_ * P;
  if (a >= 0) add(nodes + a * P, row, -per_node, P);
  add(nodes + b * P, row, per_node, P);
}

double HopAnneal::gain(std::int64_t layer, std::int32_t a, std::int32_t b) const {
  const std::int64_t P = task_.items;
  const std::int32_t here = homes_[layer * P + a], there = homes_[layer * P + b];
  const double* ranks = on_rank_.data() + layer * task_.ranks * P;
  double found = ranks[there * P + a] - ranks[here * P + a] + ranks[here * P + b] -
                 ranks[there * P + b];
  const std::int32_t m = here / task_.node_ranks, n = there / task_.node_ranks;
  if (m != n) {
    const double* nodes = on_node_.data() + layer * nodes_ * P;
    found += nodes[n * P + a] - nodes[m * P + a] + nodes[m * P + b] - nodes[n * P + b];
  }
  if (task_.pairs) {
    // Both move, so each is drawn to where the other no longer is.
    const double both = task_.pairs[(layer * P + a) * P + b];
    found -= 2 * both * (task_.pair_rank + (m != n ? task_.pair_node : 0.0));
  }
  return found;
}

bool HopAnneal::allowed(std::int64_t layer, std::int32_t a, std::int32_t b) const {
  const std::int64_t P = task_.items;
  const std::int32_t here = homes_[layer * P + a], there = homes_[layer * P + b];
  if (here == there) return false;
  const double moved = task_.loads[layer * P + a] - task_.loads[layer * P + b];
  const double* loads = rank_loads_.data() + layer * task_.ranks;
  // The rank that gains load must stay below the limit; one that is above it already may shrink.
  if (moved > 0 && loads[there] + moved > task_.limit[layer]) return false;
  if (moved < 0 && loads[here] - moved > task_.limit[layer]) return false;
  if (!copies_) return true;
  const std::int32_t x = task_.held[layer * P + a], y = task_.held[layer * P + b];
  const std::int8_t* holds = holds_.data() + layer * task_.ranks * experts_;
  return x != y && !holds[there * experts_ + x] && !holds[here * experts_ + y];
}

void HopAnneal::swap(std::int64_t layer, std::int32_t a, std::int32_t b) {
  const std::int64_t P = task_.items, L = task_.layers;
  const std::int32_t here = homes_[layer * P + a], there = homes_[layer * P + b];
  const std::int32_t item[2] = {a, b}, from[2] = {here, there}, to[2] = {there, here};
  for (int k = 0; k < 2; ++k) {
    const std::int64_t i = item[k];
    if (layer + 1 < L)
      shift(layer + 1, task_.flow + (layer * P + i) * P, from[k], to[k], task_.flow_rank,
            task_.flow_node);
    if (layer > 0)
      shift(layer - 1, flow_back_.data() + ((layer - 1) * P + i) * P, from[k], to[k],
            task_.flow_rank, task_.flow_node);
    if (task_.pairs)
      shift(layer, task_.pairs + (layer * P + i) * P, from[k], to[k], task_.pair_rank,
            task_.pair_node);
    rank_loads_[layer * task_.ranks + from[k]] -= task_.loads[layer * P + i];
    rank_loads_[layer * task_.ranks + to[k]] += task_.loads[layer * P + i];
    if (copies_) {
      const std::int32_t expert = task_.held[layer * P + i];
      --holds_[(layer * task_.ranks + from[k]) * experts_ + expert];
      ++holds_[(layer * task_.ranks + to[k]) * experts_ + expert];
    }
    homes_[layer * P + i] = to[k];
  }
  ++accepted_;
}

// splitmix64.
std::uint64_t HopAnneal::draw() {
  std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

void HopAnneal::sweep(double temperature, std::int64_t tries) {
  const auto& logs = log_uniform();
  const std::uint64_t P = task_.items;
  for (std::int64_t l = 0; l < task_.layers; ++l)
    for (std::int64_t t = 0; t < tries * task_.items; ++t) {
      const std::uint64_t r = draw();
      const auto a = static_cast<std::int32_t>(((r & 0xFFFFFF) * P) >> 24);
      const auto b = static_cast<std::int32_t>((((r >> 24) & 0xFFFFFF) * P) >> 24);
      if (!allowed(l, a, b)) continue;
      const double g = gain(l, a, b);
      if (g >= 0 || g > temperature * logs[r >> (64 - kLogBits)]) swap(l, a, b);
    }
}

std::int64_t HopAnneal::descend(double least, std::int64_t most) {
  const auto P = static_cast<std::int32_t>(task_.items);
  std::int64_t swaps = 0;
  for (bool found = true; found && swaps < most;) {
    found = false;
    for (std::int64_t l = 0; l < task_.layers; ++l)
      for (std::int32_t a = 0; a < P && swaps < most; ++a) {
        double best = least;
        std::int32_t partner = -1;
        for (std::int32_t b = 0; b < P; ++b)
          if (allowed(l, a, b)) {
            const double g = gain(l, a, b);
            if (g > best) best = g, partner = b;
          }
        if (partner < 0) continue;
        swap(l, a, partner);
        ++swaps;
        found = true;
      }
  }
  return swaps;
}

double HopAnneal::mean_loss(std::int64_t samples) {
  double sum = 0;
  std::int64_t count = 0;
  const std::uint64_t P = task_.items;
  for (std::int64_t s = 0; s < samples; ++s) {
    const std::int64_t l = s % task_.layers;
    const std::uint64_t r = draw();
    const auto a = static_cast<std::int32_t>(((r & 0xFFFFFF) * P) >> 24);
    const auto b = static_cast<std::int32_t>((((r >> 24) & 0xFFFFFF) * P) >> 24);
    if (!allowed(l, a, b)) continue;
    const double g = gain(l, a, b);
    if (g < 0) sum -= g, ++count;
  }
  return count ? sum / count : 0.0;
}

}  // namespace moesaic
