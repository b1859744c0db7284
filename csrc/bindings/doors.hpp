#pragma once
#include <pybind11/pybind11.h>

// Each engine has one door: a function that adds its calls to the module.
void open_anneal(pybind11::module_& m);
void open_dataflow(pybind11::module_& m);
void open_dram(pybind11::module_& m);
void open_hops(pybind11::module_& m);
void open_mma(pybind11::module_& m);
void open_ptx(pybind11::module_& m);
void open_replicas(pybind11::module_& m);
