// Grouped GEMM of a mixture of experts on tensor cores, with SwiGLU fused where asked.
//
//   in      [rows, depth]            the rows of one expert lying together; with GATHER the tokens
//                                    [any number, depth], in any order
//   weights [experts, parts * columns, depth]   parts = 2 with FUSE_SWIGLU (gate rows, then up)
//   out     [rows, columns]          silu(in gate^T) * (in up^T), or in weights^T;
//           [SPLIT_K, parts, rows, columns]     with SPLIT_K > 1: fp32 sums of each split of the
//                                    depth, which split_reduce.cu adds up
//   row_starts  [experts + 1]        first row of each expert, then the number of rows
//   tile_starts [experts + 1]        first row tile of each expert: the running sum of
//                                    ceil(rows of the expert / BM)
//   tokens      [rows]               with GATHER: where in `in` each row lies
//   in_scales      [rows of in]      with e4m3: what a row's numbers are to be multiplied by
//   weight_scales  [experts, parts * columns]   with e4m3: the same of a weight row
//   experts, columns, depth          the sizes in these shapes
//
// DTYPE: 0 bf16, 1 fp16, 2 e4m3 of `in` and `weights`; `out` is like them, bf16 for e4m3.
// Grid: x = at least the number of tiles, (columns / BN) * tile_starts[experts] * SPLIT_K; the
// surplus leaves. With PERSISTENT any number of blocks walks over the tiles.
//
// A block makes a BM x BN tile of `out`; warp (m, n) of WARPS_M x WARPS_N makes its part of it. The
// tiles of `in` and `weights` pass through STAGES buffers in shared memory, STAGES - 1 ahead; a
// block that walks copies the first of its next tile while it still multiplies and writes this one.
// With FRAGMENTS = 2 a warp loads the next operands of the tensor cores while it multiplies these,
// across the barrier between two buffers too.
// Needs columns % BN == 0, depth % BK == 0 and depth >= BK * SPLIT_K; any number of rows.
#include "primitives.cuh"

template <bool Choice, class Yes, class No> struct Either { typedef Yes Type; };
template <class Yes, class No> struct Either<false, Yes, No> { typedef No Type; };
typedef Either<DTYPE == kE4m3, e4m3, bits16>::Type Element;
typedef Either<(SPLIT_K > 1), float, bits16>::Type Out;

constexpr int kThreads = 32 * WARPS_M * WARPS_N;
constexpr int kParts = FUSE_SWIGLU ? 2 : 1;
constexpr int kWarpRows = BM / WARPS_M, kWarpColumns = BN / WARPS_N;
constexpr int kTilesM = kWarpRows / 16, kPairs = kWarpColumns / 16;  // pairs of 8 columns
constexpr int kInChunk = 16 / sizeof(Element);                       // numbers in a 16-byte chunk
constexpr int kChunks = BK / kInChunk;                               // chunks in a row of a tile
constexpr int kSlices = kChunks / 2;                                 // an mma takes two chunks
constexpr int kInBytes = BM * kChunks * 16, kPartBytes = BN * kChunks * 16;
constexpr int kStageBytes = kInBytes + kParts * kPartBytes;
constexpr int kRowsAtOnce = kThreads / kChunks;  // rows that all threads together copy a chunk of
constexpr int kInCopies = BM / kRowsAtOnce, kPartCopies = BN / kRowsAtOnce;
constexpr int kBand = 8;  // row tiles that walk over the columns together

static_assert(kWarpRows % 16 == 0 && kWarpColumns % 16 == 0, "a warp's part is of whole mma tiles");
static_assert(kInCopies * kRowsAtOnce == BM, "threads share the copies of `in` evenly");
static_assert(kPartCopies * kRowsAtOnce == BN, "threads share the copies of weights evenly");
static_assert((kChunks & (kChunks - 1)) == 0 && kSlices >= 1, "BK is a power of two of slices");
static_assert(STAGES >= 2 && SPLIT_K >= 1, "one buffer is read while another is written");
static_assert(FRAGMENTS == 1 || (FRAGMENTS == 2 && kSlices % 2 == 0), "two sets take turns");

// Where chunk `chunk` of row `row` lies in a tile. The eight rows that ldmatrix reads at once must
// fall on eight different 16-byte banks of the 128-byte line: rows in one line are told apart by
// their place in it, lines by the exclusive or.
INLINE u32 place(int row, int chunk) {
  constexpr int rows_in_line = kChunks < 8 ? 8 / kChunks : 1;
  constexpr int mask = kChunks < 8 ? kChunks - 1 : 7;
  return static_cast<u32>(row * kChunks + (chunk ^ ((row / rows_in_line) & mask))) * 16;
}

