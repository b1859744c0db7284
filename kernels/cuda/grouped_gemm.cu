// Grouped GEMM of a mixture of experts on tensor cores, with SwiGLU fused where asked.
//
//   in      [rows, depth]            bf16, the rows of one expert lying together
//   weights [experts, parts*columns, depth]   bf16; parts = 2 with FUSE_SWIGLU (gate rows, then up)
//   out     [rows, columns]          bf16: silu(in gate^T) * (in up^T), or in weights^T
//   row_starts  [experts + 1]        first row of each expert, then the number of rows
//   tile_starts [experts + 1]        first row tile of each expert: the running sum of
//                                    ceil(rows of the expert / BM)
//
// Grid: x = columns / BN, y = at least tile_starts[experts] (more is harmless: the surplus leaves).
// A block makes a BM x BN tile of `out`; warp (m, n) of WARPS_M x WARPS_N makes its part of it. The
// tiles of `in` and `weights` pass through STAGES buffers in shared memory, STAGES - 1 ahead.
// Needs columns % BN == 0 and depth % BK == 0; any number of rows.
#include "primitives.cuh"

constexpr int kThreads = 32 * WARPS_M * WARPS_N;
constexpr int kParts = FUSE_SWIGLU ? 2 : 1;
constexpr int kWarpRows = BM / WARPS_M, kWarpColumns = BN / WARPS_N;
constexpr int kTilesM = kWarpRows / 16, kTilesN = kWarpColumns / 8;
constexpr int kChunks = BK / 8;  // 16-byte chunks in a row of a tile
constexpr int kInBytes = BM * BK * 2, kPartBytes = BN * BK * 2;
constexpr int kStageBytes = kInBytes + kParts * kPartBytes;
constexpr int kInCopies = BM * kChunks / kThreads, kPartCopies = BN * kChunks / kThreads;

static_assert(kWarpRows % 16 == 0 && kWarpColumns % 16 == 0, "a warp's part is of whole mma tiles");
static_assert(kInCopies * kThreads == BM * kChunks, "threads share the copies of `in` evenly");
static_assert(kPartCopies * kThreads == BN * kChunks, "threads share the copies of weights evenly");
static_assert((kChunks & (kChunks - 1)) == 0 && STAGES >= 2, "BK is a power of two, STAGES >= 2");

// Where chunk `chunk` of row `row` lies in a tile. The eight rows that ldmatrix reads at once must
// fall on eight different 16-byte banks of the 128-byte line: rows in one line are told apart by
// their place in it, lines by the exclusive or.
INLINE u32 place(int row, int chunk) {
  constexpr int rows_in_line = kChunks < 8 ? 8 / kChunks : 1;
  constexpr int mask = kChunks < 8 ? kChunks - 1 : 7;
  return static_cast<u32>(row * kChunks + (chunk ^ ((row / rows_in_line) & mask))) * 16;
}

// The expert that owns row tile `tile`: the last one that starts at or before it. Experts without
// rows start where the next one does, so the last is the one that has it.
INLINE int owner(const int* tile_starts, int experts, int tile) {
  int low = 0, high = experts;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (tile_starts[middle] <= tile) low = middle; else high = middle;
  }
  return low;
}

