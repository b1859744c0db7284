// What the lanes of a warp do together: shuffles, votes, matches, sums, tensor cores.
#include <cstring>
#include <string>

#include "ptx/block.hpp"
#include "ptx/handlers.hpp"
#include "ptx/lanes.hpp"

namespace moesaic::ptx {

namespace {

// The member mask must be the same in all lanes, and name just the lanes that are here.
void check_members(Warp& w, std::uint32_t slot, Mask lanes) {
  const std::uint32_t* members = w.at<std::uint32_t>(slot);
  Mask wrong = w.undefined[slot] & lanes;
  each_lane(lanes, [&](int l) {
    wrong |= static_cast<Mask>((members[l] & w.alive) != lanes) << l;
  });
  if (wrong)
    w.block->launch.report(Wrong::absent_lanes, w, __builtin_ctz(wrong),
                           "its mask of lanes is not the lanes that have come here");
}

void set_predicate(Warp& w, std::uint32_t number, Mask value, Mask unknown, Mask lanes) {
  w.predicates[number] = (w.predicates[number] & ~lanes) | (value & lanes);
  w.undefined_predicates[number] =
      (w.undefined_predicates[number] & ~lanes) | (unknown & lanes);
}

template <class F>
void set_lanes(Warp& w, std::uint32_t slot, Mask unknown, Mask lanes, F value) {
  std::uint32_t* to = w.at<std::uint32_t>(slot);
  each_lane(lanes, [&](int l) { to[l] = value(l); });
  w.written(slot, unknown, lanes);
}

}  // namespace

// operand: d, a, b (lane or distance), c (clamp and segments), member mask, predicate
void shuffle(Warp& w, const Instruction& i, Mask lanes) {
  check_members(w, i.operand[4], lanes);
  std::uint32_t value[LANES];
  std::memcpy(value, w.at<std::uint32_t>(i.operand[1]), sizeof value);
  const std::uint32_t* by = w.at<std::uint32_t>(i.operand[2]);
  const std::uint32_t* clamp = w.at<std::uint32_t>(i.operand[3]);
  std::uint32_t* to = w.at<std::uint32_t>(i.operand[0]);
  const Mask unknown_value = w.undefined[i.operand[1]];
  Mask in_range = 0, unknown = w.undefined[i.operand[2]] | w.undefined[i.operand[3]];
  Mask absent = 0;
  each_lane(lanes, [&](int l) {
    const int distance = static_cast<int>(by[l] & 31), bound = static_cast<int>(clamp[l] & 31);
    const int segment = static_cast<int>(clamp[l] >> 8 & 31);
    const int last = (l & segment) | (bound & ~segment), first = l & segment;
    int from = l;
    bool there = false;
    switch (static_cast<Shuffle>(i.immediate)) {
      case Shuffle::up: from = l - distance, there = from >= last; break;
      case Shuffle::down: from = l + distance, there = from <= last; break;
      case Shuffle::bfly: from = l ^ distance, there = from <= last; break;
      case Shuffle::idx: from = first | (distance & ~segment), there = from <= last; break;
    }
    if (!there) from = l;
    in_range |= static_cast<Mask>(there) << l;
    absent |= static_cast<Mask>(!(lanes >> from & 1)) << l;
    unknown |= (unknown_value >> from & 1) << l;
    to[l] = value[from];
  });
  if (absent)
    w.block->launch.report(Wrong::absent_lanes, w, __builtin_ctz(absent),
                           "the lane that it reads from has not come here");
  w.written(i.operand[0], unknown | absent, lanes);
  if (i.operand[5] != NOTHING) set_predicate(w, i.operand[5], in_range, unknown, lanes);
}

// operand: result (register for a ballot, else predicate), predicate, member mask
void vote(Warp& w, const Instruction& i, Mask lanes) {
  check_members(w, i.operand[2], lanes);
  const Mask said = w.predicates[i.operand[1]] ^ (i.more ? ALL : 0);
  const Mask yes = said & lanes;
  const Mask unknown = w.undefined_predicates[i.operand[1]] & lanes ? ALL : 0;
  switch (static_cast<Vote>(i.immediate)) {
    case Vote::ballot:
      return set_lanes(w, i.operand[0], unknown, lanes, [=](int) { return yes; });
    case Vote::all: return set_predicate(w, i.operand[0], yes == lanes ? ALL : 0, unknown, lanes);
    case Vote::any: return set_predicate(w, i.operand[0], yes ? ALL : 0, unknown, lanes);
    case Vote::uni:
      return set_predicate(w, i.operand[0], yes == lanes || !yes ? ALL : 0, unknown, lanes);
  }
}

namespace {

template <class T>
Mask equal_lanes(const T* value, int lane, Mask lanes) {
  Mask same = 0;
  for (int l = 0; l < LANES; ++l) same |= static_cast<Mask>(value[l] == value[lane]) << l;
  return same & lanes;
}

}  // namespace

// operand: d, a, member mask, predicate of match.all
void match_any(Warp& w, const Instruction& i, Mask lanes) {
  check_members(w, i.operand[2], lanes);
  const Mask unknown = w.undefined[i.operand[1]] & lanes ? ALL : 0;
  Mask same[LANES];
  for (int l = 0; l < LANES; ++l)
    same[l] = i.width == 8 ? equal_lanes(w.at<std::uint64_t>(i.operand[1]), l, lanes)
                           : equal_lanes(w.at<std::uint32_t>(i.operand[1]), l, lanes);
  set_lanes(w, i.operand[0], unknown, lanes, [&](int l) { return same[l]; });
}

void match_all(Warp& w, const Instruction& i, Mask lanes) {
  check_members(w, i.operand[2], lanes);
  const Mask unknown = w.undefined[i.operand[1]] & lanes ? ALL : 0;
  const int first = __builtin_ctz(lanes);
  const Mask same = i.width == 8 ? equal_lanes(w.at<std::uint64_t>(i.operand[1]), first, lanes)
                                 : equal_lanes(w.at<std::uint32_t>(i.operand[1]), first, lanes);
  const bool all = same == lanes;
  set_lanes(w, i.operand[0], unknown, lanes, [&](int) { return all ? lanes : 0; });
  if (i.operand[3] != NOTHING) set_predicate(w, i.operand[3], all ? ALL : 0, unknown, lanes);
}

// operand: d, a, member mask
void reduce(Warp& w, const Instruction& i, Mask lanes) {
  check_members(w, i.operand[2], lanes);
  const std::uint32_t* value = w.at<std::uint32_t>(i.operand[1]);
  std::uint32_t sum = value[__builtin_ctz(lanes)];
  each_lane(lanes & (lanes - 1), [&](int l) {
    const std::uint32_t one = value[l];
    const auto below = [](std::uint32_t a, std::uint32_t b) {
      return static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b);
    };
    switch (static_cast<Reduce>(i.immediate)) {
      case Reduce::add: sum += one; break;
      case Reduce::umin: sum = one < sum ? one : sum; break;
      case Reduce::umax: sum = one > sum ? one : sum; break;
      case Reduce::smin: sum = below(one, sum) ? one : sum; break;
      case Reduce::smax: sum = below(sum, one) ? one : sum; break;
      case Reduce::and_: sum &= one; break;
      case Reduce::or_: sum |= one; break;
      case Reduce::xor_: sum ^= one; break;
    }
  });
  const Mask unknown = w.undefined[i.operand[1]] & lanes ? ALL : 0;
  set_lanes(w, i.operand[0], unknown, lanes, [=](int) { return sum; });
}

