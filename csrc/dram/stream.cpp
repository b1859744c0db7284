#include "dram/stream.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace moesaic::dram {

Stream::Stream(AddressBits bits, const std::uint64_t* base, const std::int64_t* size,
               const bool* write, std::int64_t n, int most_log_bytes, int channels, int lanes,
               int lane_shift)
    : bits_(std::move(bits)),
      channels_(channels),
      lanes_(lanes),
      lane_shift_(lane_shift),
      patterns_(most_log_bytes + 1) {
  const std::uint64_t access = std::uint64_t{1} << bits_.access_shift;
  for (std::int64_t i = 0; i < n; ++i) {
    only_reads_ &= !write[i];
    std::uint64_t at = base[i] & ~(access - 1);
    const std::uint64_t past = base[i] + static_cast<std::uint64_t>(size[i]);
    const std::uint64_t end = (past + access - 1) & ~(access - 1);
    while (at < end) {
      int log_bytes = at ? std::min(most_log_bytes, __builtin_ctzll(at)) : most_log_bytes;
      while (at + (std::uint64_t{1} << log_bytes) > end) --log_bytes;
      chunks_.push_back({bits_(at), static_cast<std::int16_t>(log_bytes), write[i]});
      if (patterns_[log_bytes].empty()) make_patterns(log_bytes);
      accesses_ += std::int64_t{1} << (log_bytes - bits_.access_shift);
      at += std::uint64_t{1} << log_bytes;
    }
  }
}

void Stream::make_patterns(int log_bytes) {
  auto& patterns = patterns_[log_bytes];
  patterns.resize(static_cast<std::size_t>(channels_) * lanes_);
  std::vector<std::set<std::pair<int, int>>> seen(patterns.size());
  const std::uint64_t count = std::uint64_t{1} << (log_bytes - bits_.access_shift);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Place at = bits_(i << bits_.access_shift);
    const std::size_t which =
        static_cast<std::size_t>(at.channel) * lanes_ + (at.bank >> lane_shift_);
    patterns[which].accesses.push_back(at);
    if (seen[which].insert({at.bank, at.row}).second) patterns[which].rows.push_back(at);
  }
  std::map<std::vector<std::pair<int, int>>, int> numbers;
  for (Pattern& pattern : patterns) {
    std::vector<std::pair<int, int>> asked;
    for (const Place& at : pattern.accesses) asked.emplace_back(at.bank, at.row);
    const int next = static_cast<int>(numbers.size());
    pattern.number = numbers.emplace(std::move(asked), next).first->second;
  }
}

}  // namespace moesaic::dram
