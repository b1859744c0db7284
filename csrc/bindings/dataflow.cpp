#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "dataflow/engine.hpp"
#include "doors.hpp"
#include "interruptible.hpp"

namespace py = pybind11;
namespace df = moesaic::dataflow;

namespace {

using Table = py::array_t<std::int64_t, py::array::c_style>;

void demand(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

std::int32_t within(std::int64_t value, std::int64_t least, std::int64_t end, const char* what) {
  demand(value >= least && value < end, what);
  return static_cast<std::int32_t>(value);
}

std::int64_t rows(const Table& table, py::ssize_t columns) {
  demand(table.ndim() == 2 && table.shape(1) == columns && table.shape(0) < (1 << 30),
         "a table has another shape");
  return table.shape(0);
}

std::vector<std::int64_t> list(const Table& table) {
  demand(table.ndim() == 1, "a list has another shape");
  return {table.data(), table.data() + table.size()};
}

// The loops of a program close in order, and no step or loop is of no times.
void check_loops(const df::GraphSpec& graph, const df::ProcessSpec& process) {
  std::vector<std::int32_t> open;
  for (std::int32_t i = process.first; i < process.last; ++i) {
    const df::Op& op = graph.ops[i];
    if (op.what == df::What::step || op.what == df::What::loop)
      demand(op.times > 0, "a step or loop has no times");
    if (op.what == df::What::loop) open.push_back(i);
    if (op.what != df::What::again) continue;
    demand(!open.empty() && op.index == open.back(), "a loop does not close");
    open.pop_back();
  }
  demand(open.empty(), "a loop does not close");
}

void read_steps(df::GraphSpec& graph, const Table& needs, const Table& kinds, const Table& ops) {
  const std::int64_t most = rows(needs, 4), fifos = graph.depths.size();
  const auto n = needs.unchecked<2>();
  for (py::ssize_t i = 0; i < most; ++i) {
    demand(n(i, 2) > 0 && n(i, 3) >= 0, "a need is of some tokens");
    graph.needs.push_back({within(n(i, 0), 0, fifos, "no such FIFO"),
                           n(i, 1) == 0 ? df::TOKENS : df::ROOM, std::max(n(i, 2), n(i, 3)),
                           n(i, 3)});
  }
  const std::int64_t steps = rows(kinds, 3), parts = rows(ops, 3);
  const auto k = kinds.unchecked<2>();
  for (py::ssize_t i = 0; i < steps; ++i) {
    demand(k(i, 2) > 0, "an interval is at least 1");
    graph.kinds.push_back({within(k(i, 0), 0, most + 1, "no such need"),
                           within(k(i, 1), k(i, 0), most + 1, "no such need"), k(i, 2)});
  }
  const auto o = ops.unchecked<2>();
  for (py::ssize_t i = 0; i < parts; ++i) {
    const auto what = static_cast<df::What>(within(o(i, 0), 0, 4, "no such op"));
    const std::int64_t end = what == df::What::step   ? steps
                             : what == df::What::mark ? std::int64_t{1} << 30
                                                      : parts;
    graph.ops.push_back({what, within(o(i, 1), 0, end, "no such step"), o(i, 2)});
  }
}

void read_processes(df::GraphSpec& graph, const Table& processes, const std::vector<Table>& waits) {
  const std::int64_t count = rows(processes, 3), parts = graph.ops.size();
  demand(static_cast<std::int64_t>(waits.size()) == count, "one list of waits a process");
  const auto p = processes.unchecked<2>();
  for (py::ssize_t i = 0; i < count; ++i) {
    demand(p(i, 2) >= 0, "a latency is not negative");
    graph.processes.push_back({within(p(i, 0), 0, parts + 1, "no such op"),
                               within(p(i, 1), p(i, 0), parts + 1, "no such op"), p(i, 2),
                               list(waits[i])});
    for (const std::int64_t wait : graph.processes.back().wait)
      demand(wait >= 0, "a wait is not negative");
    check_loops(graph, graph.processes.back());
  }
}

// ports: request, data, done (-1: none), writes. bursts of each port: beats, times.
df::MemorySpec read_memory(const Table& rate, const Table& ports, const std::vector<Table>& bursts,
                           std::int64_t fifos) {
  const std::vector<std::int64_t> figures = list(rate);
  demand(figures.size() == 3 && figures[0] > 0 && figures[1] > 0 && figures[2] >= 0,
         "a memory has cycles a beat and a latency");
  df::MemorySpec memory{figures[0], figures[1], figures[2], {}};
  demand(rows(ports, 4) == static_cast<std::int64_t>(bursts.size()), "one list of bursts a port");
  const auto p = ports.unchecked<2>();
  for (py::ssize_t i = 0; i < ports.shape(0); ++i) {
    df::PortSpec port{within(p(i, 0), 0, fifos, "no such FIFO"),
                      within(p(i, 1), 0, fifos, "no such FIFO"),
                      within(p(i, 2), -1, fifos, "no such FIFO"), p(i, 3) != 0, {}};
    rows(bursts[i], 2);
    const auto b = bursts[i].unchecked<2>();
    for (py::ssize_t j = 0; j < bursts[i].shape(0); ++j) {
      demand(b(j, 0) > 0 && b(j, 1) > 0, "a burst has beats");
      port.bursts.emplace_back(b(j, 0), b(j, 1));
    }
    memory.ports.push_back(port);
  }
  return memory;
}

using Memory = std::tuple<Table, Table, std::vector<Table>>;

df::GraphSpec make_graph(std::int64_t fifos, const Table& needs, const Table& kinds,
                         const Table& ops, const Table& processes, const std::vector<Table>& waits,
                         const std::vector<Memory>& memories) {
  demand(fifos >= 0 && fifos < (1 << 24), "too many FIFOs");
  df::GraphSpec graph;
  graph.depths.resize(fifos);
  read_steps(graph, needs, kinds, ops);
  read_processes(graph, processes, waits);
  for (const auto& [rate, ports, bursts] : memories)
    graph.memories.push_back(read_memory(rate, ports, bursts, fifos));
  return graph;
}

template <class Rows, class Row>
Table table(const Rows& from, py::ssize_t columns, const Row& row) {
  Table out({static_cast<py::ssize_t>(from.size()), columns});
  std::int64_t* at = out.mutable_data();
  for (const auto& item : from)
    for (const std::int64_t value : row(item)) *at++ = value;
  return out;
}

py::dict results(const df::Result& run) {
  using Row = std::vector<std::int64_t>;
  py::dict out;
  out["cycles"] = run.cycles;
  out["late"] = run.late;
  out["path"] = run.path;
  out["stalls"] = table(run.stalls, 1, [](std::int64_t n) { return Row{n}; });
  out["processes"] = table(run.processes, 6, [](const df::ProcessResult& p) {
    return Row{p.steps, p.first, p.last, p.busy, p.closed, p.stuck};
  });
  out["fifos"] =
      table(run.fifos, 3, [](const df::FifoResult& f) { return Row{f.tokens, f.peak, f.held}; });
  out["memories"] =
      table(run.memories, 2, [](const df::MemoryResult& m) { return Row{m.bursts, m.busy}; });
  std::vector<Row> stuck;
  for (std::size_t i = 0; i < run.memories.size(); ++i)
    for (const df::StuckPort& at : run.memories[i].stuck)
      stuck.push_back({static_cast<std::int64_t>(i), at.port, at.fifo, at.side, at.tokens});
  out["stuck"] = stuck;
  out["marks"] = table(run.marks, 3, [](const df::Marked& mark) {
    return Row{mark.process, mark.label, mark.cycle};
  });
  return out;
}

py::dict run_graph(const df::GraphSpec& graph, const Table& depths, std::int64_t most_cycles,
                   bool traced) {
  df::GraphSpec sized = graph;
  sized.depths = list(depths);
  demand(sized.depths.size() == graph.depths.size(), "one depth a FIFO");
  for (const std::int64_t depth : sized.depths)
    demand(depth == df::UNBOUNDED || depth > 0, "a depth is at least 1");
  for (const df::Need& need : sized.needs)
    demand(sized.depths[need.fifo] == df::UNBOUNDED || need.tokens <= sized.depths[need.fifo],
           "a step needs more than a FIFO can hold");
  for (const df::MemorySpec& memory : sized.memories)
    for (const df::PortSpec& port : memory.ports)
      for (const auto& [beats, times] : port.bursts)
        demand(sized.depths[port.data] == df::UNBOUNDED || beats <= sized.depths[port.data],
               "a burst needs more than a FIFO can hold");
  return results(interruptible([&](const std::atomic<bool>* stop) {
    return df::run(sized, most_cycles, traced, stop);
  }));
}

}  // namespace

void open_dataflow(py::module_& m) {
  py::class_<df::GraphSpec>(m, "Dataflow")
      .def(py::init(&make_graph), py::kw_only(), py::arg("fifos"), py::arg("needs").noconvert(),
           py::arg("kinds").noconvert(), py::arg("ops").noconvert(),
           py::arg("processes").noconvert(), py::arg("waits"), py::arg("memories"))
      .def("run", &run_graph, py::arg("depths").noconvert(), py::kw_only(), py::arg("most_cycles"),
           py::arg("traced"));
}
