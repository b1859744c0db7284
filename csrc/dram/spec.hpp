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

constexpr int MOST_BANKS = 256;

// `after` may start `ticks` after the window-th last command of this kind at the same node.
struct Rule {
  int after;
  int window;
  Tick ticks;
};

struct Spec {
  std::array<int, LEVELS> nodes;  // of each level in a channel
  std::array<int, LEVELS> banks;  // under a node of each level
  int ticks_per_cycle;
  bool shared_bus;                       // one command bus, else a row and a column bus
  std::array<bool, COMMANDS> rising;     // starts only where a clock cycle starts
  Tick read_ticks, write_ticks;          // from the command to its last data
  Tick refresh_ticks, refresh_bank_ticks;  // between refreshes of a rank; of its banks one by one
  int refresh_together;                  // banks that one REFP refreshes
  std::array<std::array<std::vector<Rule>, COMMANDS>, LEVELS> rules;   // at the command's own node
  std::array<std::array<std::vector<Rule>, COMMANDS>, LEVELS> others;  // at its siblings

  std::array<std::array<std::int16_t, LEVELS>, MOST_BANKS> node_of;  // [bank][level], by place_banks

  // size: ranks, stack ids, bank groups, banks in a group.
  void place_banks(const std::array<int, 4>& size) {
    nodes[CHANNEL] = 1;
    for (int level = RANK; level < LEVELS; ++level) nodes[level] = nodes[level - 1] * size[level - 1];
    for (int level = CHANNEL; level < LEVELS; ++level) {
      banks[level] = nodes[BANK] / nodes[level];
      for (int b = 0; b < nodes[BANK]; ++b)
        node_of[b][level] = static_cast<std::int16_t>(b / banks[level]);
    }
  }
};

}  // namespace moesaic::dram
