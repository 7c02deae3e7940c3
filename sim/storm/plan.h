// A plan: what a storm does, step by step, as values. Each step has its own seed, so that leaving one out changes
// nothing about the others: that is how a failure is reduced.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace mars::sim {

enum class Act : uint8_t {
  // The application, and time.
  write_burst,
  read_back,
  rest,
  mend,      // one of the troubles that last ends
  mend_all,  // all of them
  // Disks.
  disk_error_once,
  disk_error_lasting,
  disk_full,
  disk_slow,
  disk_stuck,
  disk_rot,
  disk_latent,
  disk_misdirected,
  disk_lost_write,
  // The network.
  network_cut,
  network_cut_one_way,
  network_isolate,
  network_flap,
  network_reset,
  network_half_open,
  network_latency,
  network_bandwidth,
  // Clocks.
  clock_skew,
  clock_jump,
  clock_stopped,
  // Hosts.
  host_kill,
  host_power_loss,
  host_kill_at_disk,
  host_power_loss_at_disk,
  host_stop,
  host_pause,
  host_pool_lost,
  host_other_disk,
  host_store_lost,
  // Operators.
  operator_handover,
  operator_force,
  operator_secondary,
  operator_invalidate,
  operator_switch,
  operator_attach,
  operator_membership,
  operator_setting,
  operator_in_use,
  operator_illegal,
};

struct ActRow {
  Act act;
  std::string_view name;  // "disk.rot"; a name without a dot belongs to every plan
  unsigned weight;        // how often, among the others
  std::string_view note;  // what it is, and which promise does not hold under it
};

std::span<const ActRow> acts();
const ActRow& row(Act act);

using Faults = std::set<Act>;
Faults all_faults();
// "disk,host.kill,-disk.rot": groups and names; a minus takes away, and begins with all when it comes first. "none".
Result<Faults> parse_faults(std::string_view list);

struct Step {
  Act act;
  uint64_t seed;
};
using Plan = std::vector<Step>;

Plan make_plan(uint64_t seed, const Faults& faults, size_t steps);

// "0-12,17": which steps of a plan are done.
std::string steps_text(const std::set<size_t>& steps);
Result<std::set<size_t>> parse_steps(std::string_view text);

}  // namespace mars::sim
