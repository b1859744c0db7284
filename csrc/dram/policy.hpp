// What a controller is free to choose, and what it is asked to do.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dram/spec.hpp"

namespace moesaic::dram {

enum class Scheduler {
  FIRST_READY,  // Ramulator 2.1: what may start now, oldest first; an opened bank owns its request
  ROW_HIT_FIRST,  // FR-FCFS: a row stays open while requests wait for it
  IN_ORDER,       // FCFS: the oldest request alone
};
enum class RowPolicy { OPEN, CLOSED, TIMEOUT };
enum class Refresh { ALL_BANK, PER_BANK, OFF };

struct Policy {
  Scheduler scheduler;
  RowPolicy row_policy;
  Refresh refresh;
  bool queue_per_rank;             // a queue for each pseudo channel or rank, else one a channel
  std::array<int, 2> capacity;     // of a read queue, of a write queue
  int drain_from, drain_to;        // writes go first from so many waiting, until so few wait
  int most_hits;                   // row hits that may pass an older request of their bank; 0: any
  Tick timeout_ticks;              // an idle row is closed after so long

  // Queues of a channel, and the one of a bank.
  int queues(const Spec& spec) const { return queue_per_rank ? spec.nodes[RANK] : 1; }
  int queue_of(const Spec& spec, int bank) const { return queue_per_rank ? spec.rank_of(bank) : 0; }
  // Between two refreshes of a rank, in turns where they are of its banks; NEVER without.
  Tick refresh_interval(const Spec& spec) const {
    if (refresh == Refresh::OFF) return NEVER;
    return refresh == Refresh::ALL_BANK ? spec.refresh_ticks : spec.refresh_bank_ticks;
  }

  // The commands that this controller ever starts, units of gangs beside it or not.
  std::array<bool, COMMANDS> commands(bool gangs) const {
    const bool whole = refresh == Refresh::ALL_BANK, closes = row_policy == RowPolicy::CLOSED;
    const bool single = refresh == Refresh::PER_BANK;
    return {true,  true,   whole, true,  true,  closes,
            closes, whole, single, gangs, gangs, gangs};
  }
};

struct Request {
  std::int64_t id;
  Tick arrival;
  std::int32_t bank, row, column;
  bool write;
};

struct Issued {
  Tick tick;
  Command command;
  // The first bank of its rank or gang for a command to all of them; the row of ACT, RD, WR, ACTG
  // and RDG, else -1.
  std::int32_t bank, row;
};

// Refresh intervals (with the longest rule) that requests may wait without one being served, and
// what is said if they do.
constexpr Tick PATIENCE = 64;
inline constexpr char STARVED[] = "refreshes leave no time for requests";

// Thrown where the caller has set `stop`.
struct Stopped {};

// What became of each request; arrays that the caller owns, by request id.
struct Outcome {
  Tick* accepted;
  Tick* issue;   // start of its column command; -1: served by a queued write to its address
  Tick* finish;  // its last data
  const std::atomic<bool>* stop;  // the caller wants no more
};

struct Totals {
  std::array<std::int64_t, COMMANDS> commands{};
  std::int64_t forwarded = 0, coalesced = 0;
  Tick last_data = 0, largest_refresh_gap = 0;
  std::vector<Issued> record;
};

}  // namespace moesaic::dram
