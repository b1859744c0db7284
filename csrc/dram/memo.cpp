#include "dram/memo.hpp"

#include <memory>

#include "dram/feed.hpp"
#include "dram/threads.hpp"

namespace moesaic::dram {

namespace {

constexpr std::int64_t SEGMENT_ACCESSES = 256;  // of a channel, about
constexpr std::int64_t AHEAD = 4;               // segments that lanes may differ by
constexpr std::size_t MOST_LESSONS = 2048;      // of each kind: some ten kilobytes each

}  // namespace

std::size_t KeyHash::operator()(const Key& key) const {
  std::uint64_t h = key.size();
  for (const std::int32_t word : key) {
    h = (h ^ static_cast<std::uint32_t>(word)) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  return h;
}

int RowNames::name(int bank, int row) {
  auto& rows = rows_[bank];
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] == row) return static_cast<int>(i);
  rows.push_back(row);
  return static_cast<int>(rows.size()) - 1;
}

int RowNames::same_as(const RowNames& there, int bank, int row) const {
  const auto& rows = there.rows_[bank];
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] == row) return rows_[bank][i];
  return row;
}

void Timing::describe(std::vector<std::int32_t>& key, Tick now) const {
  const auto put = [&](Tick ready) {
    key.push_back(static_cast<std::int32_t>(std::max<Tick>(0, ready - now)));
  };
  for (const auto& rank : ranks_)
    for (const Tick ready : rank) put(ready);
  for (const auto& banks : banks_)
    for (int b = 0; b < spec_->nodes[BANK]; ++b) put(banks[b]);
  for (const auto& windows : windows_)
    for (const Window& window : windows)
      for (const Tick start : window.starts) put(start + window.rule.ticks);
}

void Timing::shift(Tick by) {
  for (auto& rank : ranks_)
    for (Tick& ready : rank) ready += by;
  for (auto& banks : banks_)
    for (int b = 0; b < spec_->nodes[BANK]; ++b) banks[b] += by;
  for (auto& windows : windows_)
    for (Window& window : windows)
      for (Tick& start : window.starts) start += by;
}

void Channel::describe(Key& key, RowNames& names) const {
  key.push_back(static_cast<std::int32_t>((now_ + 1) & (spec_->ticks_per_cycle - 1)));
  timing_.describe(key, now_ + 1);
  for (int b = 0; b < spec_->nodes[BANK]; ++b) {
    const Bank& bank = banks_[b];
    key.push_back(bank.row == NONE ? NONE : names.name(b, bank.row));
    key.push_back(bank.passed);
    if (bank.owner == NONE) continue;
    const Entry& owner = queues_[bank.owner];
    key.push_back(owner.request.write ? -3 : -2);
    key.push_back(static_cast<std::int32_t>(now_ - owner.accepted));
    key.push_back(static_cast<std::int32_t>(owners_ - bank.owned));
  }
  for (int q = 0; q < queues_.count(); ++q) {
    key.push_back(draining_[q] + 2 * settled_);
    for (const bool kind : {false, true}) {
      key.push_back(queues_.waiting(q, kind));
      for (int e = queues_.oldest(q, kind); e != NONE; e = queues_[e].next) {
        const Request& request = queues_[e].request;
        key.push_back(request.bank);
        key.push_back(names.name(request.bank, request.row));
        key.push_back(static_cast<std::int32_t>(queues_.orders() - queues_[e].order));
      }
    }
  }
}

void Channel::describe_refresh(Key& key) const {
  key.push_back(static_cast<std::int32_t>(refresh_due_ - now_));
  key.push_back(policy_.refresh == Refresh::PER_BANK
                    ? refresh_turn_ % (spec_->banks[RANK] / spec_->refresh_together)
                    : 0);
  for (const Tick last : last_refresh_) key.push_back(static_cast<std::int32_t>(now_ - last));
}

