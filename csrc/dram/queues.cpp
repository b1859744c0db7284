#include "dram/queues.hpp"

#include <algorithm>

namespace moesaic::dram {

Queues::Queues(const Spec& spec, const Policy& policy)
    : capacity_(policy.capacity),
      lists_(policy.queues(spec)),
      banks_(spec.nodes[BANK]) {
  for (int bank = 0; bank < spec.nodes[BANK]; ++bank)
    queue_of_[bank] = static_cast<std::int16_t>(policy.queue_of(spec, bank));
}

bool Queues::holds_write_to(const Request& request) const {
  for (int e = banks_[request.bank][1].head; e != NONE; e = pool_[e].bank_next) {
    const Request& held = pool_[e].request;
    if (held.row == request.row && held.column == request.column) return true;
  }
  return false;
}

int Queues::add(const Request& request, Tick accepted) {
  if (free_.empty()) {
    free_.push_back(static_cast<int>(pool_.size()));
    pool_.emplace_back();
  }
  const int e = free_.back();
  free_.pop_back();
  List& list = lists_[queue_of_[request.bank]][request.write];
  List& bank = banks_[request.bank][request.write];
  pool_[e] = {request, accepted, orders_++, NONE, list.tail, NONE, bank.tail};
  (list.tail == NONE ? list.head : pool_[list.tail].next) = e;
  (bank.tail == NONE ? bank.head : pool_[bank.tail].bank_next) = e;
  list.tail = bank.tail = e;
  ++list.waiting;
  ++used_;
  return e;
}

void Queues::take(int e) {
  const Entry& entry = pool_[e];
  List& list = lists_[queue_of_[entry.request.bank]][entry.request.write];
  List& bank = banks_[entry.request.bank][entry.request.write];
  (entry.previous == NONE ? list.head : pool_[entry.previous].next) = entry.next;
  (entry.next == NONE ? list.tail : pool_[entry.next].previous) = entry.previous;
  const int before = entry.bank_previous, after = entry.bank_next;
  (before == NONE ? bank.head : pool_[before].bank_next) = after;
  (after == NONE ? bank.tail : pool_[after].bank_previous) = before;
  --list.waiting;
}

std::vector<int> Queues::in_order(const int* taken, int count) const {
  std::vector<int> all(taken, taken + count);
  for (const auto& kinds : lists_)
    for (const List& list : kinds)
      for (int e = list.head; e != NONE; e = pool_[e].next) all.push_back(e);
  std::sort(all.begin(), all.end(), [&](int a, int b) { return pool_[a].order < pool_[b].order; });
  return all;
}

}  // namespace moesaic::dram
