// May the token go to this host now? The preconditions of T4 as one table, asked before the device is closed. A pure
// function on values.
#pragma once

#include <optional>
#include <string>

#include "bricks/branch.h"
#include "replication/report.h"

namespace mars::replication {

struct HandoverFacts {
  bool is_member = false;  // of the resource, and not about to leave
  bool is_connected = false;
  const Report* successor = nullptr;       // its latest report; null: never heard since our start
  const bricks::Branch* branch = nullptr;  // mine
  Lsn durable_end;                         // mine
  uint64_t lag_max = 0;                    // handover-lag, bytes
  bool is_log_failed = false;              // mine: it takes no release
};

enum class HandoverObstacle : uint8_t {
  none,
  log_failed,
  not_member,
  not_connected,
  not_attached,
  syncing,
  rival,         // histories have parted
  switched_off,  // fetch or replay
  damaged,
  lagging,  // alone among these it goes away by waiting
};

HandoverObstacle decide_handover(const HandoverFacts& facts);

// What the operator reads: the reason and the next step.
std::string sentence(HandoverObstacle obstacle, const std::string& host);

}  // namespace mars::replication