void active_mask(Warp& w, const Instruction& i, Mask lanes) {
  set_lanes(w, i.operand[0], 0, lanes, [=](int) { return lanes; });
}

void sync_warp(Warp& w, const Instruction& i, Mask lanes) {
  check_members(w, i.operand[0], lanes);
  w.block->step(w);
}

void nothing(Warp&, const Instruction&, Mask) {}

// operand[0] is the whole, operand[1..] its parts from the lowest; `more`: bytes of the whole.
void pack(Warp& w, const Instruction& i, Mask lanes) {
  Mask unknown = 0;
  std::uint64_t made[LANES] = {};
  for (unsigned k = 0; k < i.vector; ++k) {
    const std::uint32_t slot = i.operand[1 + k];
    unknown |= w.undefined[slot];
    for (int l = 0; l < LANES; ++l) {
      std::uint64_t part = 0;
      std::memcpy(&part, w.at<std::byte>(slot) + static_cast<std::size_t>(l) * i.width, i.width);
      made[l] |= part << (8 * i.width * k);
    }
  }
  std::byte* to = w.at<std::byte>(i.operand[0]);
  each_lane(lanes, [&](int l) {
    std::memcpy(to + static_cast<std::size_t>(l) * i.more, &made[l], i.more);
  });
  w.written(i.operand[0], unknown, lanes);
}

