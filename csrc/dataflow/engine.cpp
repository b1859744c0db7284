#include "dataflow/engine.hpp"

#include <algorithm>

#include "dataflow/bus.hpp"
#include "dataflow/process.hpp"
#include "dataflow/queue.hpp"
#include "dataflow/trails.hpp"

namespace moesaic::dataflow {

namespace {

constexpr std::int64_t FIRST_SLOTS = 64;    // of a FIFO without bound
constexpr std::int64_t TURN_STEPS = 16384;  // of a process before others have their turn

// A traced engine keeps a trail with every time.
template <bool Traced>
class Engine {
 public:
  Engine(const GraphSpec& graph, std::int64_t most_cycles);
  Result run(const std::atomic<bool>* stop);

 private:
  void open_queues();
  void open_processes();
  void settle(const std::atomic<bool>* stop);
  void turn(Process& process);
  std::int64_t next_steps(Process& process, const Kind& kind, std::int64_t most);
  void issue(Process& process, const Kind& kind, std::int64_t times);
  std::int64_t one(Process& process, const Kind& kind);
  void leave(const Process& process, const Kind& kind, std::int64_t cycle);
  void wake(Queue& queue, Side side);
  bool next_op(Process& process);
  void happened(std::int64_t cycle, std::int32_t trail) {
    if (cycle > last_.cycle) last_ = {cycle, trail};
  }
  bool late() const { return last_.cycle >= most_cycles_; }
  bool grant();
  Result result();

  const GraphSpec& graph_;
  const std::int64_t most_cycles_;
  Budget budget_;
  Trails trails_;
  std::vector<Queue> queues_;
  std::vector<Hold> holds_;  // of each need
  std::vector<Process> processes_;
  std::vector<Bus> buses_;
  std::vector<std::int32_t> awake_, waking_;
  std::int64_t unwaited_ = 0;  // where the waits of no FIFO are counted
  Moment last_{-1, 0};
  Result result_;
};

template <bool Traced>
Engine<Traced>::Engine(const GraphSpec& graph, std::int64_t most_cycles)
    : graph_(graph), most_cycles_(most_cycles), trails_(graph.depths.size()) {
  open_queues();
  open_processes();
  for (const MemorySpec& memory : graph.memories)
    if (!memory.ports.empty()) buses_.emplace_back(memory, queues_, trails_, budget_);
}

template <bool Traced>
void Engine<Traced>::open_queues() {
  std::vector<char> claims(graph_.depths.size());
  for (const MemorySpec& memory : graph_.memories)
    for (const PortSpec& port : memory.ports) {
      if (!port.writes) claims[port.data] = 1;
      if (port.done != NOBODY) claims[port.done] = 1;
    }
  queues_.resize(graph_.depths.size());
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    const std::int64_t depth = graph_.depths[i];
    queues_[i].open(depth, FIRST_SLOTS, claims[i], Traced, budget_);
  }
}

template <bool Traced>
void Engine<Traced>::open_processes() {
  holds_.reserve(graph_.needs.size());
  for (const Need& need : graph_.needs) {
    Queue& queue = queues_[need.fifo];
    const bool check = need.side == TOKENS || queue.bounded;
    holds_.push_back({&queue, need.side, check, need.tokens, need.moves, 0, need.fifo});
  }
  processes_.resize(graph_.processes.size());
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    Process& process = processes_[i];
    process.spec = &graph_.processes[i];
    process.number = static_cast<std::int32_t>(i);
    process.walk.at = process.spec->first;
    process.walk.last = process.spec->last;
    for (std::int32_t op = process.walk.at; op < process.walk.last; ++op) {
      if (graph_.ops[op].what != What::step) continue;
      const Kind& kind = graph_.kinds[graph_.ops[op].index];
      for (std::int32_t need = kind.first; need < kind.last; ++need) {
        Hold& hold = holds_[need];
        hold.queue->taker[hold.side] = process.number;
        if (hold.side == ROOM) hold.queue->late = process.spec->latency + 1;
      }
    }
    waking_.push_back(process.number);
  }
}

