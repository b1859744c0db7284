// A set of banks of one channel, as bits.
#pragma once

#include <array>
#include <cstdint>

namespace moesaic::dram {

constexpr int MOST_BANKS = 128;

class BankSet {
 public:
  void put(int bank, bool in) {
    std::uint64_t& word = word_[bank >> 6];
    word = (word & ~(std::uint64_t{1} << (bank & 63))) | (std::uint64_t{in} << (bank & 63));
  }
  bool has(int bank) const { return word_[bank >> 6] >> (bank & 63) & 1; }
  bool empty() const { return !(word_[0] | word_[1]); }
  int first() const {
    return word_[0] ? __builtin_ctzll(word_[0]) : 64 + __builtin_ctzll(word_[1]);
  }

  BankSet without(const BankSet& other) const {
    BankSet rest;
    for (int w = 0; w < WORDS; ++w) rest.word_[w] = word_[w] & ~other.word_[w];
    return rest;
  }
  BankSet both(const BankSet& other) const {
    BankSet common;
    for (int w = 0; w < WORDS; ++w) common.word_[w] = word_[w] & other.word_[w];
    return common;
  }
  BankSet either(const BankSet& other) const {
    BankSet all;
    for (int w = 0; w < WORDS; ++w) all.word_[w] = word_[w] | other.word_[w];
    return all;
  }

  template <class F>
  void each(F&& visit) const {
    for (int w = 0; w < WORDS; ++w)
      for (std::uint64_t rest = word_[w]; rest; rest &= rest - 1)
        visit(w * 64 + __builtin_ctzll(rest));
  }

 private:
  static constexpr int WORDS = MOST_BANKS / 64;
  static_assert(WORDS == 2);
  std::array<std::uint64_t, WORDS> word_{};
};

}  // namespace moesaic::dram
