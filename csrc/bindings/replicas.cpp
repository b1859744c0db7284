#include "anneal/replicas.hpp"

#include <pybind11/numpy.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "anneal/ease.hpp"
#include "doors.hpp"

namespace py = pybind11;

namespace {

using Loads = py::array_t<double, py::array::c_style>;
using Counts = py::array_t<std::int64_t, py::array::c_style>;
using Held = py::array_t<std::int32_t, py::array::c_style>;

std::int64_t check(const Loads& loads, const Counts& room, std::int64_t most_swaps) {
  if (loads.ndim() != 2 || loads.shape(1) < 1)
    throw std::invalid_argument("loads must be [layers, experts]");
  if (room.ndim() != 1 || room.shape(0) < 1)
    throw std::invalid_argument("room must be [ranks]");
  if (most_swaps < 0) throw std::invalid_argument("most_swaps must not be negative");
  for (py::ssize_t i = 0; i < loads.size(); ++i)
    if (!std::isfinite(loads.data()[i]) || loads.data()[i] < 0)
      throw std::invalid_argument("loads must be finite and not negative");
  const std::int64_t *first = room.data(), *last = first + room.size();
  const std::int64_t experts = loads.shape(1);
  if (std::any_of(first, last, [&](std::int64_t n) { return n < 0 || n > experts; }))
    throw std::invalid_argument("room must lie in 0..experts on each rank");
  const std::int64_t slots = std::accumulate(first, last, std::int64_t{0});
  if (slots < experts) throw std::invalid_argument("room must hold every expert once");
  if (slots > experts && std::any_of(first, last, [&](std::int64_t n) { return n != *first; }))
    throw std::invalid_argument("room must be equal on all ranks where experts are copied");
  return slots;
}

py::tuple place_replicas(const Loads& loads, const Counts& room, std::int64_t most_copies,
                         std::int64_t most_swaps) {
  const std::int64_t slots = check(loads, room, most_swaps);
  if (most_copies < 1 || most_copies > room.shape(0) || slots > loads.shape(1) * most_copies)
    throw std::invalid_argument("most_copies must lie in 1..ranks and fill the room");
  const py::ssize_t layers = loads.shape(0), experts = loads.shape(1);
  const auto ranks = static_cast<std::int32_t>(room.shape(0));
  Held held({layers, static_cast<py::ssize_t>(slots)});
  Counts swaps(layers);
  const double* load = loads.data();
  const std::int64_t* free = room.data();
  std::int32_t* out = held.mutable_data();
  std::int64_t* count = swaps.mutable_data();
  {
    py::gil_scoped_release released;
    std::vector<std::int64_t> copies(experts);
    for (py::ssize_t l = 0; l < layers; ++l) {
      moesaic::count_copies(load + l * experts, experts, slots, most_copies, copies.data());
      count[l] = moesaic::place_copies(load + l * experts, copies.data(), experts, free, ranks,
                                       most_swaps, out + l * slots);
    }
  }
  return py::make_tuple(held, swaps);
}

void check_ease(const Loads& loads, const Held& held, const Held& rank_of, std::int32_t ranks,
                const Loads& targets, const Counts& most_steps) {
  if (loads.ndim() != 2 || held.ndim() != 2 || loads.shape(0) != held.shape(0))
    throw std::invalid_argument("loads must be [layers, experts] and held [layers, slots]");
  if (rank_of.ndim() != 1 || rank_of.shape(0) != held.shape(1) || ranks < 1)
    throw std::invalid_argument("rank_of must be [slots], and ranks at least 1");
  if (targets.ndim() != 1 || targets.shape(0) != loads.shape(0) || most_steps.ndim() != 1 ||
      most_steps.shape(0) != loads.shape(0))
    throw std::invalid_argument("targets and most_steps must be [layers]");
  for (py::ssize_t i = 0; i < loads.size(); ++i)
    if (!std::isfinite(loads.data()[i]) || loads.data()[i] < 0)
      throw std::invalid_argument("loads must be finite and not negative");
  for (py::ssize_t i = 0; i < rank_of.size(); ++i)
    if (rank_of.data()[i] < 0 || rank_of.data()[i] >= ranks)
      throw std::invalid_argument("rank_of must lie in 0..ranks-1");
  std::vector<char> there(loads.shape(1));
  for (py::ssize_t l = 0; l < held.shape(0); ++l) {
    std::fill(there.begin(), there.end(), 0);
    for (py::ssize_t s = 0; s < held.shape(1); ++s) {
      const std::int32_t e = held.at(l, s);
      if (e < 0 || e >= loads.shape(1))
        throw std::invalid_argument("held must lie in 0..experts-1");
      there[e] = 1;
    }
    if (std::find(there.begin(), there.end(), 0) != there.end())
      throw std::invalid_argument("held must hold each expert of a layer");
  }
  for (py::ssize_t l = 0; l < targets.size(); ++l)
    if (!(targets.data()[l] > 0) || most_steps.data()[l] < 0)
      throw std::invalid_argument("targets must be positive, and most_steps not negative");
}

py::tuple ease_ranks(const Loads& loads, const Held& held, const Held& rank_of, std::int32_t ranks,
                     const Loads& targets, const Counts& most_steps, bool priced) {
  check_ease(loads, held, rank_of, ranks, targets, most_steps);
  const py::ssize_t layers = loads.shape(0), experts = loads.shape(1), slots = held.shape(1);
  const std::int64_t* most = most_steps.data();
  const py::ssize_t width = 1 + (layers ? *std::max_element(most, most + layers) : 0);
  Held out({layers, slots});
  Loads heaviest({layers, width});
  Counts moved({layers, width}), steps(layers);
  std::copy(held.data(), held.data() + held.size(), out.mutable_data());
  std::fill(heaviest.mutable_data(), heaviest.mutable_data() + heaviest.size(), 0.0);
  std::fill(moved.mutable_data(), moved.mutable_data() + moved.size(), std::int64_t{0});
  const double *load = loads.data(), *target = targets.data();
  const std::int32_t* rank = rank_of.data();
  std::int32_t* slot = out.mutable_data();
  double* top = heaviest.mutable_data();
  std::int64_t *brought = moved.mutable_data(), *made = steps.mutable_data();
  {
    py::gil_scoped_release released;
    for (py::ssize_t l = 0; l < layers; ++l)
      made[l] = moesaic::ease_ranks(load + l * experts, experts, rank, slots, ranks, target[l],
                                    priced, most[l], slot + l * slots,
                                    {top + l * width, brought + l * width});
  }
  return py::make_tuple(out, heaviest, moved, steps);
}

}  // namespace

