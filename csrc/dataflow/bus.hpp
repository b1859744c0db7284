// A memory: bursts of its ports, one at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "dataflow/graph.hpp"
#include "dataflow/queue.hpp"
#include "dataflow/trails.hpp"

namespace moesaic::dataflow {

// When something can happen, and the trail of what it waited for last.
struct Moment {
  std::int64_t cycle;
  std::int32_t trail;
  void after(std::int64_t other, std::int32_t its_trail) {
    if (other > cycle) *this = {other, its_trail};
  }
};

class Bus {
 public:
  Bus(const MemorySpec& spec, std::vector<Queue>& queues, Trails& trails, Budget& budget);

  // When the next burst is granted as far as is known; cycle INT64_MAX: none is.
  Moment next();
  // Grants that burst; returns its last beat's landing and the port.
  Moment grant(const Moment& at);
  const PortSpec& granted() const { return ports_[last_].spec; }
  MemoryResult result() const;

 private:
  struct Port {
    const PortSpec& spec;
    std::size_t group = 0;     // of the bursts
    std::int64_t done = 0;     // bursts of the group
    Moment landed{-1, 0};      // the last beat
    bool over() const { return group == spec.bursts.size(); }
    std::int64_t beats() const { return spec.bursts[group].first; }
  };

  StuckPort unmet(const Port& port) const;
  Moment ready(const Port& port);
  Moment taken(std::int32_t fifo, std::int64_t tokens);
  Moment vacant(std::int32_t fifo, std::int64_t tokens);
  void advance(Port& port);
  void read(std::int32_t fifo, std::int64_t tokens, const Moment& at);
  void write(std::int32_t fifo, std::int64_t claimed, const Moment& lands);

  const MemorySpec& spec_;
  std::vector<Queue>& queues_;
  Trails& trails_;
  Budget& budget_;
  std::vector<Port> ports_;
  Moment free_{0, 0};
  std::size_t last_, chosen_ = 0;
  MemoryResult result_;
};

}  // namespace moesaic::dataflow
