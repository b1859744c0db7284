#pragma once
#include <cstdint>

namespace moesaic::ptx {

constexpr int MOST_WARPS = 32;

// Who did something and when: the warp in the low 5 bits, above it the warp's own count of the
// barriers that it has passed. Two accesses are in order if the later warp has seen, through
// barriers, a stamp of the earlier one that is no smaller (Flanagan and Freund, FastTrack, PLDI
// 2009: epochs).
using Stamp = std::uint32_t;
constexpr Stamp LAST_STAMP = 0x7fffffff;  // compared as signed numbers

struct Clock {
  Stamp now;
  Stamp settled;           // every stamp below lies before this warp's next step, whoever's it is
  Stamp seen[MOST_WARPS];  // by warp: its newest stamp that lies before this warp's next step

  void start(int warp) {
    for (Stamp& one : seen) one = 0;
    now = (Stamp{1} << 5) | static_cast<Stamp>(warp);
    settled = Stamp{1} << 5;
    seen[warp] = ~Stamp{0};  // its own past is always in order
  }
  bool after(Stamp stamp) const { return stamp <= seen[stamp & 31]; }
};

// A barrier: what each of these warps of a block of `count` did before it lies before what any of
// them does after it.
template <class Each>
void join(const Each& warps, Clock* clocks, int count) {
  Stamp all[MOST_WARPS] = {};
  for (const int w : warps)
    for (int other = 0; other < MOST_WARPS; ++other) {
      const Stamp known = other == w ? clocks[w].now : clocks[w].seen[other];
      if (known > all[other]) all[other] = known;
    }
  for (const int w : warps) {
    for (int other = 0; other < MOST_WARPS; ++other)
      if (other != w) clocks[w].seen[other] = all[other];
    clocks[w].now += Stamp{1} << 5;
    Stamp least = ~Stamp{0};
    for (int other = 0; other < count; ++other)
      if (clocks[w].seen[other] < least) least = clocks[w].seen[other];
    clocks[w].settled = count == 1 ? LAST_STAMP : ((least >> 5) + 1) << 5;
  }
}

}  // namespace moesaic::ptx
