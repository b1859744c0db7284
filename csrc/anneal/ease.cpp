#include "anneal/ease.hpp"

#include <algorithm>
#include <vector>

namespace moesaic {
namespace {

constexpr double kNoise = 1e-12;
constexpr double kSlack = 0.02;

// The expert in slot `slot` leaves: for the expert in slot `other` (a swap), or for one more copy
// of `expert` (other < 0).
struct Step {
  double worth = 0.0;
  std::int64_t slot = -1, other = -1;
  std::int32_t expert = -1;
};

class Layer {
 public:
  Layer(const double* loads, std::int64_t experts, const std::int32_t* rank_of, std::int64_t slots,
        std::int32_t ranks, double target, bool priced, std::int32_t* held)
      : loads_(loads), experts_(experts), rank_of_(rank_of), target_(target), priced_(priced),
        held_(held), where_(experts), on_(ranks), count_(static_cast<std::size_t>(ranks) * experts),
        load_(ranks, 0.0), change_(ranks, 0.0), seen_(ranks, 0), slots_(slots) {
    for (std::int64_t s = 0; s < slots; ++s) {
      where_[held[s]].push_back(s);
      on_[rank_of[s]].push_back(s);
      ++count_[at(rank_of[s], held[s])];
    }
    was_ = count_;
    for (std::int64_t e = 0; e < experts; ++e)
      share_.push_back(loads[e] / copies(static_cast<std::int32_t>(e)));
    for (std::int64_t s = 0; s < slots; ++s) load_[rank_of[s]] += share(held[s]);
    noise_ = kNoise * (priced ? heaviest() : heaviest() * heaviest());
  }

  double heaviest() const { return *std::max_element(load_.begin(), load_.end()); }
  std::int64_t moved() const { return moved_; }

  bool step() {
    std::vector<std::int32_t> above;
    for (std::int32_t r = 0; r < static_cast<std::int32_t>(load_.size()); ++r)
      if (load_[r] > target_) above.push_back(r);
    std::stable_sort(above.begin(), above.end(),
                     [this](std::int32_t a, std::int32_t b) { return load_[a] > load_[b]; });
    for (const std::int32_t rank : above) {
      const Step best = best_step(rank);
      if (best.slot < 0) continue;
      if (best.other < 0)
        replace(best.slot, best.expert);
      else
        swap(best.slot, best.other);
      return true;
    }
    return false;
  }

 private:
  std::size_t at(std::int32_t rank, std::int32_t expert) const { return rank * experts_ + expert; }
  double copies(std::int32_t e) const { return static_cast<double>(where_[e].size()); }
  double share(std::int32_t e) const { return share_[e]; }
  // Priced, a rank under the target is as good as done, but slack is kept for the steps to come.
  double strain(double load) const {
    const double over = std::max(0.0, load - target_);
    return priced_ ? over + kSlack * load * load / target_ : over * over;
  }

  Step best_step(std::int32_t heavy) {
    Step best;
    for (const std::int64_t slot : on_[heavy])
      for (std::int64_t other = 0; other < slots_; ++other) consider_swap(slot, other, best);
    for (const std::int64_t slot : on_[heavy])
      if (where_[held_[slot]].size() > 1)
        for (std::int32_t e = 0; e < static_cast<std::int32_t>(experts_); ++e)
          if (loads_[e] / (copies(e) + 1) < share(held_[slot])) consider_copy(slot, e, best);
    for (std::int64_t slot = 0; slot < slots_; ++slot)
      if (rank_of_[slot] != heavy && where_[held_[slot]].size() > 1)
        for (const std::int64_t mine : on_[heavy]) consider_copy(slot, held_[mine], best);
    return best;
  }

  // Experts to move when `in` takes the place of `out` on the rank: one less where `out` was brought.
  int cost(std::int32_t rank, std::int32_t in, std::int32_t out) const {
    return (was_[at(rank, in)] ? 0 : 1) -
           (count_[at(rank, out)] == 1 && !was_[at(rank, out)] ? 1 : 0);
  }

  void keep_if_better(double gain, int cost, const Step& step, Step& best) const {
    if (gain <= noise_) return;
    const double worth = priced_ ? gain / std::max(static_cast<double>(cost), 0.5) : gain;
    if (worth > best.worth) best = {worth, step.slot, step.other, step.expert};
  }

