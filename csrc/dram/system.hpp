// All channels of a memory, fed from a list of requests.
#pragma once

#include <vector>

#include "dram/gangs.hpp"
#include "dram/policy.hpp"

namespace moesaic::dram {

// Requests in the order of their arrival; one entry each in every array.
struct Trace {
  std::int64_t length;
  const Tick* arrival;
  const bool* write;
  const std::int32_t *channel, *bank, *row, *column;

  Request operator[](std::int64_t i) const {
    return {i, arrival[i], bank[i], row[i], column[i], write[i]};
  }
};

enum class Front {
  IN_ORDER,  // one door: a request that a full queue refuses holds back all later ones
  BY_QUEUE,  // a door for each queue: only requests of that queue wait behind it
};

// programs: what the units of each channel read beside; none at all, or one for each channel.
// `ticking`: the plain reference, which looks at every request at every tick; same results.
std::vector<Totals> run(const Spec& spec, const Policy& policy, const Trace& trace,
                        const std::vector<Programs>& programs, int channels, Front front,
                        int threads, bool record, bool ticking, Outcome outcome);

}  // namespace moesaic::dram
