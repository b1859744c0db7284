#include "ptx/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>
#include <stdexcept>

namespace moesaic::ptx {

namespace {

bool of_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
         c == '.';
}

// Bytes of a register or variable type such as `.f32`; 0 for a predicate, -1 for no type.
int bytes_of_type(const std::string& type) {
  if (type == ".pred") return 0;
  if (type.size() < 3 || std::string("bsuf").find(type[1]) == std::string::npos) return -1;
  const int bits = std::atoi(type.c_str() + 2);
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 ? bits / 8 : -1;
}

class Reader {
 public:
  Reader(const std::string& ptx, const std::string& entry) : s_(ptx), entry_(entry) {}

  Text read() {
    scopes_.emplace_back();
    bool found = false;
    while (skip(), at_ < s_.size()) {
      const std::string word = take_word();
      if (word == ".target") {
        skip();
        read_target(take_word());
        end_line();
      } else if (word == ".file") {
        read_file();
      } else if (word == ".shared") {
        declare_variable(out_.shared_bytes, false);
      } else if (word == ".entry" || word == ".func") {
        skip();
        const std::string name = take_word();
        if (word == ".entry" && name == entry_) {
          read_function();
          found = true;
        } else {
          skip_function();
        }
      } else if (word == ".global" || word == ".const") {
        to(';');
      } else if (word == ".section") {
        to('{');
        to('}');
      } else if (word == ".version" || word == ".address_size" || word == ".loc") {
        end_line();
      } else if (word == ".visible" || word == ".extern" || word == ".weak") {
        continue;
      } else {
        refuse(line_, "'" + word + "' is not known outside of a function");
      }
    }
    if (!found) throw std::invalid_argument("the text has no entry called " + entry_);
    // Shared memory that the launch asks for begins after what is declared.
    out_.shared_bytes = aligned(out_.shared_bytes, dynamic_align_);
    for (Statement& one : out_.statements)
      for (Operand& operand : one.operands) place_dynamic(operand);
    return std::move(out_);
  }

