#pragma once
#include <cstdint>

namespace moesaic {

// One layer: loads[experts] >= 0, room[ranks] slots on each rank. Ties go to the first everywhere, so
// the result does not depend on the machine.

// How many copies: one each, then one more for the heaviest share until the slots are used, at most
// `most` of an expert. The heaviest share is then as light as it can be.
// Needs experts <= slots <= experts * most.
void count_copies(const double* loads, std::int64_t experts, std::int64_t slots, std::int64_t most,
                  std::int64_t* copies);

// Where they go: heaviest share first, each copy to the lightest rank that has a slot and no copy of
// it; then swaps until none takes load off the heaviest rank without making another as heavy. No
// rank holds an expert twice. `held[slots]` is filled rank by rank. Returns the swaps made.
// Needs the copies to fill the room, and equal room where an expert has two copies.
std::int64_t place_copies(const double* loads, const std::int64_t* copies, std::int64_t experts,
                          const std::int64_t* room, std::int32_t ranks, std::int64_t most_swaps,
                          std::int32_t* held);

}  // namespace moesaic
