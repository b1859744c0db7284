#include "anneal/replicas.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <queue>
#include <vector>

namespace moesaic {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNoise = 1e-12;

struct Item {
  double share;
  std::int32_t expert;
};

struct Swap {
  double heavier = kInfinity;
  std::size_t mine = 0, other = 0;
  std::int32_t rank = -1;
};

class Layer {
 public:
  Layer(const double* loads, const std::int64_t* copies, std::int64_t experts,
        const std::int64_t* room, std::int32_t ranks)
      : experts_(experts), room_(room, room + ranks), on_(ranks), load_(ranks, 0.0), open_(ranks, 0.0),
        holds_(static_cast<std::size_t>(ranks) * experts, 0), share_(experts) {
    for (std::int64_t e = 0; e < experts; ++e) share_[e] = loads[e] / static_cast<double>(copies[e]);
    for (std::int32_t r = 0; r < ranks; ++r) {
      on_[r].reserve(room[r]);
      if (room[r] == 0) open_[r] = kInfinity;
    }
    std::vector<std::int64_t> order(experts);
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [this](std::int64_t a, std::int64_t b) { return share_[a] > share_[b]; });
    for (const std::int64_t e : order)
      for (std::int64_t copy = 0; copy < copies[e]; ++copy) place(static_cast<std::int32_t>(e));
  }

  // The swap with the heaviest rank whose heavier end is lightest; false where none helps.
  bool improve() {
    const auto heaviest = std::max_element(load_.begin(), load_.end());
    const auto heavy = static_cast<std::int32_t>(heaviest - load_.begin());
    const Swap best = best_swap(heavy);
    if (!(best.heavier < *heaviest * (1 - kNoise))) return false;
    const std::int32_t mine = on_[heavy][best.mine].expert;
    const std::int32_t other = on_[best.rank][best.other].expert;
    const double moved = share_[mine] - share_[other];
    load_[heavy] -= moved;
    load_[best.rank] += moved;
    holds(heavy, mine) = holds(best.rank, other) = 0;
    holds(heavy, other) = holds(best.rank, mine) = 1;
    std::swap(on_[heavy][best.mine], on_[best.rank][best.other]);
    return true;
  }

  void write(std::int32_t* held) const {
    for (const auto& rank : on_)
      for (const Item& item : rank) *held++ = item.expert;
  }

 private:
  char& holds(std::int32_t rank, std::int32_t expert) { return holds_[rank * experts_ + expert]; }
  bool full(std::int32_t rank) const {
    return static_cast<std::int64_t>(on_[rank].size()) == room_[rank];
  }

  void put(std::int32_t rank, std::int32_t expert) {
    on_[rank].push_back({share_[expert], expert});
    load_[rank] += share_[expert];
    open_[rank] = full(rank) ? kInfinity : load_[rank];
    holds(rank, expert) = 1;
  }

  void place(std::int32_t expert) {
    std::int32_t target = -1;
    double lightest = kInfinity;
    for (std::int32_t r = 0; r < static_cast<std::int32_t>(on_.size()); ++r)
      if (open_[r] < lightest && !holds(r, expert)) {
        target = r;
        lightest = open_[r];
      }
    if (target < 0) target = make_room(expert);
    put(target, expert);
  }

  // All ranks with a slot hold the expert already. A full rank without it holds more experts than
  // such a rank, so one of them can go there. Returns the rank that now has a slot.
  std::int32_t make_room(std::int32_t expert) {
    std::int32_t open = 0, target = -1;
    while (full(open)) ++open;
    for (std::int32_t r = 0; r < static_cast<std::int32_t>(on_.size()); ++r)
      if (!holds(r, expert) && (target < 0 || load_[r] < load_[target])) target = r;
    auto& from = on_[target];
    const auto leaving = std::find_if(from.begin(), from.end(),
                                      [&](const Item& item) { return !holds(open, item.expert); });
    const std::int32_t other = leaving->expert;
    from.erase(leaving);
    load_[target] -= share_[other];
    holds(target, other) = 0;
    put(open, other);
    return target;
  }

  Swap best_swap(std::int32_t heavy) {
    Swap best;
    const double top = load_[heavy];
    for (std::int32_t r = 0; r < static_cast<std::int32_t>(on_.size()); ++r) {
      // At best a swap leaves both ends at their mean: most ranks cannot beat the best so far.
      if (r == heavy || (top + load_[r]) / 2 >= best.heavier) continue;
      const std::vector<Item>&mine = on_[heavy], &others = on_[r];
      for (std::size_t i = 0; i < mine.size(); ++i) {
        if (holds(r, mine[i].expert)) continue;
        for (std::size_t j = 0; j < others.size(); ++j) {
          const double moved = mine[i].share - others[j].share;
          const double heavier = std::max(top - moved, load_[r] + moved);
          if (heavier < best.heavier && moved > 0 && !holds(heavy, others[j].expert))
            best = {heavier, i, j, r};
        }
      }
    }
    return best;
  }

  std::int64_t experts_;
  std::vector<std::int64_t> room_;
  std::vector<std::vector<Item>> on_;
  std::vector<double> load_, open_;  // open: the load, infinite where no slot is left
  std::vector<char> holds_;
  std::vector<double> share_;
};

}  // namespace

void count_copies(const double* loads, std::int64_t experts, std::int64_t slots, std::int64_t most,
                  std::int64_t* copies) {
  struct Share {
    double load;
    std::int64_t expert;
    bool operator<(const Share& other) const {
      return load != other.load ? load < other.load : expert > other.expert;
    }
  };
  std::fill(copies, copies + experts, std::int64_t{1});
  std::priority_queue<Share> heaviest;
  if (most > 1)
    for (std::int64_t e = 0; e < experts; ++e) heaviest.push({loads[e], e});
  for (std::int64_t spare = slots - experts; spare > 0; --spare) {
    const std::int64_t e = heaviest.top().expert;
    heaviest.pop();
    if (++copies[e] < most) heaviest.push({loads[e] / static_cast<double>(copies[e]), e});
  }
}

std::int64_t place_copies(const double* loads, const std::int64_t* copies, std::int64_t experts,
                          const std::int64_t* room, std::int32_t ranks, std::int64_t most_swaps,
                          std::int32_t* held) {
  Layer layer(loads, copies, experts, room, ranks);
  std::int64_t swaps = 0;
  while (swaps < most_swaps && layer.improve()) ++swaps;
  layer.write(held);
  return swaps;
}

}  // namespace moesaic