 private:
  void skip() {  // blanks and comments
    while (at_ < s_.size()) {
      if (s_[at_] == '\n') {
        ++line_, ++at_;
      } else if (std::isspace(static_cast<unsigned char>(s_[at_]))) {
        ++at_;
      } else if (s_.compare(at_, 2, "//") == 0) {
        while (at_ < s_.size() && s_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  std::string take_word() {
    const std::size_t from = at_;
    while (at_ < s_.size() && of_name(s_[at_])) ++at_;
    if (at_ == from) {
      if (at_ < s_.size()) ++at_;
      return s_.substr(from, 1);
    }
    return s_.substr(from, at_ - from);
  }

  std::string end_line() {
    const std::size_t from = at_;
    while (at_ < s_.size() && s_[at_] != '\n') ++at_;
    return s_.substr(from, at_ - from);
  }

  std::string to(char end) {  // the text before `end`, which is passed; blanks become one space
    std::string text;
    while (skip_into(text), at_ < s_.size() && s_[at_] != end) text += s_[at_++];
    if (at_ == s_.size()) refuse(line_, std::string("the text ends before '") + end + "'");
    ++at_;
    return text;
  }

  void skip_into(std::string& text) {
    const std::size_t from = at_;
    skip();
    if (at_ > from && !text.empty() && text.back() != ' ') text += ' ';
  }

  void read_target(const std::string& name) {
    if (name.compare(0, 3, "sm_") != 0) refuse(line_, "the target is not an architecture");
    out_.target = std::atoi(name.c_str() + 3);
  }

  void read_file() {  // .file 1 "name"
    const std::string rest = end_line();
    const int number = std::atoi(rest.c_str());
    const std::size_t open = rest.find('"'), close = rest.find('"', open + 1);
    if (number < 1 || number > 1000 || close == std::string::npos)
      refuse(line_, ".file needs a number and a name");
    if (out_.files.size() <= static_cast<std::size_t>(number)) out_.files.resize(number + 1);
    out_.files[number] = rest.substr(open + 1, close - open - 1);
  }

  void read_location() {  // .loc file line column[, function_name name[+n], inlined_at file line ..
    const std::string rest = end_line();
    char* next = nullptr;
    place_ = {};
    place_.file = static_cast<int>(std::strtol(rest.c_str(), &next, 10));
    const int line = static_cast<int>(std::strtol(next, &next, 10));
    // Line 0 is code of no line: it keeps the place before it.
    place_.line = line > 0 ? line : last_line_;
    last_line_ = place_.line;
    const std::size_t inlined = rest.find("inlined_at ");
    if (inlined == std::string::npos) return;
    place_.call_file = static_cast<int>(std::strtol(rest.c_str() + inlined + 11, &next, 10));
    place_.call_line = static_cast<int>(std::strtol(next, &next, 10));
  }

  static std::uint64_t aligned(std::uint64_t bytes, std::uint64_t align) {
    return (bytes + align - 1) / align * align;
  }

  // `.align 16 .b8 name[64];` in shared or local memory.
  void declare_variable(std::uint64_t& bytes, bool local) {
    const int line = line_;
    const std::vector<std::string> words = split(to(';'), ' ');
    std::uint64_t align = 1;
    int element = -1;
    std::string name;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] == ".align" && i + 1 < words.size()) align = std::atoi(words[++i].c_str());
      else if (bytes_of_type(words[i]) > 0) element = bytes_of_type(words[i]);
      else name = words[i];
    }
    if (element < 1 || name.empty() || align < 1 || align > 4096 || (align & (align - 1)))
      refuse(line, "a variable needs a type and a name");
    const std::size_t bracket = name.find('[');
    const std::string bare = name.substr(0, bracket);
    const std::uint64_t window = local ? LOCAL_WINDOW : 0;
    if (bracket != std::string::npos && name[bracket + 1] == ']') {  // sized by the launch
      dynamic_align_ = std::max<std::uint64_t>(dynamic_align_, align);
      dynamic_.insert(bare);
      return;
    }
    std::uint64_t count = 1;
    if (bracket != std::string::npos)
      count = std::strtoull(name.c_str() + bracket + 1, nullptr, 10);
    if (count < 1 || count > (1u << 20)) refuse(line, "a variable of this size is not allowed");
    bytes = aligned(bytes, std::max<std::uint64_t>(align, element));
    variables_[bare] = window + bytes;
    bytes += count * element;
  }

  void read_function() {
    read_parameters();
    const std::string attributes = to('{');  // .maxntid and its kin bind the assembler, not us
    (void)attributes;
    int depth = 1;
    while (depth > 0) {
      skip();
      if (at_ >= s_.size()) refuse(line_, "the function does not end");
      if (s_[at_] == '{') {
        ++at_, ++depth;
        scopes_.emplace_back();
      } else if (s_[at_] == '}') {
        ++at_, --depth;
        scopes_.pop_back();
      } else if (s_[at_] == '@') {
        read_instruction();
      } else {
        read_statement();
      }
    }
    scopes_.emplace_back();
  }

  void read_statement() {
    const std::size_t from = at_;
    const int line = line_;
    const std::string word = take_word();
    if (word == ".loc") return read_location();
    if (word == ".reg") return declare_registers();
    if (word == ".shared") return declare_variable(out_.shared_bytes, false);
    if (word == ".local") return declare_variable(out_.local_bytes, true);
    if (word == ".pragma" || word == ".branchtargets") {
      to(';');
      return;
    }
    skip();
    if (at_ < s_.size() && s_[at_] == ':' && s_.compare(at_, 2, "::") != 0) {
      ++at_;
      if (!out_.labels.emplace(word, out_.statements.size()).second)
        refuse(line, "the label " + word + " is there twice");
      return;
    }
    if (word[0] == '.') refuse(line, "'" + word + "' is not known in a function");
    if (word == ";") return;
    at_ = from, line_ = line;
    read_instruction();
  }

  void read_parameters() {  // (.param .u64 name, ...)
    skip();
    if (at_ >= s_.size() || s_[at_] != '(') return;
    ++at_;
    const int line = line_;
    for (const std::string& one : split(to(')'), ',')) {
      Parameter parameter;
      parameter.bytes = -1;
      for (const std::string& word : split(one, ' ')) {
        if (word[0] != '.') parameter.name = word;
        else if (parameter.bytes < 0) parameter.bytes = bytes_of_type(word);
      }
      if (parameter.name.empty()) continue;
      if (parameter.bytes < 4 || parameter.name.find('[') != std::string::npos)
        refuse(line, "parameter " + parameter.name + " is not a pointer or a 32 or 64-bit number");
      parameter.slot = new_slot(parameter.bytes);
      out_.parameters.push_back(parameter);
    }
    out_.first_register = out_.slots;
  }

  void skip_function() {
    const std::size_t end = s_.find_first_of("{;", at_);
    if (end == std::string::npos || s_[end] == ';') {
      to(';');  // declared, not defined
      return;
    }
    to('{');
    for (int depth = 1; depth > 0; ++at_) {
      if (at_ >= s_.size()) refuse(line_, "a function does not end");
      if (s_[at_] == '\n') ++line_;
      if (s_[at_] == '{') ++depth;
      if (s_[at_] == '}') --depth;
    }
  }

  std::uint32_t new_slot(int bytes) {
    const std::uint32_t slot = out_.slots;
    out_.slots += bytes == 8 ? 2 : 1;
    return slot;
  }

  void declare_registers() {  // .reg .b32 %r<12>;  or  .reg .pred p, q;
    const int line = line_;
    std::string words = to(';');
    const std::vector<std::string> parts = split(words, ' ');
    const int bytes = parts.empty() ? -1 : bytes_of_type(parts[0]);
    if (bytes < 0 || bytes == 1) refuse(line, "registers of this type are not known");
    for (const std::string& one : split(words.substr(parts[0].size()), ',')) {
      std::string name = split(one, ' ').at(0);
      const std::size_t bracket = name.find('<');
      int count = 1;
      if (bracket != std::string::npos) count = std::atoi(name.c_str() + bracket + 1);
      if (count < 1 || count > 100000) refuse(line, "that many registers are not allowed");
      name = name.substr(0, bracket);
      for (int i = 0; i < count; ++i) {
        const std::string full = bracket == std::string::npos ? name : name + std::to_string(i);
        scopes_.back()[full] = {bytes == 0 ? out_.predicates++ : new_slot(bytes), bytes};
      }
    }
  }

  void read_instruction() {
    Statement one;
    one.line = line_;
    one.place = place_;
    if (s_[at_] == '@') {
      ++at_;
      if (s_[at_] == '!') ++at_, one.negated = true;
      const Operand guard = operand(take_word());
      if (guard.is != Operand::Is::reg || guard.reg.bytes != 0)
        refuse(one.line, "a guard must be a predicate");
      one.guard = guard.reg;
      skip();
    }
    one.opcode = take_word();
    while (s_.compare(at_, 2, "::") == 0) {  // .L1::no_allocate
      at_ += 2;
      one.opcode += "::" + take_word();
    }
    const int line = line_;
    const std::string rest = to(';');
    now_ = line;
    for (const std::string& words : split_operands(rest)) one.operands.push_back(operand(words));
    one.text = one.opcode + (rest.empty() || rest[0] == ' ' ? rest : ' ' + rest);
    out_.statements.push_back(std::move(one));
  }

  // At commas outside of brackets and braces.
  static std::vector<std::string> split_operands(const std::string& text) {
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

  Operand operand(const std::string& text) {
    Operand out;
    if (text.empty()) refuse(now_, "an operand is missing");
    if (text == "_") return out;
    if (text[0] == '{') {
      out.is = Operand::Is::list;
      for (const std::string& one : split(text.substr(1, text.size() - 2), ','))
        out.list.push_back(operand(one));
      return out;
    }
    if (text[0] == '[') return address(text.substr(1, text.size() - 2));
    if (text[0] == '!') {
      out = operand(text.substr(1));
      out.negated = true;
      return out;
    }
    const std::size_t bar = text.find('|');
    if (bar != std::string::npos) {  // d|p
      out.is = Operand::Is::list;
      out.list = {operand(text.substr(0, bar)), operand(text.substr(bar + 1))};
      return out;
    }
    if (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-') return number(text);
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

  Operand number(const std::string& text) {
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
    if (*end != 0) refuse(now_, "'" + text + "' is not a number");
    return out;
  }

  Operand address(const std::string& text) {  // base, base+4, base+-4
    const std::size_t plus = text.find('+');
    Operand out = operand(text.substr(0, plus));
    if (plus != std::string::npos)
      out.offset = static_cast<std::int64_t>(number(text.substr(plus + 1)).bits);
    if (out.is == Operand::Is::reg && out.reg.bytes < 4) refuse(now_, "an address is too narrow");
    if (out.is == Operand::Is::list || out.is == Operand::Is::sink)
      refuse(now_, "'[" + text + "]' is not an address");
    if (out.is != Operand::Is::name) out.is = Operand::Is::address;
    return out;
  }

  void place_dynamic(Operand& operand) {
    for (Operand& one : operand.list) place_dynamic(one);
    if (operand.dynamic) operand.bits = out_.shared_bytes;
  }

  const std::string& s_;
  const std::string& entry_;
  std::size_t at_ = 0;
  int line_ = 1, now_ = 1, last_line_ = 0;
  std::uint64_t dynamic_align_ = 16;
  Place place_;
  std::vector<std::map<std::string, Register>> scopes_;
  std::map<std::string, std::uint64_t> variables_;
  std::set<std::string> dynamic_;  // variables whose size the launch gives
  Text out_;
};

}  // namespace

std::vector<std::string> split(const std::string& words, char at) {
  std::vector<std::string> parts;
  std::string part;
  for (const char c : words + at) {
    if (c != at) {
      part += c;
    } else if (!part.empty()) {
      parts.push_back(part);
      part.clear();
    }
  }
  return parts;
}

void refuse(int line, const std::string& what) {
  throw std::invalid_argument("line " + std::to_string(line) + " of the PTX: " + what);
}

Text read(const std::string& ptx, const std::string& entry) { return Reader(ptx, entry).read(); }

}  // namespace moesaic::ptx
