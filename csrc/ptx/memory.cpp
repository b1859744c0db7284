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

// The number of different values among the lanes.
unsigned distinct(Mask lanes, const std::uint64_t* value, int shift) {
  std::uint64_t seen[LANES];
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
  counts.bytes += bytes * static_cast<unsigned>(__builtin_popcount(lanes));
  counts.sectors += distinct(lanes, offset, 5);
  const bool reads = access != Access::write, writes = access != Access::read;
  std::uint64_t last = ~std::uint64_t{0};
  each_lane(lanes, [&](int l) {
    const std::uint64_t sector = offset[l] >> 5;
    if (sector == last) return;
    last = sector;
    if (reads) array.sectors_read[sector] = true;
    if (writes) array.sectors_written[sector] = true;
  });
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

void Shared::reset() {
  std::fill(words.begin(), words.end(), Word{0, 0, 0, 0, 15, 0});
  std::fill(memory.begin(), memory.end(), std::byte{0xff});  // a nan in every float format
}

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
                  "byte " + std::to_string(address[lane]) + " of shared memory, of which the block has " +
                      std::to_string(shared.bytes));
    lanes &= inside;
  }
  if (!lanes) return 0;

  Counts& counts = launch.counts[w.pc];
  const unsigned words = std::max(bytes / 4, 1u);
  const unsigned lanes_a_phase = LANES / words;  // 8 and 16-byte accesses go by halves and quarters
  for (int first = 0; first < LANES; first += static_cast<int>(lanes_a_phase)) {
    const Mask phase =
        lanes & (lanes_a_phase == 32 ? ALL : ((Mask{1} << lanes_a_phase) - 1) << first);
    if (!phase) continue;
    const unsigned fronts = wavefronts(phase, address, words);
    counts.wavefronts += fronts;
    counts.conflicts += fronts - 1;
  }

  const Clock& clock = clocks[w.number];
  const Stamp now = clock.now;
  Mask race = 0, under_way = 0, unknown = 0;
  has_atomics = has_atomics || access == Access::atomic;
  each_lane(lanes, [&](int l) {
    const Mask bit = Mask{1} << l;
    to[l] = shared.memory.data() + address[l];
    const std::uint8_t touched =
        bytes >= 4 ? 15 : static_cast<std::uint8_t>(((1 << bytes) - 1) << (address[l] & 3));
    for (Shared::Word *word = &shared.words[address[l] >> 2], *end = word + words; word < end;
         ++word) {
      bool apart = !clock.after(word->writer);
      under_way |= word->under_way ? bit : 0;
      if (access == Access::read) {
        unknown |= word->undefined & touched ? bit : 0;
        if (word->reader != now) {
          if ((word->reader ^ now) & 31) word->other = word->reader;
          word->reader = now;
        }
      } else {
        apart = apart || !clock.after(word->reader) || !clock.after(word->other);
        if (access == Access::write) word->writer = now;
        else word->atomic = now, unknown |= word->undefined & touched ? bit : 0;
      }
      if (has_atomics && access != Access::atomic) apart = apart || !clock.after(word->atomic);
      race |= apart ? bit : 0;
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
  Shared::Word* word = &shared.words[at / 4];
  if (bytes < 4) {
    const auto touched = static_cast<std::uint8_t>(((1 << bytes) - 1) << (at & 3));
    word->undefined = static_cast<std::uint8_t>(undefined ? word->undefined | touched
                                                          : word->undefined & ~touched);
    return;
  }
  for (unsigned k = 0; k < bytes / 4; ++k) word[k].undefined = undefined ? 15 : 0;
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
    for (unsigned k = 0; k < copy.bytes / 4u; ++k) ++shared.words[copy.to / 4 + k].under_way;
    if (!launch.settings.late_copies) {
      if (copy.from) std::memcpy(shared.memory.data() + copy.to, copy.from, copy.source_bytes);
    }
    copies[w.number].open.push_back(copy);
  });
}

void Block::land(Warp& w, std::vector<Copy>& landing) {
  const Stamp now = clocks[w.number].now;
  for (const Copy& copy : landing) {
    std::byte* to = shared.memory.data() + copy.to;
    if (copy.from) std::memcpy(to, copy.from, copy.source_bytes);
    std::memset(to + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
    for (unsigned k = 0; k < copy.bytes / 4u; ++k) {
      Shared::Word& word = shared.words[copy.to / 4 + k];
      word.writer = now;
      word.undefined = 0;
      --word.under_way;
    }
  }
  landing.clear();
}

}  // namespace moesaic::ptx
