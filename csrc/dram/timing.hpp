// When each command may start next: every rule is applied once, when the command before it starts.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "dram/spec.hpp"

namespace moesaic::dram {

class Timing {
 public:
  explicit Timing(const Spec& spec) : spec_(&spec) {
    for (int level = CHANNEL; level < LEVELS; ++level) {
      ready_[level].resize(spec.nodes[level]);
      for (auto& node : ready_[level]) node.fill(0);
      for (int c = 0; c < COMMANDS; ++c) {
        int window = 0;
        for (const Rule& rule : spec.rules[level][c]) window = std::max(window, rule.window);
        if (window > 1) history_[level][c].resize(spec.nodes[level], std::vector<Tick>(window, -NEVER));
      }
    }
  }

  // The earliest tick at which the command may start at this bank, edges of the clock included.
  Tick earliest(Command c, int bank) const {
    const auto& node = spec_->node_of[bank];
    Tick t = std::max(ready_[CHANNEL][0][c], ready_[RANK][node[RANK]][c]);
    if (c != PREA && c != REF) {
      t = std::max(t, ready_[STACK][node[STACK]][c]);
      t = std::max(t, ready_[GROUP][node[GROUP]][c]);
      t = std::max(t, ready_[BANK][bank][c]);
    }
    return on_edge(c, t);
  }

  // The first tick from t on at which the clock lets this command start.
  Tick on_edge(Command c, Tick t) const {
    return spec_->rising[c] ? t + (t & (spec_->ticks_per_cycle - 1)) : t;
  }

  void start(Command c, int bank, Tick t) {
    const int deepest = c == PREA || c == REF ? RANK : BANK;
    for (int level = CHANNEL; level <= deepest; ++level) {
      const int node = spec_->node_of[bank][level];
      auto& ready = ready_[level][node];
      if (!history_[level][c].empty()) remember(history_[level][c][node], t);
      for (const Rule& rule : spec_->rules[level][c]) {
        const Tick since = rule.window == 1 ? t : history_[level][c][node][rule.window - 1];
        ready[rule.after] = std::max(ready[rule.after], since + rule.ticks);
      }
      if (!spec_->others[level][c].empty()) hold_siblings(level, c, node, t);
    }
  }

 private:
  static void remember(std::vector<Tick>& past, Tick t) {
    std::copy_backward(past.begin(), past.end() - 1, past.end());
    past[0] = t;
  }

  void hold_siblings(int level, Command c, int node, Tick t) {
    const int siblings = spec_->banks[level - 1] / spec_->banks[level];
    const int first = node / siblings * siblings;
    for (int other = first; other < first + siblings; ++other) {
      if (other == node) continue;
      for (const Rule& rule : spec_->others[level][c]) {
        Tick& ready = ready_[level][other][rule.after];
        ready = std::max(ready, t + rule.ticks);
      }
    }
  }

  const Spec* spec_;
  std::array<std::vector<std::array<Tick, COMMANDS>>, LEVELS> ready_;
  // Of commands that a window counts: the last starts, newest first. [level][command][node]
  std::array<std::array<std::vector<std::vector<Tick>>, COMMANDS>, LEVELS> history_;
};

}  // namespace moesaic::dram
