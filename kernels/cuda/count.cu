// How many slots each block has of each expert: the first of three steps that sort slots by expert.
//
//   ids    [tokens * TOP_K]    int32, from `route`; what is no expert, such as -1, is not counted
//   counts [EXPERTS, blocks]   int32; an expert's counts lie together for the one block that adds
//                              them up in `offsets`
//
// Grid: x = blocks = ceil(slots / (32 * WARPS * STEPS)), the same as in `permute`.
#include "slots.cuh"

extern "C" __global__ void __launch_bounds__(kThreads)
count(const int* __restrict__ ids, int* __restrict__ counts, int slots) {
  __shared__ int of_warp[WARPS][kRow];
  int experts[STEPS], before[STEPS];
  rank_slots(ids, slots, of_warp[threadIdx.x / 32], experts, before);
  __syncthreads();
  for (int expert = threadIdx.x; expert < EXPERTS; expert += kThreads) {
    int sum = 0;
#pragma unroll
    for (int warp = 0; warp < WARPS; ++warp) sum += of_warp[warp][expert];
    counts[expert * gridDim.x + blockIdx.x] = sum;
  }
}
