#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ptx/mma.hpp"

namespace moesaic::ptx {

constexpr int LANES = 32;
using Mask = std::uint32_t;  // a bit for each lane of a warp
constexpr Mask ALL = ~Mask{0};

struct Warp;
struct Instruction;
using Handler = void (*)(Warp&, const Instruction&, Mask);

// What an instruction does to the flow of its warp.
enum class Flow : std::uint8_t { next, branch, exit, barrier, trap };

// The classes of the instruction mix.
enum class Kind : std::uint8_t {
  mma, ldmatrix, copy_async, load_global, store_global, load_shared, store_shared, local, atomic,
  barrier, exchange, floating, integer, move, control
};
constexpr const char* KINDS[] = {
    "mma",    "ldmatrix", "cp.async", "global load", "global store", "shared load", "shared store",
    "local",  "atomic",   "barrier",  "warp exchange", "float",      "integer",     "move",
    "control"};
constexpr int KIND_COUNT = sizeof KINDS / sizeof *KINDS;

constexpr int MOST_OPERANDS = 16;
constexpr std::uint32_t NOTHING = ~std::uint32_t{0};  // an operand that is not there, or `_`

// One decoded instruction. Operands are slots of the warp's register file (128 bytes: a 32-bit
// number of each lane; 64-bit registers take two), or numbers of predicates.
struct Instruction {
  Handler run = nullptr;
  std::uint32_t operand[MOST_OPERANDS];
  std::int64_t offset = 0;             // added to the address operand
  std::uint32_t guard = NOTHING;       // predicate
  std::uint32_t members = NOTHING;     // the mask of lanes that must come `together`: register
  std::uint32_t target = 0;            // of a branch; the rounding of an mma.sync
  std::uint16_t immediate = 0;         // a selector that the handler knows
  std::uint16_t more = 0;              // a second one
  std::uint8_t width = 0;              // bytes of one element in memory
  std::uint8_t vector = 1;             // elements of one lane
  std::uint8_t space = 0;              // of memory: Space
  bool negated = false;                // the guard
  bool together = false;               // lanes wait here for each other: `members`, or all
  bool strong = false;                 // volatile, relaxed, acquire, release: no race by itself
  Flow flow = Flow::next;
  Kind kind = Kind::integer;
};

enum Space : std::uint8_t { GENERIC, GLOBAL, SHARED, LOCAL };

// Where memory lies in the 64-bit generic address space. Array i of a launch begins at
// (i + 1) << ARRAY_SHIFT, so that no run past one array's end meets another.
constexpr int ARRAY_SHIFT = 40;
constexpr std::uint64_t SHARED_WINDOW = std::uint64_t{1} << 60;
constexpr std::uint64_t LOCAL_WINDOW = std::uint64_t{1} << 61;

// A place in the source; `call` is where the function that holds it was inlined (0: nowhere).
struct Place {
  int file = 0, line = 0, call_file = 0, call_line = 0;
};

struct Parameter {
  std::string name;
  int bytes = 0;
  std::uint32_t slot = 0;
};

struct Constant {  // a slot that holds the same number in every lane, 4 or 8 bytes wide
  std::uint32_t slot;
  std::uint64_t bits;
  bool wide;
};

// Slots that the launch fills: thread and block numbers.
enum Special : int {
  TID_X, TID_Y, TID_Z, NTID_X, NTID_Y, NTID_Z, CTAID_X, CTAID_Y, CTAID_Z, NCTAID_X, NCTAID_Y,
  NCTAID_Z, LANEID, WARPID, NWARPID, LANEMASK_EQ, LANEMASK_LT, LANEMASK_LE, LANEMASK_GT,
  LANEMASK_GE, SPECIALS
};

// A compiled entry function, decoded once for any number of launches.
struct Program {
  std::string entry;
  int target = 0;  // 80, 89, 90, ...
  std::vector<Instruction> code;
  std::vector<std::string> text;  // of each instruction, for people
  std::vector<Place> places;      // of each instruction
  std::vector<std::string> files;
  std::vector<Rounding> roundings;  // of the mma.sync instructions that name them
  std::vector<Parameter> parameters;
  std::vector<Constant> constants;
  std::uint32_t specials[SPECIALS];  // slots
  std::uint32_t slots = 0, predicates = 0;
  std::uint32_t first_register = 0, last_register = 0;  // the slots that nothing fills at the start
  // Whether bytes or halves of words are touched alone: races are then looked for byte by byte.
  bool narrow_shared = false, narrow_global = false;
  std::uint64_t shared_bytes = 0;  // declared in the function or module
  std::uint64_t local_bytes = 0;   // of each thread
};

// Raises std::invalid_argument with the line of the text for what it does not know.
Program parse(const std::string& text, const std::string& entry);

}  // namespace moesaic::ptx
