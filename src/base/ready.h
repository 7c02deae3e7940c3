// Ready: the run queue of one reactor. Whoever wants something to happen "soon, but not inside this call" pushes a Job;
// the reactor, real or simulated, runs the queue once per turn. Intrusive: deferring never allocates. Single-threaded.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace mars {

// Something that can stand in one Ready queue at a time. Not moved while it stands there.
struct Job {
  Job* next = nullptr;
  void (*run)(Job& self) = nullptr;
};

class Ready {
 public:
  Ready() = default;
  Ready(const Ready&) = delete;
  Ready& operator=(const Ready&) = delete;

  // Appends. The job stays the caller's; it must outlive its run. `wake` (below) is called when the queue was empty.
  void push(Job& job) {
    CHECK(job.run != nullptr);
    job.next = nullptr;
    bool was_empty = head_ == nullptr;
    *tail_ = &job;
    tail_ = &job.next;
    if (was_empty && wake_ != nullptr) wake_(wake_context_);
  }

  // Takes the oldest job, null when empty.
  Job* pop() {
    Job* job = head_;
    if (job != nullptr && (head_ = job->next) == nullptr) tail_ = &head_;
    return job;
  }

  bool empty() const { return head_ == nullptr; }

  // Runs until the queue is empty or `most` jobs ran; returns how many. Jobs may push further jobs.
  size_t run(size_t most = static_cast<size_t>(-1)) {
    size_t count = 0;
    while (count < most) {
      Job* job = pop();
      if (job == nullptr) break;
      job->run(*job);
      ++count;
    }
    return count;
  }

  // How the reactor hears that an empty queue has work again; null when it polls.
  void on_work(void (*wake)(void* context), void* context) {
    wake_ = wake;
    wake_context_ = context;
  }

 private:
  Job* head_ = nullptr;
  Job** tail_ = &head_;
  void (*wake_)(void*) = nullptr;
  void* wake_context_ = nullptr;
};

}  // namespace mars
