#include "dram/system.hpp"

#include <algorithm>
#include <memory>

#include "dram/channel.hpp"
#include "dram/feed.hpp"
#include "dram/plain.hpp"
#include "dram/threads.hpp"

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

// The requests of one queue.
class Lane {
 public:
  Lane(const Trace& trace, const std::vector<std::int64_t>& requests)
      : trace_(&trace), requests_(&requests) {}
  bool done() const { return next_ == requests_->size(); }
  Request head() const { return (*trace_)[(*requests_)[next_]]; }
  void pop() { ++next_; }

  Tick from = 0;
  bool refused = false;

 private:
  const Trace* trace_;
  const std::vector<std::int64_t>* requests_;
  std::size_t next_ = 0;
};

template <class C>
std::vector<Totals> run_on(const Spec& spec, const Policy& policy, const Trace& trace,
                           const std::vector<Programs>& programs, int channels, Front front,
                           int threads, bool record, Outcome outcome) {
  const bool gangs = !programs.empty();
  const auto plan = std::make_shared<const Plan>(spec, policy.commands(gangs));
  std::vector<std::unique_ptr<C>> all;
  for (int c = 0; c < channels; ++c)
    all.push_back(std::make_unique<C>(plan, policy, outcome, record,
                                      gangs ? programs[c] : Programs{}));
  if (front == Front::IN_ORDER) {
    feed_in_order(trace, all);
  } else {
    const int queues = policy.queues(spec);
    std::vector<std::vector<std::int64_t>> mine(channels * queues);
    for (std::int64_t i = 0; i < trace.length; ++i) {
      mine[trace.channel[i] * queues + policy.queue_of(spec, trace.bank[i])].push_back(i);
    }
    in_threads(channels, threads, [&](const auto& next) {
      for (int c = next(); c >= 0; c = next()) {
        std::vector<Lane> lanes;
        for (int q = 0; q < queues; ++q) lanes.emplace_back(trace, mine[c * queues + q]);
        feed(*all[c], lanes, [](const auto&) { return false; });
      }
    });
  }
  finish(all);
  std::vector<Totals> totals;
  for (auto& c : all) totals.push_back(c->totals());
  return totals;
}

}  // namespace

std::vector<Totals> run(const Spec& spec, const Policy& policy, const Trace& trace,
                        const std::vector<Programs>& programs, int channels, Front front,
                        int threads, bool record, bool ticking, Outcome outcome) {
  const auto run_with = ticking ? run_on<PlainChannel> : run_on<Channel>;
  return run_with(spec, policy, trace, programs, channels, front, threads, record, outcome);
}

}  // namespace moesaic::dram
