#pragma once
#include <cstddef>
#include <cstdint>

#include "ptx/program.hpp"

namespace moesaic::ptx {

struct Block;

// Lanes that left the others. They go on once they are the furthest behind; with `waits`, once
// those that their instruction needs have come to it.
struct Split {
  std::uint32_t pc;
  Mask lanes;
  bool waits;
};

// The state of one warp: plain memory, so that handlers compiled for several processors share it.
// A register is LANES numbers side by side. A bit of `undefined` says that a lane's number was
// never written or was made from such a one.
struct Warp {
  std::byte* file = nullptr;
  Mask* undefined = nullptr;             // by slot
  Mask* predicates = nullptr;            // values
  Mask* undefined_predicates = nullptr;
  Block* block = nullptr;
  int number = 0;
  std::uint32_t pc = 0;
  Mask active = 0, alive = 0;
  int waiting = -1;  // the barrier that it waits at
  bool done = false;
  int splits = 0;
  Split split[LANES];  // those behind, the lowest pc last

  template <class T>
  T* at(std::uint32_t slot) const {
    return reinterpret_cast<T*>(file + std::size_t{slot} * (LANES * 4));
  }
  // Lanes `lanes` of the register have just been written, from sources undefined in `unknown`.
  void written(std::uint32_t slot, Mask unknown, Mask lanes) {
    undefined[slot] = (undefined[slot] & ~lanes) | (unknown & lanes);
  }
};

}  // namespace moesaic::ptx
