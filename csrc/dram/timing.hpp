// When each command may start next: every rule is applied once, when the command before it starts.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "dram/spec.hpp"

namespace moesaic::dram {

// Rules of a rank or of the channel are kept by rank, all others spread over the banks they hold for:
// to look at a bank is then two loads, whatever the standard.
class Timing {
 public:
  // used: the commands that will be started or asked for; rules of others are left out.
  Timing(const Spec& spec, const std::array<bool, COMMANDS>& used)
      : spec_(&spec), ranks_(spec.nodes[RANK]) {
    for (auto& rank : ranks_) rank.fill(0);
    for (auto& banks : banks_) banks.fill(0);
    for (int c = 0; c < COMMANDS; ++c) {
      edge_[c] = spec.rising[c] ? spec.ticks_per_cycle - 1 : 0;
      if (!used[c]) continue;
      for (const Rule& rule : spec.rules[c])
        if (used[rule.after] && !covered(rule, spec.rules[c])) add(c, rule);
    }
  }

  // The earliest tick from `from` on at which the command may start, edges of the clock included.
  Tick earliest(Command c, int bank, Tick from = 0) const {
    return on_edge(c, std::max(std::max(from, ranks_[spec_->rank_of(bank)][c]), banks_[c][bank]));
  }

  Tick on_edge(Command c, Tick t) const { return t + (t & edge_[c]); }

  void start(Command c, int bank, Tick t) {
    for (const auto& [after, ticks] : own_[c]) delay(banks_[after][bank], t + ticks);
    for (const Rule& rule : wide_[c]) delay_node(rule, bank >> spec_->shift[rule.level], t + rule.ticks);
    for (const Rule& rule : others_[c]) delay_siblings(rule, bank >> spec_->shift[rule.level], t + rule.ticks);
    for (Window& window : windows_[c]) {
      const int node = bank >> spec_->shift[window.rule.level];
      Tick* const past = window.starts.data() + node * window.rule.window;
      std::copy_backward(past, past + window.rule.window - 1, past + window.rule.window);
      past[0] = t;
      delay_node(window.rule, node, past[window.rule.window - 1] + window.rule.ticks);
    }
  }

  // All that this says about the time from `now` on, appended to a key; and the same, later.
  void describe(std::vector<std::int32_t>& key, Tick now) const;
  void shift(Tick by);

 private:
  struct Own {  // a rule within one bank
    int after;
    Tick ticks;
  };
  struct Window {  // counts the last starts at each node, newest first
    Rule rule;
    std::vector<Tick> starts;
  };

  // Whether another rule after the same command asks for as much, for these banks and maybe more.
  static bool covered(const Rule& rule, const std::vector<Rule>& all) {
    return std::any_of(all.begin(), all.end(), [&](const Rule& other) {
      const bool wider = other.level < rule.level || (other.level == rule.level && &other < &rule);
      return !rule.others && !other.others && rule.window == 1 && other.window == 1 &&
             other.after == rule.after &&
             (other.ticks > rule.ticks ? other.level <= rule.level
                                       : other.ticks == rule.ticks && wider);
    });
  }

  void add(int c, const Rule& rule) {
    if (rule.others) others_[c].push_back(rule);
    else if (rule.window > 1)
      windows_[c].push_back(
          {rule, std::vector<Tick>(static_cast<std::size_t>(spec_->nodes[rule.level]) * rule.window, -NEVER)});
    else if (rule.level == BANK) own_[c].push_back({rule.after, rule.ticks});
    else wide_[c].push_back(rule);
  }

  static void delay(Tick& ready, Tick until) { ready = std::max(ready, until); }

  void delay_node(const Rule& rule, int node, Tick until) {
    if (rule.level == RANK) {
      delay(ranks_[node][rule.after], until);
    } else if (rule.level == CHANNEL) {
      for (auto& rank : ranks_) delay(rank[rule.after], until);
    } else {
      const int span = spec_->banks[rule.level];
      Tick* const first = banks_[rule.after].data() + node * span;
      for (int b = 0; b < span; ++b) delay(first[b], until);
    }
  }

  void delay_siblings(const Rule& rule, int node, Tick until) {
    const int siblings = spec_->nodes[rule.level] / spec_->nodes[rule.level - 1];
    const int first = node & ~(siblings - 1);
    for (int other = first; other < first + siblings; ++other)
      if (other != node) delay_node(rule, other, until);
  }

  const Spec* spec_;
  std::vector<std::array<Tick, COMMANDS>> ranks_;
  std::array<std::array<Tick, MOST_BANKS>, COMMANDS> banks_;
  std::array<Tick, COMMANDS> edge_;
  std::array<std::vector<Own>, COMMANDS> own_;
  std::array<std::vector<Rule>, COMMANDS> wide_, others_;
  std::array<std::vector<Window>, COMMANDS> windows_;
};

}  // namespace moesaic::dram
