#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "ptx/clocks.hpp"
#include "ptx/launch.hpp"
#include "ptx/warp.hpp"

namespace moesaic::ptx {

// strong: volatile, relaxed, acquire, release. Strong stores and atomics do not race with each other.
enum class Access : std::uint8_t { read, write, atomic, strong_read, strong_write };
inline bool reads(Access a) { return a != Access::write && a != Access::strong_write; }
inline bool writes(Access a) { return a != Access::read && a != Access::strong_read; }


// Shared memory of a block, and of each cell of it who touched it last. A cell is a 4-byte word, or
// a byte where the program touches less than words.
struct Shared {
  static constexpr std::uint8_t UNDEFINED = 1, UNDER_WAY = 2, ATOMIC = 4;  // bits of `state`

  Shared(std::uint64_t size, bool by_bytes);
  void reset();
  std::uint64_t cell(std::uint64_t address) const { return address >> shift; }
  unsigned cells(unsigned bytes) const { return bytes >> shift; }

  std::uint64_t bytes;
  int shift;
  std::vector<std::byte> memory;
  std::vector<Stamp> writer, reader;
  std::vector<Stamp> peer;    // the last reader of the same warp as `reader`, another lane
  std::vector<Stamp> other;   // the last reader of another warp than `reader`
  std::vector<Stamp> atomic, atomic_peer, atomic_other;  // likewise; count where `state` has ATOMIC
  std::vector<std::uint8_t> state;
};

// The copies of one cp.async of a warp, issued and not yet landed.
struct Copies {
  Mask lanes = 0;
  std::uint32_t bytes = 0;             // of each in shared memory; the rest of a source is zeros
  std::uint32_t to[LANES];             // in shared memory
  const std::byte* from[LANES];
  std::uint8_t source_bytes[LANES];
  std::uint32_t group[LANES];          // of the lane's groups, once closed
};

struct CopyGroups {  // of one warp; every lane counts its own
  std::vector<Copies> open, closed;
  std::uint32_t count[LANES] = {};  // groups that the lane has closed
};

struct Barrier {
  int arrived = 0;    // warps, those that only arrive among them
  Mask waiting = 0;   // warps
  int expected = 0;   // warps; 0: all that have not ended
  Past past;
};

// One block at work. Its warps keep their memory from block to block.
struct Block {
  static constexpr int BARRIERS = 16;

  explicit Block(Launch& launch);
  void run(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::mt19937_64& random);
  std::uint32_t number() const { return static_cast<std::uint32_t>(stamp_base >> 32) - 1; }

  // Marks an access and says which lanes may go on; each lane touches `bytes` at its address and
  // gets a pointer. Those that lie outside or askew are reported and left out. undefined: the lanes
  // for which each 4-byte word of the access holds what nothing has written, 4 masks.
  Mask reach_global(Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes, Access,
                    std::byte** to);
  Mask reach_shared(Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes, Access,
                    std::byte** to, Mask* undefined);
  Mask reach_local(Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes,
                   std::byte** to, Mask* undefined);
  void define_shared(const std::byte* to, unsigned bytes, bool undefined);
  void define_local(const std::byte* to, unsigned bytes, bool undefined);
  void copy_async(Warp&, const Copies&);
  void close_group(Warp&, Mask lanes);
  // Lands the lanes' copies but those of their last `pending` groups; `all`: of no group too.
  void wait_groups(Warp&, Mask lanes, unsigned pending, bool all);
  void arrive(Warp&, const Instruction&, Mask lanes);
  void step(Warp&);  // past a barrier of the warp

  Launch& launch;
  Shared shared;
  std::uint32_t at[3] = {0, 0, 0};
  std::uint64_t stamp_base = 0;  // of this block in stamps of global memory
  std::vector<Warp> warps;
  std::vector<Clock> clocks;
  std::vector<CopyGroups> copies;
  std::vector<std::byte> local;  // [warp][lane][bytes]
  std::vector<bool> local_undefined;
  Barrier barriers[BARRIERS];

 private:
  void start();
  void run_warp(Warp&);
  bool release();
  void open(Barrier&);
  void land(const Copies&, Mask lanes, Stamp now);
  void count_global(const Warp&, Array&, Mask lanes, const std::uint64_t* offset, unsigned bytes,
                    Access);
  void watch_global(Warp&, Array&, Mask lanes, const std::uint64_t* offset, unsigned bytes, Access);
  void check_collisions(const Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes);
  Mask within_shared(const Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes);
  void count_wavefronts(const Warp&, Mask lanes, const std::uint64_t* address, unsigned words);
  Stamp mark_cell(const Clock&, int lane, std::uint64_t cell, Access);

  std::vector<std::byte> files_;
  std::vector<Mask> masks_;
};

}  // namespace moesaic::ptx
