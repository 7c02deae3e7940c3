// Patience: how long the reactor looks for work before it sleeps. To be awakened costs more than a short look, on a
// virtual processor many times more; who is called every few microseconds should not have slept. Grows when sleeps turn
// out to be short, is given up when looking was in vain (after the kernel's halt polling of virtual processors,
// Documentation/virt/kvm/halt-polling.rst). Values only; one thread.
#pragma once

#include <algorithm>

#include "io/time.h"

namespace mars::io {

class Patience {
 public:
  static constexpr Duration least = std::chrono::microseconds(10);
  static constexpr Duration most = std::chrono::microseconds(50);

  // `can_look`: there is another processor for whoever calls.
  explicit Patience(bool can_look) : can_look_(can_look) {}

  Duration length() const { return length_; }  // to look for; 0: sleep at once
  // After looking for length() and finding nothing.
  void was_in_vain() { length_ = length_ > least ? length_ / 2 : Duration::zero(); }
  // After a sleep, of which up to a half was the waking itself: had it been awake, nobody would have had to wake it.
  void slept(Duration time) {
    if (can_look_ && time <= 2 * most) length_ = std::clamp(length_ * 2, least, most);
  }

 private:
  const bool can_look_;
  Duration length_ = Duration::zero();
};

}  // namespace mars::io
