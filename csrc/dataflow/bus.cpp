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
  const Side side = spec.writes ? TOKENS : ROOM;
  if (queues_[spec.request].there[TOKENS] < 1) return {number, spec.request, TOKENS, 1};
  if (data.there[side] < port.beats()) return {number, spec.data, side, port.beats()};
  if (spec.done != NOBODY && queues_[spec.done].there[ROOM] < 1)
    return {number, spec.done, ROOM, 1};
  return {number, NOBODY, TOKENS, 0};
}

Moment Bus::taken(std::int32_t fifo, std::int64_t tokens) {
  const Queue& queue = queues_[fifo];
  const std::int64_t place = queue.slot(TOKENS, tokens);
  return {queue.slots[place], queue.trails.empty() ? 0 : queue.trails[place]};
}

Moment Bus::vacant(std::int32_t fifo, std::int64_t tokens) {
  const Queue& queue = queues_[fifo];
  if (!queue.bounded) return {0, 0};
  const std::int64_t place = queue.slot(ROOM, tokens);
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
  read(port.spec.request, 1, at);
  Moment last{start + cycles(beats - 1), at.trail};
  if (port.spec.writes) {
    read(port.spec.data, beats, at);
  } else {
    for (std::int64_t k = 0; k < beats; ++k) {
      ++port.landed.cycle;
      port.landed.after(start + cycles(k), at.trail);
      write(port.spec.data, at.cycle, port.landed);
    }
    last = port.landed;
  }
  if (port.spec.done != NOBODY)
    write(port.spec.done, at.cycle, last);
  free_ = {at.cycle + busy, at.trail};
  ++result_.bursts;
  result_.busy += busy;
  ++port.done;
  advance(port);
  return last;
}

void Bus::read(std::int32_t fifo, std::int64_t tokens, const Moment& at) {
  Queue& queue = queues_[fifo];
  for (; tokens > 0; --tokens)
    queue.trails.empty() ? queue.read<false>(at.cycle, 0) : queue.read<true>(at.cycle, at.trail);
}

void Bus::write(std::int32_t fifo, std::int64_t claimed, const Moment& lands) {
  Queue& queue = queues_[fifo];
  if (queue.trails.empty())
    queue.write<false>(claimed, lands.cycle + 1, 0, budget_);
  else
    queue.write<true>(claimed, lands.cycle + 1, lands.trail, budget_);
}

MemoryResult Bus::result() const {
  MemoryResult result = result_;
  for (const Port& port : ports_)
    if (!port.over()) result.stuck.push_back(unmet(port));
  return result;
}

}  // namespace moesaic::dataflow
