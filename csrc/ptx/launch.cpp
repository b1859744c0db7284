#include "ptx/launch.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>

#include "ptx/block.hpp"

namespace moesaic::ptx {

void Launch::run() {
  const Program& p = program;
  if (values.size() != p.parameters.size())
    throw std::invalid_argument(p.entry + " has " + std::to_string(p.parameters.size()) +
                                " parameters, the launch gives " + std::to_string(values.size()));
  // What a first run writes over is kept, should an array turn out to need watching from the start.
  std::vector<std::vector<std::byte>> before;
  for (const Array& array : arrays) before.emplace_back(array.data, array.data + array.bytes);
  while (true) {
    again_ = false;
    run_blocks();
    if (!again_) return;
    for (std::size_t k = 0; k < arrays.size(); ++k)
      std::memcpy(arrays[k].data, before[k].data(), arrays[k].bytes);
  }
}

void Launch::run_blocks() {
  counts.assign(program.code.size(), {});
  faults.clear();
  trace.clear();
  untraced = 0;
  fault_of_.assign(program.code.size() * WRONGS, -1);
  instructions = 0;
  ended = false;
  for (Array& array : arrays) {
    const bool watched = array.watched;
    array = {array.data, array.bytes, false, watched, {}, {}, {}, {}};
    array.sectors_read.assign(array.bytes / 32 + 1, false);
    array.sectors_written.assign(array.bytes / 32 + 1, false);
  }
  const std::uint32_t* grid = settings.grid;
  std::vector<std::uint32_t> order(std::size_t{grid[0]} * grid[1] * grid[2]);
  for (std::uint32_t k = 0; k < order.size(); ++k) order[k] = k;
  std::mt19937_64 random(settings.seed);
  for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random() % k]);
  Block block(*this);
  for (const std::uint32_t k : order) {
    if (ended || again_) return;
    block.run(k % grid[0], k / grid[0] % grid[1], k / grid[0] / grid[1], random);
  }
}

void Launch::report(Wrong wrong, const Warp& w, int lane, const std::string& words) {
  std::int32_t& known = fault_of_[w.pc * WRONGS + static_cast<std::size_t>(wrong)];
  if (known >= 0) {
    ++faults[known].times;
    return;
  }
  known = static_cast<std::int32_t>(faults.size());
  const std::uint32_t* at = w.block->at;
  faults.push_back({wrong, w.pc, words, {at[0], at[1], at[2]}, w.number * LANES + lane, 1});
}

}  // namespace moesaic::ptx
