// Where addresses lead, and what is noted on the way: bounds, sectors, conflicts, races.
#include <algorithm>
#include <cstring>

#include "ptx/block.hpp"

namespace moesaic::ptx {

namespace {

constexpr std::uint64_t IN_ARRAY = (std::uint64_t{1} << ARRAY_SHIFT) - 1;
constexpr int BANKS = 32;

template <class F>
void each_lane(Mask lanes, F f) {
  for (; lanes; lanes &= lanes - 1) f(__builtin_ctz(lanes));
}

Mask askew(Mask lanes, const std::uint64_t* address, unsigned bytes) {
  Mask out = 0;
  for (int l = 0; l < LANES; ++l) out |= static_cast<Mask>((address[l] & (bytes - 1)) != 0) << l;
  return out & lanes;
}

// The different values among the lanes, shifted, rising; their number.
unsigned distinct(Mask lanes, const std::uint64_t* value, int shift, std::uint64_t* seen) {
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

// Wavefronts of one phase: the most different words that fall on one bank.
unsigned wavefronts(Mask lanes, const std::uint64_t* address, unsigned words) {
  std::uint32_t banks = 0;
  unsigned asked = 0;
  each_lane(lanes, [&](int l) {
    const unsigned first = static_cast<unsigned>(address[l] >> 2) % BANKS;
    banks |= ((words == 32 ? 0u : (1u << words)) - 1) << first;
    asked += words;
  });
  if (static_cast<unsigned>(__builtin_popcount(banks)) == asked) return 1;
  std::uint64_t word[LANES];
  unsigned count = 0;
  each_lane(lanes, [&](int l) {
    for (unsigned k = 0; k < words; ++k) word[count++] = (address[l] >> 2) + k;
  });
  std::sort(word, word + count);
  count = static_cast<unsigned>(std::unique(word, word + count) - word);
  unsigned of_bank[BANKS] = {}, most = 0;
  for (unsigned k = 0; k < count; ++k) most = std::max(most, ++of_bank[word[k] % BANKS]);
  return most;
}

}  // namespace

Mask Block::reach_global(Warp& w, Mask lanes, const std::uint64_t* address, unsigned bytes,
                         Access access, std::byte** to) {
  if (const Mask wrong = askew(lanes, address, bytes)) {
    launch.report(Wrong::misaligned, w, __builtin_ctz(wrong),
                  "a global access of " + std::to_string(bytes) + " bytes is not aligned to them");
    lanes &= ~wrong;
  }
  Mask reached = 0;
  while (lanes) {
    const std::uint64_t number = address[__builtin_ctz(lanes)] >> ARRAY_SHIFT;
    Mask group = 0;
    for (int l = 0; l < LANES; ++l)
      group |= static_cast<Mask>(address[l] >> ARRAY_SHIFT == number) << l;
    group &= lanes;
    lanes &= ~group;
    if (number < 1 || number > launch.arrays.size()) {
      launch.report(Wrong::out_of_bounds, w, __builtin_ctz(group),
                    "the address is in no array of the launch");
      continue;
    }
    Array& array = launch.arrays[number - 1];
    std::uint64_t offset[LANES];
    Mask inside = 0;
    for (int l = 0; l < LANES; ++l) {
      offset[l] = address[l] & IN_ARRAY;
      inside |= static_cast<Mask>(offset[l] + bytes <= array.bytes) << l;
    }
    if (const Mask outside = group & ~inside) {
      const int lane = __builtin_ctz(outside);
      launch.report(Wrong::out_of_bounds, w, lane,
                    "byte " + std::to_string(offset[lane]) + " of array " +
                        std::to_string(number - 1) + ", which has " +
                        std::to_string(array.bytes));
      group &= inside;
    }
    if (!group) continue;
    each_lane(group, [&](int l) { to[l] = array.data + offset[l]; });
    count_global(w, array, group, offset, bytes, access);
    if (access == Access::write) check_collisions(w, group, offset);
    watch_global(w, array, group, offset, bytes, access);
    reached |= group;
  }
  return reached;
}

void Block::count_global(const Warp& w, Array& array, Mask lanes, const std::uint64_t* offset,
                         unsigned bytes, Access access) {
  Counts& counts = launch.counts[w.pc];
  std::uint64_t sectors[LANES];
  const unsigned count = distinct(lanes, offset, 5, sectors);
  counts.bytes += bytes * static_cast<unsigned>(__builtin_popcount(lanes));
  counts.sectors += count;
  for (unsigned k = 0; k < count; ++k) {
    if (access != Access::write) array.sectors_read[sectors[k]] = true;
    if (access != Access::read) array.sectors_written[sectors[k]] = true;
  }
  if (launch.settings.most_touches == 0) return;
  for (unsigned first = 0, end = 0; first < count; first = end) {
    while (end < count && sectors[end] - sectors[first] == end - first) ++end;
    if (launch.trace.size() == launch.settings.most_touches) {
      ++launch.untraced;
      continue;
    }
    launch.trace.push_back({number(), w.pc,
                            static_cast<std::uint32_t>(&array - launch.arrays.data()), end - first,
                            sectors[first], static_cast<std::uint16_t>(w.number),
                            access != Access::read});
  }
}

void Block::watch_global(Warp& w, Array& array, Mask lanes, const std::uint64_t* offset,
                         unsigned bytes, Access access) {
  if (access == Access::read) array.read = true;
  if (access == Access::write) array.written = true;
  if (!array.watched) {
    // Nothing can meet until something is written; what was read before then was not kept.
    if (access == Access::read) return;
    if (array.read || access == Access::atomic) return launch.watch(array);
    array.watched = true;
  }
  if (array.words.empty()) array.words.resize(array.bytes / 4 + 1);
  const Clock& clock = clocks[w.number];
  const std::uint64_t now = stamp_base | clock.now;
  const auto apart = [&](std::uint64_t stamp) {  // neither before us nor by us
    if (stamp == 0) return false;
    return (stamp ^ stamp_base) >> 32 || !clock.after(static_cast<Stamp>(stamp));
  };
  each_lane(lanes, [&](int l) {
    for (std::uint64_t k = offset[l] / 4; k <= (offset[l] + bytes - 1) / 4; ++k) {
      Array::Word& word = array.words[k];
      bool race = apart(word.writer);
      if (access != Access::atomic) race = race || apart(word.atomic);
      if (access != Access::read) race = race || apart(word.reader) || apart(word.other);
      if (race)
        launch.report(Wrong::race, w, l,
                      "byte " + std::to_string(4 * k) + " of array " +
                          std::to_string(&array - launch.arrays.data()) +
                          " is touched by another warp with nothing between the two accesses");
      if (access == Access::write) word.writer = now;
      if (access == Access::atomic) word.atomic = now;
      if (access == Access::read) {
        if ((word.reader & 31) != (now & 31) || (word.reader ^ now) >> 32) word.other = word.reader;
        word.reader = now;
      }
    }
  });
}

// Two lanes of one store at the same place: which one stays is not defined.
void Block::check_collisions(const Warp& w, Mask lanes, const std::uint64_t* address) {
  std::uint64_t seen[LANES];
  unsigned count = 0;
  bool rising = true;
  each_lane(lanes, [&](int l) {
    if (count && address[l] <= seen[count - 1]) rising = false;
    seen[count++] = address[l];
  });
  if (rising) return;
  std::sort(seen, seen + count);
  if (std::adjacent_find(seen, seen + count) != seen + count)
    launch.report(Wrong::race, w, __builtin_ctz(lanes), "two lanes of one store write to one place");
}

Shared::Shared(std::uint64_t size)
    : bytes(size), memory(size + 16), writer(size / 4 + 4), reader(size / 4 + 4),
      other(size / 4 + 4), atomic(size / 4 + 4), state(size / 4 + 4) {}

void Shared::reset() {
  std::fill(memory.begin(), memory.end(), std::byte{0xff});  // a nan in every float format
  for (std::vector<Stamp>* stamps : {&writer, &reader, &other, &atomic})
    std::fill(stamps->begin(), stamps->end(), 0);
  std::fill(state.begin(), state.end(), UNDEFINED);
}

void Block::count_wavefronts(const Warp& w, Mask lanes, const std::uint64_t* address,
                             unsigned words) {
  Counts& counts = launch.counts[w.pc];
  const unsigned lanes_a_phase = LANES / words;  // 8 and 16-byte accesses go by halves and quarters
  for (unsigned first = 0; first < LANES; first += lanes_a_phase) {
    const Mask phase =
        lanes & (lanes_a_phase == 32 ? ALL : ((Mask{1} << lanes_a_phase) - 1) << first);
    if (!phase) continue;
    const unsigned fronts = wavefronts(phase, address, words);
    counts.wavefronts += fronts;
    counts.conflicts += fronts - 1;
  }
}

// Notes an access to a word; says whether it races with one before.
bool Block::mark_word(const Clock& clock, std::uint64_t word, Access access) {
  bool apart = !clock.after(shared.writer[word]);
  if (access == Access::read) {
    Stamp& reader = shared.reader[word];
    if ((reader ^ clock.now) & 31) shared.other[word] = reader;
    reader = clock.now;
  } else {
    apart = apart || !clock.after(shared.reader[word]) || !clock.after(shared.other[word]);
  }
  if (access == Access::write) shared.writer[word] = clock.now;
  if (access == Access::atomic) {
    shared.atomic[word] = clock.now;
    shared.state[word] |= Shared::ATOMIC;
  } else if (shared.state[word] & Shared::ATOMIC) {
    apart = apart || !clock.after(shared.atomic[word]);
  }
  return apart;
}

namespace {

// Four words at once.
using Four = std::int32_t __attribute__((vector_size(16)));

Four four(const Stamp* from) {
  Four out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

void put(Stamp* to, Four value) { std::memcpy(to, &value, sizeof value); }

bool any(Four mask) {
  std::uint64_t halves[2];
  std::memcpy(halves, &mask, sizeof halves);
  return (halves[0] | halves[1]) != 0;
}

// The common access of 16 bytes: nothing undefined, under way or atomic, and all that others did
// with the words lies before the last barrier that all have passed (stamps below `settled`). Notes
// it and says so; or leaves all as it was.
bool mark_four(Shared& shared, std::uint64_t word, Stamp now, Stamp settled, Access access) {
  std::uint32_t state;
  std::memcpy(&state, &shared.state[word], sizeof state);
  if (access == Access::write) state &= ~std::uint32_t{0x0f0f0f0f};
  if (state) return false;
  const Four limit = Four{} + static_cast<std::int32_t>(settled);
  Four late = four(&shared.writer[word]) >= limit;
  const Four reader = four(&shared.reader[word]), other = four(&shared.other[word]);
  if (access == Access::write) {
    late |= (reader >= limit) | (other >= limit);
    if (any(late)) return false;
    put(&shared.writer[word], Four{} + static_cast<std::int32_t>(now));
  } else {
    if (any(late)) return false;
    const Four mine = ((reader ^ static_cast<std::int32_t>(now)) & 31) == 0;
    put(&shared.other[word], (mine & other) | (~mine & reader));
    put(&shared.reader[word], Four{} + static_cast<std::int32_t>(now));
  }
  return true;
}

}  // namespace

Mask Block::reach_shared(Warp& w, Mask lanes, const std::uint64_t* address, unsigned bytes,
                         Access access, std::byte** to, Mask* undefined) {
  if (const Mask wrong = askew(lanes, address, bytes)) {
    launch.report(Wrong::misaligned, w, __builtin_ctz(wrong),
                  "a shared access of " + std::to_string(bytes) + " bytes is not aligned to them");
    lanes &= ~wrong;
  }
  Mask inside = 0;
  for (int l = 0; l < LANES; ++l)
    inside |= static_cast<Mask>(address[l] < shared.bytes && address[l] + bytes <= shared.bytes) << l;
  if (const Mask outside = lanes & ~inside) {
    const int lane = __builtin_ctz(outside);
    launch.report(Wrong::out_of_bounds, w, lane,
                  "byte " + std::to_string(address[lane]) +
                      " of shared memory, of which the block has " + std::to_string(shared.bytes));
    lanes &= inside;
  }
  if (!lanes) return 0;
  const unsigned words = std::max(bytes / 4, 1u);
  count_wavefronts(w, lanes, address, words);

  const Clock& clock = clocks[w.number];
  Mask race = 0, under_way = 0, unknown = 0;
  each_lane(lanes, [&](int l) {
    const Mask bit = Mask{1} << l;
    to[l] = shared.memory.data() + address[l];
    const std::uint64_t first = address[l] >> 2;
    if (words == 4 && access != Access::atomic &&
        mark_four(shared, first, clock.now, clock.settled, access))
      return;
    const auto touched = static_cast<std::uint8_t>(
        bytes >= 4 ? 15 : ((1 << bytes) - 1) << (address[l] & 3));
    for (std::uint64_t word = first; word < first + words; ++word) {
      if (shared.state[word] & Shared::UNDER_WAY) under_way |= bit;
      if (shared.state[word] & touched) unknown |= bit;
      if (mark_word(clock, word, access)) race |= bit;
    }
  });
  if (race) {
    const int lane = __builtin_ctz(race);
    launch.report(Wrong::race, w, lane,
                  "byte " + std::to_string(address[lane]) +
                      " of shared memory is touched by another warp with no barrier between");
  }
  if (under_way) {
    const int lane = __builtin_ctz(under_way);
    launch.report(Wrong::race, w, lane,
                  "byte " + std::to_string(address[lane]) +
                      " of shared memory is touched while cp.async is still filling it");
  }
  if (access == Access::write) check_collisions(w, lanes, address);
  if (undefined) *undefined = unknown;
  return lanes;
}

void Block::define_shared(const std::byte* to, unsigned bytes, bool undefined) {
  const std::size_t at = static_cast<std::size_t>(to - shared.memory.data());
  const auto touched =
      static_cast<std::uint8_t>(bytes >= 4 ? 15 : ((1 << bytes) - 1) << (at & 3));
  for (std::size_t word = at / 4; word < at / 4 + std::max(bytes / 4, 1u); ++word) {
    if (undefined) shared.state[word] |= touched;
    else shared.state[word] &= static_cast<std::uint8_t>(~touched);
  }
}

Mask Block::reach_local(Warp& w, Mask lanes, const std::uint64_t* address, unsigned bytes,
                        std::byte** to) {
  const std::uint64_t size = launch.program.local_bytes;
  Mask reached = 0;
  each_lane(lanes, [&](int l) {
    const std::uint64_t offset = address[l] - LOCAL_WINDOW;
    if (offset >= size || offset + bytes > size || offset % bytes) {
      launch.report(Wrong::out_of_bounds, w, l, "the thread's own memory has no such place");
      return;
    }
    to[l] = local.data() + (static_cast<std::uint64_t>(w.number) * LANES + l) * size + offset;
    reached |= Mask{1} << l;
  });
  return reached;
}

void Block::copy_async(Warp& w, Mask lanes, const Copy* issued) {
  each_lane(lanes, [&](int l) {
    const Copy& copy = issued[l];
    for (unsigned k = 0; k < copy.bytes / 4u; ++k) shared.state[copy.to / 4 + k] |= Shared::UNDER_WAY;
    if (!launch.settings.late_copies && copy.from)
      std::memcpy(shared.memory.data() + copy.to, copy.from, copy.source_bytes);
    copies[w.number].open.push_back(copy);
  });
}

void Block::land(Warp& w, std::vector<Copy>& landing) {
  const Stamp now = clocks[w.number].now;
  for (const Copy& copy : landing) {
    std::byte* to = shared.memory.data() + copy.to;
    if (copy.bytes == 16 && copy.source_bytes == 16) {
      std::memcpy(to, copy.from, 16);
    } else {
      if (copy.from) std::memcpy(to, copy.from, copy.source_bytes);
      std::memset(to + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
    }
    for (unsigned word = copy.to / 4; word < (copy.to + copy.bytes) / 4; ++word) {
      shared.writer[word] = now;
      shared.state[word] &= Shared::ATOMIC;
    }
  }
  landing.clear();
}

}  // namespace moesaic::ptx
