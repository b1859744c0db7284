// The primitives of kernels/cuda/primitives.cuh for a CPU: the same words, a fiber for each thread.
//
// A warp runs lane by lane up to its next warp-wide instruction, which is done once for all lanes;
// a block's warps run in a shuffled order up to the next barrier. Shared memory starts as NaN. Copies
// land at once, or, in late mode, no sooner than a wait demands: the two extremes the GPU may choose.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;
using std::min;

namespace cpu {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(3);  // at once: this may run on a fiber's stack, which an orderly exit would free
}

enum class Stop { none, barrier, load, multiply, end };
struct Copy { u32 to; const void* from; bool there; };
struct Index { int x, y, z; };

struct Thread {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(128 << 10);
  Stop stop = Stop::none;
  int index = 0;
  std::deque<std::vector<Copy>> groups;
  std::vector<Copy> open;
  u32 row = 0, words[4], left[4], right[2];
  float sum[4];
};

struct Block {
  std::vector<Thread> threads;
  std::vector<unsigned char> shared;
  Index index{};
  Thread* running = nullptr;
  ucontext_t scheduler;
  bool late = false;
  u64 conflicts = 0, multiplies = 0;
  std::vector<std::pair<const char*, const char*>> readable;
};
inline Block block;

inline void stop(Stop why) {
  block.running->stop = why;
  swapcontext(&block.running->context, &block.scheduler);
}

inline void land(const Copy& copy) {
  if (copy.to % 16 || copy.to + 16 > block.shared.size()) fail("copy outside shared memory");
  const char* from = static_cast<const char*>(copy.from);
  bool inside = false;
  for (auto [first, last] : block.readable) inside |= from >= first && from + 16 <= last;
  if (!inside || reinterpret_cast<uintptr_t>(from) % 16) fail("copy from outside the arrays");
  if (copy.there) std::memcpy(&block.shared[copy.to], from, 16);
  else std::memset(&block.shared[copy.to], 0, 16);
}

inline void load_matrices(Thread* lanes) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    int on_bank[8] = {};
    for (int row = 0; row < 8; ++row) {
      const u32 at = lanes[matrix * 8 + row].row;
      if (at % 16 || at + 16 > block.shared.size()) fail("ldmatrix outside shared memory");
      for (int word = 0; word < 4; ++word)
        std::memcpy(&lanes[row * 4 + word].words[matrix], &block.shared[at + word * 4], 4);
      ++on_bank[at / 16 % 8];
    }
    block.conflicts += *std::max_element(on_bank, on_bank + 8) - 1;
  }
}

inline double number(u32 pair, int half) {
  const u32 bits = (half ? pair >> 16 : pair & 0xffff) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Fragments as the PTX ISA lays them out for mma.m16n8k16: groups of four lanes own a row.
inline void multiply(Thread* lanes) {
  double left[16][16], right[16][8];
  for (int lane = 0; lane < 32; ++lane)
    for (int half = 0; half < 2; ++half) {
      const int group = lane / 4, pair = lane % 4 * 2 + half;
      for (int part = 0; part < 4; ++part)
        left[group + part % 2 * 8][pair + part / 2 * 8] = number(lanes[lane].left[part], half);
      for (int part = 0; part < 2; ++part)
        right[pair + part * 8][group] = number(lanes[lane].right[part], half);
    }
  for (int lane = 0; lane < 32; ++lane)
    for (int part = 0; part < 4; ++part) {
      double sum = lanes[lane].sum[part];
      for (int k = 0; k < 16; ++k)
        sum += left[lane / 4 + part / 2 * 8][k] * right[k][lane % 4 * 2 + part % 2];
      lanes[lane].sum[part] = static_cast<float>(sum);
    }
  ++block.multiplies;
}

// Runs one warp to its next barrier or its end.
inline void run_warp(Thread* lanes) {
  for (;;) {
    for (int lane = 0; lane < 32; ++lane) {
      block.running = &lanes[lane];
      swapcontext(&block.scheduler, &lanes[lane].context);
    }
    for (int lane = 1; lane < 32; ++lane)
      if (lanes[lane].stop != lanes[0].stop) fail("lanes of a warp wait for different things");
    if (lanes[0].stop == Stop::load) load_matrices(lanes);
    else if (lanes[0].stop == Stop::multiply) multiply(lanes);
    else return;
  }
}

inline void shuffle(std::vector<int>& order, u64& random) {
  for (size_t left = order.size(); left > 1; --left) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    std::swap(order[left - 1], order[(random >> 33) % left]);
  }
}

inline void run_block(void (*body)(), int threads, u32 shared_bytes, u64& random) {
  block.shared.assign(shared_bytes, 0xff);
  block.threads.resize(threads);
  for (int i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    thread.index = i;
    thread.stop = Stop::none;
    thread.groups.clear();
    thread.open.clear();
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, body, 0);
  }
  std::vector<int> warps(threads / 32);
  for (;;) {
    for (size_t i = 0; i < warps.size(); ++i) warps[i] = static_cast<int>(i);
    shuffle(warps, random);
    int ended = 0;
    for (int warp : warps) {
      run_warp(&block.threads[warp * 32]);
      ended += block.threads[warp * 32].stop == Stop::end;
    }
    if (ended == static_cast<int>(warps.size())) return;
    if (ended) fail("some warps ended while others wait at a barrier");
  }
}

}  // namespace cpu

#define INLINE static inline
#define SHARED_BYTES(name) unsigned char* name = cpu::block.shared.data()
#define __global__
#define __launch_bounds__(...)
#define threadIdx (cpu::Index{cpu::block.running->index, 0, 0})
#define blockIdx (cpu::block.index)

INLINE void __syncthreads() { cpu::stop(cpu::Stop::barrier); }

INLINE u32 shared_address(const void* pointer) {
  return static_cast<u32>(static_cast<const unsigned char*>(pointer) - cpu::block.shared.data());
}

INLINE void copy_16_bytes(u32 to, const void* from, bool there) {
  const cpu::Copy copy{to, from, there};
  if (cpu::block.late) cpu::block.running->open.push_back(copy);
  else cpu::land(copy);
}

INLINE void close_copy_group() {
  cpu::block.running->groups.push_back(std::move(cpu::block.running->open));
  cpu::block.running->open.clear();
}

template <int Pending> INLINE void wait_for_copies() {
  auto& groups = cpu::block.running->groups;
  for (; groups.size() > static_cast<size_t>(Pending); groups.pop_front())
    for (const cpu::Copy& copy : groups.front()) cpu::land(copy);
}

INLINE void load_four_matrices(u32 (&to)[4], u32 row) {
  cpu::Thread* thread = cpu::block.running;
  thread->row = row;
  cpu::stop(cpu::Stop::load);
  std::memcpy(to, thread->words, 16);
}

INLINE void multiply_add(float (&sum)[4], const u32 (&left)[4], u32 right_low, u32 right_high) {
  cpu::Thread* thread = cpu::block.running;
  std::memcpy(thread->sum, sum, 16);
  std::memcpy(thread->left, left, 16);
  thread->right[0] = right_low;
  thread->right[1] = right_high;
  cpu::stop(cpu::Stop::multiply);
  std::memcpy(sum, thread->sum, 16);
}

INLINE u32 rounded_bf16(float value) {
  u32 bits;
  std::memcpy(&bits, &value, 4);
  return std::isnan(value) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

INLINE u32 two_bf16(float first, float second) {
  return rounded_bf16(first) | rounded_bf16(second) << 16;
}

INLINE float silu(float x) { return x / (1.0f + std::exp(-x)); }
