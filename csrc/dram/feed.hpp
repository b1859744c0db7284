// Lanes of requests before the queues of a channel.
#pragma once

#include <algorithm>
#include <vector>

#include "dram/policy.hpp"

namespace moesaic::dram {

// From one lane: whatever waits for room holds back all the rest.
template <class C, class Lane, class Enough>
void feed_one(C& channel, std::vector<Lane>& lanes, const Enough& enough) {
  Lane& lane = lanes[0];
  while (!lane.done() && !enough(lanes)) {
    const Request head = lane.head();
    const Tick t = std::max(channel.next_tick(), head.arrival);
    channel.run_until(t);
    if (channel.offer(head, t)) {
      lane.pop();
      continue;
    }
    while (channel.full(head)) channel.step(NEVER);
  }
}

// Feeds a channel from its lanes until `enough(lanes)` or all are done. A lane has done(), head(),
// pop(), the tick `from` which its head may be offered, and whether it was `refused`; it waits only
// for its own queue.
template <class C, class Lane, class Enough>
void feed(C& channel, std::vector<Lane>& lanes, const Enough& enough) {
  if (lanes.size() == 1) return feed_one(channel, lanes, enough);
  while (!enough(lanes)) {
    Tick t = NEVER;
    bool refused = false;
    for (Lane& lane : lanes) {
      if (lane.done()) continue;
      const Request head = lane.head();
      if (lane.refused && !channel.full(head)) {
        lane.refused = false;
        lane.from = std::max(lane.from, channel.next_tick());
      }
      refused |= lane.refused;
      if (!lane.refused) t = std::min(t, std::max(lane.from, head.arrival));
    }
    if (t == NEVER && !refused) return;
    if (refused && channel.step(t)) continue;  // it may have made room
    channel.run_until(t);
    for (Lane& lane : lanes) {
      while (!lane.done() && !lane.refused) {
        const Request head = lane.head();
        if (std::max(lane.from, head.arrival) > t) break;
        if (channel.offer(head, t)) lane.pop();
        else lane.refused = true;
      }
    }
  }
}

}  // namespace moesaic::dram
