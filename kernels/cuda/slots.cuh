// The slots of a block: slot i is choice i % TOP_K of token i / TOP_K. A block takes the next
// 32 * WARPS * STEPS slots and a warp of it the next 32 * STEPS, 32 at a time, so that warps and
// steps follow the order of the tokens.
#pragma once
#include "primitives.cuh"
#include "warp.cuh"

constexpr int kThreads = 32 * WARPS;
constexpr int kSlots = kThreads * STEPS;
constexpr int kRow = (EXPERTS + 31) / 32 * 32;  // counts of a warp, so that its lanes zero alike

// Any number that is no expert's stands for none.
INLINE bool is_expert(int id) { return static_cast<u32>(id) < EXPERTS; }

// This thread's slot at `step`.
INLINE int slot_at(int step) {
  return blockIdx.x * kSlots + threadIdx.x / 32 * (32 * STEPS) + step * 32 + threadIdx.x % 32;
}

// Counts the warp's slots by expert into `counts`, its own row, and gives for each slot of this lane
// its expert, and how many slots of the warp before it have the same one. No atomics: lanes with the
// same expert find each other, so that the count goes by the order of the slots.
INLINE void rank_slots(const int* __restrict__ ids, int slots, int (&counts)[kRow],
                       int (&experts)[STEPS], int (&before)[STEPS]) {
  const int lane = threadIdx.x % 32;
  for (int expert = lane; expert < kRow; expert += 32) counts[expert] = 0;
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
    experts[step] = slot_at(step) < slots ? ids[slot_at(step)] : -1;
#pragma unroll
  for (int step = 0; step < STEPS; ++step) {
    __syncwarp();  // the counts of the step before, or the zeros, are written
    const bool counted = is_expert(experts[step]);
    const u32 same = lanes_with(experts[step]);
    before[step] = __popc(same & ((1u << lane) - 1));
    if (counted) before[step] += counts[experts[step]];
    __syncwarp();  // all have read what the last of the same expert now writes
    if (counted && same >> lane == 1) counts[experts[step]] = before[step] + 1;
  }
}
