#pragma once
#include <cstddef>
#include <utility>

#include "ptx/program.hpp"

namespace moesaic::ptx {

// An opcode whose lanes do not meet: its handler and its operands, a letter each: 2, 4, 8 the bytes
// of a register, p a predicate, i a number known when decoding (kept in `immediate`, then `more`).
// The first operand is written, unless the pattern begins with `-`.
struct Arithmetic {
  const char* opcode;
  const char* pattern;
  Handler run;
  Kind kind;
};

struct ArithmeticTable {
  const Arithmetic* begin;
  std::size_t size;
};

// The same opcodes compiled for any processor, and for one with AVX2 and FMA. Both give the same
// numbers: every operation is rounded by itself.
ArithmeticTable arithmetic_plain();
ArithmeticTable arithmetic_avx2();  // defined only on x86-64

// The rows of an opcode for this machine, from the first to before the last.
std::pair<const Arithmetic*, const Arithmetic*> find_arithmetic(const char* opcode);

}  // namespace moesaic::ptx
