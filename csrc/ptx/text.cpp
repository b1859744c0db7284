#include "ptx/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "ptx/names.hpp"
#include "ptx/scanner.hpp"

namespace moesaic::ptx {

namespace {

constexpr std::uint32_t MOST_SLOTS = 1u << 16;  // 8 MiB of registers a warp
constexpr std::uint64_t MOST_SHARED = 1u << 20, MOST_LOCAL = 1u << 16;  // bytes

// Bytes of a register or variable type such as `.f32`; 0 for a predicate, -1 for no type.
int bytes_of_type(const std::string& type) {
  if (type == ".pred") return 0;
  if (type.size() < 3 || std::string("bsuf").find(type[1]) == std::string::npos) return -1;
  const int bits = std::atoi(type.c_str() + 2);
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 ? bits / 8 : -1;
}

class Reader {
 public:
  Reader(const std::string& ptx, const std::string& entry) : in_(ptx), entry_(entry) {}

  Text read() {
    bool found = false;
    while (in_.skip(), !in_.ends()) {
      const std::string word = in_.take_word();
      if (word == ".target") {
        in_.skip();
        read_target(in_.take_word());
        in_.end_line();
      } else if (word == ".file") {
        read_file();
      } else if (word == ".shared") {
        declare_variable(out_.shared_bytes, false);
      } else if (word == ".entry" || word == ".func") {
        in_.skip();
        const std::string name = in_.take_word();
        if (word == ".entry" && name == entry_) {
          read_function();
          found = true;
        } else {
          skip_function();
        }
      } else if (word == ".global" || word == ".const") {
        in_.to(';');
      } else if (word == ".section") {
        in_.to('{');
        in_.to('}');
      } else if (word == ".version" || word == ".address_size" || word == ".loc") {
        in_.end_line();
      } else if (word == ".visible" || word == ".extern" || word == ".weak") {
        continue;
      } else {
        refuse(in_.line(), "'" + word + "' is not known outside of a function");
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
  void read_target(const std::string& name) {
    if (name.compare(0, 3, "sm_") != 0) refuse(in_.line(), "the target is not an architecture");
    out_.target = std::atoi(name.c_str() + 3);
  }

  void read_file() {  // .file 1 "name"
    const std::string rest = in_.end_line();
    const int number = std::atoi(rest.c_str());
    const std::size_t open = rest.find('"'), close = rest.find('"', open + 1);
    if (number < 1 || number > 1000 || close == std::string::npos)
      refuse(in_.line(), ".file needs a number and a name");
    if (out_.files.size() <= static_cast<std::size_t>(number)) out_.files.resize(number + 1);
    out_.files[number] = rest.substr(open + 1, close - open - 1);
  }

  void read_location() {  // .loc file line column[, function_name name[+n], inlined_at file line ..
    const std::string rest = in_.end_line();
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
    const int line = in_.line();
    const std::vector<std::string> words = split(in_.to(';'), ' ');
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
      names_.add_dynamic(bare);
      return;
    }
    std::uint64_t count = 1;
    if (bracket != std::string::npos)
      count = std::strtoull(name.c_str() + bracket + 1, nullptr, 10);
    if (count < 1 || count > (1u << 20)) refuse(line, "a variable of this size is not allowed");
    bytes = aligned(bytes, std::max<std::uint64_t>(align, element));
    names_.add_variable(bare, window + bytes);
    bytes += count * element;
    if (bytes > (local ? MOST_LOCAL : MOST_SHARED)) refuse(line, "the variables are too large");
  }

  void read_function() {
    read_parameters();
    in_.to('{');  // .maxntid and its kin bind the assembler, not us
    for (int depth = 1; depth > 0;) {
      in_.skip();
      if (in_.ends()) refuse(in_.line(), "the function does not end");
      if (in_.take('{')) {
        ++depth;
        names_.open_scope();
      } else if (in_.take('}')) {
        if (--depth > 0) names_.close_scope();
      } else {
        read_statement();
      }
    }
  }

  void read_statement() {
    const int line = in_.line();
    if (in_.take('@')) return read_guarded(line);
    const std::string word = in_.take_word();
    if (word == ".loc") return read_location();
    if (word == ".reg") return declare_registers();
    if (word == ".shared") return declare_variable(out_.shared_bytes, false);
    if (word == ".local") return declare_variable(out_.local_bytes, true);
    if (word == ".pragma" || word == ".branchtargets") {
      in_.to(';');
      return;
    }
    if (word[0] == '.') refuse(line, "'" + word + "' is not known in a function");
    if (word == ";") return;
    if (in_.at("::")) return read_instruction(line, word, {}, false);
    in_.skip();
    if (!in_.take(':')) return read_instruction(line, word, {}, false);
    if (!out_.labels.emplace(word, out_.statements.size()).second)
      refuse(line, "the label " + word + " is there twice");
  }

  void read_guarded(int line) {  // @!%p1 ...
    const bool negated = in_.take('!');
    const Operand guard = names_.operand(in_.take_word(), line);
    if (guard.is != Operand::Is::reg || guard.reg.bytes != 0)
      refuse(line, "a guard must be a predicate");
    in_.skip();
    read_instruction(line, in_.take_word(), guard.reg, negated);
  }

  void read_instruction(int line, std::string opcode, Register guard, bool negated) {
    while (in_.at("::")) {  // .L1::no_allocate
      in_.take(':'), in_.take(':');
      opcode += "::" + in_.take_word();
    }
    const int from = in_.line();
    const std::string rest = in_.to(';');
    Statement one;
    one.operands = names_.operands(rest, from);
    one.text = opcode + (rest.empty() || rest[0] == ' ' ? rest : ' ' + rest);
    one.opcode = std::move(opcode);
    one.guard = guard;
    one.negated = negated;
    one.line = line;
    one.place = place_;
    out_.statements.push_back(std::move(one));
  }

  void read_parameters() {  // (.param .u64 name, ...)
    in_.skip();
    if (!in_.take('(')) return;
    const int line = in_.line();
    for (const std::string& one : split(in_.to(')'), ',')) {
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
    while (!in_.at("{"))  // one that is declared only has no body
      if (in_.ends() || in_.take_word() == ";") return;
    int depth = 0;
    do {
      if (in_.ends()) refuse(in_.line(), "a function does not end");
      const std::string word = in_.take_word();
      depth += (word == "{") - (word == "}");
      in_.skip();
    } while (depth > 0);
  }

  std::uint32_t new_slot(int bytes) {
    const std::uint32_t slot = out_.slots;
    out_.slots += bytes == 8 ? 2 : 1;
    if (out_.slots > MOST_SLOTS) refuse(in_.line(), "the function has too many registers");
    return slot;
  }

  void declare_registers() {  // .reg .b32 %r<12>;  or  .reg .pred p, q;
    const int line = in_.line();
    std::string words = in_.to(';');
    const std::vector<std::string> parts = split(words, ' ');
    const int bytes = parts.empty() ? -1 : bytes_of_type(parts[0]);
    if (bytes < 0 || bytes == 1) refuse(line, "registers of this type are not known");
    for (const std::string& one : split(words.substr(parts[0].size()), ',')) {
      const std::vector<std::string> only = split(one, ' ');
      if (only.size() != 1) refuse(line, "registers need names with commas between them");
      std::string name = only[0];
      const std::size_t bracket = name.find('<');
      int count = 1;
      if (bracket != std::string::npos) count = std::atoi(name.c_str() + bracket + 1);
      if (count < 1 || count > 100000) refuse(line, "that many registers are not allowed");
      name = name.substr(0, bracket);
      for (int i = 0; i < count; ++i) {
        const std::string full = bracket == std::string::npos ? name : name + std::to_string(i);
        names_.add(full, {bytes == 0 ? out_.predicates++ : new_slot(bytes), bytes});
      }
    }
  }

  void place_dynamic(Operand& operand) {
    for (Operand& one : operand.list) place_dynamic(one);
    if (operand.dynamic) operand.bits = out_.shared_bytes;
  }

  Scanner in_;
  const std::string& entry_;
  int last_line_ = 0;
  std::uint64_t dynamic_align_ = 16;
  Place place_;
  Names names_;
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
