// Stage: what the parts of a storm share: the cluster, the reference, what was found, and what is allowed at the
// moment.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "replication/replica.h"
#include "sim/cluster/cluster.h"
#include "sim/storm/history.h"
#include "sim/storm/reached.h"

namespace mars::sim {

inline constexpr const char* the_resource = "mydata";
inline constexpr uint64_t log_disk_bytes = 48u << 20;
inline constexpr uint64_t log_reserve_bytes = 4u << 20;

// The data disk, empty. They differ: that of a makes holes, the others write zeroes, that of c cannot even do that by
// itself (D16).
void add_disk(Host& host);

struct Stage {
  Stage(uint64_t seed, Reached& counter, std::function<void(const std::string&)> listener);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // Three hosts, one resource, all up to date.
  void set_up();
  // The first thing that is wrong stays.
  void broke(const std::string& what);
  void tell(const std::string& what);

  bool is_alive(const std::string& host) { return cluster.is_up(host) && cluster.host(host).is_running(); }
  // It may be asked, and answers: alive, its store open, and neither paused nor stuck.
  bool is_responsive(const std::string& host) {
    return is_alive(host) && !frozen.contains(host) && cluster.node(host).cluster() != nullptr;
  }
  // Null: it has none, or is dead.
  replication::Replica* replica(const std::string& host);
  std::vector<std::string> alive();
  std::vector<std::string> open_hosts();  // whose device is open
  size_t members_known_by(const std::string& host);
  std::string segment_directory(const std::string& host);  // it may not be there
  Uuid id(const std::string& host) const { return ids.at(host); }
  std::string any_host(Prng& prng) { return hosts[prng.below(hosts.size())]; }

  // The life of hosts, with what it means for the promises.
  void kill(const std::string& host);
  void power_loss(const std::string& host);
  void stop(const std::string& host);
  bool start(const std::string& host);
  void bury_the_dead();
  // Disks are late on purpose on this host, until forgive().
  void slow_down(const std::string& host);
  void forgive(const std::string& host);
  bool is_late_allowed(const std::string& host, io::Instant begun) const;

  const std::vector<std::string> hosts = {"a", "b", "c"};
  Cluster cluster;
  History history;
  Reached& reached;
  const std::function<void(const std::string&)> listener;
  std::string problem;
  std::map<std::string, Uuid> ids;
  Uuid resource;
  std::map<std::string, unsigned> starts;  // of marsd, by host
  std::set<std::string> frozen;            // paused, or with a stuck disk
  std::set<std::string> rotten;            // bytes of its log were damaged: what only it had may be gone
  std::set<std::string> may_abandon;       // the operator gave its version up
  std::multiset<std::string> giving_up;    // is about to: the command is not over
  std::set<std::string> maybe_left;        // a leave failed or is not over; the next start tells
  std::set<std::string> replaced;          // its disk is another one, and has been no version since
  std::map<std::string, io::Instant> late_until;
};

}  // namespace mars::sim
