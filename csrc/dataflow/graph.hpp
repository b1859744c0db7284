// A dataflow graph as flat tables: what `simulator/fpga/flat.py` makes of a Graph.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace moesaic::dataflow {

constexpr std::int64_t UNBOUNDED = -1;  // depth
constexpr std::int32_t NOBODY = -1;     // no FIFO, no process

// The sides of a FIFO: what its reader takes, and what its writer takes.
enum Side : std::int32_t { TOKENS, ROOM };

// A step asks a FIFO for so many tokens, or for room for so many, and then moves some of them.
struct Need {
  std::int32_t fifo;
  Side side;
  std::int64_t tokens, moves;
};

struct Kind {  // of step; its needs are first..last-1
  std::int32_t first, last;
  std::int64_t interval;
};

enum class What : std::int32_t { step, loop, again, mark };

// step: a kind, so many times. loop: what follows up to its `again`, so many times. again: back to
// the op at `index`. mark: a label for the next step.
struct Op {
  What what;
  std::int32_t index;
  std::int64_t times;
};

struct ProcessSpec {
  std::int32_t first, last;  // of the ops
  std::int64_t latency;
  std::vector<std::int64_t> wait;  // by cycle modulo its size: cycles until it is open; empty: is
};

struct PortSpec {
  std::int32_t request, data, done;  // FIFOs; done may be NOBODY
  bool writes;
  std::vector<std::pair<std::int64_t, std::int64_t>> bursts;  // beats, times
};

struct MemorySpec {
  std::int64_t top, bottom, latency;  // top / bottom cycles a beat
  std::vector<PortSpec> ports;
};

struct GraphSpec {
  std::vector<std::int64_t> depths;
  std::vector<Need> needs;
  std::vector<Kind> kinds;
  std::vector<Op> ops;
  std::vector<ProcessSpec> processes;
  std::vector<MemorySpec> memories;
};

struct ProcessResult {
  std::int64_t steps = 0, first = -1, last = -1, busy = 0, closed = 0;
  std::int32_t stuck = -1;  // the need that never holds
};

struct FifoResult {
  std::int64_t tokens, peak, held;
};

struct StuckPort {  // waits for ever for tokens in a FIFO, or for room for them
  std::int32_t port, fifo;
  Side side;
  std::int64_t tokens;
};

struct MemoryResult {
  std::int64_t bursts = 0, busy = 0;
  std::vector<StuckPort> stuck;
};

struct Marked {
  std::int32_t process, label;
  std::int64_t cycle;
};

struct Result {
  std::int64_t cycles = 0;
  bool late = false;  // stopped since it takes more than the cycles that were asked for
  std::vector<ProcessResult> processes;
  std::vector<std::int64_t> stalls;  // of each need
  std::vector<FifoResult> fifos;
  std::vector<MemoryResult> memories;
  std::vector<Marked> marks;
  std::vector<std::int32_t> path;  // FIFOs whose want of room lies on the path to the last event
};

}  // namespace moesaic::dataflow
