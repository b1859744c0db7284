#include "ptx/arithmetic.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace moesaic::ptx {

namespace {

bool before(const Arithmetic& a, const Arithmetic& b) {
  return std::strcmp(a.opcode, b.opcode) < 0;
}

ArithmeticTable for_this_machine() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return arithmetic_avx2();
#endif
  return arithmetic_plain();
}

std::vector<Arithmetic> sorted() {
  const ArithmeticTable table = for_this_machine();
  std::vector<Arithmetic> rows(table.begin, table.begin + table.size);
  std::stable_sort(rows.begin(), rows.end(), before);
  return rows;
}

}  // namespace

std::pair<const Arithmetic*, const Arithmetic*> find_arithmetic(const char* opcode) {
  static const std::vector<Arithmetic> rows = sorted();
  const Arithmetic wanted{opcode, "", nullptr, Kind::integer};
  const auto [first, last] = std::equal_range(rows.begin(), rows.end(), wanted, before);
  return {rows.data() + (first - rows.begin()), rows.data() + (last - rows.begin())};
}

}  // namespace moesaic::ptx