template <bool Traced>
Result Engine<Traced>::run(const std::atomic<bool>* stop) {
  do {
    settle(stop);
  } while (!late() && !*stop && grant());
  return result();
}

// Lets processes go on until none can.
template <bool Traced>
void Engine<Traced>::settle(const std::atomic<bool>* stop) {
  while (!waking_.empty() && !late() && !*stop) {
    awake_.clear();
    awake_.swap(waking_);
    for (const std::int32_t number : awake_) turn(processes_[number]);
  }
}

// Grants the earliest burst of all memories: whatever is still unknown comes after it.
template <bool Traced>
bool Engine<Traced>::grant() {
  Bus* first = nullptr;
  Moment at{INT64_MAX, 0};
  for (Bus& bus : buses_) {
    const Moment next = bus.next();
    if (next.cycle >= at.cycle) continue;
    at = next;
    first = &bus;
  }
  if (first == nullptr) return false;
  const Moment landed = first->grant(at);
  happened(landed.cycle, landed.trail);
  const PortSpec& port = first->granted();
  wake(queues_[port.request], ROOM);
  wake(queues_[port.data], port.writes ? ROOM : TOKENS);
  if (port.done != NOBODY) wake(queues_[port.done], TOKENS);
  return true;
}

template <bool Traced>
void Engine<Traced>::wake(Queue& queue, Side side) {
  if (queue.wanted[side] == 0 || queue.there[side] < queue.wanted[side]) return;
  queue.wanted[side] = 0;
  waking_.push_back(queue.taker[side]);
}

// Runs a process until it must wait, has ended or has had its share.
template <bool Traced>
void Engine<Traced>::turn(Process& process) {
  Walk& walk = process.walk;
  process.result.stuck = -1;
  std::int64_t share = TURN_STEPS;
  while (next_op(process)) {
    if (share <= 0) {
      waking_.push_back(process.number);
      return;
    }
    const Kind& kind = graph_.kinds[graph_.ops[walk.at].index];
    // The first step of a process, and one after a mark, go alone.
    const bool alone = process.label >= 0 || process.result.steps == 0;
    const std::int64_t times =
        next_steps(process, kind, alone ? 1 : std::min(walk.left, share));
    if (times == 0) return;
    issue(process, kind, times);
    walk.left -= times;
    share -= times;
    if (walk.left == 0) ++walk.at;
  }
}

// Comes to the next step of the program; false: there is none.
template <bool Traced>
bool Engine<Traced>::next_op(Process& process) {
  Walk& walk = process.walk;
  if (walk.left > 0) return true;
  for (; walk.at < walk.last; ++walk.at) {
    const Op& op = graph_.ops[walk.at];
    switch (op.what) {
      case What::step:
        walk.left = op.times;
        return true;
      case What::loop:
        walk.loops.push_back(op.times);
        break;
      case What::again:
        if (--walk.loops.back() > 0)
          walk.at = op.index;
        else
          walk.loops.pop_back();
        break;
      case What::mark:
        process.label = op.index;
        break;
    }
  }
  return false;
}

// How many steps find all that they need by now. With 0 the process waits.
template <bool Traced>
std::int64_t Engine<Traced>::next_steps(Process& process, const Kind& kind, std::int64_t most) {
  for (std::int32_t need = kind.first; need < kind.last; ++need) {
    const Hold& hold = holds_[need];
    if (!hold.check) continue;
    most = hold.steps(most);
    if (most > 0) continue;
    hold.queue->wanted[hold.side] = hold.tokens;
    process.result.stuck = need;
    return 0;
  }
  return most;
}

