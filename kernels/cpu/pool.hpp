// Threads that stay between calls and take tasks from one counter. It counts the time for which they
// worked: not for which they waited, nor for which others had their cores.
#pragma once

#include <time.h>

#include <atomic>
#include <thread>
#include <vector>

class Pool {
 public:
  explicit Pool(long threads) {
    for (long i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
  }

  ~Pool() {
    work_ = nullptr;
    call();
    for (auto& worker : workers_) worker.join();
  }

  long threads() const { return static_cast<long>(workers_.size()) + 1; }

  // Of all threads together, since the pool was made.
  double worked_seconds() const { return 1e-9 * static_cast<double>(worked_ns_.load()); }

  // work(task, thread) for every task; the caller is thread 0. Returns when all are done.
  template <class Work>
  void run(long tasks, const Work& work) {
    context_ = &work;
    work_ = [](const void* context, long task, long thread) {
      (*static_cast<const Work*>(context))(task, thread);
    };
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<long>(workers_.size()), std::memory_order_relaxed);
    call();
    take(0);
    for (long left = busy_.load(); left; left = busy_.load()) busy_.wait(left);
  }

 private:
  void call() {
    round_.fetch_add(1);
    round_.notify_all();
  }

  void serve(long thread) {
    for (long seen = 0;; ++seen) {
      round_.wait(seen);
      if (!work_) return;
      take(thread);
      if (busy_.fetch_sub(1) == 1) busy_.notify_one();
    }
  }

  void take(long thread) {
    const long start = own_ns();
    for (long task = next_.fetch_add(1); task < tasks_; task = next_.fetch_add(1)) {
      work_(context_, task, thread);
    }
    worked_ns_.fetch_add(own_ns() - start);
  }

  // The processor time of the calling thread.
  static long own_ns() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
  }

  void (*work_)(const void*, long, long) = nullptr;
  const void* context_ = nullptr;
  long tasks_ = 0;
  std::atomic<long> next_{0}, busy_{0}, round_{0}, worked_ns_{0};
  std::vector<std::thread> workers_;
};
