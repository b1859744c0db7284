// What the driver needs of the classes that yosys' cxxrtl writes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cxxrtl/cxxrtl.h>

// The ports of a block by their own names.
template <typename Model> struct Ports : Model {
  decltype(Model::p_clk)& clk = this->p_clk;
  decltype(Model::p_rst)& rst = this->p_rst;
  decltype(Model::p_cfg)& cfg = this->p_cfg;
  decltype(Model::p_s__valid)& s_valid = this->p_s__valid;
  decltype(Model::p_s__ready)& s_ready = this->p_s__ready;
  decltype(Model::p_s__data)& s_data = this->p_s__data;
  decltype(Model::p_m__valid)& m_valid = this->p_m__valid;
  decltype(Model::p_m__ready)& m_ready = this->p_m__ready;
  decltype(Model::p_m__data)& m_data = this->p_m__data;
  decltype(Model::p_active)& active = this->p_active;
};

template <typename Top> void eval(Top& top) { top.step(); }

template <std::size_t Bits>
void put(cxxrtl::value<Bits>& port, std::size_t at, std::uint32_t word) {
  port.data[at] = word;
}

template <std::size_t Bits>
std::uint32_t get(const cxxrtl::value<Bits>& port, std::size_t at) {
  return port.data[at];
}

template <std::size_t Bits>
std::uint32_t get(const cxxrtl::wire<Bits>& port, std::size_t at) {
  return port.curr.data[at];
}
