#include "dram/memo.hpp"

#include <memory>

#include "dram/feed.hpp"
#include "dram/threads.hpp"

namespace moesaic::dram {

namespace {

constexpr std::int64_t SEGMENT_ACCESSES = 512;  // of a channel, about
constexpr std::int64_t AHEAD = 2;               // segments of each lane that a key tells of
constexpr std::size_t MOST_LESSONS = 4096;      // of each kind: some ten kilobytes each

}  // namespace

std::size_t KeyHash::operator()(const Key& key) const {
  // Four sums side by side: a multiplication need not wait for the one before it.
  std::array<std::uint64_t, 4> sums{key.size(), 1, 2, 3};
  std::size_t i = 0;
  for (; i + 4 <= key.size(); i += 4)
    for (int k = 0; k < 4; ++k)
      sums[k] = (sums[k] ^ static_cast<std::uint32_t>(key[i + k])) * 0x9E3779B97F4A7C15u;
  for (; i < key.size(); ++i)
    sums[0] = (sums[0] ^ static_cast<std::uint32_t>(key[i])) * 0x9E3779B97F4A7C15u;
  std::uint64_t all = 0;
  for (const std::uint64_t sum : sums) all = (all ^ sum ^ (sum >> 29)) * 0xBF58476D1CE4E5B9u;
  return all ^ (all >> 32);
}

int RowNames::name(int bank, int row) {
  int& last = last_[bank];
  for (int i = last; i != NONE; i = rows_[i].before)
    if (rows_[i].row == row) return i;
  rows_.push_back({row, last});
  return last = static_cast<int>(rows_.size()) - 1;
}

int RowNames::same_as(const RowNames& there, int bank, int row) const {
  for (int i = there.last_[bank]; i != NONE; i = there.rows_[i].before)
    if (there.rows_[i].row == row) return rows_[i].row;
  return row;
}

void Channel::describe(Key& key, RowNames& names) const {
  key.push_back(static_cast<std::int32_t>((now_ + 1) & (spec_->ticks_per_cycle - 1)));
  timing_.describe(key, now_ + 1);
  for (int b = 0; b < spec_->nodes[BANK]; ++b) {
    key.push_back(banks_[b].row == NONE ? NONE : names.name(b, banks_[b].row));
    key.push_back(std::min(banks_[b].passed, policy_.most_hits));
  }
  for (const char draining : draining_) key.push_back(draining + 2 * settled_);
  describe_requests(key, names);
}

// All waiting requests in order of acceptance. Of the times of acceptance only matters which are
// equal, and that only to requests whose banks were opened for them: the bank opened first wins.
void Channel::describe_requests(Key& key, RowNames& names) const {
  std::array<int, MOST_BANKS> owners;
  int owned = 0;
  owned_.each([&](int b) { owners[owned++] = banks_[b].owner; });
  const auto opened = [&](int e) { return banks_[queues_[e].request.bank].owned; };
  const std::vector<int> all = queues_.in_order(owners.data(), owned);
  Tick accepted = -1;
  for (const int e : all) {
    const Entry& entry = queues_[e];
    const bool owner = banks_[entry.request.bank].owner == e;
    const bool together = policy_.scheduler == Scheduler::FIRST_READY && entry.accepted == accepted;
    key.push_back(entry.request.bank * 8 + entry.request.write * 4 + owner * 2 + together);
    key.push_back(names.name(entry.request.bank, entry.request.row));
    if (owner)
      key.push_back(static_cast<std::int32_t>(std::count_if(
          owners.begin(), owners.begin() + owned, [&](int o) { return opened(o) < opened(e); })));
    accepted = entry.accepted;
  }
  key.push_back(static_cast<std::int32_t>(all.size()));
}

void Channel::describe_refresh(Key& key) const {
  key.push_back(static_cast<std::int32_t>(refresh_due_ - now_));
  const int turns = policy_.refresh == Refresh::PER_BANK
                        ? spec_->banks[RANK] / spec_->refresh_together
                        : 1;
  key.push_back(static_cast<std::int32_t>(refresh_turn_ % turns));
  for (const Tick last : last_refresh_) key.push_back(static_cast<std::int32_t>(now_ - last));
}

void Channel::become(const Channel& end, Tick by, bool refreshed, const RowNames& here,
                     const RowNames& there) {
  const Tick due = refresh_due_;
  const std::int64_t turn = refresh_turn_;
  const std::vector<Tick> last = last_refresh_;
  *this = end;
  timing_.shift(by);
  now_ += by;
  served_ += by;
  for (int b = 0; b < spec_->nodes[BANK]; ++b)
    if (banks_[b].row != NONE) banks_[b].row = here.same_as(there, b, banks_[b].row);
  queues_.each([&](Entry& entry) {
    entry.accepted += by;
    entry.request.row = here.same_as(there, entry.request.bank, entry.request.row);
  });
  if (refreshed) {  // the turn as it is here, up to whole rounds
    refresh_due_ += by;
    for (Tick& t : last_refresh_) t += by;
  } else {
    refresh_due_ = due;
    refresh_turn_ = turn;
    last_refresh_ = last;
  }
  if (totals_.last_data) totals_.last_data += by;
  stale_.fill(true);
}

void Channel::add_totals(const Totals& more) {
  for (int c = 0; c < COMMANDS; ++c) totals_.commands[c] += more.commands[c];
  totals_.last_data = std::max(totals_.last_data, more.last_data);
  totals_.largest_refresh_gap = std::max(totals_.largest_refresh_gap, more.largest_refresh_gap);
  totals_.forwarded += more.forwarded;
  totals_.coalesced += more.coalesced;
}

Replayer::Replayer(std::shared_ptr<const Plan> plan, const Policy& policy, const Stream& stream,
                   int channels, bool remember, const std::atomic<bool>* stop)
    : plan_(std::move(plan)),
      policy_(policy),
      stream_(&stream),
      remember_(remember && stream.only_reads() && policy.row_policy != RowPolicy::TIMEOUT),
      in_segment_(stream.accesses() == 0 ? 1
                                         : std::max<std::int64_t>(1, SEGMENT_ACCESSES * channels *
                                                                         stream.length() /
                                                                         stream.accesses())),
      stop_(stop) {}

Channel Replayer::serve(int number) {
  Channel channel(plan_, policy_, {unused_, unused_ + 1, unused_ + 2, stop_}, false);
  std::vector<StreamLane> lanes;
  for (int i = 0; i < stream_->lanes(); ++i) lanes.emplace_back(*stream_, number, i);
  while (!lanes[0].done()) {
    const Totals before = channel.take_totals();
    serve_segment(channel, lanes, number);
    channel.add_totals(before);
  }
  feed(channel, lanes, [](const auto&) { return false; });
  while (!channel.idle()) channel.step(NEVER);
  return channel;
}

// A segment ends when the first lane has come so many chunks further.
void Replayer::serve_segment(Channel& channel, std::vector<StreamLane>& lanes, int number) {
  ++segments_;
  const std::int64_t end = std::min(lanes[0].chunk() + in_segment_, stream_->length());
  const auto past_end = [&](const std::vector<StreamLane>& all) { return all[0].chunk() >= end; };
  if (!remember_ || !describe(channel, lanes, number)) return feed(channel, lanes, past_end);
  const Tick begun = channel.next_tick(), due = channel.refresh_due();
  if (const auto known = quiet_.find(key_); known != quiet_.end()) {
    const Lesson& lesson = known->second;
    if (lesson.end.next_tick() - lesson.begun + begun < due)
      return replay(lesson, false, channel, lanes);
  }
  const std::size_t length = key_.size();
  channel.describe_refresh(key_);
  if (const auto known = refreshed_.find(key_); known != refreshed_.end())
    return replay(known->second, true, channel, lanes);
  const std::int64_t refreshes = channel.refreshes_begun();
  const std::vector<StreamLane> starts = lanes;
  feed(channel, lanes, past_end);
  if (channel.refreshing()) return;
  const bool quiet = channel.refreshes_begun() == refreshes;
  if (quiet) key_.resize(length);
  learn(quiet ? quiet_ : refreshed_, begun, channel, starts, lanes);
}

// The state and each lane's requests to come, wherever in the stream it is; false where that is
// more than a key holds.
bool Replayer::describe(const Channel& channel, const std::vector<StreamLane>& lanes, int number) {
  if (channel.refreshing()) return false;
  key_.clear();
  names_.clear();
  channel.describe(key_, names_);
  for (std::size_t k = 0; k < lanes.size(); ++k) {
    key_.push_back(static_cast<std::int32_t>(lanes[k].next()) * 2 + lanes[k].refused);
    const std::int64_t begin = lanes[k].chunk();
    for (std::int64_t i = begin; i < begin + AHEAD * in_segment_; ++i) {
      if (i >= stream_->length()) {
        key_.push_back(-1);
        break;
      }
      const Chunk& chunk = (*stream_)[i];
      const Pattern& pattern = stream_->pattern(chunk, number, static_cast<int>(k));
      key_.push_back(chunk.log_bytes);
      key_.push_back(pattern.number);
      key_.push_back(chunk.place.bank);
      for (const Place& offset : pattern.rows) {
        const Place at = chunk.place ^ offset;
        key_.push_back(names_.name(at.bank, at.row));
      }
    }
  }
  return true;
}

void Replayer::replay(const Lesson& lesson, bool refreshed, Channel& channel,
                      std::vector<StreamLane>& lanes) {
  ++remembered_;
  channel.become(lesson.end, channel.next_tick() - lesson.begun, refreshed, names_, lesson.names);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].move_to(lanes[i].chunk() + lesson.lanes[i].chunks, lesson.lanes[i].next);
    lanes[i].refused = lesson.lanes[i].refused;
    lanes[i].from = 0;
  }
}

