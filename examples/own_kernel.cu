// A transpose through shared memory, one tile a block. With PAD 0 a warp reads a column from one
// bank; one unused word at the end of each row spreads it over all of them.
constexpr int kTile = 32, kWarps = 8;

extern "C" __global__ void __launch_bounds__(32 * kWarps)
transpose(const float* __restrict__ in, float* __restrict__ out, int size) {
  __shared__ float tile[kTile][kTile + PAD];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = blockIdx.y * kTile, column = blockIdx.x * kTile;
  for (int r = warp; r < kTile; r += kWarps) tile[r][lane] = in[(row + r) * size + column + lane];
  __syncthreads();
  for (int r = warp; r < kTile; r += kWarps) out[(column + r) * size + row + lane] = tile[lane][r];
}
