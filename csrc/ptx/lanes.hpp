#pragma once
#include <algorithm>
#include <cstdint>

#include "ptx/program.hpp"

namespace moesaic::ptx {

// Calls f with each lane of the mask, the lowest first.
template <class F>
inline void each_lane(Mask lanes, F f) {
  for (; lanes; lanes &= lanes - 1) f(__builtin_ctz(lanes));
}

// The lanes whose address is no multiple of the bytes.
inline Mask askew(Mask lanes, const std::uint64_t* address, unsigned bytes) {
  Mask out = 0;
  for (int l = 0; l < LANES; ++l) out |= static_cast<Mask>((address[l] & (bytes - 1)) != 0) << l;
  return out & lanes;
}

// The different values among the lanes, shifted, rising; their number.
inline unsigned distinct(Mask lanes, const std::uint64_t* value, int shift, std::uint64_t* seen) {
  unsigned count = 0;
  bool rising = true;
  each_lane(lanes, [&](int l) {
    const std::uint64_t v = value[l] >> shift;
    if (count && v == seen[count - 1]) return;
    if (count && v < seen[count - 1]) rising = false;
    seen[count++] = v;
  });
  if (rising) return count;
  std::sort(seen, seen + count);
  return static_cast<unsigned>(std::unique(seen, seen + count) - seen);
}

}  // namespace moesaic::ptx
