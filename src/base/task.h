// Task<T>: one activity as a coroutine on one reactor. Lazy: it starts when it is awaited, or spawned into a Scope.
// A Scope is a member of whoever owns the activities; the owner awaits join() before it dies. There are no detached
// tasks. No exception leaves a task. Parameters are taken by value or refer to something that outlives the task.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/ready.h"

namespace mars {

template <class T>
class Task;

namespace task_detail {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      return self.promise().continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& u) {
    value.emplace(std::forward<U>(u));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace task_detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(Handle handle) : handle_(handle) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
      handle_.promise().continuation = caller;
      return handle_;
    }
    T await_resume() { return handle_.promise().take(); }

   private:
    Handle handle_;
  };
  // The task outlives the await: it is the operand of the expression or a named local.
  Awaiter operator co_await() const& noexcept { return Awaiter(handle_); }
  Awaiter operator co_await() && noexcept { return Awaiter(handle_); }

 private:
  Handle handle_;
};

namespace task_detail {
template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace task_detail

// Owns activities. Destroying a scope in which something still runs is a programmer error.
class Scope {
 public:
  explicit Scope(Ready& ready) : ready_(ready) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { CHECK(count_ == 0); }

  // Starts the task at the reactor's next turn.
  void spawn(Task<void> task) {
    ++count_;
    run(this, std::move(task));
  }

  size_t count() const { return count_; }
  Ready& ready() { return ready_; }

  // `co_await scope.join()`: returns when nothing runs in the scope any more. One waiter at a time.
  auto join() {
    struct Awaiter {
      Scope& scope;
      bool await_ready() const noexcept { return scope.count_ == 0; }
      void await_suspend(std::coroutine_handle<> caller) noexcept {
        CHECK(!scope.joiner_.handle);
        scope.joiner_.handle = caller;
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  struct Resume : Job {
    std::coroutine_handle<> handle;
    static void resume(Job& job) {
      auto handle = std::exchange(static_cast<Resume&>(job).handle, nullptr);
      handle.resume();
    }
  };
  // A coroutine that frees itself at its end and starts from the ready queue.
  struct Runner {
    struct promise_type {
      Resume start;
      Scope* scope = nullptr;
      promise_type(Scope* s, Task<void>&) : scope(s) {}
      Runner get_return_object() {
        start.handle = std::coroutine_handle<promise_type>::from_promise(*this);
        start.run = &Resume::resume;
        scope->ready_.push(start);
        return {};
      }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() noexcept { std::terminate(); }
    };
  };
  static Runner run(Scope* scope, Task<void> task) {
    {
      Task<void> mine = std::move(task);
      co_await mine;
    }
    scope->finished();
  }
  void finished() {
    if (--count_ > 0 || !joiner_.handle) return;
    joiner_.run = &Resume::resume;
    ready_.push(joiner_);
  }

  Ready& ready_;
  size_t count_ = 0;
  Resume joiner_;
};

}  // namespace mars
