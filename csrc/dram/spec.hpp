// A DRAM standard and its timing set as tables: what one channel of it obeys.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dram/banks.hpp"

namespace moesaic::dram {

using Tick = std::int64_t;
constexpr Tick NEVER = INT64_MAX / 4;

// RDA and WRA close their row by themselves; REF refreshes all banks of a rank, REFP one bank of it
// (or the same bank of every group). ACTG, RDG and PREG do to every bank of a gang what ACT, RD and
// PRE do to one.
enum Command { ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP, ACTG, RDG, PREG, COMMANDS };

// The hierarchy of a channel. RANK is a rank, or a pseudo channel where the standard has them.
enum Level { CHANNEL, RANK, STACK, GROUP, BANK, LEVELS };

// From one command to the next: `after` may start `ticks` after the window-th last one of its kind.
struct Rule {
  int level;  // both lie in one node of it, or (others) in two nodes of one parent
  int after;
  int window;
  bool others;
  Tick ticks;
};

// The banks that PIM units open, read and close together.
struct Gangs {
  int in_rank = 0;             // 0: there are none
  std::vector<BankSet> banks;  // of each, rank by rank
  std::vector<BankSet> shuts;  // for the host while a row of it is in hand: those, or their groups
  int columns = 0;             // of a row, each read once
  bool broadcast = false;      // one ACTG opens a row, else an ACT for each bank
  bool own_bus = false;        // gang commands keep off the buses of the channel
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
  Gangs gangs;
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

  // size: stack ids, bank groups of each, banks of each group that a gang spans; shares_group: its
  // data take the path of their bank groups.
  void place_gangs(const std::array<int, 3>& size, bool shares_group) {
    const std::array<int, 3> nodes_of{STACK, GROUP, BANK};
    std::array<int, 3> count;  // of gangs along each level
    gangs.in_rank = 1;
    for (int i = 0; i < 3; ++i) {
      count[i] = nodes[nodes_of[i]] / nodes[nodes_of[i] - 1] / size[i];
      gangs.in_rank *= count[i];
    }
    gangs.banks.assign(nodes[RANK] * gangs.in_rank, {});
    for (int b = 0; b < nodes[BANK]; ++b) {
      int gang = rank_of(b);
      for (int i = 0; i < 3; ++i) {
        const int node = b >> shift[nodes_of[i]];
        gang = gang * count[i] + node % (count[i] * size[i]) / size[i];
      }
      gangs.banks[gang].put(b, true);
    }
    gangs.shuts = gangs.banks;
    for (BankSet& shut : gangs.shuts) {
      const BankSet own = shut;
      if (!shares_group) break;
      own.each([&](int b) {
        const int first = b & ~(banks[GROUP] - 1);
        for (int i = 0; i < banks[GROUP]; ++i) shut.put(first + i, true);
      });
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
