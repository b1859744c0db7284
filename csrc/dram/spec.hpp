// A DRAM standard and its timing set as tables: what one channel of it obeys.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace moesaic::dram {

using Tick = std::int64_t;
constexpr Tick NEVER = INT64_MAX / 4;

// RDA and WRA close their row by themselves; REF refreshes all banks of a rank, REFP one bank of it
// (or the same bank of every group).
enum Command { ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP, COMMANDS };

// The hierarchy of a channel. RANK is a rank, or a pseudo channel where the standard has them.
enum Level { CHANNEL, RANK, STACK, GROUP, BANK, LEVELS };

constexpr int MOST_BANKS = 128;

// From one command to the next: `after` may start `ticks` after the window-th last one of its kind.
struct Rule {
  int level;  // both lie in one node of it, or (others) in two nodes of one parent
  int after;
  int window;
  bool others;
  Tick ticks;
};

struct Spec {
  std::array<int, LEVELS> nodes;  // of each level in a channel
  std::array<int, LEVELS> banks;  // under a node of each level; powers of two
  std::array<int, LEVELS> shift;  // a bank's node at a level is bank >> shift[level]
  int ticks_per_cycle;
  bool shared_bus;                         // one command bus, else a row and a column bus
  std::array<bool, COMMANDS> rising;       // starts only where a clock cycle starts
  Tick read_ticks, write_ticks;            // from the command to its last data
  Tick refresh_ticks, refresh_bank_ticks;  // between refreshes of a rank; of its banks one by one
  int refresh_together;                    // banks that one REFP refreshes
  std::array<std::vector<Rule>, COMMANDS> rules;  // by the command before
  Tick longest_rule = 0;
  // Whether a command delays another one beyond its own bank; by `add`.
  std::array<std::array<bool, COMMANDS>, COMMANDS> reaches{};

  int rank_of(int bank) const { return bank >> shift[RANK]; }

  // size: ranks, stack ids, bank groups, banks in a group.
  void place_banks(const std::array<int, 4>& size) {
    nodes[CHANNEL] = 1;
    for (int level = RANK; level < LEVELS; ++level)
      nodes[level] = nodes[level - 1] * size[level - 1];
    for (int level = CHANNEL; level < LEVELS; ++level) {
      banks[level] = nodes[BANK] / nodes[level];
      shift[level] = __builtin_ctz(static_cast<unsigned>(banks[level]));
    }
  }

  void add(int before, Rule rule) {
    if (rule.others && nodes[rule.level] == nodes[rule.level - 1]) return;  // there are none
    if (!rule.others) {  // the same banks under another name
      while (rule.level > RANK && banks[rule.level] == banks[rule.level - 1]) --rule.level;
      if (rule.level == CHANNEL && nodes[RANK] == 1) rule.level = RANK;
    }
    rules[before].push_back(rule);
    longest_rule = rule.ticks > longest_rule ? rule.ticks : longest_rule;
    reaches[before][rule.after] |= rule.others || rule.level < BANK;
  }
};

}  // namespace moesaic::dram
