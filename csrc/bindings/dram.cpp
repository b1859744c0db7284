#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <stdexcept>

#include "doors.hpp"
#include "dram/stream.hpp"
#include "dram/system.hpp"
#include "interruptible.hpp"

namespace py = pybind11;
using namespace moesaic::dram;

namespace {

using Ticks = py::array_t<std::int64_t, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;
using Flags = py::array_t<bool, py::array::c_style>;

constexpr Tick LAST_ARRIVAL = Tick{1} << 46;  // candidates are ranked by ticks below 2^48

void demand(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

Spec make_spec(const std::array<int, 4>& sizes, int ticks_per_cycle, bool shared_bus,
               const std::array<bool, COMMANDS>& rising, const Ints& rules, Tick read_ticks,
               Tick write_ticks, Tick refresh_ticks, Tick refresh_bank_ticks,
               int refresh_together, const std::optional<std::array<int, 3>>& gang,
               int gang_columns, bool gang_broadcast, bool gang_own_bus,
               bool gang_shares_group) {
  Spec spec;
  std::int64_t banks = 1;
  for (const int size : sizes) {
    demand(size > 0 && size <= MOST_BANKS && (size & (size - 1)) == 0,
           "sizes must be powers of two up to 128");
    banks *= size;
  }
  demand(banks <= MOST_BANKS, "a channel has at most 128 banks");
  demand(ticks_per_cycle == 1 || ticks_per_cycle == 2, "a cycle has 1 or 2 ticks");
  demand(read_ticks > 0 && write_ticks > 0, "data follow a command after at least one tick");
  demand(refresh_ticks > 1 && refresh_ticks < (1 << 30) && refresh_bank_ticks >= 0 &&
             refresh_bank_ticks < (1 << 30),
         "refreshes are at least 2 ticks apart, and less than 2^30");
  spec.place_banks(sizes);
  demand(refresh_together > 0 && (refresh_together == 1 || refresh_together == sizes[2]),
         "one bank is refreshed at a time, or one of every group");
  spec.ticks_per_cycle = ticks_per_cycle;
  spec.shared_bus = shared_bus;
  spec.rising = rising;
  spec.read_ticks = read_ticks;
  spec.write_ticks = write_ticks;
  spec.refresh_ticks = refresh_ticks;
  spec.refresh_bank_ticks = refresh_bank_ticks;
  spec.refresh_together = refresh_together;
  demand(rules.ndim() == 2 && rules.shape(1) == 6, "rules must be [rules, 6]");
  const auto r = rules.unchecked<2>();
  for (py::ssize_t i = 0; i < rules.shape(0); ++i) {
    const int level = r(i, 0), before = r(i, 1), after = r(i, 2), window = r(i, 4);
    const Tick ticks = r(i, 3);
    demand(level >= 0 && level < LEVELS && before >= 0 && before < COMMANDS && after >= 0 &&
               after < COMMANDS,
           "a rule names a level 0..4 and commands 0..11");
    demand(window >= 1 && window <= 64 && ticks > -(1 << 24) && ticks < (1 << 24),
           "a rule has a window of 1..64 commands and less than 2^24 ticks");
    const auto of_rank = [](int c) { return c == PREA || c == REF; };
    demand(level <= RANK || !(of_rank(before) || of_rank(after)),
           "rules of PREA and REF stand at the channel or the rank");
    const bool others = r(i, 5) != 0;
    demand(!others || (level > CHANNEL && window == 1),
           "a rule between siblings stands below the channel and has no window");
    spec.add(before, {level, after, window, others, ticks});
  }
  if (!gang) return spec;
  for (int i = 0; i < 3; ++i) {
    const int size = (*gang)[i];
    demand(size > 0 && size <= sizes[i + 1] && (size & (size - 1)) == 0,
           "a gang spans a power of two of each level, at most all");
  }
  demand(gang_columns > 0 && gang_columns < (1 << 20), "a row has 1..2^20 columns");
  spec.place_gangs(*gang, gang_shares_group);
  spec.gangs.columns = gang_columns;
  spec.gangs.broadcast = gang_broadcast;
  spec.gangs.own_bus = gang_own_bus;
  return spec;
}

// Rows of `rows` [n, 4]: channel, rank, gang of the rank, row; those of a rank in order.
std::vector<Programs> make_programs(const std::optional<Ints>& rows, const Spec& spec,
                                    int channels) {
  if (!rows) return {};
  demand(spec.gangs.in_rank > 0, "a program needs gangs");
  demand(rows->ndim() == 2 && rows->shape(1) == 4, "a program must be [rows, 4]");
  std::vector<Programs> programs(channels, Programs(spec.nodes[RANK]));
  const auto r = rows->unchecked<2>();
  for (py::ssize_t i = 0; i < rows->shape(0); ++i) {
    demand(r(i, 0) >= 0 && r(i, 0) < channels && r(i, 1) >= 0 && r(i, 1) < spec.nodes[RANK] &&
               r(i, 2) >= 0 && r(i, 2) < spec.gangs.in_rank && r(i, 3) >= 0,
           "channel, rank, gang and row of a program must lie in the memory");
    programs[r(i, 0)][r(i, 1)].push_back({r(i, 2), r(i, 3)});
  }
  return programs;
}

Policy make_policy(int scheduler, int row_policy, int refresh, bool queue_per_rank,
                   const std::array<int, 2>& capacity, int drain_from, int drain_to, int most_hits,
                   Tick timeout_ticks) {
  demand(scheduler >= 0 && scheduler <= 2 && row_policy >= 0 && row_policy <= 2 && refresh >= 0 &&
             refresh <= 2,
         "scheduler, row_policy and refresh are 0, 1 or 2");
  for (const int c : capacity) demand(c > 0 && c <= (1 << 20), "a queue holds 1..2^20 requests");
  demand(drain_to >= 0 && drain_from > drain_to && drain_from <= capacity[1],
         "writes go first from more of them than until; at most all");
  demand(most_hits >= 0 && timeout_ticks >= 0, "most_hits and timeout_ticks are not negative");
  return {static_cast<Scheduler>(scheduler), static_cast<RowPolicy>(row_policy),
          static_cast<Refresh>(refresh), queue_per_rank, capacity, drain_from, drain_to, most_hits,
          timeout_ticks};
}

template <class T>
py::array_t<T> column(const std::vector<Totals>& totals, T (*of)(int, const Issued&)) {
  py::ssize_t n = 0;
  for (const Totals& t : totals) n += static_cast<py::ssize_t>(t.record.size());
  py::array_t<T> out(n);
  T* to = out.mutable_data();
  for (std::size_t c = 0; c < totals.size(); ++c)
    for (const Issued& i : totals[c].record) *to++ = of(static_cast<int>(c), i);
  return out;
}

py::dict results(const std::vector<Totals>& totals, bool record) {
  py::dict out;
  Ticks counts({static_cast<py::ssize_t>(totals.size()), static_cast<py::ssize_t>(COMMANDS)});
  std::int64_t forwarded = 0, coalesced = 0;
  Tick last = 0, gap = 0;
  for (std::size_t c = 0; c < totals.size(); ++c) {
    std::copy(totals[c].commands.begin(), totals[c].commands.end(), counts.mutable_data(c, 0));
    forwarded += totals[c].forwarded;
    coalesced += totals[c].coalesced;
    last = std::max(last, totals[c].last_data);
    gap = std::max(gap, totals[c].largest_refresh_gap);
  }
  out["counts"] = counts;
  out["forwarded"] = forwarded;
  out["coalesced"] = coalesced;
  out["last_data"] = last;
  out["largest_refresh_gap"] = gap;
  if (!record) return out;
  out["tick"] = column<std::int64_t>(totals, [](int, const Issued& i) { return i.tick; });
  out["channel"] = column<std::int32_t>(totals, [](int c, const Issued&) { return c; });
  out["command"] = column<std::int8_t>(
      totals, [](int, const Issued& i) { return static_cast<std::int8_t>(i.command); });
  out["bank"] = column<std::int32_t>(totals, [](int, const Issued& i) { return i.bank; });
  out["row"] = column<std::int32_t>(totals, [](int, const Issued& i) { return i.row; });
  return out;
}

py::dict run_requests(const Spec& spec, const Policy& policy, const Ticks& arrival,
                      const Flags& write, const Ints& channel, const Ints& bank, const Ints& row,
                      const Ints& col, int channels, bool in_order, int threads, bool record,
                      bool ticking, const std::optional<Ints>& program) {
  const py::ssize_t n = arrival.size();
  demand(arrival.ndim() == 1 && write.size() == n && channel.size() == n && bank.size() == n &&
             row.size() == n && col.size() == n,
         "the columns of a trace have one length");
  demand(channels > 0 && channels <= 4096 && threads > 0 && threads <= 1024,
         "channels must lie in 1..4096, threads in 1..1024");
  demand(policy.refresh != Refresh::PER_BANK || spec.refresh_bank_ticks > 1,
         "this timing set has no refresh of single banks");
  for (py::ssize_t i = 0; i < n; ++i) {
    demand(arrival.data()[i] >= (i ? arrival.data()[i - 1] : 0) && arrival.data()[i] < LAST_ARRIVAL,
           "arrivals must not go backwards, nor reach 2^46 ticks");
    demand(channel.data()[i] >= 0 && channel.data()[i] < channels && bank.data()[i] >= 0 &&
               bank.data()[i] < spec.nodes[BANK] && row.data()[i] >= 0,
           "channel, bank and row must lie in the memory");
  }
  const std::vector<Programs> programs = make_programs(program, spec, channels);
  Ticks accepted(n), issue(n), done(n);
  const Trace trace{n,           arrival.data(), write.data(), channel.data(),
                    bank.data(), row.data(),     col.data()};
  Outcome outcome{accepted.mutable_data(), issue.mutable_data(), done.mutable_data(), nullptr};
  const auto totals = interruptible([&](const std::atomic<bool>* stop) {
    outcome.stop = stop;
    return run(spec, policy, trace, programs, channels,
               in_order ? Front::IN_ORDER : Front::BY_QUEUE, threads, record, ticking, outcome);
  });
  py::dict out = results(totals, record);
  out["accepted"] = accepted;
  out["issue"] = issue;
  out["finish"] = done;
  return out;
}

// Rows of `places` [bits, 4]: channel, bank, row, column of each bit of an address.
AddressBits make_bits(const Ints& places, const Spec& spec, int channels, int access_shift) {
  demand(places.ndim() == 2 && places.shape(1) == 4 && places.shape(0) <= 62,
         "places must be [bits, 4] for at most 62 bits");
  demand(access_shift >= 0 && access_shift < places.shape(0), "an access has bits of the address");
  AddressBits bits{{}, access_shift};
  const auto p = places.unchecked<2>();
  for (py::ssize_t i = 0; i < places.shape(0); ++i) {
    demand(p(i, 0) >= 0 && p(i, 0) < channels && p(i, 1) >= 0 && p(i, 1) < spec.nodes[BANK] &&
               p(i, 2) >= 0 && p(i, 3) >= 0,
           "places must lie in the memory");
    bits.of_bit.push_back({p(i, 0), p(i, 1), p(i, 2), p(i, 3)});
  }
  return bits;
}

py::dict run_pieces(const Spec& spec, const Policy& policy, const Ints& places, int access_shift,
                    const py::array_t<std::uint64_t, py::array::c_style>& base, const Ticks& size,
                    const Flags& write, int channels, int threads, bool remember) {
  demand(channels > 0 && channels <= 4096 && (channels & (channels - 1)) == 0 && threads > 0 &&
             threads <= 1024,
         "channels must be a power of two up to 4096, threads lie in 1..1024");
  demand(policy.refresh != Refresh::PER_BANK || spec.refresh_bank_ticks > 1,
         "this timing set has no refresh of single banks");
  const AddressBits bits = make_bits(places, spec, channels, access_shift);
  const std::uint64_t capacity = std::uint64_t{1} << bits.of_bit.size();
  const py::ssize_t n = base.size();
  demand(size.size() == n && write.size() == n, "base, size and write have one length");
  for (py::ssize_t i = 0; i < n; ++i)
    demand(size.data()[i] > 0 && base.data()[i] < capacity &&
               static_cast<std::uint64_t>(size.data()[i]) <= capacity - base.data()[i],
           "pieces must lie in the memory");
  const auto done = interruptible([&](const std::atomic<bool>* stop) {
    int most = access_shift;  // a chunk gives each channel some hundred accesses
    while ((1 << (most - access_shift)) < 256 * channels &&
           most < static_cast<int>(bits.of_bit.size()))
      ++most;
    const Stream stream(bits, base.data(), size.data(), write.data(), n, most, channels,
                        policy.queues(spec),
                        policy.queue_per_rank ? spec.shift[RANK] : spec.shift[CHANNEL]);
    return run_stream(spec, policy, stream, channels, threads, remember, stop);
  });
  py::dict out = results(done.channels, false);
  out["segments"] = done.segments;
  out["remembered"] = done.remembered;
  return out;
}

}  // namespace

void open_dram(py::module_& m) {
  py::class_<Spec>(m, "DramSpec")
      .def(py::init(&make_spec), py::kw_only(), py::arg("sizes"), py::arg("ticks_per_cycle"),
           py::arg("shared_bus"), py::arg("rising"), py::arg("rules"), py::arg("read_ticks"),
           py::arg("write_ticks"), py::arg("refresh_ticks"), py::arg("refresh_bank_ticks"),
           py::arg("refresh_together"), py::arg("gang") = py::none(), py::arg("gang_columns") = 0,
           py::arg("gang_broadcast") = true, py::arg("gang_own_bus") = true,
           py::arg("gang_shares_group") = false);
  py::class_<Policy>(m, "DramPolicy")
      .def(py::init(&make_policy), py::kw_only(), py::arg("scheduler"), py::arg("row_policy"),
           py::arg("refresh"), py::arg("queue_per_rank"), py::arg("capacity"),
           py::arg("drain_from"), py::arg("drain_to"), py::arg("most_hits"),
           py::arg("timeout_ticks"));
  m.def("dram_run", &run_requests, py::arg("spec"), py::arg("policy"), py::arg("arrival"),
        py::arg("write"), py::arg("channel"), py::arg("bank"), py::arg("row"), py::arg("column"),
        py::kw_only(), py::arg("channels"), py::arg("in_order"), py::arg("threads"),
        py::arg("record"), py::arg("ticking"), py::arg("program") = py::none());
  m.def("dram_run_stream", &run_pieces, py::arg("spec"), py::arg("policy"), py::arg("places"),
        py::arg("access_shift"), py::arg("base"), py::arg("size"), py::arg("write"), py::kw_only(),
        py::arg("channels"), py::arg("threads"), py::arg("remember"));
}
