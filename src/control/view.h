// What `status` and `view` show: immutable values, made by the node, printed by marsadm, read by programs as JSON.
// In JSON: "version": 1, bytes as integers, times RFC 3339, enumerations by the names of state.h, absent = not known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "control/state.h"

namespace mars::control {

inline constexpr int view_version = 1;

// What to do when a member's cluster could not be opened.
inline constexpr std::string_view way_to_open = "repair what this names: marsd tries again every few seconds";

// A running transfer.
struct Transfer {
  TransferKind kind = TransferKind::fetch;
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;  // 0: not known yet
  uint64_t bytes_per_second = 0;
  std::string source;  // host it comes from; empty: this one
  friend bool operator==(const Transfer&, const Transfer&) = default;
};

// Persistent, per replica. attach: the data disk may be open.
struct Switches {
  bool attach = true;
  bool fetch = true;
  bool replay = true;
  bool sync = true;
  friend bool operator==(const Switches&, const Switches&) = default;
};
// The commands that switch on what is off, and nothing else: "`marsadm resume-fetch r` and `marsadm resume-replay r`".
std::string commands_to_resume(const Switches& switches, std::string_view resource);

// The epoch at the end of a replica's durable log (T1).
struct EpochView {
  uint64_t number = 0;
  std::string id;
  std::string host;   // who reigned
  std::string cause;  // "create", "recover", "grant", "force", "gap"
  friend bool operator==(const EpochView&, const EpochView&) = default;
};

// One host's copy, as far as the host that answers knows; of others as of `last_contact_ns`.
struct ReplicaView {
  std::string host;
  Role role = Role::unknown;         // what it is; unknown: not heard since marsd was started
  Role wanted_role = Role::unknown;  // what the cluster wants it to be
  State state = State::unknown;
  std::string reason;     // one sentence; empty: the state says it all
  std::string next_step;  // what to do; empty: nothing
  Switches switches;
  std::optional<EpochView> epoch;
  std::optional<uint64_t> received_lsn;     // as durable_lsn: what has come is told when it is durable
  std::optional<uint64_t> durable_lsn;      // in its log
  std::optional<uint64_t> applied_lsn;      // on its data disk
  std::optional<uint64_t> lag_bytes;        // primary's durable end minus applied; absent: not comparable
  std::optional<uint64_t> lag_ms;           // how much older its data is than the primary's newest durable write
  std::optional<uint64_t> applied_time_ns;  // when the newest write that it has applied was made (primary's clock)
  std::optional<uint64_t> last_contact_ns;  // wall time; absent: it is the host that answers, or was never heard
  std::string disk;
  std::string device;                      // "/dev/mars/mydata"; empty: none here
  std::string front_end;                   // "fuse", "nbd"; empty: none here
  bool is_device_open = false;             // the device exists and serves
  bool is_in_use = false;                  // somebody has it open
  std::optional<uint64_t> log_bytes;       // retained log here
  std::optional<uint64_t> log_room_bytes;  // free on its disk above the reserve, of the host that answers
  std::optional<uint64_t> dirty_bytes;     // of log that is here and not yet on the data disk
  std::vector<Transfer> transfers;
  friend bool operator==(const ReplicaView&, const ReplicaView&) = default;
};

struct ResourceView {
  std::string name;
  std::string uuid;
  uint64_t size_bytes = 0;
  uint32_t block_bytes = 0;
  std::string designated;             // host that is wanted as primary; empty: none
  std::vector<ReplicaView> replicas;  // by host name
  std::vector<std::string> alarms;    // fork, equal names, deposed primary: sentences
  friend bool operator==(const ResourceView&, const ResourceView&) = default;
};

struct HostView {
  std::string name;
  std::string uuid;
  std::vector<std::string> addresses;
  bool is_self = false;
  bool is_connected = false;
  std::optional<uint64_t> last_contact_ns;
  std::string version;  // of its marsd; empty: not known
  std::string problem;  // how the last attempt to connect ended, or that the first goes on; empty: connected
  friend bool operator==(const HostView&, const HostView&) = default;
};

struct ClusterView {
  std::string cluster;   // uuid; empty: this host is in no cluster yet
  std::string problem;   // why this member's cluster could not be opened; `cluster` is empty then
  std::string host;      // who answers
  uint64_t time_ns = 0;  // its wall clock
  std::string version;
  std::vector<HostView> hosts;          // by name
  std::vector<ResourceView> resources;  // by name
  std::vector<std::string> warnings;    // what this host could not have: mlock, tmpfs ...
  // Of acknowledged writes of all resources here, and how much there may be; absent: there is none yet.
  std::optional<uint64_t> memory_bytes;
  std::optional<uint64_t> memory_bytes_max;
  friend bool operator==(const ClusterView&, const ClusterView&) = default;
};

// Compact: no line feed inside, so that a view can be the data of an answer.
std::string to_json(const ClusterView& view);
std::string to_json(const ResourceView& view);
// invalid: no JSON, another version, fields of wrong types. Unknown fields are passed over.
Result<ClusterView> cluster_view_from_json(std::string_view json);

// Only this resource, by name or uuid, and the hosts as they are; not_found names the nearest.
Result<ClusterView> only(ClusterView view, std::string_view resource);

}  // namespace mars::control