void open_replicas(py::module_& m) {
  m.def("place_replicas", &place_replicas, py::arg("loads").noconvert(),
        py::arg("room").noconvert(), py::arg("most_copies"), py::arg("most_swaps"),
        "Copies of the heaviest experts, none twice on a rank, balanced by swaps.\n\n"
        "loads: float64 [layers, experts]; room: int64 [ranks], slots of each rank; most_copies:\n"
        "of one expert.\n"
        "Returns the expert of each slot, rank by rank, int32 [layers, slots], and the swaps made\n"
        "in each layer, int64 [layers].");
  m.def("ease_ranks", &ease_ranks, py::arg("loads").noconvert(), py::arg("held").noconvert(),
        py::arg("rank_of").noconvert(), py::arg("ranks"), py::arg("targets").noconvert(),
        py::arg("most_steps").noconvert(), py::arg("priced"),
        "Takes load off the ranks above a target by swaps and by other copies, few moves first.\n\n"
        "loads: float64 [layers, experts]; held: int32 [layers, slots], the expert of each slot;\n"
        "rank_of: int32 [slots]; targets: float64 [layers]; most_steps: int64 [layers]; priced:\n"
        "weigh a step's gain by the experts that it moves. Returns the new held, and after each\n"
        "step the heaviest rank's load and the experts moved so far [layers, steps + 1], and the\n"
        "steps made [layers].");
}
