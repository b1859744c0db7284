// Requests that are made as they are needed: pieces of memory read or written in order.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dram/policy.hpp"

namespace moesaic::dram {

// Where an address lies. Address maps are linear over XOR, so a place is the XOR of the places of
// the bits of its address.
struct Place {
  std::int32_t channel = 0, bank = 0, row = 0, column = 0;

  Place operator^(const Place& o) const {
    return {channel ^ o.channel, bank ^ o.bank, row ^ o.row, column ^ o.column};
  }
};

struct AddressBits {
  std::vector<Place> of_bit;  // of each bit of an address
  int access_shift;           // accesses are 2^access_shift bytes

  Place operator()(std::uint64_t address) const {
    Place place;
    for (; address; address &= address - 1) place = place ^ of_bit[__builtin_ctzll(address)];
    return place;
  }
};

// An aligned piece of 2^log_bytes bytes.
struct Chunk {
  Place place;  // of its first byte
  std::int16_t log_bytes;
  bool write;
};

// The accesses of a chunk that fall to one channel and one lane, as places to be XORed with that of
// the chunk, in order; and the rows that they touch, each (bank, row) once. Patterns of one number
// ask for the same banks and rows in the same order.
struct Pattern {
  std::vector<Place> accesses, rows;
  int number = 0;
};

class Stream {
 public:
  // Cuts pieces [n] into aligned chunks of at most 2^most_log_bytes. lanes: requests of a channel
  // wait in so many lines, by the highest bits of their bank.
  Stream(AddressBits bits, const std::uint64_t* base, const std::int64_t* size, const bool* write,
         std::int64_t n, int most_log_bytes, int channels, int lanes, int lane_shift);

  std::int64_t length() const { return static_cast<std::int64_t>(chunks_.size()); }
  const Chunk& operator[](std::int64_t i) const { return chunks_[i]; }
  const Pattern& pattern(const Chunk& chunk, int channel, int lane) const {
    const int lane_bits = lane ^ (chunk.place.bank >> lane_shift_);
    return patterns_[chunk.log_bytes][(channel ^ chunk.place.channel) * lanes_ + lane_bits];
  }
  int lanes() const { return lanes_; }
  bool only_reads() const { return only_reads_; }
  std::int64_t accesses() const { return accesses_; }

 private:
  void make_patterns(int log_bytes);

  AddressBits bits_;
  int channels_, lanes_, lane_shift_;
  bool only_reads_ = true;
  std::int64_t accesses_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<std::vector<Pattern>> patterns_;  // [log_bytes][channel * lanes + lane]
};

// How far a lane has come in a stream.
class StreamLane {
 public:
  StreamLane(const Stream& stream, int channel, int lane)
      : stream_(&stream), channel_(channel), lane_(lane) {
    skip_empty();
  }
  bool done() const { return chunk_ == stream_->length(); }
  Request head() const {
    const Place at = (*stream_)[chunk_].place ^ accesses()[next_];
    return {0, 0, at.bank, at.row, at.column, (*stream_)[chunk_].write};
  }
  void pop() {
    if (++next_ == accesses().size()) {
      next_ = 0;
      ++chunk_;
      skip_empty();
    }
  }
  std::int64_t chunk() const { return chunk_; }
  std::size_t next() const { return next_; }
  void move_to(std::int64_t chunk, std::size_t next) {
    chunk_ = chunk;
    next_ = next;
  }

  Tick from = 0;  // when the head may be offered next
  bool refused = false;

 private:
  const std::vector<Place>& accesses() const {
    return stream_->pattern((*stream_)[chunk_], channel_, lane_).accesses;
  }
  void skip_empty() {
    while (!done() && accesses().empty()) ++chunk_;
  }

  const Stream* stream_;
  int channel_, lane_;
  std::int64_t chunk_ = 0;
  std::size_t next_ = 0;
};

struct StreamTotals {
  std::vector<Totals> channels;
  std::int64_t segments = 0, remembered = 0;  // of the chunk sequence; of those not simulated again
};

// Serves a stream, each channel behind its own doors. remember: stretches of the stream that a
// channel meets again in the same state are not simulated again; results are the same.
StreamTotals run_stream(const Spec& spec, const Policy& policy, const Stream& stream, int channels,
                        int threads, bool remember, const std::atomic<bool>* stop);

}  // namespace moesaic::dram
