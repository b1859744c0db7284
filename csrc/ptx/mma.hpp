// What a tensor core makes of one warp-wide mma.sync, bit by bit.
#pragma once

#include <cstdint>

#include "ptx/formats.hpp"

namespace moesaic::ptx {

// How it sums: `step` products and the sum so far are cut to multiples of 2^(X - fraction_bits), X
// being their largest exponent, added exactly, and rounded: f32 sums toward zero, those of fp8 on
// Ada to 13 fraction bits; f16 sums to nearest even. Xie et al., "MMA-Sim", arXiv 2511.10909.
struct Rounding {
  int fraction_bits, step;
  bool to_13_bits;
};

// sm: 80, 86, 89, 90, 100, 120; 86 is taken to be as 80, which nobody has published. Throws
// std::invalid_argument where no rule is known: fp8 on others than 89 and 120.
Rounding rounding_of(int sm, Format a);

// mma.sync.m16n8kK.row.col, the lanes of each register as PTX hands them out. k: all of what the
// tensor core takes of the format (8 for tf32, 16 for 16 bits, 32 for fp8), or half of it, and of
// the registers of a and b. Sums are f32 (4 registers) or f16 (two in a word, 2 registers). Those
// of d may be any of the others.
void mma(Format a, Format b, int k, bool half_sums, Rounding, const std::uint32_t* const* a_words,
         const std::uint32_t* const* b_words, const std::uint32_t* const* c,
         std::uint32_t* const* d);

// One element of the same, in whole numbers, as the rule reads: what `mma` is held against.
std::uint32_t dot_plain(Format a, Format b, int k, bool half_sum, Rounding,
                        const std::uint32_t* a_words, const std::uint32_t* b_words,
                        std::uint32_t c);

}  // namespace moesaic::ptx
