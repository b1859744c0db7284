// Adds up what grouped_gemm.cu leaves with SPLIT_K > 1, with SwiGLU where it was asked.
//
//   sums [SPLIT_K, parts, rows, columns]   fp32; parts = 2 with FUSE_SWIGLU: gate, then up
//   out  [rows, columns]                   bf16 with DTYPE 0, fp16 with 1
//   numbers                                rows * columns
//
// Grid: x = numbers / (4 * THREADS), rounded up. A thread makes four neighbouring numbers. Splits are
// added in their order, so the same sums give the same bits. Needs columns % 4 == 0.
#include "primitives.cuh"

constexpr int kParts = FUSE_SWIGLU ? 2 : 1;

extern "C" __global__ void __launch_bounds__(THREADS)
split_reduce(const float* __restrict__ sums, bits16* __restrict__ out, u32 numbers) {
  const u64 first = (static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x) * 4;
  if (first >= numbers) return;
  float totals[kParts][4] = {};
#pragma unroll
  for (int split = 0; split < SPLIT_K; ++split)
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const u64 from = static_cast<u64>(split * kParts + part) * numbers + first;
      const float4 four = *reinterpret_cast<const float4*>(sums + from);
      totals[part][0] += four.x;
      totals[part][1] += four.y;
      totals[part][2] += four.z;
      totals[part][3] += four.w;
    }
  if (FUSE_SWIGLU)
#pragma unroll
    for (int i = 0; i < 4; ++i) totals[0][i] = silu(totals[0][i]) * totals[kParts - 1][i];
  store_rounded<DTYPE>(out + first, totals[0]);
}
