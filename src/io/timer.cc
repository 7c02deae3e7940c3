#include "io/timer.h"

#include "io/machine.h"

namespace mars::io {

Timer::Timer(Machine& machine, void (*fire)(void*), void* context)
    : machine_(machine), fire_(fire), context_(context) {}

void Timer::arm_at(Instant when) {
  cancel();
  machine_.timers().add(*this, when);
  machine_.timers_changed();
}

void Timer::arm_in(Duration delay) { arm_at(machine_.now() + delay); }

void Timer::cancel() {
  if (queue_key_) machine_.timers().remove(*this);
}

void TimerQueue::add(Timer& timer, Instant when) {
  timer.queue_key_ = {when, ++sequence_};
  timers_.emplace(*timer.queue_key_, &timer);
}

void TimerQueue::remove(Timer& timer) {
  timers_.erase(*timer.queue_key_);
  timer.queue_key_.reset();
}

std::optional<Instant> TimerQueue::next() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->first.first;
}

size_t TimerQueue::fire_due(Instant now) {
  size_t count = 0;
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Timer& timer = *timers_.begin()->second;
    remove(timer);
    timer.fire_(timer.context_);
    ++count;
  }
  return count;
}

}  // namespace mars::io
