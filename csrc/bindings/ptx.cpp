#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

#include "doors.hpp"
#include "interruptible.hpp"
#include "ptx/launch.hpp"

namespace py = pybind11;
using namespace moesaic::ptx;

namespace {

constexpr const char* WRONG_NAMES[] = {"uninitialised", "race",     "out of bounds", "misaligned",
                                       "deadlock",      "hang",     "absent lanes",  "trap"};
static_assert(sizeof WRONG_NAMES / sizeof *WRONG_NAMES == WRONGS);

void demand(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

void set_sizes(const char* what, const std::array<std::uint32_t, 3>& from, std::uint64_t most,
               std::uint32_t* to) {
  std::uint64_t total = 1;
  for (int k = 0; k < 3; ++k) {
    demand(from[k] >= 1 && from[k] <= most, what);
    total *= from[k];
    demand(total <= most, what);
    to[k] = from[k];
  }
}

// [instructions, 6]: warps, threads, bytes and sectors of global memory, wavefronts, conflicts.
py::array_t<std::uint64_t> table_of(const std::vector<Counts>& counts) {
  py::array_t<std::uint64_t> out({counts.size(), std::size_t{6}});
  auto o = out.mutable_unchecked<2>();
  for (std::size_t k = 0; k < counts.size(); ++k) {
    const Counts& c = counts[k];
    const std::uint64_t row[] = {c.warps, c.threads, c.bytes, c.sectors, c.wavefronts, c.conflicts};
    for (int j = 0; j < 6; ++j) o(k, j) = row[j];
  }
  return out;
}

// [instructions, 4]: file, line, and where the function that holds them was inlined.
py::array_t<std::int32_t> places_of(const Program& program) {
  py::array_t<std::int32_t> out({program.places.size(), std::size_t{4}});
  auto o = out.mutable_unchecked<2>();
  for (std::size_t k = 0; k < program.places.size(); ++k) {
    const Place& p = program.places[k];
    const int row[] = {p.file, p.line, p.call_file, p.call_line};
    for (int j = 0; j < 4; ++j) o(k, j) = row[j];
  }
  return out;
}

template <class T, class Field>
py::array_t<T> column(const std::vector<Touch>& trace, Field field) {
  py::array_t<T> out(static_cast<py::ssize_t>(trace.size()));
  T* to = out.mutable_data();
  for (std::size_t k = 0; k < trace.size(); ++k) to[k] = static_cast<T>(field(trace[k]));
  return out;
}

py::dict table_of(const std::vector<Touch>& trace) {
  py::dict out;
  out["block"] = column<std::int32_t>(trace, [](const Touch& t) { return t.block; });
  out["warp"] = column<std::int32_t>(trace, [](const Touch& t) { return t.warp; });
  out["instruction"] = column<std::int32_t>(trace, [](const Touch& t) { return t.pc; });
  out["array"] = column<std::int32_t>(trace, [](const Touch& t) { return t.array; });
  out["first_sector"] = column<std::int64_t>(trace, [](const Touch& t) { return t.first_sector; });
  out["sectors"] = column<std::int32_t>(trace, [](const Touch& t) { return t.sectors; });
  out["writes"] = column<bool>(trace, [](const Touch& t) { return t.writes; });
  return out;
}

py::dict run(const Program& program, const std::array<std::uint32_t, 3>& grid,
             const std::array<std::uint32_t, 3>& threads, std::uint64_t shared_bytes,
             const std::vector<py::array>& arrays, const std::vector<std::uint64_t>& values,
             std::uint64_t seed, bool late_copies, std::uint64_t most_instructions,
             std::uint64_t most_touches) {
  Launch launch(program);
  Settings& settings = launch.settings;
  set_sizes("the grid needs 1 to 2^22 blocks", grid, 1u << 22, settings.grid);
  set_sizes("a block needs 1 to 1024 threads", threads, 1024, settings.threads);
  demand(shared_bytes <= (1u << 20), "a block may ask for 1 MiB of shared memory at most");
  settings.shared_bytes = shared_bytes;
  settings.seed = seed;
  settings.late_copies = late_copies;
  settings.most_instructions = most_instructions;
  settings.most_touches = most_touches;
  launch.values = values;
  std::vector<py::array> held;  // the launch writes into them
  for (py::array array : arrays) {
    demand(array.writeable() && (array.flags() & py::array::c_style),
           "arrays must be contiguous and writeable");
    Array one;
    one.data = static_cast<std::byte*>(array.mutable_data());
    one.bytes = static_cast<std::uint64_t>(array.nbytes());
    launch.arrays.push_back(std::move(one));
    held.push_back(std::move(array));
  }
  interruptible([&](const std::atomic<bool>* stop) {
    settings.stop = stop;
    launch.run();
    return 0;
  });
  py::list faults, moved;
  for (const Fault& f : launch.faults)
    faults.append(py::make_tuple(WRONG_NAMES[static_cast<int>(f.wrong)], f.pc, f.words,
                                 py::make_tuple(f.block[0], f.block[1], f.block[2]), f.thread,
                                 f.times));
  for (const Array& array : launch.arrays) {
    const auto count = [](const std::vector<bool>& sectors) {
      return static_cast<std::uint64_t>(std::count(sectors.begin(), sectors.end(), true));
    };
    moved.append(py::make_tuple(count(array.sectors_read), count(array.sectors_written)));
  }
  py::dict out;
  out["counts"] = table_of(launch.counts);
  out["faults"] = faults;
  out["sectors"] = moved;
  out["trace"] = table_of(launch.trace);
  out["untraced"] = launch.untraced;
  return out;
}

}  // namespace

void open_ptx(py::module_& m) {
  py::class_<Program, std::shared_ptr<Program>>(m, "PtxProgram")
      .def(py::init([](const std::string& text, const std::string& entry) {
             return std::make_shared<Program>(parse(text, entry));
           }),
           py::arg("text"), py::arg("entry"))
      .def_readonly("target", &Program::target)
      .def_readonly("files", &Program::files)
      .def_readonly("text", &Program::text)
      .def_readonly("shared_bytes", &Program::shared_bytes)
      .def_readonly("local_bytes", &Program::local_bytes)
      .def_property_readonly("places", &places_of)
      .def_property_readonly("parameters",
                             [](const Program& p) {
                               std::vector<int> bytes;
                               for (const Parameter& one : p.parameters) bytes.push_back(one.bytes);
                               return bytes;
                             })
      .def_property_readonly("kinds",
                             [](const Program& p) {
                               std::vector<std::string> kinds;
                               for (const Instruction& i : p.code)
                                 kinds.emplace_back(KINDS[static_cast<int>(i.kind)]);
                               return kinds;
                             })
      .def("run", &run, py::arg("grid"), py::arg("threads"), py::arg("shared_bytes"),
           py::arg("arrays"), py::arg("values"), py::arg("seed"), py::arg("late_copies"),
           py::arg("most_instructions"), py::arg("most_touches") = 0);
}
