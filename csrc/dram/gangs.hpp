// What PIM units read: rows of gangs, in the order of a program for each rank.
#pragma once

#include <cstdint>
#include <vector>

#include "dram/queues.hpp"

namespace moesaic::dram {

struct GangRow {
  std::int32_t gang, row;  // of its rank
};
using Program = std::vector<GangRow>;  // of a rank
using Programs = std::vector<Program>;  // of the ranks of a channel; empty: there are no units

// The row that is read and the one opened ahead of it; those read before may not be closed yet.
constexpr int MOST_OPEN = 2;

// Where a unit is in its program.
struct Unit {
  struct Held {  // a row in hand: until it is closed its banks are shut for the host
    int gang, row;
    int columns = 0;  // read
    BankSet open;     // banks that hold the row
  };

  Program program;
  std::size_t next = 0;      // of the program
  std::vector<Held> hand;    // in the order of the program
  int wanted = NONE;         // the gang whose guests are waited for
  // By gang: requests accepted before may go before its next row. Set when a row of it is closed.
  std::vector<std::int64_t> guests;

  bool done() const { return next == program.size() && hand.empty(); }
  bool holds(int gang) const {
    for (const Held& held : hand)
      if (held.gang == gang) return true;
    return false;
  }
};

}  // namespace moesaic::dram
