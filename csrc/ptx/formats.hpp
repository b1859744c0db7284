// The number formats of tensor cores and of cvt: what their bits stand for, and back.
#pragma once

#include <algorithm>
#include <cstdint>

namespace moesaic::ptx {

enum class Format : std::uint8_t { bf16, f16, tf32, e4m3, e5m2, f32 };

// A word holds sign, exponent and fraction, in this order, above `unread` bits that mean nothing.
struct Layout {
  int bits, exponent_bits, fraction_bits, unread;
  bool infinities;  // e4m3 has none: its last pattern is its only nan

  constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  constexpr int least_exponent() const { return 1 - bias(); }
  constexpr std::uint32_t sign() const { return 1u << (bits - 1); }
  constexpr std::uint32_t nan() const { return sign() - 1; }  // as the hardware writes it
  constexpr std::uint32_t infinity() const { return ((1u << exponent_bits) - 1) << low(); }
  constexpr std::uint32_t largest() const {
    return (infinities ? infinity() : nan()) - (1u << unread);
  }
  constexpr int low() const { return fraction_bits + unread; }
};

constexpr Layout layout(Format format) {
  switch (format) {
    case Format::bf16: return {16, 8, 7, 0, true};
    case Format::f16: return {16, 5, 10, 0, true};
    case Format::tf32: return {32, 8, 10, 13, true};
    case Format::e4m3: return {8, 4, 3, 0, false};
    case Format::e5m2: return {8, 5, 2, 0, true};
    case Format::f32: break;
  }
  return {32, 8, 23, 0, true};
}

// significand * 2^(exponent - fraction bits of its format), when finite. Subnormals keep the least
// exponent with a significand below one.
struct Number {
  enum Kind : std::uint8_t { finite, infinite, nan } kind;
  bool negative;
  std::uint32_t significand;
  int exponent;
};

inline Number decode(Format format, std::uint32_t word) {
  const Layout l = layout(format);
  const std::uint32_t bits = (word & (l.sign() - 1)) >> l.unread << l.unread;
  const bool negative = word & l.sign();
  if (bits > l.largest())
    return {l.infinities && bits == l.infinity() ? Number::infinite : Number::nan, negative, 0, 0};
  const int field = static_cast<int>(bits >> l.low());
  const std::uint32_t fraction = bits >> l.unread & ((1u << l.fraction_bits) - 1);
  const std::uint32_t leading = field ? 1u << l.fraction_bits : 0;
  return {Number::finite, negative, fraction | leading, std::max(field, 1) - l.bias()};
}

enum class Round : std::uint8_t { nearest_even, nearest_away, toward_zero };
enum class Overflow : std::uint8_t { infinity, largest };

constexpr int BEYOND = 1 << 20;  // an exponent that no format holds

// The word for (negative ? -1 : 1) * magnitude * 2^exponent; magnitude below 2^62.
inline std::uint32_t encode(Format format, bool negative, std::uint64_t magnitude, int exponent,
                            Round round, Overflow overflow) {
  const Layout l = layout(format);
  const std::uint32_t sign = negative ? l.sign() : 0;
  if (magnitude == 0) return sign;
  const int top = 63 - __builtin_clzll(magnitude) + exponent;
  const int leading = std::max(top, l.least_exponent());
  const int cut = leading - l.fraction_bits - exponent;
  std::uint64_t kept = cut > 62 ? 0 : cut > 0 ? magnitude >> cut : magnitude << -cut;
  if (cut > 0 && cut <= 62 && round != Round::toward_zero) {
    const std::uint64_t rest = magnitude - (kept << cut), half = std::uint64_t{1} << (cut - 1);
    kept += rest > half || (rest == half && (round == Round::nearest_away || (kept & 1)));
  }
  // The leading one of a normal number, where rounding carried too, adds one to the exponent.
  const auto steps = static_cast<std::uint64_t>(leading - l.least_exponent());
  const std::uint64_t bits = ((steps << l.fraction_bits) + kept) << l.unread;
  if (bits <= l.largest()) return sign | static_cast<std::uint32_t>(bits);
  if (overflow == Overflow::largest) return sign | l.largest();
  return l.infinities ? sign | l.infinity() : l.nan();
}

// A word of one format as a word of another, as cvt does it; `finite` is its satfinite: the largest
// number instead of an infinity. A nan loses its sign and its payload.
inline std::uint32_t convert(Format from, std::uint32_t word, Format to,
                             Round round = Round::nearest_even, bool finite = false) {
  const Number x = decode(from, word);
  if (x.kind == Number::nan) return layout(to).nan();
  const Overflow kept = finite ? Overflow::largest : Overflow::infinity;
  if (x.kind == Number::infinite) return encode(to, x.negative, 1, BEYOND, round, kept);
  return encode(to, x.negative, x.significand, x.exponent - layout(from).fraction_bits, round,
                round == Round::toward_zero ? Overflow::largest : kept);
}

}  // namespace moesaic::ptx
