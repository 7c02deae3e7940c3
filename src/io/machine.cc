#include "io/machine.h"

#include <coroutine>

namespace mars::io {
namespace {

// Waits in a notifier and for a timer at once; whichever comes first wakes it.
class TimedWait {
 public:
  TimedWait(Machine& machine, Notifier& notifier, Instant when)
      : machine_(machine), notifier_(notifier), when_(when), timer_(machine, &TimedWait::on_timer, this) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    waiter_.suspend(caller);
    notifier_.add(waiter_);
    timer_.arm_at(when_);
  }
  bool await_resume() {
    timer_.cancel();
    return !timed_out_;
  }

 private:
  static void on_timer(void* self) { static_cast<TimedWait*>(self)->expire(); }
  void expire() {
    if (waiter_.is_woken()) return;
    timed_out_ = true;
    waiter_.wake(machine_.ready());
  }

  Machine& machine_;
  Notifier& notifier_;
  Instant when_;
  Waiter waiter_;
  Timer timer_;
  bool timed_out_ = false;
};

}  // namespace

Task<bool> wait_until(Machine& machine, Notifier& notifier, Instant when) {
  TimedWait wait(machine, notifier, when);
  co_return co_await wait;
}

Task<bool> sleep_until(Machine& machine, Instant when, Event& stop) {
  if (stop.is_set()) co_return false;
  co_return !co_await wait_until(machine, stop.notifier(), when);
}

Task<bool> sleep_for(Machine& machine, Duration delay, Event& stop) {
  return sleep_until(machine, machine.now() + delay, stop);
}

}  // namespace mars::io
