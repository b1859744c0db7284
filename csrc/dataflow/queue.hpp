// The times of a FIFO's tokens: who may read when, and who may write when.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "dataflow/graph.hpp"

namespace moesaic::dataflow {

constexpr std::int64_t MOST_SLOTS = std::int64_t{1} << 27;  // of all FIFOs: 8 bytes each

// Slots that the FIFOs of one graph hold together.
struct Budget {
  std::int64_t slots = 0;
  void take(std::int64_t more) {
    slots += more;
    if (slots > MOST_SLOTS) throw std::length_error("the times of its tokens need over 1 GiB");
  }
};

// A ring of one time a slot. Token n has slot n modulo the capacity. Between write and read the slot
// holds the first cycle in which the token can be read, afterwards the first one in which its room
// can be taken, by the token that comes to this slot next: a FIFO of depth d is a ring of d slots.
// Without bound the ring grows. `trails` go with the times where critical paths are asked for.
struct Queue {
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> claims;  // when tokens on their way were claimed, where `late` varies
  std::vector<std::int32_t> trails;
  std::int64_t depth = UNBOUNDED, capacity = 0;
  std::int64_t head = 0, tail = 0, count = 0;  // places in the ring, tokens from head to tail
  std::int64_t late = 1;                       // cycles from a token's claim until it can be read
  std::int64_t tokens = 0, peak = 0;
  std::int32_t reader = NOBODY, writer = NOBODY;    // processes; NOBODY: a memory's port
  std::int64_t reader_needs = 0, writer_needs = 0;  // what a waiting one waits for; 0: none waits

  void open(std::int64_t first_capacity, bool with_claims, bool traced, Budget& budget) {
    capacity = first_capacity;
    budget.take(capacity * (1 + with_claims));
    slots.assign(capacity, 0);
    if (with_claims) claims.assign(capacity, 0);
    if (traced) trails.assign(capacity, 0);
  }

  bool bounded() const { return depth != UNBOUNDED; }
  std::int64_t room() const { return bounded() ? depth - count : INT64_MAX; }
  std::int64_t wrapped(std::int64_t place) const {
    return place >= capacity ? place - capacity : place;
  }
  // Places of the last of so many tokens to read, or of so many to write.
  std::int64_t token(std::int64_t n) const { return wrapped(head + n - 1); }
  std::int64_t space(std::int64_t n) const { return wrapped(tail + n - 1); }

  std::int64_t claimed(std::int64_t place) const {
    return claims.empty() ? slots[place] - late : claims[place];
  }

  // The next tokens are read in cycle t. The peak is p as long as token m is read before token
  // m + p is claimed, for every m; whoever comes second to a pair looks.
  void read(std::int64_t n, std::int64_t t, std::int32_t trail) {
    for (; n > 0; --n) {
      while (peak < count && claimed(wrapped(head + peak)) <= t) ++peak;
      slots[head] = t + 1;
      if (!trails.empty()) trails[head] = trail;
      head = wrapped(head + 1);
      --count;
    }
  }

  // The next token is claimed in cycle t and can be read from `from` on.
  void write(std::int64_t t, std::int64_t from, std::int32_t trail, Budget& budget) {
    if (count < peak && slots[tail >= peak ? tail - peak : tail - peak + capacity] > t) ++peak;
    if (!bounded() && (count == capacity || peak > capacity)) grow(budget);
    slots[tail] = from;
    if (!claims.empty()) claims[tail] = t;
    if (!trails.empty()) trails[tail] = trail;
    tail = wrapped(tail + 1);
    ++count;
    ++tokens;
  }

 private:
  template <class Time>
  void stretch(std::vector<Time>& ring) const {
    if (ring.empty()) return;
    std::vector<Time> longer(2 * capacity, 0);
    for (std::int64_t i = 0; i < capacity; ++i) longer[i] = ring[wrapped(tail + i)];
    ring.swap(longer);
  }

  void grow(Budget& budget) {
    budget.take(capacity * (claims.empty() ? 1 : 2));
    stretch(slots);
    stretch(claims);
    stretch(trails);
    tail = capacity;
    head = capacity - count;
    capacity *= 2;
  }
};

}  // namespace moesaic::dataflow
