// ThreadPool: a few threads beside a reactor for calls that block. Jobs go in on the reactor, `work` runs on a thread,
// then the job's own run() is called from the reactor's run queue. Submitting never allocates; threads start when
// needed, as many as the host has for us.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/ready.h"
#include "base/task.h"
#include "io/linux/fair_lines.h"
#include "io/linux/reactor.h"

namespace mars::io {

class ThreadPool {
 public:
  // `work` is called on the threads; null: only off_load() is used.
  ThreadPool(Reactor& reactor, size_t threads_max, void (*work)(Job& job) = nullptr);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();  // with nothing in flight that anybody awaits

  void submit(Job& job, bool is_background = false);
  // Runs the function on a thread and returns when it has run.
  Task<void> off_load(std::move_only_function<void()> function);

 private:
  class OffLoad;
  void start_thread();
  void loop();
  Job* pop();

  Reactor& reactor_;
  const size_t threads_max_;
  void (*work_)(Job&);
  std::mutex mutex_;  // guards all below
  std::condition_variable has_work_;
  FairLines lines_;
  size_t queued_ = 0;
  size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace mars::io
