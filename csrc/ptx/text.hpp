#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ptx/program.hpp"

namespace moesaic::ptx {

// A register as declared: where it lies and how wide it is; 0 bytes is a predicate.
struct Register {
  std::uint32_t slot = NOTHING;
  int bytes = 0;
};

// An operand as written, its names looked up.
struct Operand {
  enum class Is { reg, immediate, address, list, sink, name } is = Is::sink;
  Register reg;                 // reg, and the base of an address
  bool negated = false;         // `!%p1`
  std::uint64_t bits = 0;       // immediate; address of a shared or local variable
  bool dynamic = false;         // the shared memory that the launch asks for: placed at the end
  std::int64_t offset = 0;      // of an address
  std::string name;             // label, parameter, special register
  std::vector<Operand> list;    // of a vector, or the two of `d|p`
};

// An instruction as written.
struct Statement {
  std::string opcode, text;
  std::vector<Operand> operands;
  Register guard;
  bool negated = false;
  int line = 0;
  Place place;
};

// An entry function as text: its statements and what was declared.
struct Text {
  std::vector<Statement> statements;
  std::map<std::string, std::uint32_t> labels;  // index of the next statement
  std::vector<Parameter> parameters;
  std::vector<std::string> files;
  int target = 0;
  std::uint32_t slots = 0, predicates = 0, first_register = 0;
  std::uint64_t shared_bytes = 0, local_bytes = 0;
};

Text read(const std::string& ptx, const std::string& entry);

[[noreturn]] void refuse(int line, const std::string& what);

std::vector<std::string> split(const std::string& words, char at);

}  // namespace moesaic::ptx