template <bool Traced>
void Engine<Traced>::issue(Process& process, const Kind& kind, std::int64_t times) {
  ProcessResult& result = process.result;
  const bool first = result.steps == 0;
  std::int64_t cycle = 0;
  for (std::int64_t i = 0; i < times; ++i) cycle = one(process, kind);
  result.steps += times;
  result.busy += times * kind.interval;
  result.last = cycle;
  if (first) {
    result.first = cycle;
    result.closed = 0;
    for (std::int32_t need = kind.first; need < kind.last; ++need) holds_[need].stall = 0;
  }
  if (process.label >= 0) {
    result_.marks.push_back({process.number, process.label, cycle});
    process.label = -1;
  }
  happened(cycle, process.trail);
  leave(process, kind, cycle);
}

// One step: the cycle in which it issues.
template <bool Traced>
std::int64_t Engine<Traced>::one(Process& process, const Kind& kind) {
  std::int64_t cycle = process.ready;
  std::int64_t* waited = &unwaited_;
  const Hold* last = nullptr;
  Hold* const holds = holds_.data();
  for (std::int32_t need = kind.first; need < kind.last; ++need) {
    Hold& hold = holds[need];
    if (!hold.check) continue;
    const std::int64_t at = hold.queue->slots[hold.slot()];
    if (at <= cycle) continue;
    cycle = at;
    waited = &hold.stall;
    last = &hold;
  }
  *waited += cycle - process.ready;
  if constexpr (Traced)
    if (last != nullptr) {
      process.trail = last->queue->trails[last->slot()];
      if (last->side == ROOM) process.trail = trails_.with(process.trail, last->fifo);
    }
  const auto& wait = process.spec->wait;
  if (!wait.empty()) {
    const std::int64_t more = wait[cycle % static_cast<std::int64_t>(wait.size())];
    process.result.closed += more;
    cycle += more;
  }
  for (std::int32_t need = kind.first; need < kind.last; ++need) {
    const Hold& hold = holds[need];
    Queue& queue = *hold.queue;
    if (hold.side == TOKENS)
      for (std::int64_t i = 0; i < hold.moves; ++i)
        queue.template read<Traced>(cycle, process.trail);
    else
      for (std::int64_t i = 0; i < hold.moves; ++i)
        queue.template write<Traced>(cycle, cycle + queue.late, process.trail, budget_);
  }
  process.ready = cycle + kind.interval;
  return cycle;
}

// What the last of some steps has written lands, and those who waited for any of it go on.
template <bool Traced>
void Engine<Traced>::leave(const Process& process, const Kind& kind, std::int64_t cycle) {
  for (std::int32_t need = kind.first; need < kind.last; ++need) {
    const Hold& hold = holds_[need];
    if (hold.moves == 0) continue;
    if (hold.side == ROOM) happened(cycle + process.spec->latency, process.trail);
    wake(*hold.queue, hold.side == ROOM ? TOKENS : ROOM);
  }
}

template <bool Traced>
Result Engine<Traced>::result() {
  result_.cycles = last_.cycle + 1;
  result_.late = late();
  for (const Process& process : processes_) result_.processes.push_back(process.result);
  for (const Hold& hold : holds_) result_.stalls.push_back(hold.stall);
  for (const Queue& queue : queues_)
    result_.fifos.push_back(
        {queue.tokens, std::max(queue.peak, queue.there[TOKENS]), queue.there[TOKENS]});
  auto bus = buses_.begin();
  for (const MemorySpec& memory : graph_.memories)
    result_.memories.push_back(memory.ports.empty() ? MemoryResult{} : (bus++)->result());
  const std::vector<bool>& path = trails_.set(last_.trail);
  for (std::size_t fifo = 0; fifo < path.size(); ++fifo)
    if (path[fifo]) result_.path.push_back(static_cast<std::int32_t>(fifo));
  return std::move(result_);
}

}  // namespace

Result run(const GraphSpec& graph, std::int64_t most_cycles, bool traced,
           const std::atomic<bool>* stop) {
  if (traced) return Engine<true>(graph, most_cycles).run(stop);
  return Engine<false>(graph, most_cycles).run(stop);
}

}  // namespace moesaic::dataflow
