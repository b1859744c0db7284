// What the driver needs of Verilator's classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

template <typename Top> void eval(Top& top) { top.eval(); }

// A port of up to 64 bits is a number, a wider one an array of words.
template <typename Port> void put(Port& port, std::size_t at, std::uint32_t word) {
  if constexpr (std::is_integral_v<Port>)
    port = static_cast<Port>((port & ~(Port(0xffffffffu) << 32 * at)) | Port(word) << 32 * at);
  else
    port[at] = word;
}

template <typename Port> std::uint32_t get(const Port& port, std::size_t at) {
  if constexpr (std::is_integral_v<Port>)
    return static_cast<std::uint32_t>(port >> 32 * at);
  else
    return port[at];
}
