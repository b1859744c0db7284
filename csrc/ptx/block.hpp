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

enum class Access : std::uint8_t { read, write, atomic };

// Shared memory of a block, and of each 4-byte word who touched it last.
class Shared {
 public:
  struct Word {
    Stamp writer, reader, other;  // `other`: the last reader of another warp than `reader`
    Stamp atomic;
    std::uint8_t undefined;  // a bit for each byte
    std::uint8_t under_way;  // copies that have not landed
  };
  explicit Shared(std::uint64_t bytes) : memory(bytes + 16), words(bytes / 4 + 4), bytes(bytes) {}
  void reset();

  std::vector<std::byte> memory;
  std::vector<Word> words;
  std::uint64_t bytes;
};

// A copy of cp.async that has been issued and not yet landed.
struct Copy {
  std::uint32_t to;        // in shared memory
  const std::byte* from;   // nullptr: zeros
  std::uint8_t bytes, source_bytes;
};

struct CopyGroups {  // of one warp; the lanes of a group are issued together
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> closed;
};

struct Barrier {
  Mask arrived = 0;   // warps
  int expected = 0;   // warps; 0: all that have not ended
};

// One block at work. Its warps keep their memory from block to block.
struct Block {
  static constexpr int BARRIERS = 16;

  explicit Block(Launch& launch);
  void run(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::mt19937_64& random);

  // Marks an access and says which lanes may go on; each lane touches `bytes` at its address and
  // gets a pointer. Those that lie outside or askew are reported and left out.
  Mask reach_global(Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes, Access,
                    std::byte** to);
  Mask reach_shared(Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes, Access,
                    std::byte** to, Mask* undefined);
  Mask reach_local(Warp&, Mask lanes, const std::uint64_t* address, unsigned bytes,
                   std::byte** to);
  void define_shared(const std::byte* to, unsigned bytes, bool undefined);
  void copy_async(Warp&, Mask lanes, const Copy* copies);
  void land(Warp&, std::vector<Copy>& copies);
  void arrive(Warp&, const Instruction&);

  Launch& launch;
  Shared shared;
  std::uint32_t at[3] = {0, 0, 0};
  std::uint64_t stamp_base = 0;  // of this block in stamps of global memory
  std::vector<Warp> warps;
  std::vector<Clock> clocks;
  std::vector<CopyGroups> copies;
  std::vector<std::byte> local;  // [warp][lane][bytes]
  bool has_atomics = false;      // shared atomics took place
  Barrier barriers[BARRIERS];

 private:
  void start();
  void run_warp(Warp&);
  bool release();
  void count_global(const Warp&, Array&, Mask lanes, const std::uint64_t* offset, unsigned bytes,
                    Access);
  void watch_global(Warp&, Array&, Mask lanes, const std::uint64_t* offset, unsigned bytes, Access);
  void check_collisions(const Warp&, Mask lanes, const std::uint64_t* address);

  std::vector<std::byte> files_;
  std::vector<Mask> masks_;
};

}  // namespace moesaic::ptx
