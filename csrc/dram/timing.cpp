#include "dram/timing.hpp"

namespace moesaic::dram {

namespace {

// Whether another rule after the same command asks for as much, for these banks and maybe more.
bool covered(const Rule& rule, const std::vector<Rule>& all) {
  if (rule.others || rule.window > 1) return false;
  return std::any_of(all.begin(), all.end(), [&](const Rule& other) {
    if (other.others || other.window > 1 || other.after != rule.after || other.level > rule.level)
      return false;
    const bool first = other.level < rule.level || &other < &rule;
    return other.ticks > rule.ticks || (other.ticks == rule.ticks && first);
  });
}

}  // namespace

Plan::Plan(const Spec& given, const std::array<bool, COMMANDS>& uses) : spec(given) {
  for (int c = 0; c < COMMANDS; ++c) {
    edge[c] = spec.rising[c] ? spec.ticks_per_cycle - 1 : 0;
    if (!uses[c]) continue;
    used.push_back(static_cast<Command>(c));
    for (const Rule& rule : spec.rules[c]) {
      if (!uses[rule.after] || covered(rule, spec.rules[c])) continue;
      if (rule.others) {
        others[c].push_back(rule);
      } else if (rule.window > 1) {
        windows[c].push_back({rule, starts});
        starts += spec.nodes[rule.level] * rule.window;
      } else if (rule.level == BANK) {
        own[c].push_back({rule.after, rule.ticks});
      } else if (rule.level == RANK) {
        of_rank[c].push_back({rule.after, rule.ticks});
      } else {
        wide[c].push_back(rule);
      }
    }
  }
}

// The part of every array beyond this spec's banks stays untouched.
void Timing::describe(std::vector<std::int32_t>& key, Tick now) const {
  const auto put = [&](Tick ready) {
    key.push_back(static_cast<std::int32_t>(std::max<Tick>(0, ready - now)));
  };
  for (const auto& rank : ranks_)
    for (const Command c : plan_->used) put(rank[c]);
  for (const Command c : plan_->used)
    for (int b = 0; b < plan_->spec.nodes[BANK]; ++b) put(banks_[c][b]);
  for (const auto& windows : plan_->windows)
    for (const Plan::Window& window : windows)
      for (int i = 0; i < plan_->spec.nodes[window.rule.level] * window.rule.window; ++i)
        put(starts_[window.first + i] + window.rule.ticks);
}

void Timing::shift(Tick by) {
  for (auto& rank : ranks_)
    for (Tick& ready : rank) ready += by;
  for (const Command c : plan_->used)
    for (int b = 0; b < plan_->spec.nodes[BANK]; ++b) banks_[c][b] += by;
  for (Tick& start : starts_) start += by;
}

}  // namespace moesaic::dram
