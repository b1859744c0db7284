// Instructions of arithmetic, flow and exchange; which way each opcode takes.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "ptx/decoder.hpp"

namespace moesaic::ptx {

Decoder::Decoder(Text& text) : text_(text) {
  program_.slots = text.slots;
  for (std::uint32_t& slot : program_.specials) slot = program_.slots++;
}

Program Decoder::decode() {
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
  const Flow last = program_.code.empty() ? Flow::next : program_.code.back().flow;
  if (last == Flow::next || last == Flow::barrier || program_.code.back().guard != NOTHING)
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

void Decoder::decode_one() {
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

void Decoder::decode_arithmetic() {
  const auto [first, last] = find_arithmetic(now_->opcode.c_str());
  for (const Arithmetic* row = first; row < last; ++row)
    if (try_row(*row)) return;
  refuse(first < last ? "operands of this kind are not known"
                      : "the executor does not know this instruction");
}

bool Decoder::try_row(const Arithmetic& row) {
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

bool Decoder::pack_or_unpack() {
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
  out_.operand[0] = packs ? result(whole, bytes) : slot(whole, bytes);
  for (std::size_t k = 0; k < list.size(); ++k)
    out_.operand[1 + k] = packs ? slot(list[k], part) : written(list[k], part);
  out_.vector = static_cast<std::uint8_t>(list.size());
  out_.width = static_cast<std::uint8_t>(part);
  out_.more = static_cast<std::uint16_t>(bytes);
  out_.run = packs ? pack : unpack;
  out_.kind = Kind::move;
  return true;
}

void Decoder::take_arithmetic(const std::string& opcode, std::vector<std::uint32_t> slots) {
  out_.run = find_arithmetic(opcode.c_str()).first->run;
  out_.kind = Kind::move;
  std::copy(slots.begin(), slots.end(), out_.operand);
}

void Decoder::decode_shuffle(const Parts& parts) {
  expect(5, 5);
  static const std::map<std::string, Shuffle> ways = {{"up", Shuffle::up},
                                                      {"down", Shuffle::down},
                                                      {"bfly", Shuffle::bfly},
                                                      {"idx", Shuffle::idx}};
  if (parts.size() != 4 || parts[1] != "sync" || !ways.count(parts[2]))
    refuse("this shuffle is not known");
  const std::vector<Operand> results = parts_of(operand(0));
  out_.operand[0] = result(results[0], 4);
  for (std::size_t k = 1; k < 5; ++k) out_.operand[k] = slot(operand(k), 4);
  if (results.size() == 2) out_.operand[5] = predicate(results[1]);
  out_.immediate = static_cast<std::uint16_t>(ways.at(parts[2]));
  wait_for_members(out_.operand[4]);
  out_.run = shuffle;
  out_.kind = Kind::exchange;
}

void Decoder::decode_vote(const Parts& parts) {
  expect(3, 3);
  static const std::map<std::string, Vote> ways = {
      {"all", Vote::all}, {"any", Vote::any}, {"uni", Vote::uni}, {"ballot", Vote::ballot}};
  if (parts.size() != 4 || parts[1] != "sync" || !ways.count(parts[2]))
    refuse("this vote is not known");
  const Vote way = ways.at(parts[2]);
  out_.operand[0] = way == Vote::ballot ? result(operand(0), 4) : predicate(operand(0));
  out_.operand[1] = predicate(operand(1));
  out_.operand[2] = slot(operand(2), 4);
  if (out_.operand[0] == NOTHING || out_.operand[1] == NOTHING) refuse("`_` is not known here");
  out_.immediate = static_cast<std::uint16_t>(way);
  out_.more = operand(1).negated;
  wait_for_members(out_.operand[2]);
  out_.run = vote;
  out_.kind = Kind::exchange;
}

void Decoder::decode_match(const Parts& parts) {
  expect(3, 3);
  if (parts.size() != 4 || (parts[1] != "any" && parts[1] != "all") || parts[2] != "sync")
    refuse("this match is not known");
  const int bytes = type_of(parts[3]).bytes;
  const std::vector<Operand> results = parts_of(operand(0));
  out_.operand[0] = result(results[0], 4);
  out_.operand[1] = slot(operand(1), bytes);
  out_.operand[2] = slot(operand(2), 4);
  if (results.size() == 2) out_.operand[3] = predicate(results[1]);
  out_.width = static_cast<std::uint8_t>(bytes);
  wait_for_members(out_.operand[2]);
  out_.run = parts[1] == "any" ? match_any : match_all;
  out_.kind = Kind::exchange;
}

void Decoder::decode_reduce(const Parts& parts) {
  expect(3, 3);
  static const std::map<std::string, Reduce> ways = {
      {"add.s32", Reduce::add},  {"add.u32", Reduce::add},  {"min.u32", Reduce::umin},
      {"max.u32", Reduce::umax}, {"min.s32", Reduce::smin}, {"max.s32", Reduce::smax},
      {"and.b32", Reduce::and_}, {"or.b32", Reduce::or_},   {"xor.b32", Reduce::xor_}};
  const auto way =
      parts.size() == 4 ? ways.find(parts[2] + "." + parts[3]) : ways.end();
  if (way == ways.end()) refuse("this reduction is not known");
  out_.operand[0] = result(operand(0), 4);
  out_.operand[1] = slot(operand(1), 4);
  out_.operand[2] = slot(operand(2), 4);
  out_.immediate = static_cast<std::uint16_t>(way->second);
  wait_for_members(out_.operand[2]);
  out_.run = reduce;
  out_.kind = Kind::exchange;
}

void Decoder::decode_active_mask(const Parts&) {
  expect(1, 1);
  out_.operand[0] = result(operand(0), 4);
  out_.run = active_mask;
  out_.kind = Kind::exchange;
}

void Decoder::decode_barrier(const Parts& parts) {
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

void Decoder::decode_branch(const Parts&) {
  expect(1, 1);
  const auto label = text_.labels.find(operand(0).name);
  if (label == text_.labels.end() || label->second >= text_.statements.size())
    refuse("there is no such label");
  out_.target = label->second;
  out_.flow = Flow::branch;
  out_.kind = Kind::control;
}

void Decoder::decode_exit(const Parts&) {
  out_.flow = Flow::exit;
  out_.kind = Kind::control;
}

void Decoder::decode_trap(const Parts&) {
  out_.flow = Flow::trap;
  out_.kind = Kind::control;
}

void Decoder::decode_nothing(const Parts&) {// fences order what runs here in order anyway
  out_.run = nothing;
  out_.kind = Kind::control;
}

Program parse(const std::string& text, const std::string& entry) {
  Text read_text = read(text, entry);
  Program program = Decoder(read_text).decode();
  program.entry = entry;
  return program;
}

}  // namespace moesaic::ptx
