// The experts' matrices for a small batch, where the time is that of reading the weights: no tensor
// cores, every lane streams 16-byte pieces of the weights and multiplies them in fp32.
//
//   in      [rows, depth]            the rows of one expert lying together; with GATHER the tokens
//                                    [any number, depth], in any order
//   weights [experts, parts * columns, depth]   parts = 2 with FUSE_SWIGLU (gate rows, then up)
//   out     [rows, columns]          silu(in gate^T) * (in up^T), or in weights^T
//   row_starts  [experts + 1]        first row of each expert, then the number of rows
//   tokens      [rows]               with GATHER: where in `in` each row lies
//   experts, columns, depth          the sizes in these shapes
//
// DTYPE: 0 bf16, 1 fp16 of `in`, `weights` and `out`.
// Grid: x = columns / (COLUMNS * WARPS), y = at least the number of rows (more is harmless). Row
// block y works where a group of TOKENS rows of an expert begins, and leaves elsewhere: the launch
// depends on no count of the routing, and an expert's weights are read once for each TOKENS rows.
//
// A warp makes COLUMNS columns of its rows; its lanes share the depth, UNROLL pieces of each weight
// row in flight. A group of half the rows or fewer takes code with half the sums, and so on.
// Needs depth % 8 == 0 and columns % (COLUMNS * WARPS) == 0.
#include "primitives.cuh"
#include "warp.cuh"

constexpr int kParts = FUSE_SWIGLU ? 2 : 1;
constexpr int kPiece = 8;  // numbers in 16 bytes, what a lane reads at once
constexpr int kWarpPiece = 32 * kPiece;

static_assert(COLUMNS % 4 == 0, "a row's columns are written by fours");
static_assert(WARPS <= 32 && TOKENS <= 32, "");

struct Work {
  const bits16* in;
  const bits16* weights;  // of the expert, from the warp's first column
  bits16* out;            // at the first row and column
  const int* tokens;      // of the first row
  int first_row, rows, columns, depth;
};

// Up to Rows rows, by the narrowest code that holds them.
template <int Rows> INLINE void multiply(const Work& work, int lane) {
  if constexpr (Rows > 1)
    if (work.rows <= Rows / 2) return multiply<Rows / 2>(work, lane);

  const bits16* in[Rows];
#pragma unroll
  for (int row = 0; row < Rows; ++row) {
    // A row that is not there repeats the last one: what it gives is not written.
    const int there = min(row, work.rows - 1);
    in[row] = work.in + static_cast<u64>(GATHER ? work.tokens[there] : work.first_row + there) *
                            work.depth;
  }

  float sums[kParts][COLUMNS][Rows] = {};
#pragma unroll 1
  for (int start = lane * kPiece; start < work.depth; start += UNROLL * kWarpPiece) {
    u32 weights[UNROLL][kParts][COLUMNS][4];
#pragma unroll
    for (int piece = 0; piece < UNROLL; ++piece)
#pragma unroll
      for (int part = 0; part < kParts; ++part)
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
          const int k = start + piece * kWarpPiece;
          if (k < work.depth)
            load_16_bytes_once(
                weights[piece][part][column],
                work.weights + static_cast<u64>(part * work.columns + column) * work.depth + k);
        }
#pragma unroll
    for (int piece = 0; piece < UNROLL; ++piece) {
      const int k = start + piece * kWarpPiece;
      if (k >= work.depth) break;
      u32 tokens[Rows][4];
#pragma unroll
      for (int row = 0; row < Rows; ++row) load_16_bytes(tokens[row], in[row] + k);
#pragma unroll
      for (int half = 0; half < kPiece; ++half) {
        const auto number = [&](const u32(&words)[4]) {
          return widened<DTYPE>(static_cast<bits16>(words[half / 2] >> half % 2 * 16));
        };
        float token[Rows];
#pragma unroll
        for (int row = 0; row < Rows; ++row) token[row] = number(tokens[row]);
#pragma unroll
        for (int part = 0; part < kParts; ++part)
#pragma unroll
          for (int column = 0; column < COLUMNS; ++column) {
            const float weight = number(weights[piece][part][column]);
#pragma unroll
            for (int row = 0; row < Rows; ++row)
              sums[part][column][row] = fmaf(weight, token[row], sums[part][column][row]);
          }
      }
    }
  }

#pragma unroll
  for (int row = 0; row < Rows; ++row)
#pragma unroll
    for (int column = 0; column < COLUMNS; column += 4) {
      float four[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        four[i] = sum_of_lanes<32>(sums[0][column + i][row]);
        if (FUSE_SWIGLU)
          four[i] = silu(four[i]) * sum_of_lanes<32>(sums[kParts - 1][column + i][row]);
      }
      if (lane == row && row < work.rows)
        store_rounded<DTYPE>(work.out + static_cast<u64>(row) * work.columns + column, four);
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
decode(const bits16* __restrict__ in, const bits16* __restrict__ weights, bits16* __restrict__ out,
       const int* __restrict__ row_starts, const int* __restrict__ tokens, int experts, int columns,
       int depth) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.y;
  if (row >= row_starts[experts]) return;
  const int expert = owner(row_starts, experts, row, lane);
  if ((row - row_starts[expert]) % TOKENS != 0) return;
  const int column = (blockIdx.x * WARPS + warp) * COLUMNS;
  const u64 weight_row = static_cast<u64>(expert) * kParts * columns + column;
  const Work work{in,  weights + weight_row * depth, out + static_cast<u64>(row) * columns + column,
                  tokens + row, row, min(TOKENS, row_starts[expert + 1] - row), columns, depth};
  multiply<TOKENS>(work, lane);
}