void Channel::become(const Channel& end, Tick by, bool refreshed, const RowNames& here,
                     const RowNames& there) {
  const Tick due = refresh_due_;
  const int turn = refresh_turn_;
  const std::vector<Tick> last = last_refresh_;
  *this = end;
  timing_.shift(by);
  now_ += by;
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

Replayer::Replayer(const Spec& spec, const Policy& policy, const Stream& stream, int channels,
                   bool remember)
    : spec_(&spec),
      policy_(policy),
      stream_(&stream),
      remember_(remember && stream.only_reads() && policy.row_policy != RowPolicy::TIMEOUT),
      in_segment_(std::max<std::int64_t>(
          1, SEGMENT_ACCESSES * channels * stream.length() / std::max<std::int64_t>(1, stream.accesses()))) {}

Channel Replayer::serve(int number) {
  Channel channel(*spec_, policy_, {unused_, unused_ + 1, unused_ + 2}, false);
  std::vector<StreamLane> lanes;
  for (int i = 0; i < stream_->lanes(); ++i) lanes.emplace_back(*stream_, number, i);
  for (std::int64_t first = 0; first < stream_->length(); first += in_segment_) {
    const Totals before = channel.take_totals();
    serve_segment(channel, lanes, first, number);
    channel.add_totals(before);
  }
  while (!channel.idle()) channel.step(NEVER);
  return channel;
}

void Replayer::serve_segment(Channel& channel, std::vector<StreamLane>& lanes, std::int64_t first,
                             int number) {
  ++segments_;
  const std::int64_t end = std::min(first + in_segment_, stream_->length());
  const auto past_end = [&](const std::vector<StreamLane>& all) {
    return std::all_of(all.begin(), all.end(), [&](const StreamLane& l) { return l.chunk() >= end; });
  };
  Key key;
  RowNames names(spec_->nodes[BANK]);
  if (past_end(lanes) || !remember_ || !describe(key, names, channel, lanes, first, number))
    return feed(channel, lanes, past_end);
  const Tick begun = channel.next_tick(), due = channel.refresh_due();
  if (const auto known = quiet_.find(key); known != quiet_.end()) {
    const Lesson& lesson = known->second;
    if (lesson.end.next_tick() - lesson.begun + begun < due)
      return replay(lesson, false, channel, lanes, first, names);
  }
  Key with_refresh = key;
  channel.describe_refresh(with_refresh);
  if (const auto known = refreshed_.find(with_refresh); known != refreshed_.end())
    return replay(known->second, true, channel, lanes, first, names);
  const int refreshes = channel.refreshes_begun();
  feed(channel, lanes, past_end);
  if (channel.refreshing()) return;
  if (channel.refreshes_begun() == refreshes)
    learn(quiet_, key, names, begun, channel, lanes, first);
  else
    learn(refreshed_, with_refresh, names, begun, channel, lanes, first);
}

// The state and the requests to come; false where that is more than a key holds.
bool Replayer::describe(Key& key, RowNames& names, const Channel& channel,
                        const std::vector<StreamLane>& lanes, std::int64_t first,
                        int number) const {
  if (channel.refreshing()) return false;
  key.reserve(2048);
  channel.describe(key, names);
  const std::int64_t seen = first + AHEAD * in_segment_;
  for (const StreamLane& lane : lanes) {
    if (lane.chunk() >= seen) return false;
    key.push_back(static_cast<std::int32_t>(lane.chunk() - first));
    key.push_back(static_cast<std::int32_t>(lane.next()) * 2 + lane.refused);
  }
  for (std::int64_t i = first; i < seen; ++i) {
    if (i >= stream_->length()) {
      key.push_back(-1);
      continue;
    }
    const Chunk& chunk = (*stream_)[i];
    key.push_back(chunk.log_bytes);
    key.push_back(chunk.place.channel ^ number);
    key.push_back(chunk.place.bank);
    for (int lane = 0; lane < stream_->lanes(); ++lane)
      for (const Place& offset : stream_->pattern(chunk, number, lane).rows) {
        const Place at = chunk.place ^ offset;
        key.push_back(names.name(at.bank, at.row));
      }
  }
  return true;
}

void Replayer::replay(const Lesson& lesson, bool refreshed, Channel& channel,
                      std::vector<StreamLane>& lanes, std::int64_t first, const RowNames& names) {
  ++remembered_;
  channel.become(lesson.end, channel.next_tick() - lesson.begun, refreshed, names, lesson.names);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].move_to(first + lesson.lanes[i].chunk, lesson.lanes[i].next);
    lanes[i].refused = lesson.lanes[i].refused;
    lanes[i].from = 0;
  }
}

void Replayer::learn(Lessons& lessons, const Key& key, const RowNames& names, Tick begun,
                     const Channel& channel, const std::vector<StreamLane>& lanes,
                     std::int64_t first) {
  if (lessons.size() >= MOST_LESSONS) return;
  std::vector<Stop> stops;
  for (const StreamLane& lane : lanes) {
    if (lane.chunk() >= first + AHEAD * in_segment_) return;
    stops.push_back({lane.chunk() - first, lane.next(), lane.refused});
  }
  lessons.emplace(key, Lesson{channel, names, begun, std::move(stops)});
}

StreamTotals run_stream(const Spec& spec, const Policy& policy, const Stream& stream, int channels,
                        int threads, bool remember) {
  std::vector<std::unique_ptr<Channel>> ends(channels);
  StreamTotals totals;
  std::mutex guard;
  std::vector<std::unique_ptr<Replayer>> replayers;
  in_threads(channels, threads, [&](const auto& next) {
    auto own = std::make_unique<Replayer>(spec, policy, stream, channels, remember);
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
