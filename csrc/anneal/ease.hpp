#pragma once
#include <cstdint>

namespace moesaic {

// What a layer looks like after each step: steps + 1 values, the first before any.
struct EasePath {
  double* heaviest;      // load of the heaviest rank
  std::int64_t* moved;   // experts on ranks that did not hold them at the start
};

// Takes load off the ranks above `target`, step by step, the heaviest that can be helped first. A
// step swaps two experts of two ranks, or gives the slot of an expert with other copies to one more
// copy of another. Priced, it takes the step that lowers the sum of excesses over the target (and,
// by a fiftieth, of load^2 / target) most per expert that has to be moved, a free one counting
// half; otherwise the step that lowers the sum of squared excesses most. No step puts an expert
// twice on a rank. Ends when no rank is above the target, no step helps, or after most_steps.
// One layer: loads[experts] >= 0; target > 0; held[slots], edited in place, holds each expert; rank_of[slots].
// Returns the steps made.
std::int64_t ease_ranks(const double* loads, std::int64_t experts, const std::int32_t* rank_of,
                        std::int64_t slots, std::int32_t ranks, double target, bool priced,
                        std::int64_t most_steps, std::int32_t* held, EasePath path);

}  // namespace moesaic
