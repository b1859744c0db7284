// The plain reference's PIM units: every unit, row in hand and bank is looked at, every tick.
#include "dram/plain.hpp"

namespace moesaic::dram {

std::vector<int> PlainChannel::banks_of(int unit, int gang) const {
  std::vector<int> banks;
  spec_->gangs.banks[unit * spec_->gangs.in_rank + gang].each([&](int b) { banks.push_back(b); });
  return banks;
}

std::vector<int> PlainChannel::shut_by(int unit, int gang) const {
  std::vector<int> banks;
  spec_->gangs.shuts[unit * spec_->gangs.in_rank + gang].each([&](int b) { banks.push_back(b); });
  return banks;
}

bool PlainChannel::gang_holds(int bank) const {
  const Reader& reader = readers_.at(spec_->rank_of(bank));
  for (const Row& row : reader.hand)
    for (int b : shut_by(spec_->rank_of(bank), row.gang))
      if (b == bank) return true;
  return false;
}

bool PlainChannel::gang_open(int bank) const {
  for (const Reader& reader : readers_)
    for (const Row& row : reader.hand)
      for (int b : row.open)
        if (b == bank) return true;
  return false;
}

bool PlainChannel::refresh_waits(const std::vector<int>& banks) const {
  for (const Queue& queue : queues_)
    for (const auto& unit : queue.refreshes)
      for (int refreshed : unit)
        for (int b : banks)
          if (b == refreshed) return true;
  return false;
}

// Whether a request may go to its bank as far as the units are concerned.
bool PlainChannel::invited(const Waiting& w) const {
  if (readers_.empty()) return true;
  const int bank = w.request.bank, rank = spec_->rank_of(bank);
  if (gang_holds(bank)) return false;
  const Reader& reader = readers_[rank];
  if (reader.wanted < 0) return true;
  for (int b : shut_by(rank, reader.wanted))
    if (b == bank) return w.order < reader.guests[reader.wanted];
  return true;
}

void PlainChannel::take_rows() {
  for (int u = 0; u < static_cast<int>(readers_.size()); ++u) {
    Reader& reader = readers_[u];
    reader.wanted = -1;
    for (; reader.next < reader.program.size(); ++reader.next) {
      const auto [gang, row] = reader.program[reader.next];
      int unread = 0;
      bool in_hand = false, guests = false;
      for (const Row& held : reader.hand) {
        unread += held.columns < spec_->gangs.columns;
        in_hand |= held.gang == gang;
      }
      if (unread == MOST_OPEN || in_hand) break;
      for (int b : shut_by(u, gang)) {
        const Queue& queue = queue_with(b);
        for (const Waiting& w : queue.line[queue.draining])
          guests |= w.request.bank == b && w.order < reader.guests[gang];
      }
      if (guests) {
        reader.wanted = gang;
        break;
      }
      reader.hand.push_back({gang, row, 0, {}});
    }
  }
}

bool PlainChannel::serve_gangs(Bus bus, bool own, Tick t) {
  for (int u = 0; u < static_cast<int>(readers_.size()); ++u)
    if (serve_reader(u, bus, own, t)) return true;
  return false;
}

bool PlainChannel::serve_reader(int u, Bus bus, bool own, Tick t) {
  const Gangs& gangs = spec_->gangs;
  bool first_unread = true;
  for (Row& row : readers_[u].hand) {
    const std::vector<int> banks = banks_of(u, row.gang);
    const bool read = row.columns == gangs.columns, refresh = refresh_waits(banks);
    if (bus != COLUMN) {
      if (read || (refresh && !row.open.empty())) {
        if (own == gangs.own_bus && start_gang(PREG, u, row, t)) return true;
      } else if (!refresh && open_row(u, row, own, t)) {
        return true;
      }
    }
    if (read) continue;
    const bool may_read = first_unread && !refresh && row.open.size() == banks.size();
    first_unread = false;
    if (bus != ROW && own == gangs.own_bus && may_read && start_gang(RDG, u, row, t)) return true;
  }
  return false;
}

bool PlainChannel::open_row(int u, Row& row, bool own, Tick t) {
  const Gangs& gangs = spec_->gangs;
  bool clear = true;
  for (int b : banks_of(u, row.gang)) {
    const bool left_open = banks_[b].row >= 0;
    clear &= !left_open;
    if (own || banks_[b].owned || gang_open(b)) continue;
    if (left_open && may_start(PRE, b, t)) {
      start(PRE, b, -1, t);
      banks_[b].row = -1;
      return true;
    }
    if (!left_open && !gangs.broadcast && may_start(ACT, b, t)) {
      start(ACT, b, row.row, t);
      row.open.push_back(b);
      return true;
    }
  }
  return clear && gangs.broadcast && row.open.empty() && own == gangs.own_bus &&
         start_gang(ACTG, u, row, t);
}

bool PlainChannel::start_gang(Command c, int u, Row& row, Tick t) {
  const std::vector<int> banks = banks_of(u, row.gang);
  for (int b : banks)
    if (!may_start(c, b, t)) return false;
  for (int b : banks) timing_.start(c, b, t);
  ++totals_.commands[c];
  if (recording_) totals_.record.push_back({t, c, banks[0], c == PREG ? -1 : row.row});
  if (c == ACTG) row.open = banks;
  if (c == RDG) {
    ++row.columns;
    served_ = t;
    totals_.last_data = std::max(totals_.last_data, t + spec_->read_ticks);
  }
  if (c != PREG) return true;
  row.open.clear();
  if (row.columns < spec_->gangs.columns) return true;
  Reader& reader = readers_[u];
  reader.guests[row.gang] = orders_;
  reader.hand.erase(reader.hand.begin() + (&row - reader.hand.data()));
  return true;
}

}  // namespace moesaic::dram
