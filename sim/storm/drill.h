// Drill: one command while a host dies at a given change of its disks: the crash of every step, one after the other.
// What surrounds it is a storm: writes before, all promises checked, everything up to date in the end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sim/storm/storm.h"

namespace mars::sim {

struct Drill {
  std::string_view name;     // "join_target"
  std::string_view before;   // "b: leave-resource mydata; a: ..."; commands that end before the victim is armed
  std::string_view command;  // "b: join-resource mydata /dev/sdb"; empty: the application writes
  std::string_view victim;
};

std::span<const Drill> drills();

struct DrillOptions {
  uint64_t change = 1;  // the one at which the victim dies
  bool is_power_loss = false;
  bool do_flushes_lie = false;  // the negative control: every flush of the victim is a lie
};

struct DrillOutcome {
  std::string problem;
  bool has_died = false;  // false: there were fewer changes
};

DrillOutcome run_drill(const Drill& drill, const DrillOptions& options, Reached& reached);

}  // namespace mars::sim
