// When each command may start next: every rule is applied once, when the command before it starts.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "dram/banks.hpp"
#include "dram/spec.hpp"

namespace moesaic::dram {

// The rules of a spec as they are applied, without those that others cover.
struct Plan {
  struct Own {
    int after;
    Tick ticks;
  };
  struct Window {  // counts the last starts at each node; their ticks lie at `first` in one array
    Rule rule;
    int first;
  };

  // uses: the commands that will be started or asked for; rules of others are left out.
  Plan(const Spec& spec, const std::array<bool, COMMANDS>& uses);

  Spec spec;
  std::array<Tick, COMMANDS> edge;  // of a tick's bits, those that a start must not have
  std::array<std::vector<Own>, COMMANDS> own, of_rank;  // within one bank; within one rank
  std::array<std::vector<Rule>, COMMANDS> wide, others;
  std::array<std::vector<Window>, COMMANDS> windows;
  int starts = 0;  // that windows remember
  std::vector<Command> used;
};

// Rules of a rank or of the channel are kept by rank, all others spread over the banks they hold
// for: to look at a bank is then two loads, whatever the standard.
class Timing {
 public:
  explicit Timing(std::shared_ptr<const Plan> plan)
      : plan_(std::move(plan)), ranks_(plan_->spec.nodes[RANK]), starts_(plan_->starts, -NEVER) {
    for (auto& rank : ranks_) rank.fill(0);
    for (auto& banks : banks_) banks.fill(0);
  }

  // The earliest tick from `from` on at which the command may start, edges of the clock included.
  Tick earliest(Command c, int bank, Tick from = 0) const {
    const Tick rank = ranks_[plan_->spec.rank_of(bank)][c];
    const Tick t = std::max(std::max(from, rank), banks_[c][bank]);
    return t + (t & plan_->edge[c]);
  }

  // At which it may start at every bank of a set.
  Tick earliest(Command c, const BankSet& banks, Tick from) const {
    banks.each([&](int b) { from = earliest(c, b, from); });
    return from;
  }

  // Of the banks of a set, each with a key below 2^key_bits: the lowest of (delay, key) as one
  // number, delay being how long after `from` the command can start, at most `most_delay`. What
  // comes next is hard to foresee, so the loop has no branch.
  std::int64_t lowest(Command c, const BankSet& set, const std::int64_t* keys, int key_bits,
                      Tick from, Tick most_delay) const {
    const Tick* const own = banks_[c].data();
    const Tick edge = plan_->edge[c];
    std::int64_t lowest = INT64_MAX;
    const auto weigh = [&](int b, Tick base) {
      Tick t = std::max(base, own[b]);
      t += t & edge;
      lowest = std::min(lowest, (std::min(t - from, most_delay) << key_bits) + keys[b]);
    };
    if (ranks_.size() == 1) {
      const Tick base = std::max(from, ranks_[0][c]);
      set.each([&](int b) { weigh(b, base); });
    } else {
      const int shift = plan_->spec.shift[RANK];
      set.each([&](int b) { weigh(b, std::max(from, ranks_[b >> shift][c])); });
    }
    return lowest;
  }

  void start(Command c, int bank, Tick t) {
    const auto& shift = plan_->spec.shift;
    for (const auto& [after, ticks] : plan_->own[c]) delay(banks_[after][bank], t + ticks);
    auto& rank = ranks_[bank >> shift[RANK]];
    for (const auto& [after, ticks] : plan_->of_rank[c]) delay(rank[after], t + ticks);
    for (const Rule& rule : plan_->wide[c])
      delay_node(rule, bank >> shift[rule.level], t + rule.ticks);
    for (const Rule& rule : plan_->others[c])
      delay_siblings(rule, bank >> shift[rule.level], t + rule.ticks);
    for (const Plan::Window& window : plan_->windows[c]) {
      const int node = bank >> shift[window.rule.level], length = window.rule.window;
      Tick* const past = starts_.data() + window.first + node * length;  // newest first
      std::copy_backward(past, past + length - 1, past + length);
      past[0] = t;
      delay_node(window.rule, node, past[length - 1] + window.rule.ticks);
    }
  }

  void start(Command c, const BankSet& banks, Tick t) {
    banks.each([&](int b) { start(c, b, t); });
  }

  // All that this says about the time from `now` on, appended to a key; and the same, later.
  void describe(std::vector<std::int32_t>& key, Tick now) const;
  void shift(Tick by);

 private:
  static void delay(Tick& ready, Tick until) { ready = std::max(ready, until); }

  void delay_node(const Rule& rule, int node, Tick until) {
    if (rule.level == RANK) {
      delay(ranks_[node][rule.after], until);
    } else if (rule.level == CHANNEL) {
      for (auto& rank : ranks_) delay(rank[rule.after], until);
    } else {
      const int span = plan_->spec.banks[rule.level];
      Tick* const first = banks_[rule.after].data() + node * span;
      for (int b = 0; b < span; ++b) delay(first[b], until);
    }
  }

  void delay_siblings(const Rule& rule, int node, Tick until) {
    const auto& nodes = plan_->spec.nodes;
    const int siblings = nodes[rule.level] / nodes[rule.level - 1];
    const int first = node & ~(siblings - 1);
    for (int other = first; other < first + siblings; ++other)
      if (other != node) delay_node(rule, other, until);
  }

  std::shared_ptr<const Plan> plan_;
  std::vector<std::array<Tick, COMMANDS>> ranks_;
  std::array<std::array<Tick, MOST_BANKS>, COMMANDS> banks_;
  std::vector<Tick> starts_;
};

}  // namespace moesaic::dram
