#include "dataflow/bus.hpp"

#include <algorithm>

namespace moesaic::dataflow {

namespace {
constexpr Moment NEVER{INT64_MAX, 0};
}

Bus::Bus(const MemorySpec& spec, std::vector<Queue>& queues, Trails& trails, Budget& budget)
    : spec_(spec), queues_(queues), trails_(trails), budget_(budget), last_(spec.ports.size() - 1) {
  for (const PortSpec& port : spec.ports) {
    ports_.push_back({port});
    advance(ports_.back());
  }
}

// Skips groups of no bursts.
void Bus::advance(Port& port) {
  while (!port.over() && port.done == port.spec.bursts[port.group].second) {
    ++port.group;
    port.done = 0;
  }
}

// The first FIFO that lacks what the port's next burst needs; NOBODY: none does.
StuckPort Bus::unmet(const Port& port) const {
  const PortSpec& spec = port.spec;
  const auto number = static_cast<std::int32_t>(&port - ports_.data());
  const Queue& data = queues_[spec.data];
  if (queues_[spec.request].count < 1) return {number, spec.request, false, 1};
  if ((spec.writes ? data.count : data.room()) < port.beats())
    return {number, spec.data, !spec.writes, port.beats()};
  if (spec.done != NOBODY && queues_[spec.done].room() < 1) return {number, spec.done, true, 1};
  return {number, NOBODY, false, 0};
}

Moment Bus::taken(std::int32_t fifo, std::int64_t tokens) {
  const Queue& queue = queues_[fifo];
  const std::int64_t place = queue.token(tokens);
  return {queue.slots[place], queue.trails.empty() ? 0 : queue.trails[place]};
}

Moment Bus::vacant(std::int32_t fifo, std::int64_t tokens) {
  const Queue& queue = queues_[fifo];
  if (!queue.bounded()) return {0, 0};
  const std::int64_t place = queue.space(tokens);
  return {queue.slots[place], queue.trails.empty() ? 0 : trails_.with(queue.trails[place], fifo)};
}

// When the port's next burst could go if the bus were its own.
Moment Bus::ready(const Port& port) {
  if (port.over() || unmet(port).fifo != NOBODY) return NEVER;
  const PortSpec& spec = port.spec;
  Moment at = taken(spec.request, 1);
  const Moment data =
      spec.writes ? taken(spec.data, port.beats()) : vacant(spec.data, port.beats());
  at.after(data.cycle, data.trail);
  if (spec.done != NOBODY) {
    const Moment done = vacant(spec.done, 1);
    at.after(done.cycle, done.trail);
  }
  return at;
}

Moment Bus::next() {
  Moment first = NEVER;
  for (std::size_t i = 1; i <= ports_.size(); ++i) {
    const std::size_t port = (last_ + i) % ports_.size();
    Moment at = ready(ports_[port]);
    if (at.cycle != NEVER.cycle) at.after(free_.cycle, free_.trail);
    if (at.cycle < first.cycle) {
      first = at;
      chosen_ = port;
    }
  }
  return first;
}

Moment Bus::grant(const Moment& at) {
  Port& port = ports_[last_ = chosen_];
  const std::int64_t beats = port.beats(), start = at.cycle + spec_.latency;
  const auto cycles = [&](std::int64_t n) { return n * spec_.top / spec_.bottom; };
  const std::int64_t busy =
      std::max<std::int64_t>(1, (beats * spec_.top + spec_.bottom - 1) / spec_.bottom);
  queues_[port.spec.request].read(1, at.cycle, at.trail);
  Queue& data = queues_[port.spec.data];
  Moment last{start + cycles(beats - 1), at.trail};
  if (port.spec.writes) {
    data.read(beats, at.cycle, at.trail);
  } else {
    for (std::int64_t k = 0; k < beats; ++k) {
      ++port.landed.cycle;
      port.landed.after(start + cycles(k), at.trail);
      data.write(at.cycle, port.landed.cycle + 1, port.landed.trail, budget_);
    }
    last = port.landed;
  }
  if (port.spec.done != NOBODY)
    queues_[port.spec.done].write(at.cycle, last.cycle + 1, last.trail, budget_);
  free_ = {at.cycle + busy, at.trail};
  ++result_.bursts;
  result_.busy += busy;
  ++port.done;
  advance(port);
  return last;
}

MemoryResult Bus::result() const {
  MemoryResult result = result_;
  for (const Port& port : ports_)
    if (!port.over()) result.stuck.push_back(unmet(port));
  return result;
}

}  // namespace moesaic::dataflow
