// What operands become: slots, predicates, addresses, constants.
#include <cstdlib>

#include "ptx/decoder.hpp"

namespace moesaic::ptx {

namespace {

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

}  // namespace

void Decoder::refuse(const std::string& why) const {
  moesaic::ptx::refuse(now_->line, "'" + now_->text + "': " + why);
}

const Operand& Decoder::operand(std::size_t k) const {
  if (k >= now_->operands.size()) refuse("an operand is missing");
  return now_->operands[k];
}

void Decoder::expect(std::size_t least, std::size_t most) const {
  if (now_->operands.size() < least || now_->operands.size() > most)
    refuse("it has " + std::to_string(now_->operands.size()) + " operands");
}

std::uint32_t Decoder::constant(std::uint64_t bits, int bytes) {
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

bool Decoder::fits(const Operand& o, int bytes) const {
  if (o.negated) return false;
  if (o.is == Operand::Is::reg) return o.reg.bytes == bytes && bytes > 0;
  if (o.is == Operand::Is::name) return bytes == 4 && SPECIAL_NAMES.count(o.name) != 0;
  return o.is == Operand::Is::immediate;
}

std::uint32_t Decoder::slot(const Operand& o, int bytes) {
  if (!fits(o, bytes)) refuse("an operand of " + std::to_string(bytes) + " bytes is needed");
  if (o.is == Operand::Is::reg) return o.reg.slot;
  if (o.is == Operand::Is::name) return program_.specials[SPECIAL_NAMES.at(o.name)];
  return constant(o.bits, bytes);
}

std::uint32_t Decoder::result(const Operand& o, int bytes) {
  if (o.is != Operand::Is::reg) refuse("the result needs a register");
  return slot(o, bytes);
}

std::uint32_t Decoder::written(const Operand& o, int bytes) {
  return o.is == Operand::Is::sink ? NOTHING : result(o, bytes);
}

std::uint32_t Decoder::predicate(const Operand& o) const {
  if (o.is == Operand::Is::sink) return NOTHING;
  if (o.is != Operand::Is::reg || o.reg.bytes != 0) refuse("a predicate is needed");
  return o.reg.slot;
}

std::vector<Operand> Decoder::parts_of(const Operand& o) {
  return o.is == Operand::Is::list && !o.list.empty() ? o.list : std::vector<Operand>{o};
}

void Decoder::set_address(const Operand& o) {
  if (o.is != Operand::Is::address) refuse("an address is needed");
  out_.offset = o.offset;
  if (o.reg.slot == NOTHING) {
    out_.operand[ADDRESS] = constant(o.bits, 8);
  } else {
    out_.operand[ADDRESS] = o.reg.slot;
    if (o.reg.bytes == 4) out_.immediate |= NARROW_ADDRESS;
  }
}

Decoder::Type Decoder::type_of(const std::string& word) const {
  static const std::string kinds = "busf";
  const int bits = word.size() > 1 ? std::atoi(word.c_str() + 1) : 0;
  if (word.empty() || kinds.find(word[0]) == std::string::npos ||
      (bits != 8 && bits != 16 && bits != 32 && bits != 64))
    refuse("the type ." + word + " is not known here");
  return {word[0], bits / 8};
}

void Decoder::set_space(const Parts& parts) {
  out_.space = GENERIC;
  if (has(parts, "global")) out_.space = GLOBAL;
  if (has(parts, "shared") || has(parts, "shared::cta")) out_.space = SHARED;
  if (has(parts, "local")) out_.space = LOCAL;
  for (const char* word : {"const", "shared::cluster"})
    if (has(parts, word)) refuse(std::string("the space .") + word + " is not known");
  for (const char* word : {"volatile", "relaxed", "acquire", "release", "mmio"})
    if (has(parts, word)) out_.strong = true;
}

void Decoder::wait_for_members(std::uint32_t members) {
  out_.together = true;
  out_.members = members;
}

}  // namespace moesaic::ptx
