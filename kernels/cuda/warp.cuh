// What the 32 lanes of a warp say to each other: one PTX instruction each, and the sums made of them.
// All lanes of the warp must take part.
#pragma once
#include "primitives.cuh"

constexpr u32 kAllLanes = 0xFFFFFFFFu;

// The lanes, as bits, whose `value` equals this lane's; its own bit is among them.
INLINE u32 lanes_with(int value) { return __match_any_sync(kAllLanes, value); }

// The value of lane `from`, counted within each `Lanes` neighbours.
template <int Lanes = 32, typename T> INLINE T from_lane(T value, int from) {
  return __shfl_sync(kAllLanes, value, from, Lanes);
}

// The value of the lane whose number differs in the bits of `apart`.
template <typename T> INLINE T across(T value, int apart) {
  return __shfl_xor_sync(kAllLanes, value, apart);
}

// The value of the lane `below` this one; the first lanes get their own.
INLINE int from_below(int value, int below) {
  return __shfl_up_sync(kAllLanes, value, below);
}

// The sum over each `Lanes` neighbours, the same bits in all of them: at every step both partners
// add the same two numbers.
template <int Lanes> INLINE float sum_of_lanes(float value) {
#pragma unroll
  for (int apart = Lanes / 2; apart > 0; apart /= 2) value += across(value, apart);
  return value;
}

// The sum over this lane and those below it.
INLINE int running_sum(int value, int lane) {
#pragma unroll
  for (int below = 1; below < 32; below *= 2) {
    const int other = from_below(value, below);
    if (lane >= below) value += other;
  }
  return value;
}
