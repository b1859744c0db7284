// The end of the mixture: each token's rows from its experts, weighted and added.
//
//   rows        [rows, pieces]    the experts' results, sorted by expert, in pieces of 8 numbers
//   row_of_slot [tokens, TOP_K]   int32, from `permute`; -1 where the slot has no expert
//   weights     [tokens, TOP_K]   fp32, from `route`; not read where the slot has no expert
//   shared      [tokens, pieces]  with SHARED: the shared expert's result, added as it is
//   out         [tokens, pieces]
//
// DTYPE: 0 bf16, 1 fp16 of rows, shared and out. The sum is made in fp32, the shared expert first
// and then the slots in their order, and rounded once.
//
// Grid: x = tokens, y = ceil(pieces / (THREADS * VECTORS)).
#include "primitives.cuh"

constexpr int kPiece = 8;  // numbers in 16 bytes

// sums += weight * the numbers of a piece.
INLINE void add(float (&sums)[kPiece], float weight, const uint4& piece) {
  const u32 words[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
  for (int i = 0; i < kPiece; ++i)
    sums[i] += weight * widened<DTYPE>(static_cast<bits16>(words[i / 2] >> i % 2 * 16));
}

INLINE uint4 rounded(const float (&sums)[kPiece]) {
  const auto two = [](float first, float second) {
    return DTYPE == kFp16 ? two_fp16(first, second) : two_bf16(first, second);
  };
  return make_uint4(two(sums[0], sums[1]), two(sums[2], sums[3]), two(sums[4], sums[5]),
                    two(sums[6], sums[7]));
}

extern "C" __global__ void __launch_bounds__(THREADS)
combine(const uint4* __restrict__ rows, const int* __restrict__ row_of_slot,
        const float* __restrict__ weights, const uint4* __restrict__ shared,
        uint4* __restrict__ out, int pieces) {
  const int token = blockIdx.x;
  int from[TOP_K];
  float weight[TOP_K];
#pragma unroll
  for (int slot = 0; slot < TOP_K; ++slot) {
    from[slot] = row_of_slot[token * TOP_K + slot];
    weight[slot] = from[slot] < 0 ? 0.0f : weights[token * TOP_K + slot];
  }

#pragma unroll
  for (int i = 0; i < VECTORS; ++i) {
    const int at = (blockIdx.y * VECTORS + i) * THREADS + threadIdx.x;
    if (at >= pieces) return;
    uint4 loaded[TOP_K];  // all are under way before the first is used
#pragma unroll
    for (int slot = 0; slot < TOP_K; ++slot)
      loaded[slot] = from[slot] < 0 ? uint4{} : rows[static_cast<u64>(from[slot]) * pieces + at];
    float sums[kPiece] = {};
    if (SHARED) add(sums, 1.0f, shared[static_cast<u64>(token) * pieces + at]);
#pragma unroll
    for (int slot = 0; slot < TOP_K; ++slot) add(sums, weight[slot], loaded[slot]);
    out[static_cast<u64>(token) * pieces + at] = rounded(sums);
  }
}
