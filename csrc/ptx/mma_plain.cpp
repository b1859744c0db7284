#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "ptx/mma.hpp"

namespace moesaic::ptx {

namespace {

constexpr int ZERO_EXPONENT = -126;  // of a zero, whatever its format
constexpr int MOST_TERMS = 33;       // 32 products and the sum so far

// (negative ? -1 : 1) * magnitude * 2^(exponent - fraction_bits)
struct Term {
  bool negative;
  std::uint64_t magnitude;
  int exponent, fraction_bits;
};

struct Sum {
  bool nan = false, infinite[2] = {};  // by sign
  std::array<Term, MOST_TERMS> terms;
  int count = 0;

  void add(Number::Kind kind, const Term& term) {
    if (kind == Number::nan) nan = true;
    if (kind == Number::infinite) infinite[term.negative] = true;
    if (kind == Number::finite) terms[count++] = term;
  }
};

int exponent_of(const Number& x) { return x.significand ? x.exponent : ZERO_EXPONENT; }

// The product is exact and stays as it comes: 1.5 * 1.5 keeps the exponent 0.
void add_product(Sum& sum, Format a, const Number& x, Format b, const Number& y) {
  const auto is_zero = [](const Number& n) { return n.kind == Number::finite && !n.significand; };
  Number::Kind kind = std::max(x.kind, y.kind);
  if (kind == Number::infinite && (is_zero(x) || is_zero(y))) kind = Number::nan;
  sum.add(kind, {x.negative != y.negative, std::uint64_t{x.significand} * y.significand,
                 exponent_of(x) + exponent_of(y),
                 layout(a).fraction_bits + layout(b).fraction_bits});
}

std::uint32_t rounded(const Sum& sum, Format to, const Rounding& rounding) {
  if (sum.nan || (sum.infinite[0] && sum.infinite[1])) return layout(to).nan();
  if (sum.infinite[0] || sum.infinite[1])
    return layout(to).infinity() | (sum.infinite[1] ? layout(to).sign() : 0);
  int largest = -BEYOND;
  for (int i = 0; i < sum.count; ++i) largest = std::max(largest, sum.terms[i].exponent);
  const int unit = largest - rounding.fraction_bits;
  std::int64_t total = 0;
  for (int i = 0; i < sum.count; ++i) {
    const Term& t = sum.terms[i];
    const int up = t.exponent - t.fraction_bits - unit;  // at most 25: no product has 38 bits
    const std::uint64_t cut = up >= 0 ? t.magnitude << up : up > -64 ? t.magnitude >> -up : 0;
    total += t.negative ? -static_cast<std::int64_t>(cut) : static_cast<std::int64_t>(cut);
  }
  const Round round = to == Format::f32 ? Round::toward_zero : Round::nearest_even;
  const auto magnitude = static_cast<std::uint64_t>(total < 0 ? -total : total);
  std::uint32_t word = encode(to, total < 0, magnitude, unit, round, Overflow::infinity);
  if (to == Format::f32 && rounding.to_13_bits) word &= ~0x3FFu;
  return word == layout(to).sign() ? 0 : word;  // no negative zero
}

}  // namespace

Rounding rounding_of(int sm, Format a) {
  const bool ampere = sm == 80 || sm == 86, ada = sm == 89;
  if (!ampere && !ada && sm != 90 && sm != 100 && sm != 120)
    throw std::invalid_argument("how sm_" + std::to_string(sm) + " rounds mma is not known");
  const int bits = layout(a).bits;
  const int most = bits == 8 ? 32 : bits == 16 ? 16 : 8;  // products that one instruction sums
  if (bits == 8) {
    if (ada) return {13, most / 2, true};
    if (sm != 120)
      throw std::invalid_argument("how sm_" + std::to_string(sm) +
                                  " rounds mma of 8-bit floats is not known");
  }
  return ampere || ada ? Rounding{24, most / 2, false} : Rounding{25, most, false};
}

std::uint32_t dot_plain(Format a, Format b, int k, bool half_sum, Rounding rounding,
                        const std::uint32_t* a_words, const std::uint32_t* b_words,
                        std::uint32_t c) {
  const Format to = half_sum ? Format::f16 : Format::f32;
  for (int first = 0; first < k; first += rounding.step) {
    Sum sum;
    const Number so_far = decode(to, c);
    sum.add(so_far.kind, {so_far.negative, so_far.significand, exponent_of(so_far),
                          layout(to).fraction_bits});
    for (int i = first; i < std::min(k, first + rounding.step); ++i)
      add_product(sum, a, decode(a, a_words[i]), b, decode(b, b_words[i]));
    c = rounded(sum, to, rounding);
  }
  return c;
}

}  // namespace moesaic::ptx