// The row of the weight tile that holds column `column`. In each 16 the columns 0 1 4 5 8 9 12 13
// go to the first mma tile of a pair and the others to the second, so that a lane's sums of the
// pair are four neighbouring columns.
INLINE int slot(int column) {
  return (column & ~15) | (column & 2) << 2 | (column & 12) >> 1 | (column & 1);
}

INLINE void multiply_add(float (&sum)[4], const u32 (&left)[4], u32 low, u32 high) {
  if (DTYPE == kBf16) multiply_add_bf16(sum, left, low, high);
  if (DTYPE == kFp16) multiply_add_fp16(sum, left, low, high);
  if (DTYPE == kE4m3) {
    // A tensor core may keep no more than 13 bits of a sum of 8-bit products (sm_89 does), so the
    // running sums are kept outside it.
    float product[4];
    multiply_e4m3(product, left, low, high);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] += product[i];
  }
}

// Writes four neighbouring columns of a row: the sums of a split ...
INLINE void write(float* to, u64 part_stride, const float (&sums)[kParts][4]) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) store_floats(to + part * part_stride, sums[part]);
}

// ... or the finished numbers.
INLINE void write(bits16* to, u64, const float (&sums)[kParts][4]) {
  float values[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    values[i] = FUSE_SWIGLU ? silu(sums[0][i]) * sums[kParts - 1][i] : sums[0][i];
  store_rounded<DTYPE>(to, values);
}

struct Tile {
  int expert, first_row, rows, first_column, split;
};

extern "C" __global__ void __launch_bounds__(kThreads)
grouped_gemm(const Element* __restrict__ in, const Element* __restrict__ weights,
             Out* __restrict__ out, const int* __restrict__ row_starts,
             const int* __restrict__ tile_starts, const int* __restrict__ tokens,
             const float* __restrict__ in_scales, const float* __restrict__ weight_scales,
             int experts, int columns, int depth) {
  SHARED_BYTES(shared);
  const u32 base = shared_address(shared);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int warp_row = (warp % WARPS_M) * kWarpRows;
  const int warp_column = (warp / WARPS_M) * kWarpColumns;

  const int steps = depth / BK;
  const int row_tiles = tile_starts[experts], column_tiles = columns / BN;
  const int tiles = row_tiles * column_tiles * SPLIT_K;

  // The tile that is number `index` of the walk. Blocks at work at one time have neighbouring
  // numbers: row tiles count first, so that they share the weights of an expert in the second-level
  // cache, but only in bands, so that the rows of a band stay there for its next columns.
  const auto tile_at = [&](int index) {
    const int split = SPLIT_K == 1 ? 0 : index / (row_tiles * column_tiles);
    const int in_split = index - split * row_tiles * column_tiles;
    const int band = in_split / (kBand * column_tiles), inside = in_split % (kBand * column_tiles);
    const int in_band = min(kBand, row_tiles - band * kBand);
    const int row_tile = band * kBand + inside % in_band;
    const int expert = owner(tile_starts, experts, row_tile, lane);
    const int first_row = row_starts[expert] + (row_tile - tile_starts[expert]) * BM;
    const int rows = min(BM, row_starts[expert + 1] - first_row);
    return Tile{expert, first_row, rows, inside / in_band * BN, split};
  };
  const auto first_step = [&](int split) { return steps * split / SPLIT_K; };
  const auto row_of = [&](int row) { return GATHER ? tokens[row] : row; };

  int index = blockIdx.x;
  if (index >= tiles) return;
  Tile tile = tile_at(index);

  // The copies: their tile, their step in it, and this thread's rows of `in` (-1: not there). Each
  // thread copies one chunk of rows kRowsAtOnce apart.
  const int copy_row = thread / kChunks, copy_chunk = thread % kChunks;
  int copy_index = index, copy_step, copy_end, in_rows[kInCopies];
  const Element* weight_row;
  const auto begin_copies = [&](const Tile& of) {
    copy_step = first_step(of.split);
    copy_end = first_step(of.split + 1);
    weight_row = weights + (static_cast<u64>(of.expert) * kParts * columns + of.first_column +
                            copy_row) * depth;
#pragma unroll
    for (int i = 0; i < kInCopies; ++i) {
      const int row = copy_row + i * kRowsAtOnce;
      in_rows[i] = row < of.rows ? row_of(of.first_row + row) : -1;
    }
  };
  const auto copy = [&](int stage) {
    if (copy_index >= tiles) return;
    const u32 to = base + stage * kStageBytes;
    const int from = copy_step * BK + copy_chunk * kInChunk;
#pragma unroll
    for (int i = 0; i < kInCopies; ++i)  // a row that is not there still needs an address inside
      copy_16_bytes(to + place(copy_row + i * kRowsAtOnce, copy_chunk),
                    in + static_cast<u64>(max(in_rows[i], 0)) * depth + from, in_rows[i] >= 0);
#pragma unroll
    for (int part = 0; part < kParts; ++part)
#pragma unroll
      for (int i = 0; i < kPartCopies; ++i)
        copy_16_bytes(to + kInBytes + part * kPartBytes +
                          place(slot(copy_row + i * kRowsAtOnce), copy_chunk),
                      weight_row + static_cast<u64>(part * columns + i * kRowsAtOnce) * depth + from,
                      true);
    if (++copy_step < copy_end) return;
    copy_index = PERSISTENT ? copy_index + gridDim.x : tiles;
    if (copy_index < tiles) begin_copies(tile_at(copy_index));
  };

  begin_copies(tile);
#pragma unroll 1
  for (int stage = 0; stage < STAGES - 1; ++stage) {
    copy(stage);
    close_copy_group();  // an empty group too: the count of groups is what the wait goes by
  }

  u32 left[FRAGMENTS][kTilesM][4], right[FRAGMENTS][kParts][kPairs][4];
  const auto load = [&](int slice, u32 from) {
    const int set = slice % FRAGMENTS;
#pragma unroll
    for (int m = 0; m < kTilesM; ++m)
      load_four_matrices(left[set][m],
                         from + place(warp_row + m * 16 + lane % 16, slice * 2 + lane / 16));
#pragma unroll
    for (int part = 0; part < kParts; ++part)
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair)  // chunks 0 and 1 of eight rows, then of the next
        load_four_matrices(right[set][part][pair],
                           from + kInBytes + part * kPartBytes +
                               place(warp_column + pair * 16 + lane % 8 + lane / 16 * 8,
                                     slice * 2 + lane / 8 % 2));
  };

  // To the next step: its copies have landed, and the buffer that was read last is filled again.
  int reading = 0, writing = STAGES - 1;
  u32 from = base;
  const auto advance = [&] {
    wait_for_copies<STAGES - 2>();
    __syncthreads();  // so have those of all threads, and nobody reads the buffer written next
    copy(writing);
    close_copy_group();
    from = base + reading * kStageBytes;
    reading = reading + 1 == STAGES ? 0 : reading + 1;
    writing = writing + 1 == STAGES ? 0 : writing + 1;
  };

  if (FRAGMENTS == 2) {
    advance();
    load(0, from);
  }
  while (true) {
    float sums[kParts][kTilesM][kPairs][2][4] = {};
    const int tile_steps = first_step(tile.split + 1) - first_step(tile.split);
#pragma unroll 1
    for (int step = 0; step < tile_steps; ++step) {
      if (FRAGMENTS == 1) advance();
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice) {
        // After the last step of all this loads what nobody multiplies.
        const int next = (slice + FRAGMENTS - 1) % kSlices;
        if (FRAGMENTS == 2 && next == 0) advance();
        load(next, from);
        const int set = slice % FRAGMENTS;
#pragma unroll
        for (int part = 0; part < kParts; ++part)
#pragma unroll
          for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
            for (int m = 0; m < kTilesM; ++m) {
              float(&sum)[2][4] = sums[part][m][pair];
              const u32(&both)[4] = right[set][part][pair];
              multiply_add(sum[0], left[set][m], both[0], both[1]);
              multiply_add(sum[1], left[set][m], both[2], both[3]);
            }
      }
    }

    const u64 part_stride = static_cast<u64>(row_starts[experts]) * columns;
#pragma unroll
    for (int m = 0; m < kTilesM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row_in_tile = warp_row + m * 16 + half * 8 + lane / 4;
        if (row_in_tile >= tile.rows) continue;
        const int row = tile.first_row + row_in_tile;
        const float in_scale = DTYPE == kE4m3 ? in_scales[row_of(row)] : 1.0f;
#pragma unroll
        for (int pair = 0; pair < kPairs; ++pair) {
          const int column = tile.first_column + warp_column + pair * 16 + lane % 4 * 4;
          float four[kParts][4];
#pragma unroll
          for (int part = 0; part < kParts; ++part)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              four[part][i] = sums[part][m][pair][i / 2][half * 2 + i % 2];
              if (DTYPE == kE4m3)
                four[part][i] *= in_scale * weight_scales[(tile.expert * kParts + part) * columns +
                                                          column + i];
            }
          write(out + tile.split * kParts * part_stride + static_cast<u64>(row) * columns + column,
                part_stride, four);
        }
      }

    if (!PERSISTENT) return;
    index += gridDim.x;
    if (index >= tiles) return;
    tile = tile_at(index);
  }
}
