// What a channel does next follows from its state and from the requests to come. Where both are as
// they were once before, up to a shift in time and other row numbers, so is all that follows: it is
// looked up. A stream of whole rows is so served a stretch at a time, to the cycle.
#pragma once

#include <unordered_map>
#include <vector>

#include "dram/channel.hpp"
#include "dram/stream.hpp"

namespace moesaic::dram {

using Key = std::vector<std::int32_t>;

struct KeyHash {
  std::size_t operator()(const Key& key) const;
};

// Row numbers as small names in order of appearance: only whether two rows of a bank are equal
// matters.
class RowNames {
 public:
  RowNames() { clear(); }
  void clear() {
    rows_.clear();
    last_.fill(NONE);
  }
  int name(int bank, int row);
  // The row that has here the name that `row` has there.
  int same_as(const RowNames& there, int bank, int row) const;

 private:
  struct Row {
    int row, before;  // the one named before it in its bank
  };
  std::vector<Row> rows_;
  std::array<int, MOST_BANKS> last_;  // named in each bank
};

// Serves one channel's part of a stream, segment by segment.
class Replayer {
 public:
  Replayer(std::shared_ptr<const Plan> plan, const Policy& policy, const Stream& stream,
           int channels, bool remember, const std::atomic<bool>* stop);
  // `unused_` is pointed to by channels, so this stays where it is.
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  // The channel when its last request is served.
  Channel serve(int number);
  std::int64_t segments() const { return segments_; }
  std::int64_t remembered() const { return remembered_; }

 private:
  struct Stop {  // of a lane
    std::int64_t chunks;  // passed since the segment began
    std::size_t next;
    bool refused;
  };
  struct Lesson {  // a segment that was simulated, with its own totals
    Channel end;
    RowNames names;
    Tick begun;
    std::vector<Stop> lanes;
  };
  using Lessons = std::unordered_map<Key, Lesson, KeyHash>;

  void serve_segment(Channel& channel, std::vector<StreamLane>& lanes, int number);
  bool describe(const Channel& channel, const std::vector<StreamLane>& lanes, int number);
  void replay(const Lesson& lesson, bool refreshed, Channel& channel,
              std::vector<StreamLane>& lanes);
  void learn(Lessons& lessons, Tick begun, const Channel& channel,
             const std::vector<StreamLane>& starts, const std::vector<StreamLane>& ends);

  std::shared_ptr<const Plan> plan_;
  Policy policy_;
  const Stream* stream_;
  bool remember_;
  std::int64_t in_segment_;     // chunks
  Key key_;         // of the segment at hand
  RowNames names_;
  Lessons quiet_, refreshed_;   // segments without and with a refresh
  std::int64_t segments_ = 0, remembered_ = 0;
  const std::atomic<bool>* stop_;
  Tick unused_[3]{};  // outcomes of single requests, which streams do not keep
};

}  // namespace moesaic::dram
