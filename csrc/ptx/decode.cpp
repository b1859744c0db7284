// From statements to instructions: which handler, which slots.
#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

#include "ptx/arithmetic.hpp"
#include "ptx/handlers.hpp"
#include "ptx/text.hpp"

namespace moesaic::ptx {

namespace {

using Parts = std::vector<std::string>;

bool has(const Parts& parts, const char* word) {
  return std::find(parts.begin(), parts.end(), word) != parts.end();
}

const std::map<std::string, int> SPECIAL_NAMES = {
    {"%tid.x", TID_X},         {"%tid.y", TID_Y},         {"%tid.z", TID_Z},
    {"%ntid.x", NTID_X},       {"%ntid.y", NTID_Y},       {"%ntid.z", NTID_Z},
    {"%ctaid.x", CTAID_X},     {"%ctaid.y", CTAID_Y},     {"%ctaid.z", CTAID_Z},
    {"%nctaid.x", NCTAID_X},   {"%nctaid.y", NCTAID_Y},   {"%nctaid.z", NCTAID_Z},
    {"%laneid", LANEID},       {"%warpid", WARPID},       {"%nwarpid", NWARPID},
    {"%lanemask_eq", LANEMASK_EQ}, {"%lanemask_lt", LANEMASK_LT},
    {"%lanemask_le", LANEMASK_LE}, {"%lanemask_gt", LANEMASK_GT},
    {"%lanemask_ge", LANEMASK_GE},
};

struct Type {
  char kind;  // b, u, s, f
  int bytes;
};

class Decoder {
 public:
  explicit Decoder(Text& text) : text_(text) {
    program_.slots = text.slots;
    for (std::uint32_t& slot : program_.specials) slot = program_.slots++;
  }

