// One channel: its controller and its banks, moved from event to event.
#pragma once

#include <deque>
#include <utility>

#include "dram/gangs.hpp"
#include "dram/queues.hpp"
#include "dram/timing.hpp"

namespace moesaic::dram {

// What may start next on a command bus. Of those that may start at the same tick the lowest (rank,
// tie) goes first.
struct Candidate {
  Tick time = NEVER;
  std::int64_t rank = INT64_MAX, tie = 0;
  Command command = ACT;
  std::int16_t bank = 0;

  bool before(const Candidate& other) const {
    if (time != other.time) return time < other.time;
    return rank != other.rank ? rank < other.rank : tie < other.tie;
  }
};

class RowNames;

class Channel {
 public:
  Channel(std::shared_ptr<const Plan> plan, const Policy& policy, Outcome outcome, bool record,
          const Programs& programs = {});

  // Takes a request before tick t, all events before t being done; false: its queue is full.
  bool offer(const Request& request, Tick t);
  bool full(const Request& request) const { return queues_.full(request.bank, request.write); }
  // Goes to the next event, if it lies before `limit`; else to the limit, with false.
  bool step(Tick limit);
  void run_until(Tick limit) {
    while (step(limit)) {
    }
  }
  // The next tick that has not been done.
  Tick next_tick() const { return now_ + 1; }
  // No request waits, and the units have read all their rows.
  bool idle() const {
    return queues_.empty() &&
           std::all_of(units_.begin(), units_.end(), [](const Unit& unit) { return unit.done(); });
  }
  const Totals& totals() const { return totals_; }

  // memo.cpp. The state as far as it decides what follows, refreshes that are not yet due apart.
  void describe(std::vector<std::int32_t>& key, RowNames& names) const;
  void describe_refresh(std::vector<std::int32_t>& key) const;
  bool refreshing() const { return pendings_ > 0; }
  Tick refresh_due() const { return refresh_due_; }
  std::int64_t refreshes_begun() const { return refresh_turn_; }
  // Becomes what `end` was, `by` ticks later and with the rows of here in place of those of there.
  void become(const Channel& end, Tick by, bool refreshed, const RowNames& here,
              const RowNames& there);
  Totals take_totals() { return std::exchange(totals_, {}); }
  void add_totals(const Totals& more);

 private:
  enum Slot { COLUMN_BUS, ROW_BUS, SHARED_BUS };
  enum Turn { GANGS, OWNED, REFRESHES, HITS, ROWS, IDLE_ROWS };
  // Keys are orders of acceptance (with the bank) or ticks, below 2^48.
  static std::int64_t rank_of(Turn turn, std::int64_t key) {
    return (static_cast<std::int64_t>(turn) << 48) + key;
  }
  static Turn turn_of(const Candidate& c) { return static_cast<Turn>(c.rank >> 48); }

  struct Bank {
    int row = NONE;          // open
    int owner = NONE;        // the entry for which FIRST_READY opened the row
    std::int64_t owned = 0;  // when, among all owners
    int hit[2] = {NONE, NONE};   // the oldest entry of each kind that wants the row
    int miss[2] = {NONE, NONE};  // and that wants another
    int passed = 0;              // hits that went before an older miss
    Tick last_column = 0;
  };
  struct Refreshed {  // a rank, or banks of it
    bool whole;
    BankSet banks;
    int first;
  };

  void describe_requests(std::vector<std::int32_t>& key, RowNames& names) const;  // memo.cpp

  // scheduler.cpp
  Candidate look(Slot slot, Tick from) const;
  Candidate look_at_bank(Slot slot, int bank, Tick from) const;
  Candidate owned_of(int bank, Tick from) const;
  Candidate first_owned(Tick from) const;
  Candidate first_of(Command command, Turn turn, Tick from) const;
  Candidate first_far(Command command, Turn turn, Tick from) const;
  Candidate first_oldest(Slot slot, Tick from) const;
  Candidate first_idle_row(Tick from) const;
  Candidate first_refresh(Tick from) const;
  Candidate refresh_of(const Refreshed& unit, Tick from) const;
  Candidate candidate(Command command, Turn turn, std::int64_t key, int bank, Tick from) const;
  Turn row_turn() const { return policy_.scheduler == Scheduler::ROW_HIT_FIRST ? ROWS : HITS; }
  bool keeps_row(const Bank& bank, bool kind) const;
  void file(int bank);
  void file_all();
  bool settle() { return !settled_ && turn_queues(); }
  bool turn_queues();

  // gangs.cpp
  const BankSet& banks_of(int unit, int gang) const;
  const BankSet& shut_by(int unit, int gang) const;
  bool all_read(const Unit::Held& held) const;
  bool has_guests(int unit, int gang) const;
  // Whether a request may go before the next row of the gang that waits for this bank, if one does.
  bool invited(int bank, int entry) const {
    return units_.empty() || !wanted_.has(bank) || queues_[entry].order < guests_before_[bank];
  }
  void take_rows();
  void shut();
  Candidate look_at_unit(int unit, Slot slot, bool own, Tick from) const;
  Candidate gang_candidate(Command command, const BankSet& banks, std::int64_t key,
                           Tick from) const;
  Candidate read_command(int unit, const Unit::Held& held, std::int64_t key, Tick from) const;
  Candidate row_command(int unit, const Unit::Held& held, bool own, std::int64_t key,
                        Tick from) const;
  void try_own_buses(Tick t);
  void start_for_gang(const Candidate& chosen, Tick t);

  // channel.cpp
  void skip_idle_refreshes(Tick limit);
  void tick(Tick t);
  void try_slot(Slot slot, Tick t);
  Tick next_event();
  void refresh_best(Slot slot, Tick from);
  void begin_refreshes();
  void hold();
  void start(const Candidate& chosen, Slot slot, Tick t);
  void look_again(Slot slot, Command c, int bank, Tick from);
  void open(const Candidate& chosen, Tick t);
  void take(int entry);
  void access(const Candidate& chosen, Tick t);
  void close(int bank);
  void refreshed(const Candidate& chosen, Tick t);
  void note(Command c, int bank, int row, Tick t);

  const Spec* spec_;  // the plan's
  Policy policy_;
  Outcome outcome_;
  bool recording_;
  Timing timing_;
  Queues queues_;
  std::vector<Bank> banks_;
  // By the host; held for a refresh, that or shut for the host by a gang; in a pending refresh.
  BankSet open_, owned_, held_, shut_, refreshing_;
  // By `file`: the banks whose waiting requests need ACT, PRE, RD or WR next, and the keys of those
  // requests, of the one for a column command [0] and of the one for a row command [1].
  std::array<BankSet, COMMANDS> needed_;
  std::array<std::array<std::int64_t, MOST_BANKS>, 2> keys_;
  std::vector<char> draining_;                     // a queue serves its writes
  std::vector<std::deque<Refreshed>> pending_;          // refreshes that wait, by queue
  int pendings_ = 0;                               // in all queues
  std::array<Candidate, 3> best_;
  std::array<bool, 3> stale_{true, true, true};
  std::vector<Unit> units_;                    // of gangs, one a rank; empty: none
  BankSet gang_held_, gang_open_, wanted_;     // in hand, open for a unit, open to guests alone
  std::array<std::int64_t, MOST_BANKS> guests_before_;
  bool settled_ = false;  // the queues have turned since their lengths last changed
  Tick now_ = -1, refresh_due_, served_ = 0;
  std::int64_t refresh_turn_ = 0;
  std::int64_t owners_ = 0;
  std::vector<Tick> last_refresh_;
  Totals totals_;
};

}  // namespace moesaic::dram
