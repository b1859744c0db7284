#include "dram/system.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "dram/channel.hpp"
#include "dram/plain.hpp"

namespace moesaic::dram {

namespace {

template <class C>
void finish(std::vector<std::unique_ptr<C>>& channels) {
  Tick end = 0;
  for (auto& c : channels) {
    while (!c->idle()) c->step(NEVER);
    end = std::max(end, c->totals().last_data);
  }
  for (auto& c : channels) c->run_until(end);  // idle channels are refreshed as long as the rest
}

// A channel matters only when one of its own requests comes, so each is moved on just then.
template <class C>
void feed_in_order(const Trace& trace, std::vector<std::unique_ptr<C>>& channels) {
  Tick t = 0;
  for (std::int64_t i = 0; i < trace.length; ++i) {
    const Request request = trace[i];
    C& channel = *channels[trace.channel[i]];
    t = std::max(t, request.arrival);
    channel.run_until(t);
    while (!channel.offer(request, t)) {
      while (channel.full(request)) channel.step(NEVER);
      t = channel.next_tick();
    }
  }
}

// The requests of one queue, and when the first of them may be offered next.
struct Lane {
  const std::vector<std::int64_t>* requests;
  std::size_t next = 0;
  Tick from = 0;
  bool refused = false;

  bool done() const { return next == requests->size(); }
};

template <class C>
void feed_by_queue(const Trace& trace, C& channel, std::vector<Lane> lanes) {
  for (;;) {
    Tick t = NEVER;
    bool refused = false;
    for (Lane& lane : lanes) {
      if (lane.done()) continue;
      const Request head = trace[(*lane.requests)[lane.next]];
      if (lane.refused && !channel.full(head)) {
        lane.refused = false;
        lane.from = std::max(lane.from, channel.next_tick());
      }
      refused |= lane.refused;
      if (!lane.refused) t = std::min(t, std::max(lane.from, head.arrival));
    }
    if (t == NEVER && !refused) return;
    if (refused && channel.step(t)) continue;  // it may have made room
    channel.run_until(t);
    for (Lane& lane : lanes) {
      while (!lane.done() && !lane.refused) {
        const Request head = trace[(*lane.requests)[lane.next]];
        if (std::max(lane.from, head.arrival) > t) break;
        if (channel.offer(head, t)) ++lane.next;
        else lane.refused = true;
      }
    }
  }
}

// Runs task(i) for every i, on so many threads; the first fault is thrown again here.
template <class Task>
void in_threads(int count, int threads, const Task& task) {
  std::atomic<int> next{0};
  std::exception_ptr fault;
  std::mutex guard;
  const auto work = [&] {
    for (int i = next++; i < count; i = next++) {
      try {
        task(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(guard);
        if (!fault) fault = std::current_exception();
      }
    }
  };
  std::vector<std::thread> others;
  for (int k = 1; k < std::min(threads, count); ++k) others.emplace_back(work);
  work();
  for (auto& thread : others) thread.join();
  if (fault) std::rethrow_exception(fault);
}

template <class C>
std::vector<Totals> run_on(const Spec& spec, const Policy& policy, const Trace& trace,
                           int channels, Front front, int threads, bool record, Outcome outcome) {
  std::vector<std::unique_ptr<C>> all;
  for (int c = 0; c < channels; ++c)
    all.push_back(std::make_unique<C>(spec, policy, outcome, record));
  if (front == Front::IN_ORDER) {
    feed_in_order(trace, all);
  } else {
    const int queues = policy.queue_per_rank ? spec.nodes[RANK] : 1;
    std::vector<std::vector<std::int64_t>> mine(channels * queues);
    for (std::int64_t i = 0; i < trace.length; ++i) {
      const int queue = policy.queue_per_rank ? spec.rank_of(trace.bank[i]) : 0;
      mine[trace.channel[i] * queues + queue].push_back(i);
    }
    in_threads(channels, threads, [&](int c) {
      std::vector<Lane> lanes;
      for (int q = 0; q < queues; ++q) lanes.push_back({&mine[c * queues + q]});
      feed_by_queue(trace, *all[c], std::move(lanes));
    });
  }
  finish(all);
  std::vector<Totals> totals;
  for (auto& c : all) totals.push_back(c->totals());
  return totals;
}

}  // namespace

std::vector<Totals> run(const Spec& spec, const Policy& policy, const Trace& trace, int channels,
                        Front front, int threads, bool record, bool ticking, Outcome outcome) {
  return ticking ? run_on<PlainChannel>(spec, policy, trace, channels, front, threads, record, outcome)
                 : run_on<Channel>(spec, policy, trace, channels, front, threads, record, outcome);
}

}  // namespace moesaic::dram
