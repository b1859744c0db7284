// Instructions that touch memory, and those of the tensor cores.
#include <algorithm>
#include <stdexcept>

#include "ptx/decoder.hpp"

namespace moesaic::ptx {

void Decoder::decode_load(const Parts& parts) {
  expect(2, 2);
  if (has(parts, "param")) return decode_parameter(parts);
  decode_memory(parts, operand(0), operand(1), true);
  out_.run = load;
}

void Decoder::decode_store(const Parts& parts) {
  expect(2, 2);
  decode_memory(parts, operand(1), operand(0), false);
  out_.run = store;
}

void Decoder::decode_memory(const Parts& parts, const Operand& data, const Operand& address,
                            bool loads) {
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
  if (type.bytes * list.size() < 4) {
    program_.narrow_shared |= out_.space == SHARED || out_.space == GENERIC;
    program_.narrow_global |= out_.space == GLOBAL || out_.space == GENERIC;
  }
  out_.width = static_cast<std::uint8_t>(type.bytes);
  out_.vector = static_cast<std::uint8_t>(list.size());
  out_.more = static_cast<std::uint16_t>(bytes);
  out_.kind = out_.space == LOCAL    ? Kind::local
              : out_.space == SHARED ? (loads ? Kind::load_shared : Kind::store_shared)
                                     : (loads ? Kind::load_global : Kind::store_global);
}

void Decoder::decode_parameter(const Parts& parts) {
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
                           {result(operand(0), widened ? 8 : type.bytes), parameter.slot});
  }
  refuse("there is no such parameter");
}

void Decoder::decode_atomic(const Parts& parts) {
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

void Decoder::decode_copy(const Parts& parts) {
  if (parts.size() < 3 || parts[1] != "async" || has(parts, "bulk") || has(parts, "mbarrier"))
    refuse("the executor does not know this instruction");
  out_.kind = Kind::copy_async;
  if (parts[2] == "commit_group") {
    out_.run = close_group;
  } else if (parts[2] == "wait_group" || parts[2] == "wait_all") {
    const bool all = parts[2] == "wait_all";
    out_.run = wait_groups;
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

void Decoder::decode_matrices(const Parts& parts) {
  expect(2, 2);
  if (!has(parts, "m8n8") || !has(parts, "b16")) refuse("this shape is not known");
  const std::vector<Operand> list = parts_of(operand(0));
  const std::size_t count = has(parts, "x4") ? 4 : has(parts, "x2") ? 2 : 1;
  if (list.size() != count) refuse("the vector does not fit");
  set_space(parts);
  set_address(operand(1));
  for (std::size_t k = 0; k < count; ++k) out_.operand[k] = result(list[k], 4);
  out_.vector = static_cast<std::uint8_t>(count);
  out_.more = has(parts, "trans");
  wait_for_members();
  out_.run = load_matrices;
  out_.kind = Kind::ldmatrix;
}

void Decoder::decode_multiply(const Parts& parts) {
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
      out_.operand[starts[k] + r] = k ? slot(list[r], 4) : result(list[r], 4);
  }
  out_.immediate = static_cast<std::uint16_t>(static_cast<int>(a) | static_cast<int>(b) << 8);
  out_.more = static_cast<std::uint16_t>(depth);
  out_.width = half ? 2 : 4;
  wait_for_members();
  out_.run = multiply;
  out_.kind = Kind::mma;
}

void Decoder::decode_cvta(const Parts& parts) {
  expect(2, 2);
  if (parts.back() != "u64") refuse("addresses have 64 bits");
  const std::uint32_t to = result(operand(0), 8), from = slot(operand(1), 8);
  if (!has(parts, "shared")) return take_arithmetic("mov.b64", {to, from});
  take_arithmetic(has(parts, "to") ? "sub.s64" : "add.s64",
                  {to, from, constant(SHARED_WINDOW, 8)});
}

}  // namespace moesaic::ptx
