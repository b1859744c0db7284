// run_grouped_gemm IN OUT: the kernel's own source on a CPU, all blocks in turn.
//
// IN:  int32 late, seed, experts, columns, depth, grid_x, grid_y, shared_bytes; row_starts and
//      tile_starts (int32, experts + 1 each); bf16 inputs; bf16 weights.
// OUT: bf16 outputs; then two int64: bank conflicts, multiplications.
#include <utility>

#include "grouped_gemm.cu"

struct Arguments {
  const bf16 *in, *weights;
  bf16* out;
  const int *row_starts, *tile_starts;
  int experts, columns, depth;
} arguments;

static void body() {
  const Arguments& a = arguments;
  grouped_gemm(a.in, a.weights, a.out, a.row_starts, a.tile_starts, a.experts, a.columns, a.depth);
  cpu::stop(cpu::Stop::end);
}

template <typename T> static std::vector<T> take(const char*& at, size_t count) {
  std::vector<T> values(count);
  std::memcpy(values.data(), at, count * sizeof(T));
  at += count * sizeof(T);
  return values;
}

int main(int, char** words) {
  std::vector<char> bytes(size_t(64) << 20);
  std::FILE* file = std::fopen(words[1], "rb");
  if (!file || std::fread(bytes.data(), 1, bytes.size(), file) == bytes.size())
    cpu::fail("the input is missing or too large");
  std::fclose(file);
  const char* at = bytes.data();
  const auto head = take<int>(at, 8);
  const int experts = head[2], columns = head[3], depth = head[4];
  const auto row_starts = take<int>(at, experts + 1), tile_starts = take<int>(at, experts + 1);
  const size_t rows = row_starts[experts];
  auto in = take<bf16>(at, rows * depth);
  in.reserve((rows + BM) * depth);  // so that a tile past the end does not reach into the weights
  const auto weights = take<bf16>(at, size_t(experts) * kParts * columns * depth);
  // A tile of guards on either side shows a store outside the output.
  const bf16 guard = 0xabcd;
  const size_t guards = size_t(BM) * columns;
  std::vector<bf16> out(rows * columns + 2 * guards, guard);

  arguments = {in.data(), weights.data(), out.data() + guards, row_starts.data(),
               tile_starts.data(), experts, columns, depth};
  cpu::block.late = head[0];
  for (const std::vector<bf16>* array : {&std::as_const(in), &weights}) {
    const char* first = reinterpret_cast<const char*>(array->data());
    cpu::block.readable.push_back({first, first + array->size() * 2});
  }
  u64 random = head[1];
  for (int y = 0; y < head[6]; ++y)
    for (int x = 0; x < head[5]; ++x) {
      cpu::block.index = {x, y, 0};
      cpu::run_block(body, kThreads, head[7], random);
    }
  for (size_t i = 0; i < guards; ++i)
    if (out[i] != guard || out[out.size() - 1 - i] != guard) cpu::fail("store outside the output");

  const u64 counts[2] = {cpu::block.conflicts, cpu::block.multiplies};
  std::FILE* result = std::fopen(words[2], "wb");
  if (!result) cpu::fail("the output cannot be written");
  std::fwrite(out.data() + guards, 2, rows * columns, result);
  std::fwrite(counts, sizeof counts, 1, result);
  return std::fclose(result);
}