  Program decode() {
    for (const Statement& one : text_.statements) {
      now_ = &one;
      out_ = {};
      std::fill(std::begin(out_.operand), std::end(out_.operand), NOTHING);
      if (one.guard.slot != NOTHING) {
        out_.guard = one.guard.slot;
        out_.negated = one.negated;
      }
      decode_one();
      program_.code.push_back(out_);
      program_.text.push_back(one.text);
      program_.places.push_back(one.place);
    }
    if (program_.code.empty() || program_.code.back().flow == Flow::next)
      throw std::invalid_argument("the PTX function does not end with a return");
    program_.target = text_.target;
    program_.files = text_.files;
    program_.parameters = text_.parameters;
    program_.first_register = text_.first_register;
    program_.last_register = text_.slots;
    program_.predicates = text_.predicates;
    program_.shared_bytes = text_.shared_bytes;
    program_.local_bytes = text_.local_bytes;
    return std::move(program_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    moesaic::ptx::refuse(now_->line, "'" + now_->text + "': " + why);
  }

  void decode_one() {
    const Parts parts = split(now_->opcode, '.');
    const std::string& name = parts[0];
    using Way = void (Decoder::*)(const Parts&);
    static const std::map<std::string, Way> ways = {
        {"ld", &Decoder::decode_load},        {"ldu", &Decoder::decode_load},
        {"st", &Decoder::decode_store},       {"atom", &Decoder::decode_atomic},
        {"red", &Decoder::decode_atomic},     {"cp", &Decoder::decode_copy},
        {"ldmatrix", &Decoder::decode_matrices}, {"mma", &Decoder::decode_multiply},
        {"shfl", &Decoder::decode_shuffle},   {"vote", &Decoder::decode_vote},
        {"match", &Decoder::decode_match},    {"redux", &Decoder::decode_reduce},
        {"activemask", &Decoder::decode_active_mask}, {"bar", &Decoder::decode_barrier},
        {"barrier", &Decoder::decode_barrier}, {"bra", &Decoder::decode_branch},
        {"ret", &Decoder::decode_exit},       {"exit", &Decoder::decode_exit},
        {"trap", &Decoder::decode_trap},      {"cvta", &Decoder::decode_cvta},
        {"membar", &Decoder::decode_nothing}, {"fence", &Decoder::decode_nothing},
        {"prefetch", &Decoder::decode_nothing}, {"nanosleep", &Decoder::decode_nothing},
    };
    const auto way = ways.find(name);
    if (way != ways.end()) return (this->*way->second)(parts);
    if (name == "mov" && pack_or_unpack()) return;
    decode_arithmetic();
  }

  // ---- operands ----

  const Operand& operand(std::size_t k) const {
    if (k >= now_->operands.size()) refuse("an operand is missing");
    return now_->operands[k];
  }

  void expect(std::size_t least, std::size_t most) const {
    if (now_->operands.size() < least || now_->operands.size() > most)
      refuse("it has " + std::to_string(now_->operands.size()) + " operands");
  }

  std::uint32_t constant(std::uint64_t bits, int bytes) {
    if (bytes == 2) bits = (bits & 0xffff) * 0x10001;
    if (bytes <= 4) bits &= 0xffffffff;
    const bool wide = bytes == 8;
    const auto found = constants_.find({bits, wide});
    if (found != constants_.end()) return found->second;
    const std::uint32_t slot = program_.slots;
    program_.slots += wide ? 2 : 1;
    program_.constants.push_back({slot, bits, wide});
    return constants_[{bits, wide}] = slot;
  }

  bool fits(const Operand& o, int bytes) const {
    if (o.negated) return false;
    if (o.is == Operand::Is::reg) return o.reg.bytes == bytes && bytes > 0;
    if (o.is == Operand::Is::name) return bytes == 4 && SPECIAL_NAMES.count(o.name) != 0;
    return o.is == Operand::Is::immediate;
  }

  std::uint32_t slot(const Operand& o, int bytes) {
    if (!fits(o, bytes)) refuse("an operand of " + std::to_string(bytes) + " bytes is needed");
    if (o.is == Operand::Is::reg) return o.reg.slot;
    if (o.is == Operand::Is::name) return program_.specials[SPECIAL_NAMES.at(o.name)];
    return constant(o.bits, bytes);
  }

  std::uint32_t written(const Operand& o, int bytes) {
    if (o.is == Operand::Is::sink) return NOTHING;
    if (o.is != Operand::Is::reg) refuse("the result needs a register");
    return slot(o, bytes);
  }

  std::uint32_t predicate(const Operand& o) const {
    if (o.is == Operand::Is::sink) return NOTHING;
    if (o.is != Operand::Is::reg || o.reg.bytes != 0) refuse("a predicate is needed");
    return o.reg.slot;
  }

  // The parts of `{a, b}`, or the operand itself.
  static std::vector<Operand> parts_of(const Operand& o) {
    return o.is == Operand::Is::list ? o.list : std::vector<Operand>{o};
  }

  void set_address(const Operand& o) {
    if (o.is != Operand::Is::address) refuse("an address is needed");
    out_.offset = o.offset;
    if (o.reg.slot == NOTHING) {
      out_.operand[ADDRESS] = constant(o.bits, 8);
    } else {
      out_.operand[ADDRESS] = o.reg.slot;
      if (o.reg.bytes == 4) out_.immediate |= NARROW_ADDRESS;
    }
  }

  Type type_of(const std::string& word) const {
    static const std::string kinds = "busf";
    const int bits = word.size() > 1 ? std::atoi(word.c_str() + 1) : 0;
    if (word.empty() || kinds.find(word[0]) == std::string::npos ||
        (bits != 8 && bits != 16 && bits != 32 && bits != 64))
      refuse("the type ." + word + " is not known here");
    return {word[0], bits / 8};
  }

  void set_space(const Parts& parts) {
    out_.space = GENERIC;
    if (has(parts, "global")) out_.space = GLOBAL;
    if (has(parts, "shared") || has(parts, "shared::cta")) out_.space = SHARED;
    if (has(parts, "local")) out_.space = LOCAL;
    for (const char* word : {"const", "shared::cluster"})
      if (has(parts, word)) refuse(std::string("the space .") + word + " is not known");
    for (const char* word : {"volatile", "relaxed", "acquire", "release", "mmio"})
      if (has(parts, word)) out_.strong = true;
  }

  // ---- families ----

  void decode_arithmetic() {
    const auto [first, last] = find_arithmetic(now_->opcode.c_str());
    for (const Arithmetic* row = first; row < last; ++row)
      if (try_row(*row)) return;
    refuse(first < last ? "operands of this kind are not known"
                        : "the executor does not know this instruction");
  }

  bool try_row(const Arithmetic& row) {
    const std::size_t count = std::strlen(row.pattern);
    if (count != now_->operands.size()) return false;
    for (std::size_t k = 0; k < count; ++k) {
      const Operand& o = now_->operands[k];
      const char want = row.pattern[k];
      const bool predicate = o.is == Operand::Is::reg && o.reg.bytes == 0;
      if (want == 'p' ? !predicate || (o.negated && (k != 3 || row.pattern[0] != 'p'))
          : want == 'i' ? o.is != Operand::Is::immediate
                        : !fits(o, want - '0') || (k == 0 && o.is != Operand::Is::reg))
        return false;
    }
    for (std::size_t k = 0; k < count; ++k) {
      const Operand& o = now_->operands[k];
      const char want = row.pattern[k];
      if (want == 'i') out_.immediate = static_cast<std::uint16_t>(o.bits);
      else if (want == 'p') out_.operand[k] = o.reg.slot;
      else out_.operand[k] = slot(o, want - '0');
      if (want == 'p' && o.negated) out_.immediate = 1;
    }
    out_.run = row.run;
    out_.kind = row.kind;
    return true;
  }

  bool pack_or_unpack() {
    if (now_->operands.size() != 2) return false;
    const bool packs = now_->operands[1].is == Operand::Is::list;
    if (!packs && now_->operands[0].is != Operand::Is::list) return false;
    const Operand& whole = now_->operands[packs ? 0 : 1];
    const std::vector<Operand>& list = now_->operands[packs ? 1 : 0].list;
    const int bytes = type_of(split(now_->opcode, '.').back()).bytes;
    if (bytes < 4 || list.empty() || list.size() > 4 || bytes % static_cast<int>(list.size()))
      refuse("it does not divide into its parts");
    const int part = bytes / static_cast<int>(list.size());
    if (part < 2) refuse("parts of a byte are not known");
    out_.operand[0] = packs ? written(whole, bytes) : slot(whole, bytes);
    for (std::size_t k = 0; k < list.size(); ++k)
      out_.operand[1 + k] = packs ? slot(list[k], part) : written(list[k], part);
    out_.vector = static_cast<std::uint8_t>(list.size());
    out_.width = static_cast<std::uint8_t>(part);
    out_.more = static_cast<std::uint16_t>(bytes);
    out_.run = packs ? pack : unpack;
    out_.kind = Kind::move;
    return true;
  }

  void wait_for_members(std::uint32_t members = NOTHING) {
    out_.together = true;
    out_.members = members;
  }

  void take_arithmetic(const std::string& opcode, std::vector<std::uint32_t> slots) {
    out_.run = find_arithmetic(opcode.c_str()).first->run;
    out_.kind = Kind::move;
    std::copy(slots.begin(), slots.end(), out_.operand);
  }

  void decode_load(const Parts& parts) {
    expect(2, 2);
    if (has(parts, "param")) return decode_parameter(parts);
    decode_memory(parts, operand(0), operand(1), true);
    out_.run = load;
  }

  void decode_store(const Parts& parts) {
    expect(2, 2);
    decode_memory(parts, operand(1), operand(0), false);
    out_.run = store;
  }

  void decode_memory(const Parts& parts, const Operand& data, const Operand& address, bool loads) {
    set_space(parts);
    set_address(address);
    const Type type = type_of(parts.back());
    const std::vector<Operand> list = parts_of(data);
    const std::size_t wanted = has(parts, "v4") ? 4 : has(parts, "v2") ? 2 : 1;
    if (list.size() != wanted || type.bytes * list.size() > 16) refuse("the vector does not fit");
    int bytes = std::max(type.bytes, 2);
    for (const Operand& one : list)
      if (one.is == Operand::Is::reg) bytes = one.reg.bytes;
    if (bytes < type.bytes) refuse("the register is too narrow");
    for (std::size_t k = 0; k < list.size(); ++k)
      out_.operand[k] = loads ? written(list[k], bytes) : slot(list[k], bytes);
    if (type.kind == 's') out_.immediate |= SIGNED;
    out_.width = static_cast<std::uint8_t>(type.bytes);
    out_.vector = static_cast<std::uint8_t>(list.size());
    out_.more = static_cast<std::uint16_t>(bytes);
    out_.kind = out_.space == LOCAL    ? Kind::local
                : out_.space == SHARED ? (loads ? Kind::load_shared : Kind::store_shared)
                                       : (loads ? Kind::load_global : Kind::store_global);
  }

  void decode_parameter(const Parts& parts) {
    const Operand& from = operand(1);
    const Type type = type_of(parts.back());
    for (const Parameter& parameter : text_.parameters) {
      if (parameter.name != from.name) continue;
      if (parameter.bytes != type.bytes || from.offset != 0 || has(parts, "v2") ||
          has(parts, "v4"))
        refuse("parts of a parameter are not known");
      const bool widened = type.bytes == 4 && operand(0).reg.bytes == 8;
      const char* how = widened           ? type.kind == 's' ? "cvt.s64.s32" : "cvt.u64.u32"
                        : type.bytes == 8 ? "mov.b64"
                                          : "mov.b32";
      return take_arithmetic(how,
                             {written(operand(0), widened ? 8 : type.bytes), parameter.slot});
    }
    refuse("there is no such parameter");
  }

  void decode_atomic(const Parts& parts) {
    static const std::map<std::string, Atomic> hows = {
        {"add", Atomic::add},   {"min", Atomic::min}, {"max", Atomic::max},
        {"exch", Atomic::exch}, {"cas", Atomic::cas}, {"and", Atomic::and_},
        {"or", Atomic::or_},    {"xor", Atomic::xor_}, {"inc", Atomic::inc}};
    const bool returns = parts[0] == "atom";
    set_space(parts);
    const auto how = std::find_if(parts.begin(), parts.end(),
                                  [](const std::string& word) { return hows.count(word) != 0; });
    if (how == parts.end()) refuse("what the atomic does is not known");
    const Type type = type_of(parts.back());
    if (type.bytes < 4) refuse("atomics of this type are not known");
    const Atomic what = hows.at(*how);
    const std::size_t values = what == Atomic::cas ? 2 : 1, first = returns ? 1 : 0;
    expect(first + 1 + values, first + 1 + values);
    if (returns) out_.operand[0] = written(operand(0), type.bytes);
    set_address(operand(first));
    for (std::size_t k = 0; k < values; ++k)
      out_.operand[1 + k] = slot(operand(first + 1 + k), type.bytes);
    if (type.kind == 's') out_.immediate |= SIGNED;
    if (type.kind == 'f') out_.immediate |= FLOAT_VALUE;
    if (returns && out_.operand[0] != NOTHING) out_.immediate |= RETURNS;
    out_.more = static_cast<std::uint16_t>(what);
    out_.width = static_cast<std::uint8_t>(type.bytes);
    out_.run = atomic;
    out_.kind = Kind::atomic;
  }

  void decode_copy(const Parts& parts) {
    if (parts.size() < 3 || parts[1] != "async" || has(parts, "bulk") || has(parts, "mbarrier"))
      refuse("the executor does not know this instruction");
    out_.kind = Kind::copy_async;
    if (parts[2] == "commit_group") {
      out_.run = close_group;
      wait_for_members();
    } else if (parts[2] == "wait_group" || parts[2] == "wait_all") {
      const bool all = parts[2] == "wait_all";
      out_.run = wait_groups;
      wait_for_members();
      out_.more = all;
      if (!all && operand(0).is != Operand::Is::immediate) refuse("a number is needed");
      out_.immediate = all ? 0 : static_cast<std::uint16_t>(operand(0).bits);
    } else {
      expect(3, 5);
      const std::uint64_t bytes = operand(2).bits;
      if (bytes != 4 && bytes != 8 && bytes != 16) refuse("4, 8 or 16 bytes are copied");
      std::uint32_t to;
      const Operand& target = operand(0);
      if (target.is != Operand::Is::address || target.offset != 0)
        refuse("the target must be an address without an offset");
      if (target.reg.slot == NOTHING) to = constant(target.bits, 4);
      else if (target.reg.bytes == 4) to = target.reg.slot;
      else refuse("the target must be a 32-bit address of shared memory");
      out_.operand[0] = to;
      if (now_->operands.size() > 3 && !has(parts, "L2::cache_hint")) {
        if (operand(3).is == Operand::Is::reg && operand(3).reg.bytes == 0)
          refuse("a predicate in place of a size is not known");
        out_.operand[1] = slot(operand(3), 4);
      }
      set_address(operand(1));
      out_.width = static_cast<std::uint8_t>(bytes);
      out_.run = copy_async;
    }
  }

  void decode_matrices(const Parts& parts) {
    expect(2, 2);
    if (!has(parts, "m8n8") || !has(parts, "b16")) refuse("this shape is not known");
    const std::vector<Operand> list = parts_of(operand(0));
    const std::size_t count = has(parts, "x4") ? 4 : has(parts, "x2") ? 2 : 1;
    if (list.size() != count) refuse("the vector does not fit");
    set_space(parts);
    set_address(operand(1));
    for (std::size_t k = 0; k < count; ++k) out_.operand[k] = slot(list[k], 4);
    out_.vector = static_cast<std::uint8_t>(count);
    out_.more = has(parts, "trans");
    wait_for_members();
    out_.run = load_matrices;
    out_.kind = Kind::ldmatrix;
  }

  void decode_multiply(const Parts& parts) {
    expect(4, 4);
    static const std::map<std::string, Format> formats = {
        {"bf16", Format::bf16}, {"f16", Format::f16},   {"tf32", Format::tf32},
        {"e4m3", Format::e4m3}, {"e5m2", Format::e5m2}};
    if (parts.size() != 10 || parts[1] != "sync" || parts[3].compare(0, 6, "m16n8k") != 0 ||
        parts[4] != "row" || parts[5] != "col" || !formats.count(parts[7]) ||
        !formats.count(parts[8]) || parts[6] != parts[9] ||
        (parts[6] != "f32" && parts[6] != "f16"))
      refuse("this multiply-add is not known");
    const Format a = formats.at(parts[7]), b = formats.at(parts[8]);
    const int depth = std::atoi(parts[3].c_str() + 6), whole = 256 / layout(a).bits;
    if (depth != whole && depth != whole / 2) refuse("this depth is not known");
    try {
      program_.roundings.push_back(rounding_of(text_.target, a));
    } catch (const std::invalid_argument& fault) {
      refuse(fault.what());
    }
    out_.target = static_cast<std::uint32_t>(program_.roundings.size() - 1);
    const bool half = parts[6] == "f16";
    const std::size_t sums = half ? 2 : 4, of_a = depth == whole ? 4 : 2;
    const std::size_t sizes[] = {sums, of_a, of_a / 2, sums}, starts[] = {0, 4, 8, 10};
    for (std::size_t k = 0; k < 4; ++k) {
      const std::vector<Operand> list = parts_of(operand(k));
      if (list.size() != sizes[k]) refuse("the registers do not fit the shape");
      for (std::size_t r = 0; r < list.size(); ++r)
        out_.operand[starts[k] + r] = k ? slot(list[r], 4) : written(list[r], 4);
    }
    out_.immediate = static_cast<std::uint16_t>(static_cast<int>(a) | static_cast<int>(b) << 8);
    out_.more = static_cast<std::uint16_t>(depth);
    out_.width = half ? 2 : 4;
    wait_for_members();
    out_.run = multiply;
    out_.kind = Kind::mma;
  }

  void decode_shuffle(const Parts& parts) {
    expect(5, 5);
    static const std::map<std::string, Shuffle> ways = {{"up", Shuffle::up},
                                                        {"down", Shuffle::down},
                                                        {"bfly", Shuffle::bfly},
                                                        {"idx", Shuffle::idx}};
    if (parts.size() != 4 || parts[1] != "sync" || !ways.count(parts[2]))
      refuse("this shuffle is not known");
    const std::vector<Operand> results = parts_of(operand(0));
    out_.operand[0] = written(results.at(0), 4);
    if (out_.operand[0] == NOTHING) refuse("the result needs a register");
    for (std::size_t k = 1; k < 5; ++k) out_.operand[k] = slot(operand(k), 4);
    if (results.size() == 2) out_.operand[5] = predicate(results[1]);
    out_.immediate = static_cast<std::uint16_t>(ways.at(parts[2]));
    wait_for_members(out_.operand[4]);
    out_.run = shuffle;
    out_.kind = Kind::exchange;
  }

  void decode_vote(const Parts& parts) {
    expect(3, 3);
    static const std::map<std::string, Vote> ways = {
        {"all", Vote::all}, {"any", Vote::any}, {"uni", Vote::uni}, {"ballot", Vote::ballot}};
    if (parts.size() != 4 || parts[1] != "sync" || !ways.count(parts[2]))
      refuse("this vote is not known");
    const Vote way = ways.at(parts[2]);
    out_.operand[0] = way == Vote::ballot ? written(operand(0), 4) : predicate(operand(0));
    out_.operand[1] = predicate(operand(1));
    out_.operand[2] = slot(operand(2), 4);
    if (out_.operand[0] == NOTHING || out_.operand[1] == NOTHING) refuse("`_` is not known here");
    out_.immediate = static_cast<std::uint16_t>(way);
    out_.more = operand(1).negated;
    wait_for_members(out_.operand[2]);
    out_.run = vote;
    out_.kind = Kind::exchange;
  }

  void decode_match(const Parts& parts) {
    expect(3, 3);
    if (parts.size() != 4 || (parts[1] != "any" && parts[1] != "all") || parts[2] != "sync")
      refuse("this match is not known");
    const int bytes = type_of(parts[3]).bytes;
    const std::vector<Operand> results = parts_of(operand(0));
    out_.operand[0] = written(results.at(0), 4);
    if (out_.operand[0] == NOTHING) refuse("`_` is not known here");
    out_.operand[1] = slot(operand(1), bytes);
    out_.operand[2] = slot(operand(2), 4);
    if (results.size() == 2) out_.operand[3] = predicate(results[1]);
    out_.width = static_cast<std::uint8_t>(bytes);
    wait_for_members(out_.operand[2]);
    out_.run = parts[1] == "any" ? match_any : match_all;
    out_.kind = Kind::exchange;
  }

  void decode_reduce(const Parts& parts) {
    expect(3, 3);
    static const std::map<std::string, Reduce> ways = {
        {"add.s32", Reduce::add},  {"add.u32", Reduce::add},  {"min.u32", Reduce::umin},
        {"max.u32", Reduce::umax}, {"min.s32", Reduce::smin}, {"max.s32", Reduce::smax},
        {"and.b32", Reduce::and_}, {"or.b32", Reduce::or_},   {"xor.b32", Reduce::xor_}};
    const auto way =
        parts.size() == 4 ? ways.find(parts[2] + "." + parts[3]) : ways.end();
    if (way == ways.end()) refuse("this reduction is not known");
    out_.operand[0] = slot(operand(0), 4);
    out_.operand[1] = slot(operand(1), 4);
    out_.operand[2] = slot(operand(2), 4);
    out_.immediate = static_cast<std::uint16_t>(way->second);
    wait_for_members(out_.operand[2]);
    out_.run = reduce;
    out_.kind = Kind::exchange;
  }

  void decode_active_mask(const Parts&) {
    expect(1, 1);
    out_.operand[0] = slot(operand(0), 4);
    out_.run = active_mask;
    out_.kind = Kind::exchange;
  }

  void decode_barrier(const Parts& parts) {
    if (has(parts, "warp")) {
      out_.operand[0] = slot(operand(0), 4);
      wait_for_members(out_.operand[0]);
      out_.run = sync_warp;
      out_.kind = Kind::exchange;
      return;
    }
    if (!(has(parts, "sync") || has(parts, "arrive")) || has(parts, "cluster"))
      refuse("this barrier is not known");
    expect(1, 2);
    out_.operand[0] = slot(operand(0), 4);
    if (now_->operands.size() == 2) out_.operand[1] = slot(operand(1), 4);
    out_.more = has(parts, "arrive");
    wait_for_members();
    out_.flow = Flow::barrier;
    out_.kind = Kind::barrier;
  }

  void decode_branch(const Parts&) {
    expect(1, 1);
    const auto label = text_.labels.find(operand(0).name);
    if (label == text_.labels.end() || label->second >= text_.statements.size())
      refuse("there is no such label");
    out_.target = label->second;
    out_.flow = Flow::branch;
    out_.kind = Kind::control;
  }

  void decode_exit(const Parts&) {
    out_.flow = Flow::exit;
    out_.kind = Kind::control;
  }

  void decode_trap(const Parts&) {
    out_.flow = Flow::trap;
    out_.kind = Kind::control;
  }

  void decode_cvta(const Parts& parts) {
    expect(2, 2);
    if (parts.back() != "u64") refuse("addresses have 64 bits");
    const std::uint32_t to = written(operand(0), 8), from = slot(operand(1), 8);
    if (to == NOTHING) refuse("the result needs a register");
    if (!has(parts, "shared")) return take_arithmetic("mov.b64", {to, from});
    take_arithmetic(has(parts, "to") ? "sub.s64" : "add.s64",
                    {to, from, constant(SHARED_WINDOW, 8)});
  }

  void decode_nothing(const Parts&) {  // fences order what runs here in order anyway
    out_.run = nothing;
    out_.kind = Kind::control;
  }

  Text& text_;
  Program program_;
  const Statement* now_ = nullptr;
  Instruction out_;
  std::map<std::pair<std::uint64_t, bool>, std::uint32_t> constants_;
};

}  // namespace

Program parse(const std::string& text, const std::string& entry) {
  Text read_text = read(text, entry);
  Program program = Decoder(read_text).decode();
  program.entry = entry;
  return program;
}

}  // namespace moesaic::ptx
