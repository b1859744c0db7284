// The requests that wait in a channel, in order of acceptance, by queue and by bank.
#pragma once

#include <array>
#include <vector>

#include "dram/banks.hpp"
#include "dram/policy.hpp"

namespace moesaic::dram {

constexpr int NONE = -1;

struct Entry {
  Request request;
  Tick accepted;
  std::int64_t order;             // of acceptance
  int next, previous;             // in its queue
  int bank_next, bank_previous;   // among the requests of its bank and kind
};

// Kinds: 0 reads, 1 writes. Each queue keeps a list a kind, each bank too.
class Queues {
 public:
  Queues(const Spec& spec, const Policy& policy);

  int queue_of(int bank) const { return queue_of_[bank]; }
  int count() const { return static_cast<int>(lists_.size()); }
  int waiting(int queue, bool kind) const { return lists_[queue][kind].waiting; }
  int oldest(int queue, bool kind) const { return lists_[queue][kind].head; }
  bool full(int bank, bool kind) const {
    return waiting(queue_of_[bank], kind) >= capacity_[kind];
  }
  bool empty() const { return used_ == 0; }

  const Entry& operator[](int entry) const { return pool_[entry]; }
  int first_of(int bank, bool kind) const { return banks_[bank][kind].head; }
  std::int64_t next_order() const { return orders_; }

  // The first entry from here on, in its bank's list, that wants this row (or any other row).
  int find(int entry, int row, bool wants_it) const {
    while (entry != NONE && (pool_[entry].request.row == row) != wants_it)
      entry = pool_[entry].bank_next;
    return entry;
  }
  // A waiting write to the same address as this request.
  bool holds_write_to(const Request& request) const;

  // All entries in order of acceptance: those that wait in queues, and `taken` ones given here.
  std::vector<int> in_order(const int* taken, int count) const;
  template <class F>
  void each(F&& change) {
    for (Entry& entry : pool_) change(entry);
  }

  int add(const Request& request, Tick accepted);
  // Takes an entry out of its lists; it stays readable until `release`.
  void take(int entry);
  void release(int entry) {
    free_.push_back(entry);
    --used_;
  }

 private:
  struct List {
    int head = NONE, tail = NONE, waiting = 0;
  };
  std::array<int, 2> capacity_;
  std::array<std::int16_t, MOST_BANKS> queue_of_{};
  std::vector<Entry> pool_;
  std::vector<int> free_;
  std::vector<std::array<List, 2>> lists_, banks_;
  std::int64_t orders_ = 0;
  int used_ = 0;
};

}  // namespace moesaic::dram