extern "C" __global__ void __launch_bounds__(kThreads)
grouped_gemm(const bf16* __restrict__ in, const bf16* __restrict__ weights, bf16* __restrict__ out,
             const int* __restrict__ row_starts, const int* __restrict__ tile_starts, int experts,
             int columns, int depth) {
  SHARED_BYTES(shared);
  const int tile = blockIdx.y;
  if (tile >= tile_starts[experts]) return;
  const int expert = owner(tile_starts, experts, tile);
  const int first_row = row_starts[expert] + (tile - tile_starts[expert]) * BM;
  const int rows_here = min(BM, row_starts[expert + 1] - first_row);
  const int first_column = blockIdx.x * BN;
  const bf16* in_tile = in + static_cast<u64>(first_row) * depth;
  const bf16* weight_tile =
      weights + (static_cast<u64>(expert) * kParts * columns + first_column) * depth;
  const u64 part_stride = static_cast<u64>(columns) * depth;

  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int warp_row = (warp % WARPS_M) * kWarpRows;
  const int warp_column = (warp / WARPS_M) * kWarpColumns;
  const u32 base = shared_address(shared);

  // This thread's copies: its chunk of a row is the same in each, its row advances.
  const auto fetch = [&](int stage, int k) {
    const u32 to = base + stage * kStageBytes;
#pragma unroll
    for (int i = 0; i < kInCopies; ++i) {
      const int row = (thread + i * kThreads) / kChunks, chunk = (thread + i * kThreads) % kChunks;
      const bool there = row < rows_here;
      // A row that is not there must still have an address inside the array.
      copy_16_bytes(to + place(row, chunk),
                    in_tile + static_cast<u64>(there ? row : 0) * depth + k + chunk * 8, there);
    }
#pragma unroll
    for (int part = 0; part < kParts; ++part)
#pragma unroll
      for (int i = 0; i < kPartCopies; ++i) {
        const int row = (thread + i * kThreads) / kChunks, chunk = (thread + i * kThreads) % kChunks;
        copy_16_bytes(to + kInBytes + part * kPartBytes + place(row, chunk),
                      weight_tile + part * part_stride + static_cast<u64>(row) * depth + k + chunk * 8,
                      true);
      }
  };

  float sums[kParts][kTilesM][kTilesN][4] = {};
  const int steps = depth / BK;
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; ++stage) {
    if (stage < steps) fetch(stage, stage * BK);
    close_copy_group();  // an empty group too: the count of groups is what the wait goes by
  }

  int reading = 0, writing = STAGES - 1;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<STAGES - 2>();
    __syncthreads();  // all threads' copies have landed, and nobody reads the buffer written next
    if (step + STAGES - 1 < steps) fetch(writing, (step + STAGES - 1) * BK);
    close_copy_group();
    const u32 from = base + reading * kStageBytes;
    reading = reading + 1 == STAGES ? 0 : reading + 1;
    writing = writing + 1 == STAGES ? 0 : writing + 1;

#pragma unroll
    for (int k = 0; k < kChunks; k += 2) {  // 16 of the depth at a time: two chunks
      u32 left[kTilesM][4];
#pragma unroll
      for (int m = 0; m < kTilesM; ++m)
        load_four_matrices(left[m], from + place(warp_row + m * 16 + lane % 16, k + lane / 16));
#pragma unroll
      for (int part = 0; part < kParts; ++part)
#pragma unroll
        for (int n = 0; n < kTilesN; n += 2) {
          // Matrices in order: columns 0-7 depth 0-7, columns 0-7 depth 8-15, then columns 8-15.
          u32 right[4];
          const int column = warp_column + n * 8 + lane % 8 + lane / 16 * 8;
          load_four_matrices(right, from + kInBytes + part * kPartBytes +
                                        place(column, k + lane / 8 % 2));
#pragma unroll
          for (int m = 0; m < kTilesM; ++m) {
            multiply_add(sums[part][m][n], left[m], right[0], right[1]);
            multiply_add(sums[part][m][n + 1], left[m], right[2], right[3]);
          }
        }
    }
  }

#pragma unroll
  for (int m = 0; m < kTilesM; ++m)
#pragma unroll
    for (int n = 0; n < kTilesN; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + m * 16 + half * 8 + lane / 4;
        const int column = first_column + warp_column + n * 8 + lane % 4 * 2;
        float first = sums[0][m][n][half * 2], second = sums[0][m][n][half * 2 + 1];
        if (FUSE_SWIGLU) {
          first = silu(first) * sums[kParts - 1][m][n][half * 2];
          second = silu(second) * sums[kParts - 1][m][n][half * 2 + 1];
        }
        if (row < rows_here)
          *reinterpret_cast<u32*>(out + static_cast<u64>(first_row + row) * columns + column) =
              two_bf16(first, second);
      }
}
