// A channel's PIM units: which rows they take in hand, and which command of theirs may start next.
#include "dram/channel.hpp"

namespace moesaic::dram {

namespace {

constexpr std::int64_t ROWS = 64, NAMES = MOST_BANKS;  // in a key: rows in hand, banks

}  // namespace

const BankSet& Channel::banks_of(int unit, int gang) const {
  return spec_->gangs.banks[unit * spec_->gangs.in_rank + gang];
}

const BankSet& Channel::shut_by(int unit, int gang) const {
  return spec_->gangs.shuts[unit * spec_->gangs.in_rank + gang];
}

bool Channel::all_read(const Unit::Held& held) const {
  return held.columns == spec_->gangs.columns;
}

// Whether requests still wait that go before the next row of a gang: of those accepted before its
// last one was closed, those of the kind that their queue now serves.
bool Channel::has_guests(int unit, int gang) const {
  bool found = false;
  shut_by(unit, gang).each([&](int b) {
    const int first = queues_.first_of(b, draining_[queues_.queue_of(b)]);
    found |= first != NONE && queues_[first].order < units_[unit].guests[gang];
  });
  return found;
}

// Rows that the units take in hand before the next tick. A gang that is wanted takes its guests
// alone, until they are served.
void Channel::take_rows() {
  for (int u = 0; u < static_cast<int>(units_.size()); ++u) {
    Unit& unit = units_[u];
    const int wanted = unit.wanted;
    std::size_t open = 0;
    for (const Unit::Held& held : unit.hand) open += !all_read(held);
    const std::size_t before = unit.next;
    unit.wanted = NONE;
    while (open < MOST_OPEN && unit.next < unit.program.size()) {
      const auto [gang, row] = unit.program[unit.next];
      if (unit.holds(gang)) break;
      if (has_guests(u, gang)) {
        unit.wanted = gang;
        break;
      }
      unit.hand.push_back({gang, row, 0, {}});
      ++unit.next;
      ++open;
    }
    if (unit.next != before || unit.wanted != wanted) shut();
  }
}

// The banks that are shut for the host, and those that only guests may use.
void Channel::shut() {
  gang_held_ = gang_open_ = wanted_ = {};
  for (int u = 0; u < static_cast<int>(units_.size()); ++u) {
    const Unit& unit = units_[u];
    for (const Unit::Held& held : unit.hand) {
      gang_held_ = gang_held_.either(shut_by(u, held.gang));
      gang_open_ = gang_open_.either(held.open);
    }
    if (unit.wanted == NONE) continue;
    wanted_ = wanted_.either(shut_by(u, unit.wanted));
    shut_by(u, unit.wanted).each([&](int b) { guests_before_[b] = unit.guests[unit.wanted]; });
  }
  shut_ = held_.either(gang_held_);
  file_all();
}

// What a unit may start first on a bus: its own, or the channel's.
Candidate Channel::look_at_unit(int u, Slot slot, bool own, Tick from) const {
  Candidate best;
  const Unit& unit = units_[u];
  bool reads = slot != ROW_BUS && own == spec_->gangs.own_bus;
  for (std::size_t i = 0; i < unit.hand.size(); ++i) {
    const std::int64_t key = (u * ROWS + i) * NAMES;
    if (slot != COLUMN_BUS) {
      const Candidate c = row_command(u, unit.hand[i], own, key, from);
      if (c.before(best)) best = c;
    }
    if (all_read(unit.hand[i])) continue;
    if (reads) {
      const Candidate c = read_command(u, unit.hand[i], key, from);
      if (c.before(best)) best = c;
    }
    reads = false;  // rows are read in order
  }
  return best;
}

Candidate Channel::gang_candidate(Command command, const BankSet& banks, std::int64_t key,
                                  Tick from) const {
  return {timing_.earliest(command, banks, from), rank_of(GANGS, key), 0, command,
          static_cast<std::int16_t>(banks.first())};
}

Candidate Channel::read_command(int u, const Unit::Held& held, std::int64_t key,
                                Tick from) const {
  const BankSet& banks = banks_of(u, held.gang);
  if (!banks.without(held.open).empty() || !banks.both(refreshing_).empty()) return {};
  return gang_candidate(RDG, banks, key, from);
}

// Closes a row that is read or in the way of a refresh; else opens it, and before that what the
// host left open. What concerns single banks goes over the host's bus.
Candidate Channel::row_command(int u, const Unit::Held& held, bool own, std::int64_t key,
                               Tick from) const {
  const BankSet& banks = banks_of(u, held.gang);
  const bool here = own == spec_->gangs.own_bus;
  const bool refresh = !banks.both(refreshing_).empty();
  if (all_read(held) || (refresh && !held.open.empty()))
    return here ? gang_candidate(PREG, banks, key, from) : Candidate{};
  if (refresh) return {};
  const BankSet in_way = banks.both(open_);
  if (in_way.empty() && spec_->gangs.broadcast)
    return here && held.open.empty() ? gang_candidate(ACTG, banks, key, from) : Candidate{};
  Candidate best;
  if (own) return best;
  banks.without(held.open).without(owned_).each([&](int b) {
    const bool left = in_way.has(b);
    if (!left && spec_->gangs.broadcast) return;
    const Candidate c = candidate(left ? PRE : ACT, GANGS, key + b, b, from);
    if (c.before(best)) best = c;
  });
  return best;
}

void Channel::try_own_buses(Tick t) {
  if (!spec_->gangs.own_bus) return;
  for (int u = 0; u < static_cast<int>(units_.size()); ++u)
    for (const Slot slot : {COLUMN_BUS, ROW_BUS}) {
      const Candidate c = look_at_unit(u, slot, true, t);
      if (c.time == t) start_for_gang(c, t);
    }
}

// A command of a unit; PRE and ACT of single banks among them.
void Channel::start_for_gang(const Candidate& c, Tick t) {
  stale_.fill(true);
  const int u = spec_->rank_of(c.bank);
  Unit& unit = units_[u];
  std::size_t i = 0;
  while (!banks_of(u, unit.hand[i].gang).has(c.bank)) ++i;
  Unit::Held& held = unit.hand[i];
  const BankSet& banks = banks_of(u, held.gang);
  if (c.command == PRE) {
    note(PRE, c.bank, NONE, t);
    return close(c.bank);
  }
  if (c.command == ACT) {
    note(ACT, c.bank, held.row, t);
    held.open.put(c.bank, true);
    return shut();
  }
  timing_.start(c.command, banks, t);
  ++totals_.commands[c.command];
  const int row = c.command == PREG ? NONE : held.row;
  if (recording_) totals_.record.push_back({t, c.command, c.bank, row});
  if (c.command == RDG) {
    ++held.columns;
    served_ = t;
    totals_.last_data = std::max(totals_.last_data, t + spec_->read_ticks);
    return;
  }
  held.open = c.command == ACTG ? banks : BankSet{};
  if (c.command == PREG && all_read(held)) {
    unit.guests[held.gang] = queues_.next_order();
    unit.hand.erase(unit.hand.begin() + static_cast<std::ptrdiff_t>(i));
  }
  shut();
}

}  // namespace moesaic::dram
