#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ptx/text.hpp"

namespace moesaic::ptx {

// What the names of a function stand for, and operands read by them.
class Names {
 public:
  void open_scope() { scopes_.emplace_back(); }
  void close_scope() { scopes_.pop_back(); }
  void add(const std::string& name, Register place) { scopes_.back()[name] = place; }
  void add_variable(const std::string& name, std::uint64_t address) { variables_[name] = address; }
  // Shared memory whose size the launch gives: its place is known at the end only.
  void add_dynamic(const std::string& name) { dynamic_.insert(name); }

  // The operands of an instruction on `line`, which stand between commas.
  std::vector<Operand> operands(const std::string& text, int line);
  Operand operand(const std::string& text, int line);

 private:
  Operand number(const std::string& text, int line);
  Operand address(const std::string& text, int line);

  std::vector<std::map<std::string, Register>> scopes_{1};
  std::map<std::string, std::uint64_t> variables_;
  std::set<std::string> dynamic_;
};

}  // namespace moesaic::ptx
