#include "dram/plain.hpp"

#include <stdexcept>

namespace moesaic::dram {

PlainChannel::PlainChannel(std::shared_ptr<const Plan> plan, const Policy& policy, Outcome outcome,
                           bool record, const Programs& programs)
    : spec_(&plan->spec),
      policy_(policy),
      outcome_(outcome),
      recording_(record),
      timing_(std::move(plan)),
      banks_(spec_->nodes[BANK]),
      queues_(policy.queues(*spec_)),
      refresh_due_(policy.refresh == Refresh::OFF ? NEVER : policy.refresh_interval(*spec_) - 1),
      last_refresh_(spec_->nodes[RANK], 0) {
  for (const Program& program : programs)
    readers_.push_back({program, 0, {}, -1, std::vector<std::int64_t>(spec_->gangs.in_rank, 0)});
}

bool PlainChannel::full(const Request& request) const {
  const Line& line = queues_[queue_of(request.bank)].line[request.write];
  return static_cast<int>(line.size()) >= policy_.capacity[request.write];
}

bool PlainChannel::idle() const {
  bool empty = owners_.empty();
  for (const Reader& r : readers_) empty &= r.next == r.program.size() && r.hand.empty();
  for (const Queue& q : queues_) empty &= q.line[0].empty() && q.line[1].empty();
  return empty;
}

bool PlainChannel::offer(const Request& request, Tick t) {
  Queue& queue = queue_with(request.bank);
  for (const Waiting& w : queue.line[1]) {
    if (w.request.bank != request.bank || w.request.row != request.row ||
        w.request.column != request.column)
      continue;
    outcome_.accepted[request.id] = t;
    outcome_.issue[request.id] = -1;
    outcome_.finish[request.id] = t + 1;
    ++(request.write ? totals_.coalesced : totals_.forwarded);
    return true;
  }
  if (full(request)) return false;
  if (idle()) served_ = t;
  outcome_.accepted[request.id] = t;
  queue.line[request.write].push_back({request, t, orders_++});
  return true;
}

bool PlainChannel::step(Tick limit) {
  if (now_ + 1 >= limit) return false;
  const Tick t = ++now_;
  if (outcome_.stop->load(std::memory_order_relaxed)) throw Stopped{};
  const Tick patience = PATIENCE * (spec_->refresh_ticks + spec_->longest_rule);
  if (!idle() && t - served_ > patience) throw std::runtime_error(STARVED);
  take_rows();
  if (t == refresh_due_) begin_refreshes();
  if (spec_->shared_bus) {
    serve(EITHER, t);
  } else {
    serve(COLUMN, t);
    serve(ROW, t);
  }
  if (!spec_->gangs.own_bus) return true;
  for (int u = 0; u < static_cast<int>(readers_.size()); ++u) {
    serve_reader(u, COLUMN, true, t);
    serve_reader(u, ROW, true, t);
  }
  return true;
}

void PlainChannel::serve(Bus bus, Tick t) {
  if (serve_gangs(bus, false, t) || serve_owned(bus, t)) return;
  settle();
  for (Queue& q : queues_)
    if (serve_refresh(q, bus, t)) return;
  if (!serve_waiting(bus, t)) close_idle(bus, t);
}

bool PlainChannel::on_bus(Command c, Bus bus) const {
  const bool column = c == RD || c == WR;
  return bus == EITHER || (bus == COLUMN) == column;
}

Command PlainChannel::needs(const Waiting& w) const {
  const int row = banks_[w.request.bank].row;
  if (row == w.request.row) return w.request.write ? WR : RD;
  return row < 0 ? ACT : PRE;
}

bool PlainChannel::held(int bank) const {
  const Queue& queue = queues_[queue_of(bank)];
  if (policy_.scheduler == Scheduler::FIRST_READY) return !queue.refreshes.empty();
  for (const auto& unit : queue.refreshes)
    for (int b : unit)
      if (b == bank) return true;
  return false;
}

bool PlainChannel::serve_owned(Bus bus, Tick t) {
  if (bus == ROW) return false;
  auto best = owners_.end();
  for (auto w = owners_.begin(); w != owners_.end(); ++w)
    if (may_start(needs(*w), w->request.bank, t) &&
        (best == owners_.end() || w->accepted < best->accepted))
      best = w;
  if (best == owners_.end()) return false;
  banks_[best->request.bank].owned = false;
  access(owners_, best, t);
  return true;
}

bool PlainChannel::serve_refresh(Queue& queue, Bus bus, Tick t) {
  if (queue.refreshes.empty() || bus == COLUMN) return false;
  const std::vector<int> unit = queue.refreshes.front();
  const bool whole = policy_.refresh == Refresh::ALL_BANK;
  for (int b : unit)
    if (gang_open(b)) return false;
  for (int b : unit) {
    if (banks_[b].row < 0) continue;
    const bool owned = [&] {
      for (int other : unit)
        if (banks_[other].owned && (whole || other == b)) return true;
      return false;
    }();
    const Command c = whole ? PREA : PRE;
    if (owned || !may_start(c, b, t)) return false;
    start(c, whole ? unit.front() : b, -1, t);
    for (int other : unit)
      if (whole || other == b) banks_[other].row = -1;
    return true;
  }
  const Command c = whole ? REF : REFP;
  for (int b : unit)
    if (!may_start(c, b, t)) return false;
  start(c, unit.front(), -1, t);
  if (!whole)
    for (int b : unit) timing_.start(c, b, t);
  Tick& last = last_refresh_[spec_->rank_of(unit.front())];
  totals_.largest_refresh_gap = std::max(totals_.largest_refresh_gap, t - last);
  last = t;
  queue.refreshes.pop_front();
  return true;
}

bool PlainChannel::row_wanted(const Line& line, int bank) const {
  const Waiting *hit = nullptr, *miss = nullptr;
  for (const Waiting& w : line) {
    if (w.request.bank != bank) continue;
    const Waiting*& first = w.request.row == banks_[bank].row ? hit : miss;
    if (!first) first = &w;
  }
  if (!hit || !invited(*hit)) return false;
  const bool too_many = policy_.most_hits > 0 && banks_[bank].passed >= policy_.most_hits;
  return !(too_many && miss && miss->order < hit->order);
}

bool PlainChannel::allowed(const Line& line, const Waiting& w, Command c) const {
  const int bank = w.request.bank;
  if (held(bank) || !invited(w)) return false;
  if (c == PRE && banks_[bank].owned) return false;
  if (policy_.scheduler == Scheduler::IN_ORDER) return &w == &line.front();
  if (policy_.scheduler == Scheduler::FIRST_READY || c == ACT) return true;
  return (c == PRE) != row_wanted(line, bank);
}

bool PlainChannel::serve_waiting(Bus bus, Tick t) {
  Queue* from = nullptr;
  Line::iterator best;
  const auto first_turn = [&](const Waiting& w) {  // FR-FCFS: column commands before row commands
    const Command c = needs(w);
    return policy_.scheduler != Scheduler::ROW_HIT_FIRST || c == RD || c == WR;
  };
  for (Queue& queue : queues_) {
    Line& line = queue.line[queue.draining];
    for (auto w = line.begin(); w != line.end(); ++w) {
      const Command c = needs(*w);
      if (!on_bus(c, bus) || !may_start(c, w->request.bank, t) || !allowed(line, *w, c))
        continue;
      const bool better = !from || (first_turn(*w) != first_turn(*best)
                                        ? first_turn(*w)
                                        : w->order < best->order);
      if (better) from = &queue, best = w;
    }
  }
  if (!from) return false;
  Line& line = from->line[from->draining];
  const int bank = best->request.bank;
  const Command c = needs(*best);
  if (c == PRE) {
    start(PRE, bank, -1, t);
    banks_[bank].row = -1;
  } else if (c == ACT) {
    start(ACT, bank, best->request.row, t);
    banks_[bank].row = best->request.row;
    banks_[bank].passed = 0;
    banks_[bank].last_column = t;
    if (policy_.scheduler == Scheduler::FIRST_READY) {
      banks_[bank].owned = true;
      owners_.splice(owners_.end(), line, best);
    }
  } else {
    for (const Waiting& w : line)
      if (w.request.bank == bank && w.request.row != best->request.row && w.order < best->order) {
        ++banks_[bank].passed;
        break;
      }
    access(line, best, t);
  }
  return true;
}

bool PlainChannel::close_idle(Bus bus, Tick t) {
  if (policy_.row_policy != RowPolicy::TIMEOUT || bus == COLUMN) return false;
  for (int b = 0; b < spec_->nodes[BANK]; ++b) {
    const Bank& bank = banks_[b];
    if (bank.row < 0 || bank.owned || held(b) || t < bank.last_column + policy_.timeout_ticks ||
        (!readers_.empty() && gang_holds(b)))
      continue;
    bool wanted = false;
    for (const Line& line : queues_[queue_of(b)].line)
      for (const Waiting& w : line) wanted |= w.request.bank == b && w.request.row == bank.row;
    if (wanted || !may_start(PRE, b, t)) continue;
    start(PRE, b, -1, t);
    banks_[b].row = -1;
    return true;
  }
  return false;
}

void PlainChannel::start(Command c, int bank, int row, Tick t) {
  timing_.start(c, bank, t);
  ++totals_.commands[c];
  if (recording_) totals_.record.push_back({t, c, bank, row});
}

void PlainChannel::access(Line& line, Line::iterator w, Tick t) {
  const Waiting served = *w;
  line.erase(w);
  const Request& request = served.request;
  const bool kind = request.write;
  Bank& bank = banks_[request.bank];
  bool last = !bank.owned;
  for (const Line& other : queue_with(request.bank).line)
    for (const Waiting& o : other)
      last &= !(o.request.bank == request.bank && o.request.row == bank.row);
  Command c = kind ? WR : RD;
  const Command closing = kind ? WRA : RDA;
  if (policy_.row_policy == RowPolicy::CLOSED && last && may_start(closing, request.bank, t))
    c = closing;
  start(c, request.bank, request.row, t);
  bank.last_column = served_ = t;
  if (c == closing) bank.row = -1;
  const Tick done = t + (kind ? spec_->write_ticks : spec_->read_ticks);
  outcome_.issue[request.id] = t;
  outcome_.finish[request.id] = done;
  totals_.last_data = std::max(totals_.last_data, done);
}

void PlainChannel::begin_refreshes() {
  const int per_rank = spec_->banks[RANK], together = spec_->refresh_together;
  const int in_group = spec_->banks[GROUP];
  for (int rank = 0; rank < spec_->nodes[RANK]; ++rank) {
    std::vector<int> unit;
    for (int b = 0; b < per_rank; ++b) {
      const int number = together == 1 ? b : b / (together * in_group) * in_group + b % in_group;
      if (policy_.refresh == Refresh::ALL_BANK || number == refresh_turn_ % (per_rank / together))
        unit.push_back(rank * per_rank + b);
    }
    queue_with(unit.front()).refreshes.push_back(unit);
  }
  ++refresh_turn_;
  refresh_due_ += policy_.refresh_interval(*spec_);
}

void PlainChannel::settle() {
  for (Queue& q : queues_) {
    if (!q.refreshes.empty()) continue;
    const int reads = static_cast<int>(q.line[0].size());
    const int writes = static_cast<int>(q.line[1].size());
    q.draining = q.draining ? writes > policy_.drain_to || reads == 0
                            : writes >= policy_.drain_from || reads == 0;
  }
}

}  // namespace moesaic::dram
