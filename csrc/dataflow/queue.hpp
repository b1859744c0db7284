// The times of a FIFO's tokens: who may read when, and who may write when.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "dataflow/graph.hpp"

namespace moesaic::dataflow {

constexpr std::int64_t MOST_SLOTS = std::int64_t{1} << 27;  // of all FIFOs: 8 bytes each
constexpr std::int64_t ENDLESS = INT64_MAX / 4;             // room without bound

// Slots that the FIFOs of one graph hold together.
struct Budget {
  std::int64_t slots = 0;
  void take(std::int64_t more) {
    slots += more;
    if (slots > MOST_SLOTS) throw std::length_error("the times of its tokens need over 1 GiB");
  }
};

// A ring of one time a slot. Token n has slot n modulo the capacity. Between write and read the
// slot holds the first cycle in which the token can be read, afterwards the first one in which its
// room can be taken, by the token that comes to it next: a FIFO of depth d is a ring of d slots.
// Without bound the ring grows. `trails` go with the times where critical paths are asked for.
struct Queue {
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> claims;  // when tokens on their way were claimed, where `late` varies
  std::vector<std::int32_t> trails;
  // Of both sides, TOKENS and ROOM: how much there is, where it begins, who takes it (NOBODY: a
  // memory's port), and how much he waits for (0: does not wait).
  std::int64_t there[2] = {0, 0}, place[2] = {0, 0}, wanted[2] = {0, 0};
  std::int32_t taker[2] = {NOBODY, NOBODY};
  std::int64_t capacity = 0;
  std::int64_t late = 1;  // cycles from a token's claim until it can be read
  std::int64_t tokens = 0, peak = 0;
  bool bounded = false;

  void open(std::int64_t depth, std::int64_t slots_unbound, bool with_claims, bool traced,
            Budget& budget) {
    bounded = depth != UNBOUNDED;
    capacity = bounded ? depth : slots_unbound;
    there[ROOM] = bounded ? depth : ENDLESS;
    budget.take(capacity * (1 + with_claims));
    slots.assign(capacity, 0);
    if (with_claims) claims.assign(capacity, 0);
    if (traced) trails.assign(capacity, 0);
  }

  std::int64_t wrapped(std::int64_t at) const { return at >= capacity ? at - capacity : at; }
  // The slot of the last of so many tokens to read, or to write.
  std::int64_t slot(Side side, std::int64_t n) const { return wrapped(place[side] + n - 1); }

  // The next token is read in cycle t. The peak is p as long as token m is read before token m + p
  // is claimed, for every m; whoever comes second to a pair looks.
  template <bool Traced>
  void read(std::int64_t t, std::int32_t trail) {
    const std::int64_t at = place[TOKENS];
    while (peak < there[TOKENS] && claimed(wrapped(at + peak)) <= t) ++peak;
    slots[at] = t + 1;
    if constexpr (Traced) trails[at] = trail;
    move(TOKENS, ROOM);
  }

  // The next token is claimed in cycle t and can be read from `from` on.
  template <bool Traced>
  void write(std::int64_t t, std::int64_t from, std::int32_t trail, Budget& budget) {
    const std::int64_t before = place[ROOM] - peak;  // the token that makes way at the peak
    if (there[TOKENS] < peak && slots[before < 0 ? before + capacity : before] > t) ++peak;
    if (!bounded && (there[TOKENS] == capacity || peak > capacity)) grow(budget);
    const std::int64_t at = place[ROOM];
    slots[at] = from;
    if (!claims.empty()) claims[at] = t;
    if constexpr (Traced) trails[at] = trail;
    move(ROOM, TOKENS);
    ++tokens;
  }

 private:
  std::int64_t claimed(std::int64_t at) const {
    return claims.empty() ? slots[at] - late : claims[at];
  }

  void move(Side from, Side to) {
    place[from] = wrapped(place[from] + 1);
    --there[from];
    ++there[to];
  }

  template <class Time>
  void stretch(std::vector<Time>& ring) const {
    if (ring.empty()) return;
    std::vector<Time> longer(2 * capacity, 0);
    for (std::int64_t i = 0; i < capacity; ++i) longer[i] = ring[wrapped(place[ROOM] + i)];
    ring.swap(longer);
  }

  void grow(Budget& budget) {
    budget.take(capacity * (claims.empty() ? 1 : 2));
    stretch(slots);
    stretch(claims);
    stretch(trails);
    place[ROOM] = capacity;
    place[TOKENS] = capacity - there[TOKENS];
    capacity *= 2;
  }
};

}  // namespace moesaic::dataflow
