#pragma once
#include <cstdint>

namespace moesaic::ptx {

constexpr int MOST_WARPS = 32;

// Who did something and when: the lane in the low 5 bits, its warp in the next 5, above them the
// warp's own count of the barriers that it has passed, those of the warp alone among them. Two
// accesses are in order if the later one's warp has seen, through barriers, a stamp of the earlier
// one that is no smaller, or if one lane made both (Flanagan and Freund, FastTrack, PLDI 2009:
// epochs).
using Stamp = std::uint32_t;

constexpr Stamp EPOCH = 1u << 10;
constexpr Stamp LAST_LANE = 31;

inline int warp_of(Stamp stamp) { return static_cast<int>(stamp >> 5 & 31); }

struct Clock {
  Stamp now;               // of lane 0
  Stamp settled;           // every stamp below lies before this warp's next step, whoever's it is
  Stamp seen[MOST_WARPS];  // by warp: its newest stamp that lies before this warp's next step

  void start(int warp) {
    for (Stamp& one : seen) one = 0;
    now = static_cast<Stamp>(warp) << 5;
    settled = 0;
    step();
  }
  // A barrier of the warp's own lanes.
  void step() {
    now += EPOCH;
    seen[warp_of(now)] = now - 1;
  }
  bool after(Stamp stamp, int lane) const {
    return stamp <= seen[warp_of(stamp)] || stamp == (now | static_cast<Stamp>(lane));
  }
};

// A barrier: what each of these warps of a block of `count` did before it lies before what any of
// them does after it.
template <class Each>
void join(const Each& warps, Clock* clocks, int count) {
  Stamp all[MOST_WARPS] = {};
  for (const int w : warps)
    for (int other = 0; other < count; ++other) {
      const Stamp known = other == w ? clocks[w].now | LAST_LANE : clocks[w].seen[other];
      if (known > all[other]) all[other] = known;
    }
  for (const int w : warps) {
    Clock& clock = clocks[w];
    for (int other = 0; other < count; ++other) clock.seen[other] = all[other];
    clock.step();
    clock.settled = clock.now;
    for (int other = 0; other < count; ++other) {
      const Stamp known = (clock.seen[other] / EPOCH + 1) * EPOCH;
      if (other != w && known < clock.settled) clock.settled = known;
    }
  }
}

}  // namespace moesaic::ptx
