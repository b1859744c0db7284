// Which command may start next, and which of those goes first.
#include "dram/channel.hpp"

namespace moesaic::dram {

namespace {

constexpr int KEY_BITS = 43;  // 2^36 requests of a channel, and the bank
constexpr Tick MOST_DELAY = (1 << 20) - 1;

}  // namespace

Candidate Channel::candidate(Command command, Turn turn, std::int64_t key, int bank,
                             Tick from) const {
  return {timing_.earliest(command, bank, from), rank_of(turn, key), 0, command,
          static_cast<std::int16_t>(bank)};
}

// The request that a bank was opened for.
inline Candidate Channel::owned_of(int b, Tick from) const {
  const Entry& e = queues_[banks_[b].owner];
  Candidate c = candidate(e.request.write ? WR : RD, OWNED, e.accepted, b, from);
  c.tie = banks_[b].owned;
  return c;
}

// The first of those requests.
inline Candidate Channel::first_owned(Tick from) const {
  Candidate best;
  owned_.each([&](int b) {
    const Candidate c = owned_of(b, from);
    if (c.before(best)) best = c;
  });
  return best;
}

// The first of the banks whose waiting requests need this command.
inline Candidate Channel::first_of(Command command, Turn turn, Tick from) const {
  const BankSet& banks = needed_[command];
  if (banks.empty()) return {};
  const std::int64_t* const keys = keys_[command < RD].data();
  const std::int64_t lowest = timing_.lowest(command, banks, keys, KEY_BITS, from, MOST_DELAY);
  if (lowest >> KEY_BITS == MOST_DELAY) return first_far(command, turn, from);
  const std::int64_t key = lowest & ((std::int64_t{1} << KEY_BITS) - 1);
  return {from + (lowest >> KEY_BITS), rank_of(turn, key), 0, command,
          static_cast<std::int16_t>(key & (MOST_BANKS - 1))};
}

Candidate Channel::first_far(Command command, Turn turn, Tick from) const {
  Candidate best;
  needed_[command].each([&](int b) {
    const Candidate c = candidate(command, turn, keys_[command < RD][b], b, from);
    if (c.before(best)) best = c;
  });
  return best;
}

Candidate Channel::look(Slot slot, Tick from) const {
  Candidate best;
  const auto weigh = [&](const Candidate& c) {
    if (c.before(best)) best = c;
  };
  if (slot != ROW_BUS) {
    weigh(first_owned(from));
    weigh(first_of(RD, HITS, from));
    weigh(first_of(WR, HITS, from));
  }
  if (slot != COLUMN_BUS) {
    weigh(first_of(ACT, row_turn(), from));
    weigh(first_of(PRE, row_turn(), from));
    if (pendings_) weigh(first_refresh(from));
    if (policy_.row_policy == RowPolicy::TIMEOUT) weigh(first_idle_row(from));
  }
  if (policy_.scheduler == Scheduler::IN_ORDER) weigh(first_oldest(slot, from));
  for (int u = 0; u < static_cast<int>(units_.size()); ++u)
    weigh(look_at_unit(u, slot, false, from));
  return best;
}

// The same of one bank alone.
Candidate Channel::look_at_bank(Slot slot, int b, Tick from) const {
  Candidate best;
  if (slot != ROW_BUS && owned_.has(b)) best = owned_of(b, from);
  for (const Command command : {ACT, PRE, RD, WR}) {
    const bool row = command < RD;
    if (!needed_[command].has(b) || slot == (row ? COLUMN_BUS : ROW_BUS)) continue;
    const Candidate c = candidate(command, row ? row_turn() : HITS, keys_[row][b], b, from);
    if (c.before(best)) best = c;
  }
  return best;
}

// FCFS: the oldest request of each queue alone, whatever it needs next.
Candidate Channel::first_oldest(Slot slot, Tick from) const {
  Candidate best;
  for (int q = 0; q < queues_.count(); ++q) {
    const int e = queues_.oldest(q, draining_[q]);
    if (e == NONE) continue;
    const Request& request = queues_[e].request;
    if (shut_.has(request.bank) || !invited(request.bank, e)) continue;
    const int row = banks_[request.bank].row;
    const bool hit = row == request.row;
    if (slot == (hit ? ROW_BUS : COLUMN_BUS)) continue;
    const Command command = hit ? (request.write ? WR : RD) : row == NONE ? ACT : PRE;
    const Candidate c =
        candidate(command, HITS, queues_[e].order * MOST_BANKS, request.bank, from);
    if (c.before(best)) best = c;
  }
  return best;
}

Candidate Channel::first_idle_row(Tick from) const {
  Candidate best;
  open_.without(shut_).without(owned_).each([&](int b) {
    if (banks_[b].hit[0] != NONE || banks_[b].hit[1] != NONE) return;
    const Tick idle = banks_[b].last_column + policy_.timeout_ticks;
    const Candidate c = candidate(PRE, IDLE_ROWS, b, b, std::max(from, idle));
    if (c.before(best)) best = c;
  });
  return best;
}

Candidate Channel::first_refresh(Tick from) const {
  Candidate best;
  for (const auto& waiting : pending_) {
    if (waiting.empty()) continue;
    const Candidate c = refresh_of(waiting.front(), from);
    if (c.before(best)) best = c;
  }
  return best;
}

// A rank is refreshed when its banks are closed; banks that own a request stay open for it.
Candidate Channel::refresh_of(const Refreshed& unit, Tick from) const {
  if (!unit.banks.both(gang_open_).empty()) return {};  // its unit closes them first
  const BankSet open = unit.banks.both(open_);
  if (open.empty()) {
    Candidate c = candidate(unit.whole ? REF : REFP, REFRESHES, 0, unit.first, from);
    if (!unit.whole)
      unit.banks.each([&](int b) { c.time = timing_.earliest(REFP, b, c.time); });
    return c;
  }
  const int bank = unit.whole ? unit.first : open.first();
  if (unit.whole ? !open.both(owned_).empty() : owned_.has(bank)) return {};
  return candidate(unit.whole ? PREA : PRE, REFRESHES, 0, bank, from);
}

// Whether a bank goes on serving its open row: requests wait for it, and not too many of them have
// passed an older request for another row.
bool Channel::keeps_row(const Bank& bank, bool kind) const {
  if (bank.hit[kind] == NONE) return false;
  if (policy_.scheduler != Scheduler::ROW_HIT_FIRST || policy_.most_hits == 0) return true;
  if (bank.miss[kind] == NONE || bank.passed < policy_.most_hits) return true;
  return queues_[bank.hit[kind]].order < queues_[bank.miss[kind]].order;
}

// What a bank's waiting requests of the kind that its queue serves may be given next. Keys are in
// the order of acceptance and tell the bank.
void Channel::file(int b) {
  const Bank& bank = banks_[b];
  const bool kind = draining_[queues_.queue_of(b)];
  const bool free = policy_.scheduler != Scheduler::IN_ORDER && !shut_.has(b);
  const bool open = bank.row != NONE;
  const bool keeps = keeps_row(bank, kind) && invited(b, bank.hit[kind]);
  const bool waits = policy_.scheduler == Scheduler::ROW_HIT_FIRST ? keeps : bank.owner != NONE;
  const int first = open ? bank.miss[kind] : queues_.first_of(b, kind);
  const bool row = free && first != NONE && !(open && waits) && invited(b, first);
  needed_[RD].put(b, free && keeps && !kind);
  needed_[WR].put(b, free && keeps && kind);
  needed_[ACT].put(b, row && !open);
  needed_[PRE].put(b, row && open);
  if (keeps) keys_[0][b] = queues_[bank.hit[kind]].order * MOST_BANKS + b;
  if (row) keys_[1][b] = queues_[first].order * MOST_BANKS + b;
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
