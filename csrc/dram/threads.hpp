// Tasks on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace moesaic::dram {

// Runs work(next) on so many threads, where next() is the next of `count` tasks, or -1. The first
// fault is thrown again here.
template <class Work>
void in_threads(int count, int threads, const Work& work) {
  std::atomic<int> begun{0};
  std::exception_ptr fault;
  std::mutex guard;
  const auto next = [&] {
    const int i = begun++;
    return i < count ? i : -1;
  };
  const auto guarded = [&] {
    try {
      work(next);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (!fault) fault = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int k = 1; k < std::min(threads, count); ++k) others.emplace_back(guarded);
  guarded();
  for (auto& thread : others) thread.join();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace moesaic::dram
