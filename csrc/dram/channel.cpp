#include "dram/channel.hpp"

#include <stdexcept>

namespace moesaic::dram {

Channel::Channel(std::shared_ptr<const Plan> plan, const Policy& policy, Outcome outcome,
                 bool record, const Programs& programs)
    : spec_(&plan->spec),
      policy_(policy),
      outcome_(outcome),
      recording_(record),
      timing_(std::move(plan)),
      queues_(*spec_, policy),
      banks_(spec_->nodes[BANK]),
      draining_(queues_.count(), 0),
      pending_(queues_.count()),
      refresh_due_(policy.refresh == Refresh::OFF ? NEVER : policy.refresh_interval(*spec_) - 1),
      last_refresh_(spec_->nodes[RANK], 0) {
  for (const Program& program : programs)
    units_.push_back({program, 0, {}, NONE, std::vector<std::int64_t>(spec_->gangs.in_rank, 0)});
}

bool Channel::offer(const Request& request, Tick t) {
  if (full(request) && !queues_.waiting(queues_.queue_of(request.bank), true)) return false;
  if (queues_.holds_write_to(request)) {  // the read gets its data; the write replaces it
    outcome_.accepted[request.id] = t;
    outcome_.issue[request.id] = -1;
    outcome_.finish[request.id] = t + 1;
    ++(request.write ? totals_.coalesced : totals_.forwarded);
    return true;
  }
  if (full(request)) return false;
  if (idle()) served_ = t;
  const bool kind = request.write;
  const int e = queues_.add(request, t), q = queues_.queue_of(request.bank);
  outcome_.accepted[request.id] = t;
  settled_ &= kind ? draining_[q] || queues_.waiting(q, true) < policy_.drain_from : !draining_[q];
  Bank& bank = banks_[request.bank];
  if (bank.row == NONE) {
    if (queues_.first_of(request.bank, kind) != e) return true;
  } else {
    int& first = bank.row == request.row ? bank.hit[kind] : bank.miss[kind];
    if (first != NONE) return true;
    first = e;
  }
  file(request.bank);
  for (const Slot slot : {COLUMN_BUS, ROW_BUS, SHARED_BUS})
    look_again(slot, COMMANDS, request.bank, now_ + 1);
  return true;
}

bool Channel::step(Tick limit) {
  if (now_ + 1 >= limit) return false;
  if (idle()) skip_idle_refreshes(limit);
  if (!units_.empty()) take_rows();
  Tick next = next_event();
  if (next > now_ + 1 && settle()) {  // queues turn at a tick without commands
    next = next_event();
    if (next > now_ + 1 && !units_.empty()) {  // which may let a gang go on
      ++now_;
      return true;
    }
  }
  if (next >= limit) {
    now_ = limit - 1;
    return false;
  }
  if (outcome_.stop->load(std::memory_order_relaxed)) throw Stopped{};
  const Tick patience = PATIENCE * (spec_->refresh_ticks + spec_->longest_rule);
  if (!idle() && next - served_ > patience) throw std::runtime_error(STARVED);
  tick(next);
  return true;
}

// A channel that has had nothing to do for some refreshes goes on so: all but the last are counted.
void Channel::skip_idle_refreshes(Tick limit) {
  const Tick interval = spec_->refresh_ticks;
  if (policy_.refresh != Refresh::ALL_BANK || recording_ || pendings_ || !open_.empty() ||
      limit >= NEVER || now_ - served_ < 4 * interval || limit - refresh_due_ < 8 * interval)
    return;
  const Tick skipped = (limit - refresh_due_) / interval - 4;
  totals_.commands[REF] += skipped * spec_->nodes[RANK];
  refresh_turn_ += skipped;
  refresh_due_ += skipped * interval;
  for (Tick& last : last_refresh_) last += skipped * interval;
  now_ += skipped * interval;
  timing_.shift(skipped * interval);
  stale_.fill(true);
}

Tick Channel::next_event() {
  Tick next = refresh_due_;
  for (int slot = spec_->shared_bus ? SHARED_BUS : COLUMN_BUS;
       slot <= (spec_->shared_bus ? SHARED_BUS : ROW_BUS); ++slot) {
    refresh_best(static_cast<Slot>(slot), now_ + 1);
    next = std::min(next, best_[slot].time);
  }
  if (units_.empty() || !spec_->gangs.own_bus) return next;
  for (int u = 0; u < static_cast<int>(units_.size()); ++u)
    for (const Slot slot : {COLUMN_BUS, ROW_BUS})
      next = std::min(next, look_at_unit(u, slot, true, now_ + 1).time);
  return next;
}

void Channel::refresh_best(Slot slot, Tick from) {
  if (!stale_[slot]) return;
  best_[slot] = look(slot, from);
  stale_[slot] = false;
}

void Channel::tick(Tick t) {
  if (t == refresh_due_) begin_refreshes();
  if (spec_->shared_bus) {
    try_slot(SHARED_BUS, t);
  } else {
    try_slot(COLUMN_BUS, t);
    try_slot(ROW_BUS, t);
  }
  if (!units_.empty()) try_own_buses(t);
  now_ = t;
}

void Channel::try_slot(Slot slot, Tick t) {
  refresh_best(slot, t);
  const bool at_once = best_[slot].time == t && turn_of(best_[slot]) <= OWNED;
  if (!at_once && settle()) refresh_best(slot, t);
  if (best_[slot].time == t) start(best_[slot], slot, t);
}

// After command c at this bank, or a request for it: what may start next, where that has changed.
// Commands only delay others, so the best one stays so unless it was delayed itself.
void Channel::look_again(Slot slot, Command c, int bank, Tick from) {
  if (stale_[slot]) return;
  const Candidate& best = best_[slot];
  const bool simple = policy_.scheduler != Scheduler::IN_ORDER &&
                      policy_.row_policy != RowPolicy::TIMEOUT && shut_.empty() &&
                      units_.empty();
  if (!simple || best.bank == bank || (c != COMMANDS && spec_->reaches[c][best.command])) {
    stale_[slot] = true;
    return;
  }
  if (c == PRE) return;  // a closed row gives the column bus nothing new
  const Candidate found = look_at_bank(slot, bank, from);
  if (found.before(best)) best_[slot] = found;
}

void Channel::begin_refreshes() {
  const int per_rank = spec_->banks[RANK];
  for (int rank = 0; rank < spec_->nodes[RANK]; ++rank) {
    Refreshed unit{policy_.refresh == Refresh::ALL_BANK, {}, rank * per_rank};
    if (unit.whole) {
      for (int b = 0; b < per_rank; ++b) unit.banks.put(unit.first + b, true);
    } else {  // one bank, or the bank of this number in every group of a stack id
      const int together = spec_->refresh_together, in_group = spec_->banks[GROUP];
      const int units = per_rank / together, turn = static_cast<int>(refresh_turn_ % units);
      unit.first += together == 1 ? turn : turn / in_group * together * in_group + turn % in_group;
      for (int i = 0; i < together; ++i) unit.banks.put(unit.first + i * in_group, true);
    }
    pending_[queues_.queue_of(unit.first)].push_back(unit);
  }
  ++refresh_turn_;
  refresh_due_ += policy_.refresh_interval(*spec_);
  hold();
}

// Banks that wait for a refresh take no new commands; FIRST_READY stops their whole queue.
void Channel::hold() {
  held_ = refreshing_ = {};
  pendings_ = 0;
  settled_ = false;
  for (int b = 0; b < spec_->nodes[BANK]; ++b)
    if (policy_.scheduler == Scheduler::FIRST_READY && !pending_[queues_.queue_of(b)].empty())
      held_.put(b, true);
  for (const auto& waiting : pending_)
    for (const Refreshed& unit : waiting) {
      refreshing_ = refreshing_.either(unit.banks);
      ++pendings_;
    }
  held_ = held_.either(refreshing_);
  shut_ = held_.either(gang_held_);
  file_all();
}

void Channel::start(const Candidate& best, Slot slot, Tick t) {
  const Candidate chosen = best;
  if (turn_of(chosen) == GANGS) return start_for_gang(chosen, t);
  switch (chosen.command) {
    case ACT:
      open(chosen, t);
      break;
    case PRE:
      note(PRE, chosen.bank, NONE, t);
      close(chosen.bank);
      break;
    case PREA:
      note(PREA, chosen.bank, NONE, t);
      for (int b = 0; b < spec_->banks[RANK]; ++b) close(chosen.bank + b);
      break;
    case REF:
    case REFP:
      refreshed(chosen, t);
      break;
    default:
      access(chosen, t);
  }
  stale_[slot] = true;
  if (slot == COLUMN_BUS) look_again(ROW_BUS, chosen.command, chosen.bank, t);
  if (slot == ROW_BUS) look_again(COLUMN_BUS, chosen.command, chosen.bank, t + 1);
}

void Channel::note(Command c, int bank, int row, Tick t) {
  timing_.start(c, bank, t);
  ++totals_.commands[c];
  if (recording_) totals_.record.push_back({t, c, bank, row});
}

void Channel::open(const Candidate& chosen, Tick t) {
  Bank& bank = banks_[chosen.bank];
  const int entry = queues_.first_of(chosen.bank, draining_[queues_.queue_of(chosen.bank)]);
  const int row = queues_[entry].request.row;
  note(ACT, chosen.bank, row, t);
  bank.row = row;
  bank.passed = 0;
  bank.last_column = t;
  open_.put(chosen.bank, true);
  if (policy_.scheduler == Scheduler::FIRST_READY) {
    take(entry);
    bank.owner = entry;
    bank.owned = owners_++;
    owned_.put(chosen.bank, true);
  }
  for (int kind = 0; kind < 2; ++kind) {
    bank.hit[kind] = queues_.find(queues_.first_of(chosen.bank, kind), row, true);
    bank.miss[kind] = queues_.find(queues_.first_of(chosen.bank, kind), row, false);
  }
  file(chosen.bank);
}

// Out of its queue, which turns when it serves its last read or has few writes left.
void Channel::take(int entry) {
  const int q = queues_.queue_of(queues_[entry].request.bank);
  queues_.take(entry);
  settled_ &= draining_[q] ? queues_.waiting(q, true) > policy_.drain_to
                           : queues_.waiting(q, false) > 0;
}

void Channel::access(const Candidate& chosen, Tick t) {
  Bank& bank = banks_[chosen.bank];
  const bool kind = chosen.command == WR;
  const bool owned = turn_of(chosen) == OWNED;
  const int served = owned ? bank.owner : bank.hit[kind];
  const Entry& entry = queues_[served];
  if (owned) {
    bank.owner = NONE;
    owned_.put(chosen.bank, false);
  } else {
    const int miss = bank.miss[kind];
    if (policy_.most_hits && miss != NONE && queues_[miss].order < entry.order) ++bank.passed;
    bank.hit[kind] = queues_.find(entry.bank_next, bank.row, true);
    take(served);
  }
  Command c = chosen.command;
  const bool last = bank.hit[0] == NONE && bank.hit[1] == NONE && bank.owner == NONE;
  const Command closing = kind ? WRA : RDA;
  if (policy_.row_policy == RowPolicy::CLOSED && last &&
      timing_.earliest(closing, chosen.bank, t) == t)
    c = closing;
  note(c, chosen.bank, bank.row, t);
  bank.last_column = served_ = t;
  const Tick done = t + (kind ? spec_->write_ticks : spec_->read_ticks);
  outcome_.issue[entry.request.id] = t;
  outcome_.finish[entry.request.id] = done;
  totals_.last_data = std::max(totals_.last_data, done);
  queues_.release(served);
  if (c == closing) close(chosen.bank);
  else file(chosen.bank);
}

void Channel::close(int b) {
  Bank& bank = banks_[b];
  bank.row = NONE;
  for (int kind = 0; kind < 2; ++kind) bank.hit[kind] = bank.miss[kind] = NONE;
  open_.put(b, false);
  file(b);
}

void Channel::refreshed(const Candidate& chosen, Tick t) {
  auto& waiting = pending_[queues_.queue_of(chosen.bank)];
  const Refreshed unit = waiting.front();
  waiting.pop_front();
  note(chosen.command, chosen.bank, NONE, t);
  if (!unit.whole)
    unit.banks.each([&](int b) {
      if (b != unit.first) timing_.start(REFP, b, t);
    });
  Tick& last = last_refresh_[spec_->rank_of(chosen.bank)];
  totals_.largest_refresh_gap = std::max(totals_.largest_refresh_gap, t - last);
  last = t;
  hold();
}

}  // namespace moesaic::dram
