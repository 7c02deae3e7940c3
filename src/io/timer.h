// Timer: calls a function once at an instant. TimerQueue: the timers of one reactor in order; the machine owns one and
// fires it. Equal instants fire in the order in which they were armed, so simulation is deterministic.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "io/time.h"

namespace mars::io {

class Machine;
class TimerQueue;

// Embedded in its owner; cancels itself when it dies. Fires from the reactor, never inside arm().
class Timer {
 public:
  Timer(Machine& machine, void (*fire)(void* context), void* context);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  // Armed again: the former instant is forgotten.
  void arm_at(Instant when);
  void arm_in(Duration delay);
  void cancel();
  bool is_armed() const { return queue_key_.has_value(); }

 private:
  friend TimerQueue;
  Machine& machine_;
  void (*fire_)(void*);
  void* context_;
  std::optional<std::pair<Instant, uint64_t>> queue_key_;
};

class TimerQueue {
 public:
  void add(Timer& timer, Instant when);
  void remove(Timer& timer);
  std::optional<Instant> next() const;
  // Fires what is due at `now`, in order; returns how many. A fired timer may be armed again by its function.
  size_t fire_due(Instant now);

 private:
  std::map<std::pair<Instant, uint64_t>, Timer*> timers_;
  uint64_t sequence_ = 0;
};

}  // namespace mars::io
