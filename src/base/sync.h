// What the activities of one reactor wait for: Event (stays set), Notifier (wakes who waits now), Semaphore (counts,
// first come first served), Queue (values in order). Waking goes through the ready queue, so nobody's code runs inside
// set().
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/list.h"
#include "base/ready.h"

namespace mars {

// One suspended coroutine; lives in its awaiter. Linked while it waits, in the ready queue when it was woken.
class Waiter : public Job, public ListHook {
 public:
  void suspend(std::coroutine_handle<> handle) { handle_ = handle; }
  // Takes it out of whatever list it stands in and resumes it at the reactor's next turn. Once only.
  void wake(Ready& ready) {
    CHECK(!woken_);
    woken_ = true;
    unlink();
    run = [](Job& job) { static_cast<Waiter&>(job).handle_.resume(); };
    ready.push(*this);
  }
  bool is_woken() const { return woken_; }

 private:
  std::coroutine_handle<> handle_;
  bool woken_ = false;
};

// `Yield yield(ready); co_await yield;`: whatever stands in the run queue now goes first. May be awaited again.
class Yield : public Job {
 public:
  explicit Yield(Ready& ready) : ready_(ready) {
    run = [](Job& job) { static_cast<Yield&>(job).caller_.resume(); };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    caller_ = caller;
    ready_.push(*this);
  }
  void await_resume() const noexcept {}

 private:
  Ready& ready_;
  std::coroutine_handle<> caller_;
};

// Wakes everybody who waits at the moment of notify(); later waiters wait for the next one.
class Notifier {
 public:
  explicit Notifier(Ready& ready) : ready_(ready) {}

  void notify() {
    while (Waiter* waiter = waiters_.pop_front()) waiter->wake(ready_);
  }
  void add(Waiter& waiter) { waiters_.push_back(waiter); }
  Ready& ready() { return ready_; }

  auto wait() {
    struct Awaiter {
      Notifier& notifier;
      Waiter waiter;
      explicit Awaiter(Notifier& n) : notifier(n) {}
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> caller) {
        waiter.suspend(caller);
        notifier.add(waiter);
      }
      void await_resume() const noexcept {}
    };
    return Awaiter(*this);
  }

 private:
  Ready& ready_;
  List<Waiter> waiters_;
};

// A flag that one can wait for.
class Event {
 public:
  explicit Event(Ready& ready) : notifier_(ready) {}

  bool is_set() const { return set_; }
  void set() {
    set_ = true;
    notifier_.notify();
  }
  void reset() { set_ = false; }
  Notifier& notifier() { return notifier_; }

  auto wait() {
    struct Awaiter {
      Event& event;
      Waiter waiter;
      explicit Awaiter(Event& e) : event(e) {}
      bool await_ready() const noexcept { return event.set_; }
      void await_suspend(std::coroutine_handle<> caller) {
        waiter.suspend(caller);
        event.notifier_.add(waiter);
      }
      void await_resume() const noexcept {}
    };
    return Awaiter(*this);
  }

 private:
  Notifier notifier_;
  bool set_ = false;
};

// Counts free units of something. Who waits first gets first, also when a later one asks for less.
class Semaphore {
 public:
  Semaphore(Ready& ready, uint64_t units) : ready_(ready), free_(units) {}

  uint64_t free() const { return free_; }
  bool try_acquire(uint64_t units) {
    if (!waiting_.empty() || units > free_) return false;
    free_ -= units;
    return true;
  }
  void release(uint64_t units) {
    free_ += units;
    while (!waiting_.empty() && waiting_.front().units <= free_) {
      Claim& claim = waiting_.front();
      free_ -= claim.units;
      claim.wake(ready_);
    }
  }

  auto acquire(uint64_t units = 1) { return Awaiter(*this, units); }

 private:
  struct Claim : Waiter {
    uint64_t units = 0;
  };
  struct Awaiter {
    Semaphore& semaphore;
    Claim claim;
    Awaiter(Semaphore& s, uint64_t units) : semaphore(s) { claim.units = units; }
    bool await_ready() { return semaphore.try_acquire(claim.units); }
    void await_suspend(std::coroutine_handle<> caller) {
      claim.suspend(caller);
      semaphore.waiting_.push_back(claim);
    }
    void await_resume() const noexcept {}
  };

  Ready& ready_;
  uint64_t free_;
  List<Claim> waiting_;
};

// Values from many producers to one consumer, in order. The bound, where there is one, is the producers' duty (size()).
template <class T>
class Queue {
 public:
  explicit Queue(Ready& ready) : notifier_(ready) {}

  size_t size() const { return values_.size(); }
  bool is_closed() const { return closed_; }
  void push(T value) {
    if (closed_) return;
    values_.push_back(std::move(value));
    notifier_.notify();
  }
  // No more values will come: pop() empties what is there and then returns nothing.
  void close() {
    closed_ = true;
    notifier_.notify();
  }
  std::optional<T> try_pop() {
    if (values_.empty()) return std::nullopt;
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    return value;
  }

  // `co_await queue.pop()`: the next value, or nothing when the queue is closed and empty. One consumer at a time.
  auto pop() { return Awaiter(*this); }

 private:
  struct Awaiter {
    Queue& queue;
    Waiter waiter;
    explicit Awaiter(Queue& q) : queue(q) {}
    bool await_ready() const noexcept { return !queue.values_.empty() || queue.closed_; }
    void await_suspend(std::coroutine_handle<> caller) {
      waiter.suspend(caller);
      queue.notifier_.add(waiter);
    }
    std::optional<T> await_resume() { return queue.try_pop(); }
  };

  Notifier notifier_;
  std::deque<T> values_;
  bool closed_ = false;
};

}  // namespace mars
