#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ptx/arithmetic.hpp"
#include "ptx/handlers.hpp"
#include "ptx/text.hpp"

namespace moesaic::ptx {

using Parts = std::vector<std::string>;  // of an opcode, between the points

inline bool has(const Parts& parts, const char* word) {
  for (const std::string& part : parts)
    if (part == word) return true;
  return false;
}

// From statements to instructions: which handler, which slots.
class Decoder {
 public:
  explicit Decoder(Text& text);
  Program decode();

 private:
  struct Type {
    char kind;  // b, u, s, f
    int bytes;
  };

  // Operands: decode_operands.cpp.
  [[noreturn]] void refuse(const std::string& why) const;
  const Operand& operand(std::size_t k) const;
  void expect(std::size_t least, std::size_t most) const;
  std::uint32_t constant(std::uint64_t bits, int bytes);
  bool fits(const Operand& o, int bytes) const;
  std::uint32_t slot(const Operand& o, int bytes);
  std::uint32_t result(const Operand& o, int bytes);   // a register
  std::uint32_t written(const Operand& o, int bytes);  // a register, or nothing for `_`
  std::uint32_t predicate(const Operand& o) const;
  // The parts of `{a, b}`, or the operand itself.
  static std::vector<Operand> parts_of(const Operand& o);
  void set_address(const Operand& o);
  Type type_of(const std::string& word) const;
  void set_space(const Parts& parts);
  void wait_for_members(std::uint32_t members = NOTHING);

  // Memory and tensor cores: decode_memory.cpp.
  void decode_load(const Parts& parts);
  void decode_store(const Parts& parts);
  void decode_memory(const Parts& parts, const Operand& data, const Operand& address, bool loads);
  void decode_parameter(const Parts& parts);
  void decode_atomic(const Parts& parts);
  void decode_copy(const Parts& parts);
  void decode_matrices(const Parts& parts);
  void decode_multiply(const Parts& parts);
  void decode_cvta(const Parts& parts);

  // All else: decode.cpp.
  void decode_one();
  void decode_arithmetic();
  bool try_row(const Arithmetic& row);
  bool pack_or_unpack();
  void take_arithmetic(const std::string& opcode, std::vector<std::uint32_t> slots);
  void decode_shuffle(const Parts& parts);
  void decode_vote(const Parts& parts);
  void decode_match(const Parts& parts);
  void decode_reduce(const Parts& parts);
  void decode_active_mask(const Parts&);
  void decode_barrier(const Parts& parts);
  void decode_branch(const Parts&);
  void decode_exit(const Parts&);
  void decode_trap(const Parts&);
  void decode_nothing(const Parts&);

  Text& text_;
  Program program_;
  const Statement* now_ = nullptr;
  Instruction out_;
  std::map<std::pair<std::uint64_t, bool>, std::uint32_t> constants_;  // by bits, and whether wide
};

}  // namespace moesaic::ptx
