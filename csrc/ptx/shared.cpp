// Shared memory: where addresses lead, bank conflicts, races, and the copies of cp.async.
#include <algorithm>
#include <cstring>
#include <string>

#include "ptx/block.hpp"
#include "ptx/lanes.hpp"

namespace moesaic::ptx {

namespace {

constexpr int BANKS = 32;

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

constexpr std::uint32_t EACH = 0x01010101;  // of four states

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

// The common access of 16 bytes: nothing undefined, under way or atomic, and all that was done with
// the words lies before the last barrier that all have passed (stamps below `settled`). Notes it by
// the stamp `now` and says so; or leaves all as it was.
bool mark_four(Shared& shared, std::uint64_t word, Stamp now, Stamp settled, Access access) {
  std::uint32_t state;
  std::memcpy(&state, &shared.state[word], sizeof state);
  if (access == Access::write) state &= ~(Shared::UNDEFINED * EACH);
  if (state) return false;
  const Four limit = Four{} + static_cast<std::int32_t>(settled);
  Four late = four(&shared.writer[word]) >= limit;
  const Four reader = four(&shared.reader[word]);
  const Four peer = four(&shared.peer[word]), other = four(&shared.other[word]);
  if (access == Access::write) {
    late |= (reader >= limit) | (peer >= limit) | (other >= limit);
    if (any(late)) return false;
    put(&shared.writer[word], Four{} + static_cast<std::int32_t>(now));
  } else {
    if (any(late)) return false;
    const Four apart = reader ^ static_cast<std::int32_t>(now);
    const Four elsewhere = (apart & (31 << 5)) != 0, again = apart == 0;
    put(&shared.other[word], (elsewhere & reader) | (~elsewhere & other));
    put(&shared.peer[word], ((elsewhere | again) & peer) | (~(elsewhere | again) & reader));
    put(&shared.reader[word], Four{} + static_cast<std::int32_t>(now));
  }
  return true;
}

}  // namespace

Shared::Shared(std::uint64_t size, bool by_bytes)
    : bytes(size), shift(by_bytes ? 0 : 2), memory(size + 16) {
  const std::size_t cells = static_cast<std::size_t>(cell(size)) + 4;
  for (std::vector<Stamp>* stamps :
       {&writer, &reader, &peer, &other, &atomic, &atomic_peer, &atomic_other})
    stamps->resize(cells);
  state.resize(cells);
}

void Shared::reset() {
  std::fill(memory.begin(), memory.end(), std::byte{0xff});  // a nan in every float format
  for (std::vector<Stamp>* stamps :
       {&writer, &reader, &peer, &other, &atomic, &atomic_peer, &atomic_other})
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

// Notes an access to a cell; gives the stamp of one before that it races with, or 0.
Stamp Block::mark_cell(const Clock& clock, int lane, std::uint64_t cell, Access access) {
  const Stamp now = clock.now | static_cast<Stamp>(lane);
  Stamp met = 0;
  const auto meet = [&](Stamp stamp) {
    if (!clock.after(stamp, lane)) met = stamp;
  };
  meet(shared.writer[cell]);
  if (access == Access::strong_read) return met;
  if (access == Access::read) {
    note(shared.reader[cell], shared.peer[cell], shared.other[cell], now);
  } else {
    meet(shared.reader[cell]);
    meet(shared.peer[cell]);
    meet(shared.other[cell]);
  }
  if (access == Access::write) shared.writer[cell] = now;
  if (access == Access::atomic || access == Access::strong_write) {
    note(shared.atomic[cell], shared.atomic_peer[cell], shared.atomic_other[cell], now);
    shared.state[cell] |= Shared::ATOMIC;
  } else if (shared.state[cell] & Shared::ATOMIC) {
    meet(shared.atomic[cell]);
    meet(shared.atomic_peer[cell]);
    meet(shared.atomic_other[cell]);
  }
  return met;
}

Mask Block::within_shared(const Warp& w, Mask lanes, const std::uint64_t* address,
                          unsigned bytes) {
  if (const Mask wrong = askew(lanes, address, bytes)) {
    launch.report(Wrong::misaligned, w, __builtin_ctz(wrong),
                  "a shared access of " + std::to_string(bytes) + " bytes is not aligned to them");
    lanes &= ~wrong;
  }
  Mask outside = 0;
  each_lane(lanes, [&](int l) {
    const bool inside = address[l] < shared.bytes && address[l] + bytes <= shared.bytes;
    outside |= static_cast<Mask>(!inside) << l;
  });
  if (outside) {
    const int lane = __builtin_ctz(outside);
    launch.report(Wrong::out_of_bounds, w, lane,
                  "byte " + std::to_string(address[lane]) +
                      " of shared memory, of which the block has " + std::to_string(shared.bytes));
  }
  return lanes & ~outside;
}

Mask Block::reach_shared(Warp& w, Mask lanes, const std::uint64_t* address, unsigned bytes,
                         Access access, std::byte** to, Mask* undefined) {
  // One look at all lanes; each for itself only where something is amiss.
  const std::uint64_t last = shared.bytes - bytes;
  std::uint64_t amiss = shared.bytes < bytes;
  for (int l = 0; l < LANES; ++l)
    amiss |= (address[l] & (bytes - 1)) | (address[l] | (last - address[l])) >> 63;
  if (amiss) lanes = within_shared(w, lanes, address, bytes);
  if (!lanes) return 0;
  count_wavefronts(w, lanes, address, std::max(bytes / 4, 1u));
  const bool by_fours =
      bytes == 16 && shared.shift == 2 && (access == Access::read || access == Access::write);

  const Clock& clock = clocks[w.number];
  Mask race = 0, under_way = 0;
  Stamp met = 0;
  each_lane(lanes, [&](int l) {
    const Mask bit = Mask{1} << l;
    to[l] = shared.memory.data() + address[l];
    const std::uint64_t first = shared.cell(address[l]), end = first + shared.cells(bytes);
    const Stamp now = clock.now | static_cast<Stamp>(l);
    if (by_fours && mark_four(shared, first, now, clock.settled, access)) return;
    for (std::uint64_t cell = first; cell < end; ++cell) {
      if (shared.state[cell] & Shared::UNDER_WAY) under_way |= bit;
      if (undefined && shared.state[cell] & Shared::UNDEFINED)
        undefined[((cell - first) << shared.shift) / 4] |= bit;
      if (const Stamp other = mark_cell(clock, l, cell, access)) race |= bit, met = other;
    }
  });
  if (race) {
    const int lane = __builtin_ctz(race);
    launch.report(Wrong::race, w, lane,
                  "byte " + std::to_string(address[lane]) + " of shared memory is touched by " +
                      (warp_of(met) == w.number
                           ? "another lane of the warp with no barrier of the warp between"
                           : "another warp with no barrier between"));
  }
  if (under_way) {
    const int lane = __builtin_ctz(under_way);
    launch.report(Wrong::race, w, lane,
                  "byte " + std::to_string(address[lane]) +
                      " of shared memory is touched while cp.async is still filling it");
  }
  if (access == Access::write) check_collisions(w, lanes, address, bytes);
  return lanes;
}

void Block::define_shared(const std::byte* to, unsigned bytes, bool undefined) {
  const std::uint64_t first = shared.cell(static_cast<std::uint64_t>(to - shared.memory.data()));
  for (std::uint64_t cell = first; cell < first + shared.cells(bytes); ++cell) {
    if (undefined) shared.state[cell] |= Shared::UNDEFINED;
    else shared.state[cell] &= static_cast<std::uint8_t>(~Shared::UNDEFINED);
  }
}

void Block::copy_async(Warp& w, const Copies& issued) {
  each_lane(issued.lanes, [&](int l) {
    std::uint8_t* state = &shared.state[shared.cell(issued.to[l])];
    for (unsigned k = 0; k < shared.cells(issued.bytes); ++k) state[k] |= Shared::UNDER_WAY;
    if (!launch.settings.late_copies && issued.source_bytes[l])
      std::memcpy(shared.memory.data() + issued.to[l], issued.from[l], issued.source_bytes[l]);
  });
  copies[w.number].open.push_back(issued);
}

void Block::close_group(Warp& w, Mask lanes) {
  CopyGroups& groups = copies[w.number];
  for (Copies& copy : groups.open) {
    Copies closing = copy;
    closing.lanes &= lanes;
    copy.lanes &= ~lanes;
    each_lane(closing.lanes, [&](int l) { closing.group[l] = groups.count[l]; });
    if (closing.lanes) groups.closed.push_back(closing);
  }
  const auto none = [](const Copies& copy) { return copy.lanes == 0; };
  groups.open.erase(std::remove_if(groups.open.begin(), groups.open.end(), none),
                    groups.open.end());
  each_lane(lanes, [&](int l) { ++groups.count[l]; });
}

void Block::wait_groups(Warp& w, Mask lanes, unsigned pending, bool all) {
  CopyGroups& groups = copies[w.number];
  const Stamp now = clocks[w.number].now;
  for (std::vector<Copies>* list : {&groups.closed, &groups.open}) {
    if (list == &groups.open && !all) continue;
    for (Copies& copy : *list) {
      Mask landing = copy.lanes & lanes;
      if (!all)
        each_lane(landing, [&](int l) {
          if (copy.group[l] + pending >= groups.count[l]) landing &= ~(Mask{1} << l);
        });
      land(copy, landing, now);
      copy.lanes &= ~landing;
    }
    const auto none = [](const Copies& copy) { return copy.lanes == 0; };
    list->erase(std::remove_if(list->begin(), list->end(), none), list->end());
  }
}

void Block::land(const Copies& copy, Mask lanes, Stamp now) {
  each_lane(lanes, [&](int l) {
    std::byte* to = shared.memory.data() + copy.to[l];
    if (copy.bytes == 16 && copy.source_bytes[l] == 16) {
      std::memcpy(to, copy.from[l], 16);
    } else {
      if (copy.source_bytes[l]) std::memcpy(to, copy.from[l], copy.source_bytes[l]);
      std::memset(to + copy.source_bytes[l], 0, copy.bytes - copy.source_bytes[l]);
    }
    const std::uint64_t first = shared.cell(copy.to[l]);
    for (std::uint64_t cell = first; cell < first + shared.cells(copy.bytes); ++cell) {
      shared.writer[cell] = now | static_cast<Stamp>(l);
      shared.state[cell] &= Shared::ATOMIC;
    }
  });
}

}  // namespace moesaic::ptx
