#include "ptx/names.hpp"

#include <cctype>
#include <cstdlib>

namespace moesaic::ptx {

namespace {

constexpr std::size_t LONGEST = 1000;  // characters of an operand

// At commas outside of brackets and braces.
std::vector<std::string> split_operands(const std::string& text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c == ',' && depth == 0) parts.emplace_back();
    else if (c != ' ') parts.back() += c;
  }
  if (parts.size() == 1 && parts[0].empty()) parts.clear();
  return parts;
}

}  // namespace

std::vector<Operand> Names::operands(const std::string& text, int line) {
  std::vector<Operand> out;
  for (const std::string& one : split_operands(text)) out.push_back(operand(one, line));
  return out;
}

Operand Names::operand(const std::string& text, int line) {
  Operand out;
  if (text.empty() || text.size() > LONGEST) refuse(line, "an operand is missing or too long");
  if (text == "_") return out;
  if (text[0] == '{') {
    out.is = Operand::Is::list;
    for (const std::string& one : split(text.substr(1, text.size() - 2), ','))
      out.list.push_back(operand(one, line));
    return out;
  }
  if (text[0] == '[') return address(text.substr(1, text.size() - 2), line);
  if (text[0] == '!') {
    out = operand(text.substr(1), line);
    out.negated = true;
    return out;
  }
  const std::size_t bar = text.find('|');
  if (bar != std::string::npos) {  // d|p
    out.is = Operand::Is::list;
    out.list = {operand(text.substr(0, bar), line), operand(text.substr(bar + 1), line)};
    return out;
  }
  if (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-')
    return number(text, line);
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->find(text);
    if (found == scope->end()) continue;
    out.is = Operand::Is::reg;
    out.reg = found->second;
    return out;
  }
  if (dynamic_.count(text)) {
    out.is = Operand::Is::immediate;
    out.dynamic = true;
    return out;
  }
  const auto variable = variables_.find(text);
  if (variable != variables_.end()) {
    out.is = Operand::Is::immediate;
    out.bits = variable->second;
    return out;
  }
  out.is = Operand::Is::name;
  out.name = text;
  return out;
}

Operand Names::number(const std::string& text, int line) {
  Operand out;
  out.is = Operand::Is::immediate;
  char* end = nullptr;
  if (text[0] == '0' && (text[1] == 'f' || text[1] == 'F' || text[1] == 'd' || text[1] == 'D')) {
    out.bits = std::strtoull(text.c_str() + 2, &end, 16);
  } else if (text[0] == '-') {
    out.bits = static_cast<std::uint64_t>(std::strtoll(text.c_str(), &end, 0));
  } else {
    out.bits = std::strtoull(text.c_str(), &end, 0);
  }
  if (*end == 'U') ++end;
  if (*end != 0) refuse(line, "'" + text + "' is not a number");
  return out;
}

Operand Names::address(const std::string& text, int line) {  // base, base+4, base+-4
  const std::size_t plus = text.find('+');
  Operand out = operand(text.substr(0, plus), line);
  if (plus != std::string::npos)
    out.offset = static_cast<std::int64_t>(number(text.substr(plus + 1), line).bits);
  if (out.is == Operand::Is::reg && out.reg.bytes < 4) refuse(line, "an address is too narrow");
  if (out.is == Operand::Is::list || out.is == Operand::Is::sink)
    refuse(line, "'[" + text + "]' is not an address");
  if (out.is != Operand::Is::name) out.is = Operand::Is::address;
  return out;
}

}  // namespace moesaic::ptx
