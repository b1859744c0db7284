#pragma once
#include <cstdint>

namespace moesaic {

// Pairwise swaps between ranks until no swap takes load off the heaviest rank without making
// another rank as heavy. One layer: loads[experts] >= 0, homes[experts] in 0..ranks-1, edited in
// place. Each step takes the swap whose heavier end is lightest (first expert of the heaviest rank,
// then first partner, on ties), so the result does not depend on the machine.
// Returns the number of swaps made, at most most_swaps.
std::int64_t swap_until_balanced(const double* loads, std::int32_t* homes, std::int64_t experts,
                                 std::int32_t ranks, std::int64_t most_swaps);

}  // namespace moesaic
