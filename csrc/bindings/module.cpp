#include "doors.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled inner loops of moesaic.";
  open_anneal(m);
  open_dataflow(m);
  open_dram(m);
  open_hops(m);
  open_mma(m);
  open_ptx(m);
  open_replicas(m);
}
