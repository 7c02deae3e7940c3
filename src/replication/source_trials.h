// What a replica remembers of the sources of its log and of its sync, to choose among them.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

#include "control/view.h"
#include "io/machine.h"

namespace mars::replication {

// What ended the last sync here; it begins again and again. Over when the sweep comes beyond `at`.
struct SyncTrouble {
  uint64_t at = 0;
  control::State state = control::State::failed;
  std::string reason;
  std::string next_step;
};

// A source had more than we, and sent nothing: how often, and when last. Each time it is waited for longer.
struct Silence {
  static constexpr io::Duration first_patience = std::chrono::seconds(60);
  int count = 0;
  io::Instant at = {};
  io::Duration patience() const { return first_patience * (1 << std::min(count, 6)); }
  friend auto operator<=>(const Silence&, const Silence&) = default;
};

// How a source of the sync was, since one was done. Who has a smaller place is asked first.
struct SyncTrial {
  int failures = 0;
  int place = 0;
};

}  // namespace mars::replication
