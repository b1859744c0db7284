// Loads, stores, atomics and copies of a warp.
#include <cstring>
#include <string>

#include "ptx/block.hpp"
#include "ptx/handlers.hpp"
#include "ptx/lanes.hpp"

namespace moesaic::ptx {

namespace {

// The lanes' addresses. A lane whose address is not defined is reported and left out.
Mask addresses(Warp& w, const Instruction& i, Mask lanes, std::uint64_t* out) {
  const std::uint32_t slot = i.operand[ADDRESS];
  const auto offset = static_cast<std::uint64_t>(i.offset);
  if (i.immediate & NARROW_ADDRESS) {
    const std::uint32_t* base = w.at<std::uint32_t>(slot);
    for (int l = 0; l < LANES; ++l) out[l] = (base[l] + offset) & 0xffffffff;
  } else {
    const std::uint64_t* base = w.at<std::uint64_t>(slot);
    for (int l = 0; l < LANES; ++l) out[l] = base[l] + offset;
  }
  if (const Mask unknown = w.undefined[slot] & lanes) {
    w.block->launch.report(Wrong::uninitialised, w, __builtin_ctz(unknown),
                           "the address was made from data that nothing has written");
    lanes &= ~unknown;
  }
  return lanes;
}

struct Reached {
  Mask lanes = 0, shared = 0, local = 0;  // those of the lanes that lie in shared or local memory
  Mask undefined[4] = {};                 // by 4-byte word of the access
};

Reached reach(Warp& w, const Instruction& i, Mask lanes, unsigned bytes, Access access,
              std::byte** to) {
  std::uint64_t address[LANES];
  lanes = addresses(w, i, lanes, address);
  Block& block = *w.block;
  if (i.strong && access == Access::read) access = Access::strong_read;
  if (i.strong && access == Access::write) access = Access::strong_write;
  Mask shared = i.space == SHARED ? lanes : 0, local = i.space == LOCAL ? lanes : 0;
  if (i.space == GENERIC) {
    each_lane(lanes, [&](int l) {
      if (address[l] >= LOCAL_WINDOW) local |= Mask{1} << l;
      else if (address[l] >= SHARED_WINDOW) shared |= Mask{1} << l, address[l] -= SHARED_WINDOW;
    });
  }
  Reached out;
  const Mask global = lanes & ~shared & ~local;
  if (global) out.lanes |= block.reach_global(w, global, address, bytes, access, to);
  if (shared)
    out.shared = block.reach_shared(w, shared, address, bytes, access, to, out.undefined);
  if (local) out.local = block.reach_local(w, local, address, bytes, to, out.undefined);
  out.lanes |= out.shared | out.local;
  return out;
}

template <class InMemory, class InRegister>
void gather(InRegister* to, Mask lanes, std::byte* const* from, unsigned skip) {
  each_lane(lanes, [&](int l) {
    InMemory value;
    std::memcpy(&value, from[l] + skip, sizeof value);
    to[l] = static_cast<InRegister>(value);
  });
}

template <class InRegister>
void gather_any(Warp& w, const Instruction& i, std::uint32_t slot, Mask lanes,
                std::byte* const* from, unsigned skip) {
  InRegister* to = w.at<InRegister>(slot);
  const bool negative = i.immediate & SIGNED;
  switch (i.width) {
    case 1:
      return negative ? gather<std::int8_t>(to, lanes, from, skip)
                      : gather<std::uint8_t>(to, lanes, from, skip);
    case 2:
      return negative ? gather<std::int16_t>(to, lanes, from, skip)
                      : gather<std::uint16_t>(to, lanes, from, skip);
    case 4:
      return negative ? gather<std::int32_t>(to, lanes, from, skip)
                      : gather<std::uint32_t>(to, lanes, from, skip);
    default: return gather<std::uint64_t>(to, lanes, from, skip);
  }
}

template <class InMemory, class InRegister>
void scatter(const InRegister* from, Mask lanes, std::byte* const* to, unsigned skip) {
  each_lane(lanes, [&](int l) {
    const auto value = static_cast<InMemory>(from[l]);
    std::memcpy(to[l] + skip, &value, sizeof value);
  });
}

template <class InRegister>
void scatter_any(Warp& w, const Instruction& i, std::uint32_t slot, Mask lanes,
                 std::byte* const* to, unsigned skip) {
  const InRegister* from = w.at<InRegister>(slot);
  switch (i.width) {
    case 1: return scatter<std::uint8_t>(from, lanes, to, skip);
    case 2: return scatter<std::uint16_t>(from, lanes, to, skip);
    case 4: return scatter<std::uint32_t>(from, lanes, to, skip);
    default: return scatter<std::uint64_t>(from, lanes, to, skip);
  }
}

}  // namespace

void load(Warp& w, const Instruction& i, Mask lanes) {
  std::byte* from[LANES];
  const Reached reached = reach(w, i, lanes, i.width * i.vector, Access::read, from);
  for (unsigned k = 0; k < i.vector; ++k) {
    const std::uint32_t slot = i.operand[k];
    if (slot == NOTHING) continue;
    if (i.more == 8) gather_any<std::uint64_t>(w, i, slot, reached.lanes, from, k * i.width);
    else if (i.more == 4) gather_any<std::uint32_t>(w, i, slot, reached.lanes, from, k * i.width);
    else gather_any<std::uint16_t>(w, i, slot, reached.lanes, from, k * i.width);
    // Where nothing could be read, the register holds nothing.
    const unsigned first = k * i.width / 4, last = (k * i.width + i.width - 1) / 4;
    w.written(slot,
              reached.undefined[first] | reached.undefined[last] | (lanes & ~reached.lanes), lanes);
  }
}

void store(Warp& w, const Instruction& i, Mask lanes) {
  std::byte* to[LANES];
  Block& block = *w.block;
  const Reached reached = reach(w, i, lanes, i.width * i.vector, Access::write, to);
  for (unsigned k = 0; k < i.vector; ++k) {
    const std::uint32_t slot = i.operand[k];
    const unsigned skip = k * i.width;
    const Mask unknown = w.undefined[slot] & reached.lanes;
    if (i.more == 8) scatter_any<std::uint64_t>(w, i, slot, reached.lanes, to, skip);
    else if (i.more == 4) scatter_any<std::uint32_t>(w, i, slot, reached.lanes, to, skip);
    else scatter_any<std::uint16_t>(w, i, slot, reached.lanes, to, skip);
    each_lane(reached.shared,
              [&](int l) { block.define_shared(to[l] + skip, i.width, unknown >> l & 1); });
    each_lane(reached.local,
              [&](int l) { block.define_local(to[l] + skip, i.width, unknown >> l & 1); });
    if (const Mask global = unknown & ~reached.shared & ~reached.local)
      block.launch.report(Wrong::uninitialised, w, __builtin_ctz(global),
                          "data that nothing has written goes to global memory");
  }
}

namespace {

template <class T>
T combined(Atomic how, T old, T value, T other) {
  switch (how) {
    case Atomic::add: return static_cast<T>(old + value);
    case Atomic::min: return value < old ? value : old;
    case Atomic::max: return old < value ? value : old;
    case Atomic::exch: return value;
    case Atomic::cas: return old == value ? other : old;
    case Atomic::inc: return old >= value ? T{0} : static_cast<T>(old + 1);
    default: break;
  }
  if constexpr (std::is_integral_v<T>) {
    if (how == Atomic::and_) return old & value;
    if (how == Atomic::or_) return old | value;
    if (how == Atomic::xor_) return old ^ value;
  }
  return old;
}

template <class T>
void update(Warp& w, const Instruction& i, Mask lanes, std::byte* const* at) {
  const T* value = w.at<T>(i.operand[1]);
  const T* other = i.operand[2] == NOTHING ? value : w.at<T>(i.operand[2]);
  const auto how = static_cast<Atomic>(i.more);
  each_lane(lanes, [&](int l) {
    T old;
    std::memcpy(&old, at[l], sizeof old);
    const T made = combined(how, old, value[l], other[l]);
    std::memcpy(at[l], &made, sizeof made);
    if (i.immediate & RETURNS) w.at<T>(i.operand[0])[l] = old;
  });
}

}  // namespace

void atomic(Warp& w, const Instruction& i, Mask lanes) {
  std::byte* at[LANES];
  const Reached reached = reach(w, i, lanes, i.width, Access::atomic, at);
  Mask unknown = w.undefined[i.operand[1]] | reached.undefined[0] | reached.undefined[1];
  if (i.operand[2] != NOTHING) unknown |= w.undefined[i.operand[2]];
  unknown &= reached.lanes;
  if (const Mask global = unknown & ~reached.shared)
    w.block->launch.report(Wrong::uninitialised, w, __builtin_ctz(global),
                           "data that nothing has written goes to global memory");
  if (i.immediate & FLOAT_VALUE) {
    if (i.width == 8) update<double>(w, i, reached.lanes, at);
    else update<float>(w, i, reached.lanes, at);
  } else if (i.immediate & SIGNED) {
    if (i.width == 8) update<std::int64_t>(w, i, reached.lanes, at);
    else update<std::int32_t>(w, i, reached.lanes, at);
  } else {
    if (i.width == 8) update<std::uint64_t>(w, i, reached.lanes, at);
    else update<std::uint32_t>(w, i, reached.lanes, at);
  }
  each_lane(reached.shared,
            [&](int l) { w.block->define_shared(at[l], i.width, unknown >> l & 1); });
  if (i.immediate & RETURNS)
    w.written(i.operand[0], unknown | (lanes & ~reached.lanes), lanes);
}

void copy_async(Warp& w, const Instruction& i, Mask lanes) {
  Block& block = *w.block;
  Copies copies;
  std::uint64_t to[LANES], address[LANES];
  const std::uint32_t* target = w.at<std::uint32_t>(i.operand[0]);
  const bool sized = i.operand[1] != NOTHING;
  const std::uint32_t* sizes = sized ? w.at<std::uint32_t>(i.operand[1]) : nullptr;
  Mask unknown = w.undefined[i.operand[0]] | (sized ? w.undefined[i.operand[1]] : 0);
  if (unknown &= lanes) {
    block.launch.report(Wrong::uninitialised, w, __builtin_ctz(unknown),
                        "where or how much to copy was made from data that nothing has written");
    lanes &= ~unknown;
  }
  Mask whole = 0, part = 0;
  for (int l = 0; l < LANES; ++l) {
    to[l] = copies.to[l] = target[l];
    const std::uint32_t bytes = sized && sizes[l] < i.width ? sizes[l] : i.width;
    copies.source_bytes[l] = static_cast<std::uint8_t>(bytes);
    whole |= static_cast<Mask>(bytes == i.width) << l;
    part |= static_cast<Mask>(bytes != i.width && bytes != 0) << l;
  }
  std::byte *from[LANES], *landing[LANES];
  const Mask known = addresses(w, i, lanes & (whole | part), address);
  Mask read = block.reach_global(w, known & whole, address, i.width, Access::read, from);
  each_lane(known & part, [&](int l) {  // its first byte and its last
    std::byte* last[LANES];
    const Mask first = block.reach_global(w, Mask{1} << l, address, 1, Access::read, from);
    std::uint64_t end[LANES] = {};
    end[l] = address[l] + copies.source_bytes[l] - 1;
    read |= block.reach_global(w, first, end, 1, Access::read, last);
  });
  lanes &= ~(whole | part) | read;
  copies.lanes = block.reach_shared(w, lanes, to, i.width, Access::write, landing, nullptr);
  copies.bytes = i.width;
  std::memcpy(copies.from, from, sizeof copies.from);
  block.copy_async(w, copies);
}

void close_group(Warp& w, const Instruction&, Mask lanes) { w.block->close_group(w, lanes); }

void wait_groups(Warp& w, const Instruction& i, Mask lanes) {
  w.block->wait_groups(w, lanes, i.immediate, i.more);
}

void load_matrices(Warp& w, const Instruction& i, Mask lanes) {
  Block& block = *w.block;
  if (lanes != ALL)
    block.launch.report(Wrong::absent_lanes, w, __builtin_ctz(~lanes),
                        "ldmatrix needs all lanes of the warp");
  const int rows = 8 * i.vector;
  const Mask naming = rows == 32 ? ALL : (Mask{1} << rows) - 1;
  std::uint64_t address[LANES];
  std::byte* from[LANES];
  Mask undefined[4] = {};
  const Mask known = addresses(w, i, naming, address);
  if (i.space == GENERIC)
    for (std::uint64_t& one : address) one -= SHARED_WINDOW;
  const Mask reached =
      block.reach_shared(w, known, address, 16, Access::read, from, undefined);
  const Mask unknown_rows =
      undefined[0] | undefined[1] | undefined[2] | undefined[3] | (naming & ~reached);
  static const std::byte zeros[16] = {};
  for (int l = 0; l < rows; ++l)
    if (!(reached >> l & 1)) from[l] = const_cast<std::byte*>(zeros);
  for (int m = 0; m < i.vector; ++m) {
    std::uint32_t* to = w.at<std::uint32_t>(i.operand[m]);
    Mask unknown = 0;
    if (!i.more) {  // a row is what four lanes get
      for (int row = 0; row < 8; ++row) {
        std::memcpy(to + 4 * row, from[8 * m + row], 16);
        unknown |= (unknown_rows >> (8 * m + row) & 1) * (Mask{15} << (4 * row));
      }
    } else {
      for (int l = 0; l < LANES; ++l) {  // column l / 4 of rows 2 (l % 4) and the next
        const int row = l / 4, pair = l % 4;
        std::uint16_t low, high;
        std::memcpy(&low, from[8 * m + 2 * pair] + 2 * row, 2);
        std::memcpy(&high, from[8 * m + 2 * pair + 1] + 2 * row, 2);
        to[l] = low | static_cast<std::uint32_t>(high) << 16;
        unknown |= ((unknown_rows >> (8 * m + 2 * pair) | unknown_rows >> (8 * m + 2 * pair + 1)) &
                    1) << l;
      }
    }
    w.written(i.operand[m], unknown, ALL);
  }
}

}  // namespace moesaic::ptx
