// Which command may start next, and which of those goes first.
#include "dram/channel.hpp"

namespace moesaic::dram {

namespace {

constexpr int KEY_BITS = 43;  // 2^36 requests of a channel, and the bank
constexpr Tick MOST_DELAY = (1 << 20) - 1;

}  // namespace

inline Command Channel::command_for(Need need, int bank) const {
  if (need != COLUMN_NEED) return need == ACT_NEED ? ACT : PRE;
  return draining_[queues_.queue_of(bank)] ? WR : RD;
}

// Takes a command as the best one if it goes before it.
inline void Channel::weigh(Candidate& best, Command command, Turn turn, std::int64_t key, int bank,
                           Tick from) const {
  const Tick time = timing_.earliest(command, bank, from);
  if (time > best.time) return;
  const Candidate c{time, turn, key, 0, command, bank};
  if (c.before(best)) best = c;
}

// The same for all banks whose waiting requests need this kind of command. What comes next is hard to
// foresee, so the loop has no branch: delay and key are one number, and the lowest is wanted.
inline void Channel::weigh_all(Candidate& best, Need need, Turn turn, Tick from) const {
  std::int64_t lowest = INT64_MAX;
  needed_[need].each([&](int b) {
    const Tick delay = std::min(timing_.earliest(command_for(need, b), b, from) - from, MOST_DELAY);
    lowest = std::min(lowest, (delay << KEY_BITS) + keys_[need][b]);
  });
  if (lowest == INT64_MAX) return;
  const int bank = static_cast<int>(lowest & (MOST_BANKS - 1));
  const Tick delay = lowest >> KEY_BITS;
  if (delay == MOST_DELAY) {  // some far time
    needed_[need].each(
        [&](int b) { weigh(best, command_for(need, b), turn, keys_[need][b], b, from); });
    return;
  }
  const Candidate c{from + delay, turn, keys_[need][bank], 0, command_for(need, bank), bank};
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
  if (slot != ROW_BUS) {
    owned_.each([&](int b) {
      const Candidate c = owned_of(b, from);
      if (c.before(best)) best = c;
    });
    weigh_all(best, COLUMN_NEED, HITS, from);
  }
  if (slot != COLUMN_BUS) {
    weigh_all(best, ACT_NEED, row_turn(), from);
    weigh_all(best, PRE_NEED, row_turn(), from);
  }
  if (policy_.scheduler == Scheduler::IN_ORDER) look_at_oldest(best, slot, from);
  if (policy_.row_policy == RowPolicy::TIMEOUT && slot != COLUMN_BUS) look_at_idle_rows(best, from);
  return best;
}

// The same of one bank alone.
void Channel::look_at_bank(Candidate& best, Slot slot, int b, Tick from) const {
  if (slot != ROW_BUS && owned_.has(b)) {
    const Candidate c = owned_of(b, from);
    if (c.before(best)) best = c;
  }
  for (const Need need : {COLUMN_NEED, ACT_NEED, PRE_NEED}) {
    if (!needed_[need].has(b) || slot == (need == COLUMN_NEED ? ROW_BUS : COLUMN_BUS)) continue;
    const Turn turn = need == COLUMN_NEED ? HITS : row_turn();
    weigh(best, command_for(need, b), turn, keys_[need][b], b, from);
  }
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
    weigh(best, command, HITS, queues_[e].order * MOST_BANKS, request.bank, from);
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
  const bool open = bank.row != NONE;
  set_need(COLUMN_NEED, b, free && keeps ? bank.hit[kind] : NONE);
  set_need(ACT_NEED, b, free && !open ? first : NONE);
  set_need(PRE_NEED, b, free && open && !waits ? first : NONE);
}

// Keys are in the order of acceptance and tell the bank.
inline void Channel::set_need(Need need, int b, int entry) {
  needed_[need].put(b, entry != NONE);
  if (entry != NONE) keys_[need][b] = queues_[entry].order * MOST_BANKS + b;
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
