// Sets of FIFOs whose want of room lies on a longest path; each set has a number, the empty one 0.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace moesaic::dataflow {

class Trails {
 public:
  explicit Trails(std::int64_t fifos) : sets_{Set(fifos)}, numbers_{{sets_[0], 0}} {}

  // The set with one FIFO more.
  std::int32_t with(std::int32_t trail, std::int32_t fifo) {
    if (sets_[trail][fifo]) return trail;
    const std::int64_t key = (std::int64_t{trail} << 32) | fifo;
    const auto known = next_.find(key);
    if (known != next_.end()) return known->second;
    Set more = sets_[trail];
    more[fifo] = true;
    const auto [place, fresh] = numbers_.try_emplace(more, static_cast<std::int32_t>(sets_.size()));
    if (fresh) sets_.push_back(more);
    return next_[key] = place->second;
  }

  const std::vector<bool>& set(std::int32_t trail) const { return sets_[trail]; }

 private:
  using Set = std::vector<bool>;
  std::vector<Set> sets_;
  std::map<Set, std::int32_t> numbers_;
  std::unordered_map<std::int64_t, std::int32_t> next_;
};

}  // namespace moesaic::dataflow
