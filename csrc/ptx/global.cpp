// Where addresses of global and local memory lead, and what is noted on the way: bounds, sectors,
// races.
#include <cstring>
#include <string>

#include "ptx/block.hpp"
#include "ptx/lanes.hpp"

namespace moesaic::ptx {

namespace {

constexpr std::uint64_t IN_ARRAY = (std::uint64_t{1} << ARRAY_SHIFT) - 1;

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
    if (access == Access::write) check_collisions(w, group, offset, bytes);
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
    if (reads(access)) array.sectors_read[sectors[k]] = true;
    if (writes(access)) array.sectors_written[sectors[k]] = true;
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
                            writes(access)});
  }
}

void Block::watch_global(Warp& w, Array& array, Mask lanes, const std::uint64_t* offset,
                         unsigned bytes, Access access) {
  if (access == Access::read) array.read = true;
  if (!array.watched) {
    // Nothing can meet until something is written; what was read before then was not kept.
    if (!writes(access)) return;
    if (array.read || access != Access::write) return launch.watch(array);
    array.watched = true;
  }
  const int shift = launch.program.narrow_global ? 0 : 2;
  const std::size_t cells = (array.bytes >> shift) + 1;
  if (array.writers.empty()) array.writers.resize(cells);
  if (access != Access::write && array.readers.empty()) array.readers.resize(cells);
  const Clock& clock = clocks[w.number];
  each_lane(lanes, [&](int l) {
    const std::uint64_t now = stamp_base | clock.now | static_cast<Stamp>(l);
    const auto apart = [&](std::uint64_t stamp) {  // neither before us nor by us
      if (stamp == 0) return false;
      return (stamp ^ stamp_base) >> 32 || !clock.after(static_cast<Stamp>(stamp), l);
    };
    for (std::uint64_t k = offset[l] >> shift; k < (offset[l] + bytes) >> shift; ++k) {
      bool race = apart(array.writers[k]);
      if (access == Access::write) array.writers[k] = now;
      if (!array.readers.empty() && access != Access::strong_read) {
        Array::Readers& cell = array.readers[k];
        const bool among_atomics = access == Access::atomic || access == Access::strong_write;
        if (!among_atomics)
          race = race || apart(cell.atomic) || apart(cell.atomic_peer) || apart(cell.atomic_other);
        if (writes(access))
          race = race || apart(cell.reader) || apart(cell.peer) || apart(cell.other);
        if (among_atomics) note(cell.atomic, cell.atomic_peer, cell.atomic_other, now);
        if (access == Access::read) note(cell.reader, cell.peer, cell.other, now);
      }
      if (race)
        launch.report(Wrong::race, w, l,
                      "byte " + std::to_string(k << shift) + " of array " +
                          std::to_string(&array - launch.arrays.data()) +
                          " is touched by another thread with nothing between the two accesses");
    }
  });
}

// Two lanes of one store at the same place: which one stays is not defined.
void Block::check_collisions(const Warp& w, Mask lanes, const std::uint64_t* address,
                             unsigned bytes) {
  std::uint64_t low = ~std::uint64_t{0}, high = 0;
  bool rising = true;
  each_lane(lanes, [&](int l) {
    rising = rising && (low > high || address[l] > high);
    low = std::min(low, address[l]);
    high = std::max(high, address[l]);
  });
  if (rising) return;
  constexpr std::uint64_t NEAR = 4096;  // places that a small table holds
  bool met = false;
  if ((high - low) / bytes < NEAR) {
    std::uint64_t taken[NEAR / 64] = {};
    each_lane(lanes, [&](int l) {
      const std::uint64_t place = (address[l] - low) / bytes, bit = std::uint64_t{1} << place % 64;
      met = met || (taken[place / 64] & bit);
      taken[place / 64] |= bit;
    });
  } else {
    std::uint64_t places[LANES];
    unsigned count = 0;
    each_lane(lanes, [&](int l) { places[count++] = address[l]; });
    met = distinct(lanes, address, 0, places) < count;
  }
  if (met)
    launch.report(Wrong::race, w, __builtin_ctz(lanes),
                  "two lanes of one store write to one place");
}

Mask Block::reach_local(Warp& w, Mask lanes, const std::uint64_t* address, unsigned bytes,
                        std::byte** to, Mask* undefined) {
  const std::uint64_t size = launch.program.local_bytes;
  Mask reached = 0;
  each_lane(lanes, [&](int l) {
    const std::uint64_t offset = address[l] - LOCAL_WINDOW;
    if (offset >= size || offset + bytes > size || offset % bytes) {
      launch.report(Wrong::out_of_bounds, w, l, "the thread's own memory has no such place");
      return;
    }
    const std::uint64_t at = (static_cast<std::uint64_t>(w.number) * LANES + l) * size + offset;
    to[l] = local.data() + at;
    reached |= Mask{1} << l;
    for (unsigned k = 0; k < bytes; ++k)
      if (local_undefined[at + k]) undefined[k / 4] |= Mask{1} << l;
  });
  return reached;
}

void Block::define_local(const std::byte* to, unsigned bytes, bool undefined) {
  const auto at = static_cast<std::size_t>(to - local.data());
  for (unsigned k = 0; k < bytes; ++k) local_undefined[at + k] = undefined;
}

}  // namespace moesaic::ptx
