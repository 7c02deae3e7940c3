// Hybrid logical clock: wall time that never goes back, and never behind what was seen of others. It orders wishes of
// equal version and is shown to people; no rule of the data path reads it (R2).
#pragma once

#include "format/values.h"
#include "io/machine.h"

namespace mars::meta {

class HybridClock {
 public:
  // A stamp that is further ahead of our wall clock than this is not followed: a clock that is a year in the future
  // would take all others there. Wishes do not need it, since the version decides first.
  static constexpr io::Duration lead_max = std::chrono::minutes(1);

  explicit HybridClock(io::Machine& machine) : machine_(machine) {}

  Stamp now();                      // larger than any stamp that it gave before
  void observe(const Stamp& seen);  // of others

 private:
  io::Machine& machine_;
  Stamp last_;
};

}  // namespace mars::meta
