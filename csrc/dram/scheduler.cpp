// Which command may start next, and which of those goes first.
#include "dram/channel.hpp"

namespace moesaic::dram {

// Takes a command as the best one if it goes before it.
inline void Channel::weigh(Candidate& best, Command command, Turn turn, std::int64_t key, int bank,
                           Tick from) const {
  const Tick time = timing_.earliest(command, bank, from);
  if (time > best.time) return;
  const Candidate c{time, turn, key, 0, command, bank};
  if (c.before(best)) best = c;
}

// The same over many banks: first the earliest time, then the oldest request that has it. What comes
// next is hard to foresee, so neither pass branches on it.
template <class CommandOf>
inline void Channel::weigh_all(Candidate& best, const BankSet& banks, CommandOf command_of,
                               Turn turn, const Orders& orders, Tick from) const {
  std::array<Tick, MOST_BANKS> times;
  std::array<std::uint8_t, MOST_BANKS> which;
  int count = 0;
  Tick soonest = NEVER;
  banks.each([&](int b) {
    const Tick t = timing_.earliest(command_of(b), b, from);
    times[count] = t;
    which[count++] = static_cast<std::uint8_t>(b);
    soonest = std::min(soonest, t);
  });
  if (soonest > best.time || count == 0) return;
  std::int64_t oldest = INT64_MAX;
  int chosen = 0;
  for (int i = 0; i < count; ++i) {
    const std::int64_t order = times[i] == soonest ? orders[which[i]] : INT64_MAX;
    chosen = order < oldest ? which[i] : chosen;
    oldest = std::min(oldest, order);
  }
  const Candidate c{soonest, turn, oldest, 0, command_of(chosen), chosen};
  if (c.before(best)) best = c;
}

Candidate Channel::look(Slot slot, Tick from) const {
  Candidate best;
  if (pendings_ && slot != COLUMN_BUS)
    for (const auto& waiting : pending_)
      if (!waiting.empty()) {
        const Candidate c = refresh_of(waiting.front(), from);
        if (c.before(best)) best = c;
      }
  const Turn rows = policy_.scheduler == Scheduler::ROW_HIT_FIRST ? ROWS : HITS;
  if (slot != ROW_BUS) {
    owned_.each([&](int b) {
      const Candidate c = owned_of(b, from);
      if (c.before(best)) best = c;
    });
    weigh_all(best, columns_, [&](int b) { return column_command_[b]; }, HITS, column_order_, from);
  }
  if (slot != COLUMN_BUS) {
    weigh_all(best, acts_, [](int) { return ACT; }, rows, row_order_, from);
    weigh_all(best, pres_, [](int) { return PRE; }, rows, row_order_, from);
  }
  if (policy_.scheduler == Scheduler::IN_ORDER) look_at_oldest(best, slot, from);
  if (policy_.row_policy == RowPolicy::TIMEOUT && slot != COLUMN_BUS) look_at_idle_rows(best, from);
  return best;
}

// The same of one bank alone.
void Channel::look_at_bank(Candidate& best, Slot slot, int b, Tick from) const {
  const Turn rows = policy_.scheduler == Scheduler::ROW_HIT_FIRST ? ROWS : HITS;
  if (slot != ROW_BUS) {
    if (owned_.has(b)) {
      const Candidate c = owned_of(b, from);
      if (c.before(best)) best = c;
    }
    if (columns_.has(b)) weigh(best, column_command_[b], HITS, column_order_[b], b, from);
  }
  if (slot == COLUMN_BUS) return;
  if (acts_.has(b)) weigh(best, ACT, rows, row_order_[b], b, from);
  if (pres_.has(b)) weigh(best, PRE, rows, row_order_[b], b, from);
}

// FCFS: the oldest request of each queue alone, whatever it needs next.
void Channel::look_at_oldest(Candidate& best, Slot slot, Tick from) const {
  for (int q = 0; q < queues_.count(); ++q) {
    const int e = queues_.oldest(q, draining_[q]);
    if (e == NONE || held_.has(queues_[e].request.bank)) continue;
    const Request& request = queues_[e].request;
    const int row = banks_[request.bank].row;
    const bool hit = row == request.row;
    if (slot == (hit ? ROW_BUS : COLUMN_BUS)) continue;
    const Command command = hit ? (request.write ? WR : RD) : row == NONE ? ACT : PRE;
    weigh(best, command, HITS, queues_[e].order, request.bank, from);
  }
}

void Channel::look_at_idle_rows(Candidate& best, Tick from) const {
  open_.without(held_).without(owned_).each([&](int b) {
    if (banks_[b].hit[0] != NONE || banks_[b].hit[1] != NONE) return;
    weigh(best, PRE, IDLE_ROWS, b, b,
          std::max(from, banks_[b].last_column + policy_.timeout_ticks));
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
  c.time = timing_.earliest(c.command, c.bank, from);
  if (c.command == REFP)
    unit.banks.each([&](int b) { c.time = timing_.earliest(REFP, b, c.time); });
  return c;
}

Candidate Channel::owned_of(int b, Tick from) const {
  const Entry& e = queues_[banks_[b].owner];
  const Command command = e.request.write ? WR : RD;
  return {timing_.earliest(command, b, from), OWNED, e.accepted, banks_[b].owned, command, b};
}

// Whether a bank goes on serving its open row: requests wait for it, and not too many of them have
// passed an older request for another row.
bool Channel::keeps_row(const Bank& bank, bool kind) const {
  if (bank.hit[kind] == NONE) return false;
  if (policy_.scheduler != Scheduler::ROW_HIT_FIRST || policy_.most_hits == 0) return true;
  if (bank.miss[kind] == NONE || bank.passed < policy_.most_hits) return true;
  return queues_[bank.hit[kind]].order < queues_[bank.miss[kind]].order;
}

// What a bank's waiting requests of the kind that its queue serves may be given next.
void Channel::file(int b) {
  const Bank& bank = banks_[b];
  const bool kind = draining_[queues_.queue_of(b)];
  const bool free = policy_.scheduler != Scheduler::IN_ORDER && !held_.has(b);
  const bool keeps = keeps_row(bank, kind);
  const bool waits = policy_.scheduler == Scheduler::ROW_HIT_FIRST ? keeps : bank.owner != NONE;
  const int first = bank.row == NONE ? queues_.first_of(b, kind) : bank.miss[kind];
  columns_.put(b, free && keeps);
  acts_.put(b, free && bank.row == NONE && first != NONE);
  pres_.put(b, free && bank.row != NONE && first != NONE && !waits);
  column_command_[b] = kind ? WR : RD;
  if (keeps) column_order_[b] = queues_[bank.hit[kind]].order;
  if (first != NONE) row_order_[b] = queues_[first].order;
}

void Channel::file_all() {
  for (int b = 0; b < spec_->nodes[BANK]; ++b) file(b);
  stale_.fill(true);
}

// Each queue turns to its writes when many wait or no read does, and back when few do.
bool Channel::turn_queues() {
  settled_ = true;
  bool turned = false;
  for (int q = 0; q < queues_.count(); ++q) {
    if (!pending_[q].empty()) continue;
    const int reads = queues_.waiting(q, false), writes = queues_.waiting(q, true);
    const bool drain = draining_[q] ? writes > policy_.drain_to || reads == 0
                                    : writes >= policy_.drain_from || reads == 0;
    turned |= drain != static_cast<bool>(draining_[q]);
    draining_[q] = drain;
  }
  if (turned) file_all();
  return turned;
}

}  // namespace moesaic::dram
