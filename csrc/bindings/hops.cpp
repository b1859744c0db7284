#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>

#include "anneal/hops.hpp"
#include "doors.hpp"

namespace py = pybind11;

namespace {

using Floats = py::array_t<double, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;

void demand(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

bool is_shape(const py::array& a, std::initializer_list<py::ssize_t> wanted) {
  return a.ndim() == static_cast<py::ssize_t>(wanted.size()) &&
         std::equal(wanted.begin(), wanted.end(), a.shape());
}

// Keeps the arrays that the engine only points into.
class Annealer {
 public:
  Annealer(Floats flow, Floats loads, Floats limit, Ints held, const Ints& homes,
           std::int32_t ranks, std::int32_t node_ranks, std::optional<Floats> pairs,
           std::optional<Floats> bias, double flow_rank, double flow_node, double pair_rank,
           double pair_node, std::uint64_t seed)
      : flow_(std::move(flow)),
        loads_(std::move(loads)),
        limit_(std::move(limit)),
        held_(std::move(held)),
        pairs_(std::move(pairs)),
        bias_(std::move(bias)) {
    demand(loads_.ndim() == 2 && loads_.size() > 0, "loads must be [layers, items]");
    const py::ssize_t L = loads_.shape(0), P = loads_.shape(1);
    demand(P < (1 << 24), "too many items");
    demand(is_shape(flow_, {L - 1, P, P}), "flow must be [layers - 1, items, items]");
    demand(is_shape(limit_, {L}), "limit must be [layers]");
    demand(is_shape(held_, {L, P}) && is_shape(homes, {L, P}),
           "held and homes must be [layers, items]");
    demand(ranks > 0 && node_ranks > 0 && ranks % node_ranks == 0, "node_ranks must divide ranks");
    demand(!pairs_ || is_shape(*pairs_, {L, P, P}), "pairs must be [layers, items, items]");
    demand(!bias_ || is_shape(*bias_, {L, ranks, P}), "bias must be [layers, ranks, items]");
    for (py::ssize_t i = 0; i < L * P; ++i) {
      demand(homes.data()[i] >= 0 && homes.data()[i] < ranks, "homes must lie in 0..ranks-1");
      demand(held_.data()[i] >= 0 && held_.data()[i] < P, "held must lie in 0..items-1");
      demand(std::isfinite(loads_.data()[i]), "loads must be finite");
    }
    const moesaic::HopTask task{L, P, ranks, node_ranks, flow_.data(),
                                pairs_ ? pairs_->data() : nullptr,
                                bias_ ? bias_->data() : nullptr, loads_.data(), limit_.data(),
                                held_.data(), flow_rank, flow_node, pair_rank, pair_node};
    engine_ = std::make_unique<moesaic::HopAnneal>(task, homes.data(), seed);
  }

  void sweep(double temperature, std::int64_t tries) {
    py::gil_scoped_release released;
    engine_->sweep(temperature, tries);
  }
  std::int64_t descend(double least, std::int64_t most) {
    py::gil_scoped_release released;
    return engine_->descend(least, most);
  }
  double mean_loss(std::int64_t samples) { return engine_->mean_loss(samples); }
  std::int64_t accepted() const { return engine_->accepted(); }
  Ints homes() const {
    Ints out({loads_.shape(0), loads_.shape(1)});
    std::copy(engine_->homes().begin(), engine_->homes().end(), out.mutable_data());
    return out;
  }

 private:
  Floats flow_, loads_, limit_;
  Ints held_;
  std::optional<Floats> pairs_, bias_;
  std::unique_ptr<moesaic::HopAnneal> engine_;
};

}  // namespace

void open_hops(py::module_& m) {
  py::class_<Annealer>(m, "HopAnneal",
                       "Swaps of two items of a layer, annealed: what is kept on a rank between\n"
                       "layers (flow), what meets in a layer (pairs) and what likes its rank (bias)\n"
                       "against a hard limit on the load of every rank.")
      .def(py::init<Floats, Floats, Floats, Ints, const Ints&, std::int32_t, std::int32_t,
                    std::optional<Floats>, std::optional<Floats>, double, double, double, double,
                    std::uint64_t>(),
           py::kw_only(), py::arg("flow"), py::arg("loads"), py::arg("limit"), py::arg("held"),
           py::arg("homes"), py::arg("ranks"), py::arg("node_ranks"), py::arg("pairs") = py::none(),
           py::arg("bias") = py::none(), py::arg("flow_rank") = 1.0, py::arg("flow_node") = 0.0,
           py::arg("pair_rank") = 0.0, py::arg("pair_node") = 0.0, py::arg("seed") = 0)
      .def("sweep", &Annealer::sweep, py::arg("temperature"), py::arg("tries"),
           "One pass over the layers: `tries` random swaps an item at a temperature in gain.")
      .def("descend", &Annealer::descend, py::arg("least"), py::arg("most"),
           "Best swaps until none gains more than `least`; returns how many were made.")
      .def("mean_loss", &Annealer::mean_loss, py::arg("samples"),
           "The mean loss of random allowed swaps that lose.")
      .def("accepted", &Annealer::accepted, "Swaps made so far.")
      .def("homes", &Annealer::homes, "int32 [layers, items]: the rank of each item now.");
}
