// A process on its way through its program.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dataflow/graph.hpp"
#include "dataflow/queue.hpp"
#include "dataflow/trails.hpp"

namespace moesaic::dataflow {

// A need with its FIFO, in the hand of one process. `check` is false for room without bound.
struct Hold {
  Queue* queue;
  Side side;
  bool check;
  std::int64_t tokens, moves;
  std::int64_t stall;  // cycles that steps waited for it
  std::int32_t fifo;

  std::int64_t slot() const { return queue->slot(side, tokens); }
  // Steps that find what they need, one after the other; 0: not even the first.
  std::int64_t steps(std::int64_t most) const {
    const std::int64_t more = queue->there[side] - tokens;
    if (more < 0) return 0;
    if (moves == 0) return most;
    return std::min(most, (moves == 1 ? more : more / moves) + 1);
  }
};

struct Walk {  // through a program
  std::int32_t at = 0, last = 0;
  std::int64_t left = 0;               // of the op that is under way
  std::vector<std::int64_t> loops;     // times left of the loops around it
};

struct Process {
  Walk walk;
  const ProcessSpec* spec;
  std::int32_t number;
  std::int64_t ready = 0;      // when the interval of the step before has passed
  std::int32_t trail = 0;      // of the step before
  std::int32_t label = -1;     // a mark that waits for the next step
  ProcessResult result;
};

}  // namespace moesaic::dataflow
