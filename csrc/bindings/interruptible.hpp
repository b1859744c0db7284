#pragma once
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <future>

// An engine's answer, worked out beside this thread, which looks for Ctrl-C meanwhile.
template <class Work>
auto interruptible(const Work& work) {
  std::atomic<bool> stop{false};
  auto answer = std::async(std::launch::async, [&] { return work(&stop); });
  for (;;) {
    std::future_status status;
    {
      const pybind11::gil_scoped_release release;
      status = answer.wait_for(std::chrono::milliseconds(50));
    }
    if (status == std::future_status::ready) return answer.get();
    if (PyErr_CheckSignals() == 0) continue;
    stop = true;
    {
      const pybind11::gil_scoped_release release;
      answer.wait();
    }
    throw pybind11::error_already_set();
  }
}
