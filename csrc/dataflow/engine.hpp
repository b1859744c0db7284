// Runs a dataflow graph without a clock: each process goes ahead as far as the times in its FIFOs
// let it, since what happens does not depend on who looks first.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataflow/graph.hpp"

namespace moesaic::dataflow {

// most_cycles: stops as soon as the run is known to take longer. traced: finds the critical path.
Result run(const GraphSpec& graph, std::int64_t most_cycles, bool traced,
           const std::atomic<bool>* stop);

}  // namespace moesaic::dataflow
