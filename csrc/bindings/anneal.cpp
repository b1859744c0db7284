#include <pybind11/numpy.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "anneal/balance.hpp"
#include "doors.hpp"

namespace py = pybind11;

namespace {

using Loads = py::array_t<double, py::array::c_style>;
using Homes = py::array_t<std::int32_t, py::array::c_style>;

void check(const Loads& loads, const Homes& homes, std::int32_t ranks, std::int64_t most_swaps) {
  if (loads.ndim() != 2 || homes.ndim() != 2 || loads.shape(0) != homes.shape(0) ||
      loads.shape(1) != homes.shape(1))
    throw std::invalid_argument("loads and homes must both be [layers, experts]");
  if (ranks < 1) throw std::invalid_argument("ranks must be at least 1");
  if (most_swaps < 0) throw std::invalid_argument("most_swaps must not be negative");
  const double* load = loads.data();
  const std::int32_t* home = homes.data();
  for (py::ssize_t i = 0; i < loads.size(); ++i) {
    if (!std::isfinite(load[i]) || load[i] < 0)
      throw std::invalid_argument("loads must be finite and not negative");
    if (home[i] < 0 || home[i] >= ranks)
      throw std::invalid_argument("homes must lie in 0..ranks-1");
  }
}

py::tuple balance_swaps(const Loads& loads, const Homes& homes, std::int32_t ranks,
                        std::int64_t most_swaps) {
  check(loads, homes, ranks, most_swaps);
  const py::ssize_t layers = loads.shape(0), experts = loads.shape(1);
  Homes out({layers, experts});
  py::array_t<std::int64_t> swaps(layers);
  std::copy(homes.data(), homes.data() + homes.size(), out.mutable_data());
  const double* load = loads.data();
  std::int32_t* home = out.mutable_data();
  std::int64_t* count = swaps.mutable_data();
  {
    py::gil_scoped_release released;
    for (py::ssize_t l = 0; l < layers; ++l)
      count[l] = moesaic::swap_until_balanced(load + l * experts, home + l * experts, experts,
                                              ranks, most_swaps);
  }
  return py::make_tuple(out, swaps);
}

}  // namespace

void open_anneal(py::module_& m) {
  m.def("balance_swaps", &balance_swaps, py::arg("loads").noconvert(), py::arg("homes").noconvert(),
        py::arg("ranks"), py::arg("most_swaps"),
        "Swaps experts between ranks until the heaviest rank of each layer cannot be lightened.\n\n"
        "loads: float64 [layers, experts]; homes: int32 [layers, experts], the rank of each expert.\n"
        "Returns new homes and the swaps made in each layer, int64 [layers].");
}
