#include "anneal/balance.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace moesaic {
namespace {

struct Swap {
  double heavier = std::numeric_limits<double>::infinity();
  std::int64_t mine = -1, other = -1;
};

// The best partner swap of the rank `heavy`: the one after which the heavier of the two is lightest.
Swap best_swap(const double* loads, const std::int32_t* homes, std::int64_t experts,
               const std::vector<double>& rank_loads, std::int32_t heavy) {
  Swap best;
  for (std::int64_t mine = 0; mine < experts; ++mine) {
    if (homes[mine] != heavy) continue;
    for (std::int64_t other = 0; other < experts; ++other) {
      if (homes[other] == heavy) continue;
      const double moved = loads[mine] - loads[other];
      if (moved <= 0) continue;
      const double heavier =
          std::max(rank_loads[heavy] - moved, rank_loads[homes[other]] + moved);
      if (heavier < best.heavier) best = {heavier, mine, other};
    }
  }
  return best;
}

}  // namespace

std::int64_t swap_until_balanced(const double* loads, std::int32_t* homes, std::int64_t experts,
                                 std::int32_t ranks, std::int64_t most_swaps) {
  // A gain below rounding error is none: without this floor two swaps could undo each other for ever.
  constexpr double kNoise = 1e-12;
  std::vector<double> rank_loads(ranks, 0.0);
  for (std::int64_t e = 0; e < experts; ++e) rank_loads[homes[e]] += loads[e];
  std::int64_t swaps = 0;
  while (swaps < most_swaps) {
    const auto heaviest = std::max_element(rank_loads.begin(), rank_loads.end());
    const auto heavy = static_cast<std::int32_t>(heaviest - rank_loads.begin());
    const Swap best = best_swap(loads, homes, experts, rank_loads, heavy);
    if (!(best.heavier < *heaviest * (1 - kNoise))) break;
    const double moved = loads[best.mine] - loads[best.other];
    const std::int32_t there = homes[best.other];
    rank_loads[heavy] -= moved;
    rank_loads[there] += moved;
    std::swap(homes[best.mine], homes[best.other]);
    ++swaps;
  }
  return swaps;
}

}  // namespace moesaic
