// Patience: how long the reactor looks for work before it sleeps. To be awakened costs more than a short look, on a
// virtual processor many times more; who is called every few microseconds should not have slept. Grows when a sleep
// turns out to be short, shrinks when it was long (after the kernel's halt polling of virtual processors,
// Documentation/virt/kvm/halt-polling.rst), and rests for a while where the longest look finds nothing again and again.
// Values only; one thread.
#pragma once

#include <algorithm>

#include "io/time.h"

namespace mars::io {

class Patience {
 public:
  static constexpr Duration least = std::chrono::microseconds(10);
  static constexpr Duration most = std::chrono::microseconds(50);
  static constexpr unsigned in_vain_most = 8;  // longest looks in a row
  static constexpr unsigned rest_sleeps = 256;

  // `can_look`: there is another processor for whoever calls.
  explicit Patience(bool can_look) : can_look_(can_look) {}

  Duration length() const { return rest_ > 0 ? Duration::zero() : length_; }  // to look for; 0: sleep at once
  void has_found() { in_vain_ = 0; }
  // After length() of looking in vain. Of a short sleep up to a half was the waking itself: had it been awake, nobody
  // would have had to wake it.
  void slept(Duration time) {
    if (!can_look_) return;
    if (rest_ > 0) {
      --rest_;
      return;
    }
    if (time > 2 * most) {
      length_ = length_ > least ? length_ / 2 : Duration::zero();
    } else if (length_ < most) {
      length_ = std::clamp(length_ * 2, least, most);
    } else if (++in_vain_ == in_vain_most) {
      in_vain_ = 0;
      rest_ = rest_sleeps;
      length_ = Duration::zero();
    }
  }

 private:
  const bool can_look_;
  Duration length_ = Duration::zero();
  unsigned in_vain_ = 0;
  unsigned rest_ = 0;  // sleeps until it looks again
};

}  // namespace mars::io
