// The row of each slot when slots are sorted by expert, and the token of each row: the last of three
// steps. Slots of one expert keep their order, so the result is the same on every run.
//
//   ids          [tokens * TOP_K]    int32, from `route`
//   row_starts   [EXPERTS + 1]       int32, from `offsets`
//   block_starts [EXPERTS, blocks]   int32, from `offsets`
//   row_of_slot  [tokens * TOP_K]    int32; -1 where `ids` names no expert
//   token_of_row [rows]              int32, what the grouped GEMM gathers its rows through
//   tokens       [tokens, pieces]    with MOVE: the activations, in pieces of 16 bytes
//   sorted       [rows, pieces]      with MOVE: those of each row's token
//
// Grid: x = blocks as in `count`; y = 1, or with MOVE any number of blocks that share the pieces.
#include "slots.cuh"

static_assert(!MOVE || kSlots % TOP_K == 0, "a block that moves rows has whole tokens");

extern "C" __global__ void __launch_bounds__(kThreads)
permute(const int* __restrict__ ids, const int* __restrict__ row_starts,
        const int* __restrict__ block_starts, int* __restrict__ row_of_slot,
        int* __restrict__ token_of_row, const uint4* __restrict__ tokens,
        uint4* __restrict__ sorted, int slots, int pieces) {
  __shared__ int of_warp[WARPS][kRow];
  __shared__ int rows[MOVE ? kSlots : 1];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int experts[STEPS], before[STEPS];
  rank_slots(ids, slots, of_warp[warp], experts, before);
  __syncthreads();

  // From counts to first rows: each warp's slots of an expert follow those of the warps before.
  for (int expert = threadIdx.x; expert < EXPERTS; expert += kThreads) {
    int row = row_starts[expert] + block_starts[expert * gridDim.x + blockIdx.x];
#pragma unroll
    for (int other = 0; other < WARPS; ++other) {
      const int count = of_warp[other][expert];
      of_warp[other][expert] = row;
      row += count;
    }
  }
  __syncthreads();

#pragma unroll
  for (int step = 0; step < STEPS; ++step) {
    const int slot = slot_at(step);
    const int row = is_expert(experts[step]) ? of_warp[warp][experts[step]] + before[step] : -1;
    if (MOVE) rows[slot % kSlots] = row;
    if (blockIdx.y > 0) continue;
    if (slot < slots) row_of_slot[slot] = row;
    if (row >= 0) token_of_row[row] = slot / TOP_K;
  }
  if (!MOVE) return;

  __syncthreads();
  constexpr int tokens_here = kSlots / TOP_K;
  const int first = blockIdx.x * tokens_here, end = min(first + tokens_here, slots / TOP_K);
  for (int token = first + warp; token < end; token += WARPS)
    for (int at = blockIdx.y * 32 + lane; at < pieces; at += gridDim.y * 32) {
      const uint4 piece = tokens[static_cast<u64>(token) * pieces + at];
#pragma unroll
      for (int choice = 0; choice < TOP_K; ++choice) {
        const int row = rows[(token - first) * TOP_K + choice];
        if (row >= 0) sorted[static_cast<u64>(row) * pieces + at] = piece;
      }
    }
}
