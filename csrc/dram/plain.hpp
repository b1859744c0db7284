// The plain reference: every tick is done, every waiting request looked at. Slow and easy to read;
// Channel must start the same commands at the same ticks.
#pragma once

#include <deque>
#include <list>
#include <optional>

#include "dram/gangs.hpp"
#include "dram/policy.hpp"
#include "dram/timing.hpp"

namespace moesaic::dram {

class PlainChannel {
 public:
  PlainChannel(std::shared_ptr<const Plan> plan, const Policy& policy, Outcome outcome,
               bool record, const Programs& programs = {});

  bool offer(const Request& request, Tick t);
  bool full(const Request& request) const;
  bool step(Tick limit);
  void run_until(Tick limit) {
    while (step(limit)) {
    }
  }
  Tick next_tick() const { return now_ + 1; }
  bool idle() const;
  const Totals& totals() const { return totals_; }

 private:
  struct Waiting {
    Request request;
    Tick accepted;
    std::int64_t order;
  };
  using Line = std::list<Waiting>;
  struct Bank {
    int row = -1;
    int passed = 0;
    bool owned = false;
    Tick last_column = 0;
  };
  struct Queue {
    Line line[2];
    bool draining = false;
    std::deque<std::vector<int>> refreshes;  // the banks of each
  };
  struct Row {  // of a program, in the hand of its reader
    int gang, row, columns;
    std::vector<int> open;  // banks that hold it
  };
  struct Reader {  // a PIM unit
    Program program;
    std::size_t next;
    std::vector<Row> hand;
    int wanted;  // a gang, or -1
    std::vector<std::int64_t> guests;
  };
  enum Bus { COLUMN, ROW, EITHER };

  int queue_of(int bank) const { return policy_.queue_of(*spec_, bank); }
  Queue& queue_with(int bank) { return queues_[queue_of(bank)]; }
  bool on_bus(Command c, Bus bus) const;
  bool may_start(Command c, int bank, Tick t) const {
    return timing_.earliest(c, bank, t) == t;
  }
  Command needs(const Waiting& w) const;
  bool held(int bank) const;
  bool row_wanted(const Line& line, int bank) const;
  void serve(Bus bus, Tick t);
  bool serve_owned(Bus bus, Tick t);
  bool serve_refresh(Queue& queue, Bus bus, Tick t);
  bool serve_waiting(Bus bus, Tick t);
  bool close_idle(Bus bus, Tick t);
  bool allowed(const Line& line, const Waiting& w, Command c) const;
  void start(Command c, int bank, int row, Tick t);
  void access(Line& line, Line::iterator w, Tick t);
  // plain_gangs.cpp
  std::vector<int> banks_of(int unit, int gang) const;
  std::vector<int> shut_by(int unit, int gang) const;
  bool gang_holds(int bank) const;
  bool gang_open(int bank) const;
  bool refresh_waits(const std::vector<int>& banks) const;
  bool invited(const Waiting& w) const;
  void take_rows();
  bool serve_gangs(Bus bus, bool own, Tick t);
  bool serve_reader(int unit, Bus bus, bool own, Tick t);
  bool open_row(int unit, Row& row, bool own, Tick t);
  bool start_gang(Command c, int unit, Row& row, Tick t);

  void begin_refreshes();
  void settle();

  const Spec* spec_;
  Policy policy_;
  Outcome outcome_;
  bool recording_;
  Timing timing_;
  std::vector<Bank> banks_;
  std::vector<Queue> queues_;
  std::vector<Reader> readers_;  // one a rank, or none
  Line owners_;
  Tick now_ = -1, refresh_due_, served_ = 0;
  std::int64_t refresh_turn_ = 0;
  std::int64_t orders_ = 0;
  std::vector<Tick> last_refresh_;
  Totals totals_;
};

}  // namespace moesaic::dram
