#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ptx/clocks.hpp"
#include "ptx/program.hpp"

namespace moesaic::ptx {

// An array argument: the caller's memory, and what was done to it.
struct Array {
  std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  bool read = false;     // by a plain load
  bool watched = false;  // accesses are kept, by cells as in shared memory
  std::vector<bool> sectors_read, sectors_written;  // distinct 32-byte sectors
  struct Readers {  // as of shared memory
    std::uint64_t reader = 0, peer = 0, other = 0;
    std::uint64_t atomic = 0, atomic_peer = 0, atomic_other = 0;
  };
  std::vector<std::uint64_t> writers;  // stamps: the block, plus one, above the stamp in it
  std::vector<Readers> readers;        // empty until something but a plain store comes
};

// What one instruction did in all warps and blocks.
struct Counts {
  std::uint64_t warps = 0, threads = 0;
  std::uint64_t bytes = 0, sectors = 0;          // of global memory: asked for; 32 bytes each
  std::uint64_t wavefronts = 0, conflicts = 0;   // of shared memory; those beyond the least
};

enum class Wrong : std::uint8_t {
  uninitialised, race, out_of_bounds, misaligned, deadlock, hang, absent_lanes, trap
};
constexpr int WRONGS = 8;

struct Fault {
  Wrong wrong;
  std::uint32_t pc;
  std::string words;
  std::uint32_t block[3];
  int thread;
  std::uint64_t times;
};

// Neighbouring 32-byte sectors of an array that one instruction of a warp touched at once.
struct Touch {
  std::uint32_t block, pc, array, sectors;
  std::uint64_t first_sector;
  std::uint16_t warp;
  bool writes;
};

struct Settings {
  std::uint32_t grid[3] = {1, 1, 1}, threads[3] = {1, 1, 1};
  std::uint64_t shared_bytes = 0;  // asked for by the launch
  std::uint64_t seed = 0;
  bool late_copies = true;
  std::uint64_t most_instructions = 0;  // of warps; more is a hang
  std::uint64_t most_touches = 0;       // how many are kept in `trace`
  const std::atomic<bool>* stop = nullptr;
};

// One launch: what goes in, and what came out.
struct Launch {
  const Program& program;
  Settings settings;
  std::vector<Array> arrays;
  std::vector<std::uint64_t> values;  // of the parameters; array i is (i + 1) << ARRAY_SHIFT
  std::vector<Counts> counts;         // by instruction
  std::vector<Fault> faults;
  std::vector<Touch> trace;           // of global memory, in the order of execution
  std::uint64_t untraced = 0;         // touches beyond the most that are kept
  std::uint64_t instructions = 0;     // executed by warps
  bool ended = false;                 // by a fault that cannot be passed

  explicit Launch(const Program& p) : program(p) {}

  // Runs all blocks, in an order drawn from the seed. Deterministic.
  void run();

  void report(Wrong, const Warp&, int lane, const std::string& words);
  // An array was read before its first write, unwatched: the run must be made anew with it watched.
  void watch(Array& array) { again_ = array.watched = true; }

 private:
  void run_blocks();
  bool again_ = false;
  std::vector<std::int32_t> fault_of_;  // by instruction and kind: index in `faults`, or -1
};

}  // namespace moesaic::ptx
