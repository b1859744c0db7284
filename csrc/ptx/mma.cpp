// The fast mma.sync, compiled once for each width of vectors: see mma_vectors.inc.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "ptx/mma.hpp"

#define INLINE inline __attribute__((always_inline))

namespace moesaic::ptx {

namespace {

namespace any {
#define LANES 4
#include "ptx/mma_vectors.inc"
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
#undef LANES
#define LANES 8
#include "ptx/mma_vectors.inc"
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
namespace avx512 {
#undef LANES
#define LANES 16
#include "ptx/mma_vectors.inc"
}
#pragma GCC pop_options

auto* widest() {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return avx512::mma;
  return __builtin_cpu_supports("avx2") ? avx2::mma : any::mma;
}
#else
auto* widest() { return any::mma; }
#endif

}  // namespace

void mma(Format a, Format b, int k, bool half_sums, Rounding rounding,
         const std::uint32_t* const* a_words, const std::uint32_t* const* b_words,
         const std::uint32_t* const* c, std::uint32_t* const* d) {
  static const auto chosen = widest();
  chosen(a, b, k, half_sums, rounding, a_words, b_words, c, d);
}

}  // namespace moesaic::ptx