void Replayer::learn(Lessons& lessons, Tick begun, const Channel& channel,
                     const std::vector<StreamLane>& starts, const std::vector<StreamLane>& ends) {
  if (lessons.size() >= MOST_LESSONS) return;
  std::vector<Stop> stops;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::int64_t chunks = ends[i].chunk() - starts[i].chunk();
    if (chunks >= AHEAD * in_segment_) return;  // it saw more than the key tells
    stops.push_back({chunks, ends[i].next(), ends[i].refused});
  }
  lessons.emplace(key_, Lesson{channel, names_, begun, std::move(stops)});
}

StreamTotals run_stream(const Spec& spec, const Policy& policy, const Stream& stream, int channels,
                        int threads, bool remember, const std::atomic<bool>* stop) {
  const auto plan = std::make_shared<const Plan>(spec, policy.commands(false));
  std::vector<std::unique_ptr<Channel>> ends(channels);
  StreamTotals totals;
  std::mutex guard;
  std::vector<std::unique_ptr<Replayer>> replayers;
  in_threads(channels, threads, [&](const auto& next) {
    auto own = std::make_unique<Replayer>(plan, policy, stream, channels, remember, stop);
    for (int c = next(); c >= 0; c = next()) ends[c] = std::make_unique<Channel>(own->serve(c));
    const std::lock_guard<std::mutex> lock(guard);
    totals.segments += own->segments();
    totals.remembered += own->remembered();
    replayers.push_back(std::move(own));  // the channels write to what it holds
  });
  Tick last = 0;
  for (const auto& channel : ends) last = std::max(last, channel->totals().last_data);
  for (const auto& channel : ends) {
    channel->run_until(last);
    totals.channels.push_back(channel->totals());
  }
  return totals;
}

}  // namespace moesaic::dram
