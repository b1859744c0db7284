// The class that yosys' cxxrtl writes for a block, MODEL, as the driver wants it.
#pragma once

#include <cstddef>

#include "model.cc"

struct Top : cxxrtl_design::MODEL {
  decltype(p_clk)& clk = p_clk;
  decltype(p_rst)& rst = p_rst;
  decltype(p_cfg)& cfg = p_cfg;
  decltype(p_s__valid)& s_valid = p_s__valid;
  decltype(p_s__ready)& s_ready = p_s__ready;
  decltype(p_s__data)& s_data = p_s__data;
  decltype(p_m__valid)& m_valid = p_m__valid;
  decltype(p_m__ready)& m_ready = p_m__ready;
  decltype(p_m__data)& m_data = p_m__data;
  decltype(p_active)& active = p_active;
};

inline void eval(Top& top) { top.step(); }

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
