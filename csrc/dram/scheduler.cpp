// Which command may start next, and which of those goes first.
#include "dram/channel.hpp"

namespace moesaic::dram {

Candidate Channel::look(Slot slot, Tick from) const {
  Candidate best;
  const auto consider = [&](const Candidate& c) {
    if (c.before(best)) best = c;
  };
  if (slot != ROW_BUS)
    owned_.each([&](int b) { consider(column_of(banks_[b].owner, OWNED, from)); });
  for (int q = 0; q < queues_.count(); ++q) {
    if (!pending_[q].empty() && slot != COLUMN_BUS) consider(refresh_of(pending_[q].front(), from));
    if (policy_.scheduler == Scheduler::IN_ORDER) {
      look_at_oldest(best, q, slot, from);
      continue;
    }
    if (slot != ROW_BUS) look_at_hits(best, q, from);
    if (slot != COLUMN_BUS) look_at_rows(best, q, from);
  }
  if (policy_.row_policy == RowPolicy::TIMEOUT && slot != COLUMN_BUS) look_at_idle_rows(best, from);
  return best;
}

void Channel::look_at_hits(Candidate& best, int queue, Tick from) const {
  const bool kind = draining_[queue];
  hits_[kind].both(queue_banks_[queue]).without(held_).each([&](int b) {
    const Bank& bank = banks_[b];
    if (!keeps_row(bank, kind)) return;
    const Candidate c = column_of(bank.hit[kind], HITS, from);
    if (c.before(best)) best = c;
  });
}

void Channel::look_at_rows(Candidate& best, int queue, Tick from) const {
  const bool kind = draining_[queue];
  const BankSet free = queue_banks_[queue].without(held_);
  closed_[kind].both(free).each([&](int b) {
    const Candidate c = row_command_of(queues_.first_of(b, kind), from);
    if (c.before(best)) best = c;
  });
  misses_[kind].both(free).without(owned_).each([&](int b) {
    const Bank& bank = banks_[b];
    if (policy_.scheduler == Scheduler::ROW_HIT_FIRST && keeps_row(bank, kind)) return;
    const Candidate c = row_command_of(bank.miss[kind], from);
    if (c.before(best)) best = c;
  });
}

// FCFS: the oldest request of the queue alone, whatever it needs next.
void Channel::look_at_oldest(Candidate& best, int queue, Slot slot, Tick from) const {
  const int e = queues_.oldest(queue, draining_[queue]);
  if (e == NONE || held_.has(queues_[e].request.bank)) return;
  const bool hit = banks_[queues_[e].request.bank].row == queues_[e].request.row;
  if (slot == (hit ? ROW_BUS : COLUMN_BUS)) return;
  const Candidate c = hit ? column_of(e, HITS, from) : row_command_of(e, from);
  if (c.before(best)) best = c;
}

void Channel::look_at_idle_rows(Candidate& best, Tick from) const {
  open_.without(held_).without(owned_).without(hits_[0]).without(hits_[1]).each([&](int b) {
    Candidate c;
    const Tick idle = std::max(from, banks_[b].last_column + policy_.timeout_ticks);
    c.time = timing_.on_edge(PRE, std::max(idle, timing_.earliest(PRE, b)));
    c.turn = IDLE_ROWS;
    c.key = b;
    c.command = PRE;
    c.bank = b;
    if (c.before(best)) best = c;
  });
}

// A rank is refreshed when its banks are closed; banks that own a request stay open for it.
Candidate Channel::refresh_of(const Unit& unit, Tick from) const {
  Candidate c;
  c.turn = REFRESHES;
  c.bank = unit.first;
  const BankSet open = unit.banks.both(open_);
  if (open.empty()) {
    c.command = unit.whole ? REF : REFP;
  } else if (unit.whole) {
    if (!open.both(owned_).empty()) return c;
    c.command = PREA;
  } else {
    c.command = PRE;
    c.bank = open.first();
    if (owned_.has(c.bank)) return c;
  }
  c.time = from;
  if (c.command == REFP)
    unit.banks.each([&](int b) { c.time = std::max(c.time, timing_.earliest(REFP, b)); });
  else
    c.time = std::max(c.time, timing_.earliest(c.command, c.bank));
  c.time = timing_.on_edge(c.command, c.time);
  return c;
}

Candidate Channel::column_of(int entry, Turn turn, Tick from) const {
  const Entry& e = queues_[entry];
  Candidate c;
  c.turn = turn;
  c.key = turn == OWNED ? e.accepted : e.order;
  c.tie = turn == OWNED ? banks_[e.request.bank].owned : 0;
  c.command = e.request.write ? WR : RD;
  c.bank = e.request.bank;
  c.entry = entry;
  c.time = timing_.on_edge(c.command, std::max(from, timing_.earliest(c.command, c.bank)));
  return c;
}

// The ACT or PRE that an entry needs before its column command.
Candidate Channel::row_command_of(int entry, Tick from) const {
  const Entry& e = queues_[entry];
  Candidate c;
  c.turn = policy_.scheduler == Scheduler::ROW_HIT_FIRST ? ROWS : HITS;
  c.key = e.order;
  c.bank = e.request.bank;
  c.command = banks_[c.bank].row == NONE ? ACT : PRE;
  c.entry = entry;
  c.time = timing_.on_edge(c.command, std::max(from, timing_.earliest(c.command, c.bank)));
  return c;
}

// Whether a bank goes on serving its open row: requests wait for it, and not too many of them have
// passed an older request for another row.
bool Channel::keeps_row(const Bank& bank, bool kind) const {
  if (bank.hit[kind] == NONE) return false;
  if (policy_.scheduler != Scheduler::ROW_HIT_FIRST || policy_.most_hits == 0) return true;
  if (bank.miss[kind] == NONE || bank.passed < policy_.most_hits) return true;
  return queues_[bank.hit[kind]].order < queues_[bank.miss[kind]].order;
}

// Each queue turns to its writes when many wait or no read does, and back when few do.
bool Channel::settle() {
  bool turned = false;
  for (int q = 0; q < queues_.count(); ++q) {
    if (!pending_[q].empty()) continue;
    const int reads = queues_.waiting(q, false), writes = queues_.waiting(q, true);
    const bool drain = draining_[q] ? writes > policy_.drain_to || reads == 0
                                    : writes >= policy_.drain_from || reads == 0;
    turned |= drain != static_cast<bool>(draining_[q]);
    draining_[q] = drain;
  }
  return turned;
}

}  // namespace moesaic::dram
