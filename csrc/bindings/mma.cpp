#include <pybind11/numpy.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "doors.hpp"
#include "ptx/mma.hpp"

namespace py = pybind11;
using namespace moesaic::ptx;

namespace {

using Words = py::array_t<std::uint32_t, py::array::c_style>;

void demand(bool holds, const std::string& what) {
  if (!holds) throw std::invalid_argument(what);
}

Format format_of(const std::string& name) {
  const std::pair<const char*, Format> known[] = {
      {"bf16", Format::bf16}, {"f16", Format::f16},   {"tf32", Format::tf32},
      {"e4m3", Format::e4m3}, {"e5m2", Format::e5m2}, {"f32", Format::f32}};
  for (const auto& [word, format] : known)
    if (name == word) return format;
  throw std::invalid_argument("no number format is called " + name);
}

struct Kind {
  Format a, b;
  int k;
  bool half_sums;
  Rounding rounding;
};

Kind kind_of(const std::string& a, const std::string& b, py::ssize_t k, bool half_sums, int sm) {
  const Format left = format_of(a), right = format_of(b);
  demand(left != Format::f32 && layout(left).bits == layout(right).bits,
         "the tensor cores do not multiply " + a + " by " + b);
  const int most = layout(left).bits == 8 ? 32 : layout(left).bits == 16 ? 16 : 8;
  demand(k == most || k == most / 2, "the depth must be all or half of an instruction's");
  return {left, right, static_cast<int>(k), half_sums, rounding_of(sm, left)};
}

Words dots(const std::string& a_format, const std::string& b_format, bool half_sums, int sm,
           const Words& a, const Words& b, const Words& c) {
  demand(a.ndim() == 2 && b.ndim() == 2 && c.ndim() == 1 && a.shape(0) == c.size() &&
             b.shape(0) == c.size() && a.shape(1) == b.shape(1),
         "a and b must be [cases, depth], c [cases]");
  const Kind kind = kind_of(a_format, b_format, a.shape(1), half_sums, sm);
  Words d(c.size());
  for (py::ssize_t i = 0; i < c.size(); ++i)
    d.mutable_at(i) = dot_plain(kind.a, kind.b, kind.k, half_sums, kind.rounding, a.data(i, 0),
                                b.data(i, 0), c.at(i));
  return d;
}

// The 32-bit registers of a warp for a matrix [lines, depth] of words (PTX ISA, the figures of
// mma.m16n8k*): lane 4 (line mod 8) + depth / width mod 4; `width` words share a register.
struct Spread {
  py::ssize_t lines, width;

  int lane(py::ssize_t line, py::ssize_t k) const {
    return static_cast<int>(line % 8 * 4 + k / width % 4);
  }
  int word(py::ssize_t line, py::ssize_t k) const {
    return static_cast<int>(line / 8 + k / (4 * width) * (lines / 8));
  }
  int shift(py::ssize_t k) const { return static_cast<int>(k % width * (32 / width)) % 32; }
};

using Registers = std::uint32_t[4][32];

void load(const Spread& spread, const std::uint32_t* words, py::ssize_t depth, Registers& to) {
  std::fill_n(&to[0][0], 4 * 32, 0);
  for (py::ssize_t line = 0; line < spread.lines; ++line)
    for (py::ssize_t k = 0; k < depth; ++k)
      to[spread.word(line, k)][spread.lane(line, k)] |= words[line * depth + k] << spread.shift(k);
}

Words tiles(const std::string& a_format, const std::string& b_format, bool half_sums, int sm,
            const Words& a, const Words& b, const Words& c) {
  demand(a.ndim() == 3 && b.ndim() == 3 && c.ndim() == 3 && a.shape(0) == c.shape(0) &&
             b.shape(0) == c.shape(0) && a.shape(1) == 16 && b.shape(1) == 8 &&
             c.shape(1) == 16 && c.shape(2) == 8 && a.shape(2) == b.shape(2),
         "a must be [tiles, 16, depth], b [tiles, 8, depth], c [tiles, 16, 8]");
  const Kind kind = kind_of(a_format, b_format, a.shape(2), half_sums, sm);
  const py::ssize_t width = 32 / layout(kind.a).bits;
  Words d({c.shape(0), c.shape(1), c.shape(2)});
  for (py::ssize_t i = 0; i < c.shape(0); ++i) {
    Registers left, right, sums;
    load({16, width}, a.data(i, 0, 0), kind.k, left);
    load({8, width}, b.data(i, 0, 0), kind.k, right);
    std::fill_n(&sums[0][0], 4 * 32, 0);
    // f16 sums lie as a left operand of 8 columns does; f32 takes a register for each of a pair.
    const auto each = [&](auto visit) {
      for (py::ssize_t row = 0; row < 16; ++row)
        for (py::ssize_t n = 0; n < 8; ++n) {
          const int v = static_cast<int>(half_sums ? row / 8 : row / 8 * 2 + n % 2);
          visit(sums[v][row % 8 * 4 + n / 2], half_sums ? n % 2 * 16 : 0, row, n);
        }
    };
    each([&](std::uint32_t& word, auto shift, auto row, auto n) {
      word |= c.at(i, row, n) << shift;
    });
    const std::uint32_t* const a_words[] = {left[0], left[1], left[2], left[3]};
    const std::uint32_t* const b_words[] = {right[0], right[1]};
    std::uint32_t* const d_words[] = {sums[0], sums[1], sums[2], sums[3]};
    mma(kind.a, kind.b, kind.k, half_sums, kind.rounding, a_words, b_words, d_words, d_words);
    const std::uint32_t mask = half_sums ? 0xFFFF : ~0u;
    each([&](std::uint32_t& word, auto shift, auto row, auto n) {
      d.mutable_at(i, row, n) = word >> shift & mask;
    });
  }
  return d;
}

Words converted(const std::string& from, const std::string& to, const std::string& rounding,
                bool finite, const Words& words) {
  const Format source = format_of(from), target = format_of(to);
  demand(rounding == "rn" || rounding == "rna" || rounding == "rz", "rounding is rn, rna or rz");
  const Round round = rounding == "rn"    ? Round::nearest_even
                      : rounding == "rna" ? Round::nearest_away
                                          : Round::toward_zero;
  Words out(words.size());
  for (py::ssize_t i = 0; i < words.size(); ++i)
    out.mutable_at(i) = convert(source, words.data()[i], target, round, finite);
  return out;
}

}  // namespace

void open_mma(py::module_& m) {
  m.def("mma_dot", &dots, py::arg("a_format"), py::arg("b_format"), py::arg("half_sums"),
        py::arg("sm"), py::arg("a").noconvert(), py::arg("b").noconvert(),
        py::arg("c").noconvert(), "Elements of mma.sync by the plain rule, words of 32 bits.");
  m.def("mma_tiles", &tiles, py::arg("a_format"), py::arg("b_format"), py::arg("half_sums"),
        py::arg("sm"), py::arg("a").noconvert(), py::arg("b").noconvert(),
        py::arg("c").noconvert(), "Whole mma.sync by the fast path, words of 32 bits.");
  m.def("convert_words", &converted, py::arg("from_format"), py::arg("to_format"),
        py::arg("rounding"), py::arg("finite"), py::arg("words").noconvert(),
        "Words of one format as another's.");
}
