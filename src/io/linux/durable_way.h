// DurableWay: how a write to a device without FUA becomes durable. In one call (RWF_DSYNC) kernel workers issue the
// flush: nobody has to be awakened in between, but they stand in line with everybody who computes, for milliseconds on
// a busy processor. As a write and an fdatasync it never waits for them, and is one more sleep. Which is faster changes
// with the load, so both are measured: the faster one is taken, the other one tried now and then, the less often the
// worse it is. Values only; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "io/time.h"

namespace mars::io {

class DurableWay {
 public:
  enum Way : uint8_t { one_call, two_calls };

  static constexpr uint64_t learning_bytes_max = 64u << 10;  // of larger writes the time says little about the way
  static constexpr unsigned trial_least = 64;                // writes from one trial to the next
  static constexpr unsigned trial_most = 4096;

  // For the next write, of `bytes`.
  Way next(uint64_t bytes) {
    if (bytes > learning_bytes_max) return faster();
    for (const Way way : {one_call, two_calls}) {
      if (mean_[way] == Duration::zero()) return way;
    }
    if (++writes_ < trial_distance_) return faster();
    writes_ = 0;
    return slower();
  }

  // A write of `bytes` took `time`. One that was held up for another reason counts as four times
  // what is usual, which is forgotten soon.
  void took(Way way, uint64_t bytes, Duration time) {
    if (bytes > learning_bytes_max) return;
    time = std::max(time, Duration(1));
    Duration& mean = mean_[way];
    if (mean == Duration::zero()) {
      mean = time;
      return;
    }
    const bool is_trial = way == slower();
    mean += (std::min(time, 4 * mean) - mean) / (is_trial ? 2 : 8);
    if (!is_trial) return;
    trial_distance_ = time > 2 * mean_[faster()] ? std::min(2 * trial_distance_, trial_most) : trial_least;
  }

 private:
  Way faster() const { return mean_[two_calls] < mean_[one_call] ? two_calls : one_call; }
  Way slower() const { return faster() == one_call ? two_calls : one_call; }

  std::array<Duration, 2> mean_{};
  unsigned writes_ = 0;  // since the last trial
  unsigned trial_distance_ = trial_least;
};

}  // namespace mars::io
