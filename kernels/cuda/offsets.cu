// Where each expert's rows begin, and each block's among them: the second of three steps that sort
// slots by expert.
//
//   counts       [EXPERTS, blocks]   int32, from `count`
//   block_starts [EXPERTS, blocks]   int32: the expert's slots in the blocks before
//   row_starts   [EXPERTS + 1]       int32: first row of each expert, then the number of rows
//   tile_starts  [EXPERTS + 1]       int32: first tile of `tile_rows` rows of each expert, then the
//                                    number of tiles; for the grouped GEMM's BM
//
// Grid: one block. A warp adds up an expert's blocks, then one warp adds up the experts.
#include "primitives.cuh"
#include "warp.cuh"

constexpr int kThreads = 32 * WARPS;

extern "C" __global__ void __launch_bounds__(kThreads)
offsets(const int* __restrict__ counts, int* __restrict__ block_starts,
        int* __restrict__ row_starts, int* __restrict__ tile_starts, int blocks, int tile_rows) {
  __shared__ int rows_of[EXPERTS];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

  for (int expert = warp; expert < EXPERTS; expert += WARPS) {
    int rows = 0;
    for (int first = 0; first < blocks; first += 32) {
      const int block = first + lane;
      const int here = block < blocks ? counts[expert * blocks + block] : 0;
      const int up_to_here = running_sum(here, lane);
      if (block < blocks) block_starts[expert * blocks + block] = rows + up_to_here - here;
      rows += from_lane(up_to_here, 31);
    }
    if (lane == 0) rows_of[expert] = rows;
  }
  __syncthreads();
  if (warp > 0) return;

  int rows = 0, tiles = 0;
  for (int first = 0; first < EXPERTS; first += 32) {
    const int expert = first + lane;
    const int here = expert < EXPERTS ? rows_of[expert] : 0;
    const int tiles_here = (here + tile_rows - 1) / tile_rows;
    const int up_to_here = running_sum(here, lane);
    const int tiles_up_to_here = running_sum(tiles_here, lane);
    if (expert < EXPERTS) {
      row_starts[expert] = rows + up_to_here - here;
      tile_starts[expert] = tiles + tiles_up_to_here - tiles_here;
    }
    rows += from_lane(up_to_here, 31);
    tiles += from_lane(tiles_up_to_here, 31);
  }
  if (lane == 0) {
    row_starts[EXPERTS] = rows;
    tile_starts[EXPERTS] = tiles;
  }
}
