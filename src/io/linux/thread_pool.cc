#include "io/linux/thread_pool.h"

#include <coroutine>
#include <system_error>
#include <utility>

namespace mars::io {

class ThreadPool::OffLoad : public Job {
 public:
  OffLoad(ThreadPool& pool, std::move_only_function<void()> function) : pool_(pool), function_(std::move(function)) {
    run = [](Job& job) { static_cast<OffLoad&>(job).caller_.resume(); };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    caller_ = caller;
    pool_.submit(*this);
  }
  void await_resume() const noexcept {}
  static void work(Job& job) { static_cast<OffLoad&>(job).function_(); }

 private:
  ThreadPool& pool_;
  std::move_only_function<void()> function_;
  std::coroutine_handle<> caller_;
};

ThreadPool::ThreadPool(Reactor& reactor, size_t threads_max, void (*work)(Job&))
    : reactor_(reactor), threads_max_(threads_max), work_(work != nullptr ? work : &OffLoad::work) {
  threads_.reserve(threads_max);
}

ThreadPool::~ThreadPool() {
  {
    std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  has_work_.notify_all();
  threads_.clear();
}

void ThreadPool::submit(Job& job, bool is_background) {
  std::scoped_lock lock(mutex_);
  lines_.push(job, is_background);
  ++queued_;
  if (queued_ > idle_ && threads_.size() < threads_max_) start_thread();
  has_work_.notify_one();
}

// The host may have no more threads for us (TasksMax of the unit): those that are there serve what is in line, and the
// next job tries again. Without any the process ends and says so.
void ThreadPool::start_thread() {
  try {
    threads_.emplace_back([this] { loop(); });
  } catch (const std::system_error&) {
    if (threads_.empty()) throw;
  }
}

Task<void> ThreadPool::off_load(std::move_only_function<void()> function) {
  OffLoad job(*this, std::move(function));
  co_await job;
}

Job* ThreadPool::pop() {
  Job* job = lines_.pop();
  if (job != nullptr) --queued_;
  return job;
}

void ThreadPool::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Job* job = pop();
    if (job != nullptr) {
      lock.unlock();
      work_(*job);
      reactor_.hand_over(*job);
      lock.lock();
      continue;
    }
    if (stopping_) return;
    ++idle_;
    has_work_.wait(lock);
    --idle_;
  }
}

}  // namespace mars::io
