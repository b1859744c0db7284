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
constexpr Stamp LAST_EPOCH = 0x7fffffff - 2 * EPOCH;  // stamps are compared as signed numbers too

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

// What those who have come to a barrier know, their own past with it: the newest stamp of each warp.
struct Past {
  Stamp newest[MOST_WARPS] = {};

  void add(const Clock& clock, int count) {
    for (int warp = 0; warp < count; ++warp) {
      const Stamp known =
          warp == warp_of(clock.now) ? clock.now | LAST_LANE : clock.seen[warp];
      if (known > newest[warp]) newest[warp] = known;
    }
  }
  // It now lies before what the warp of a block of `count` does next.
  void pass(Clock& clock, int count) const {
    const int own = warp_of(clock.now);
    for (int warp = 0; warp < count; ++warp)
      if (warp != own && newest[warp] > clock.seen[warp]) clock.seen[warp] = newest[warp];
    clock.step();
    clock.settled = clock.now;
    for (int warp = 0; warp < count; ++warp) {
      const Stamp known = (clock.seen[warp] / EPOCH + 1) * EPOCH;
      if (warp != own && known < clock.settled) clock.settled = known;
    }
  }
};

// Notes who did something last: `last`, and before it another lane (`peer`) and another warp, or
// in global memory another block (`other`).
template <class AnyStamp>
void note(AnyStamp& last, AnyStamp& peer, AnyStamp& other, AnyStamp now) {
  if (last == now) return;
  const AnyStamp apart = last ^ now;
  const bool other_block = sizeof(AnyStamp) == 8 && static_cast<std::uint64_t>(apart) >> 32;
  (other_block || (apart >> 5 & 31) ? other : peer) = last;
  last = now;
}

}  // namespace moesaic::ptx