void unpack(Warp& w, const Instruction& i, Mask lanes) {
  std::uint64_t whole[LANES] = {};
  for (int l = 0; l < LANES; ++l)
    std::memcpy(&whole[l], w.at<std::byte>(i.operand[0]) + static_cast<std::size_t>(l) * i.more,
                i.more);
  const Mask unknown = w.undefined[i.operand[0]];
  for (unsigned k = 0; k < i.vector; ++k) {
    const std::uint32_t slot = i.operand[1 + k];
    if (slot == NOTHING) continue;
    std::byte* to = w.at<std::byte>(slot);
    each_lane(lanes, [&](int l) {
      const std::uint64_t part = whole[l] >> (8 * i.width * k);
      std::memcpy(to + static_cast<std::size_t>(l) * i.width, &part, i.width);
    });
    w.written(slot, unknown, lanes);
  }
}

namespace {

// The lanes of each group of four in which some bit is set.
Mask groups_of(Mask lanes) {
  Mask any = lanes | lanes >> 1;
  any |= any >> 2;
  return (any & 0x11111111) * 15;
}

// A bit for each of the eight columns whose numbers some lane lacks, by its group of four lanes.
std::uint32_t columns_of(Mask lanes) {
  std::uint32_t out = 0;
  for (int g = 0; g < 8; ++g) out |= static_cast<std::uint32_t>((lanes >> (4 * g) & 15) != 0) << g;
  return out;
}

}  // namespace

void multiply(Warp& w, const Instruction& i, Mask lanes) {
  if (lanes != ALL)
    w.block->launch.report(Wrong::absent_lanes, w, __builtin_ctz(~lanes),
                           "mma.sync needs all lanes of the warp");
  const auto a_format = static_cast<Format>(i.immediate & 255);
  const auto b_format = static_cast<Format>(i.immediate >> 8);
  const bool half_sums = i.width == 2;
  const int sums = half_sums ? 2 : 4;
  const std::uint32_t *a[4], *b[2], *c[4];
  std::uint32_t* d[4];
  Mask a_low = 0, a_high = 0, b_any = 0, c_any = 0;
  for (int r = 0; r < 4; ++r) {
    const std::uint32_t slot = i.operand[4 + r];
    if (slot == NOTHING) continue;
    a[r] = w.at<std::uint32_t>(slot);
    (r & 1 ? a_high : a_low) |= w.undefined[slot];  // rows 8..15, rows 0..7
  }
  for (int r = 0; r < 2; ++r) {
    const std::uint32_t slot = i.operand[8 + r];
    if (slot == NOTHING) continue;
    b[r] = w.at<std::uint32_t>(slot);
    b_any |= w.undefined[slot];
  }
  Mask unknown[4] = {};
  for (int r = 0; r < sums; ++r) {
    const std::uint32_t slot = i.operand[10 + r];
    c[r] = w.at<std::uint32_t>(slot);
    d[r] = w.at<std::uint32_t>(i.operand[r]);
    unknown[r] = w.undefined[slot];
    c_any |= unknown[r];
  }
  const Rounding& rounding = w.block->launch.program.roundings[i.target];
  mma(a_format, b_format, i.more, half_sums, rounding, a, b, c, d);
  if (a_low | a_high | b_any) {
    const std::uint32_t columns = columns_of(b_any);
    for (int r = 0; r < sums; ++r) {
      const bool low_rows = half_sums ? r == 0 : r < 2;
      unknown[r] |= groups_of(low_rows ? a_low : a_high);
      for (int l = 0; l < LANES; ++l) {  // its columns: two of them, or one of the two
        const int first = 2 * (l % 4);
        const std::uint32_t mine =
            half_sums ? columns >> first & 3 : columns >> (first + (r & 1)) & 1;
        unknown[r] |= static_cast<Mask>(mine != 0) << l;
      }
    }
  }
  for (int r = 0; r < sums; ++r) w.undefined[i.operand[r]] = unknown[r];
}

}  // namespace moesaic::ptx