  void consider_swap(std::int64_t slot, std::int64_t other, Step& best) const {
    const std::int32_t a = held_[slot], b = held_[other], h = rank_of_[slot], r = rank_of_[other];
    const double moved = share(a) - share(b);
    if (moved <= 0 || count_[at(r, a)] || count_[at(h, b)]) return;
    const double gain = (strain(load_[h]) - strain(load_[h] - moved)) +
                        (strain(load_[r]) - strain(load_[r] + moved));
    keep_if_better(gain, cost(h, b, a) + cost(r, a, b), {0.0, slot, other, -1}, best);
  }

  void consider_copy(std::int64_t slot, std::int32_t expert, Step& best) {
    const std::int32_t rank = rank_of_[slot], out = held_[slot];
    if (count_[at(rank, expert)]) return;
    find_changes(slot, expert);
    double gain = 0.0;
    for (const std::int32_t r : touched_)
      gain += strain(load_[r]) - strain(load_[r] + change_[r]);
    keep_if_better(gain, cost(rank, expert, out), {0.0, slot, -1, expert}, best);
  }

  // What each rank gains or loses when the slot goes to one more copy of the expert.
  void find_changes(std::int64_t slot, std::int32_t expert) {
    const std::int32_t out = held_[slot];
    const double now = share(expert), then = loads_[expert] / (copies(expert) + 1);
    const double left = share(out), grown = loads_[out] / (copies(out) - 1);
    touched_.clear();
    ++round_;
    touch(rank_of_[slot], then - left);
    for (const std::int64_t s : where_[expert]) touch(rank_of_[s], then - now);
    for (const std::int64_t s : where_[out])
      if (s != slot) touch(rank_of_[s], grown - left);
  }

  void touch(std::int32_t rank, double change) {
    if (seen_[rank] != round_) {
      seen_[rank] = round_;
      change_[rank] = 0.0;
      touched_.push_back(rank);
    }
    change_[rank] += change;
  }

  void swap(std::int64_t slot, std::int64_t other) {
    const std::int32_t a = held_[slot], b = held_[other], h = rank_of_[slot], r = rank_of_[other];
    const double moved = share(a) - share(b);
    moved_ += cost(h, b, a) + cost(r, a, b);
    load_[h] -= moved;
    load_[r] += moved;
    put(slot, b);
    put(other, a);
  }

  void replace(std::int64_t slot, std::int32_t expert) {
    moved_ += cost(rank_of_[slot], expert, held_[slot]);
    find_changes(slot, expert);
    for (const std::int32_t r : touched_) load_[r] += change_[r];
    put(slot, expert);
  }

  void put(std::int64_t slot, std::int32_t expert) {
    auto& left = where_[held_[slot]];
    left.erase(std::find(left.begin(), left.end(), slot));
    --count_[at(rank_of_[slot], held_[slot])];
    if (!left.empty()) share_[held_[slot]] = loads_[held_[slot]] / copies(held_[slot]);
    held_[slot] = expert;
    where_[expert].push_back(slot);
    share_[expert] = loads_[expert] / copies(expert);
    ++count_[at(rank_of_[slot], expert)];
  }

  const double* loads_;
  std::int64_t experts_;
  const std::int32_t* rank_of_;
  double target_;
  bool priced_;
  std::int32_t* held_;
  std::vector<std::vector<std::int64_t>> where_, on_;
  std::vector<std::int32_t> count_, was_;
  std::vector<double> load_, change_, share_;
  std::vector<std::int64_t> seen_;
  std::vector<std::int32_t> touched_;
  std::int64_t slots_, round_ = 0, moved_ = 0;
  double noise_ = 0.0;
};

}  // namespace

std::int64_t ease_ranks(const double* loads, std::int64_t experts, const std::int32_t* rank_of,
                        std::int64_t slots, std::int32_t ranks, double target, bool priced,
                        std::int64_t most_steps, std::int32_t* held, EasePath path) {
  Layer layer(loads, experts, rank_of, slots, ranks, target, priced, held);
  std::int64_t steps = 0;
  for (;; ++steps) {
    path.heaviest[steps] = layer.heaviest();
    path.moved[steps] = layer.moved();
    if (steps == most_steps || !layer.step()) return steps;
  }
}

}  // namespace moesaic
