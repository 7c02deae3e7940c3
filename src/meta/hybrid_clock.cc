#include "meta/hybrid_clock.h"

#include <algorithm>
#include <limits>

namespace mars::meta {

Stamp HybridClock::now() {
  uint64_t wall = static_cast<uint64_t>(std::max<int64_t>(machine_.wall_now().count(), 0));
  if (wall > last_.physical_ns) {
    last_ = {wall, 0};
  } else if (last_.logical < std::numeric_limits<uint32_t>::max()) {
    ++last_.logical;
  } else {
    last_ = {last_.physical_ns + 1, 0};
  }
  return last_;
}

void HybridClock::observe(const Stamp& seen) {
  uint64_t wall = static_cast<uint64_t>(std::max<int64_t>(machine_.wall_now().count(), 0));
  if (seen.physical_ns > wall + static_cast<uint64_t>(lead_max.count())) return;
  last_ = std::max(last_, seen);
}

}  // namespace mars::meta
