// Threads that stay between calls and take tasks from one counter. Each task's processor time is
// told: without what its thread waited, and without what others had its core.
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

  // work(task, thread) for every task; the caller is thread 0. Returns when all are done, with the
  // nanoseconds of each in `taken`.
  template <class Work>
  void run(long tasks, long* taken, const Work& work) {
    taken_ = taken;
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
    long start = own_ns();
    for (long task = next_.fetch_add(1); task < tasks_; task = next_.fetch_add(1)) {
      work_(context_, task, thread);
      const long end = own_ns();
      taken_[task] = end - start;
      start = end;
    }
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
  long* taken_ = nullptr;
  std::atomic<long> next_{0}, busy_{0}, round_{0};
  std::vector<std::thread> workers_;
};
