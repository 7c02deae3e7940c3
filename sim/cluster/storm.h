// Storm: everything at once, from one seed: writes, flushes, cut links, deaths of processes and of power, handovers;
// then calm. What must hold: never two hosts that may write (P4), everything that was flushed is there (P2, P5), and in
// the end all disks are equal (P1). Used by tests with few seeds and by mars-sim with many.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "sim/cluster/cluster.h"

namespace mars::sim {

// What a block may contain: the last value that was flushed, or whatever was tried since.
class WriteModel {
 public:
  char next_value(uint64_t block);  // about to be written
  void acknowledged(uint64_t block) { blocks_[block].is_acknowledged = true; }
  void flushed();
  void power_lost();  // where what was not flushed lay: nobody can make it durable any more
  bool allows(uint64_t block, char value) const;
  std::vector<uint64_t> blocks() const;  // that were written

 private:
  struct Block {
    char kept = 0;
    std::vector<char> tried;
    bool is_acknowledged = false;  // the last one that was tried
  };
  std::map<uint64_t, Block> blocks_;
  unsigned next_ = 0;
};

// Hosts of which the device of this resource is open; at most one, or P4 is broken.
std::vector<std::string> hosts_with_device(Cluster& cluster, const std::vector<std::string>& hosts,
                                           const std::string& resource);
std::string all_events(Cluster& cluster, const std::vector<std::string>& hosts);

class Storm {
 public:
  // `tell` hears of everything that is done; may be empty.
  explicit Storm(uint64_t seed, std::function<void(const std::string&)> tell = {});

  // Empty: all promises held. Otherwise which one did not, and what the hosts say of it.
  std::string run(int steps);
  uint64_t trace_hash() { return cluster_.world().trace_hash(); }
  uint64_t event_count() { return cluster_.world().event_count(); }

 private:
  static constexpr uint64_t blocks_max = 64;

  const std::string& any() { return hosts_[prng_.below(hosts_.size())]; }
  std::optional<std::string> primary();
  void act();
  void write_some();
  void flush();
  void crash(bool is_power_loss);
  void start_all();
  void change_link();
  void hand_over();
  void rest();
  void look();
  std::string settle();
  std::string check_content();
  void tell(const std::string& what);
  std::string problem(const std::string& what) { return what + "\n" + all_events(cluster_, hosts_); }

  const std::vector<std::string> hosts_ = {"a", "b", "c"};
  Prng prng_;
  Cluster cluster_;
  WriteModel model_;
  const std::function<void(const std::string&)> tell_;
  std::vector<std::shared_ptr<Running>> commands_;
  bool were_two_ = false;
};

}  // namespace mars::sim
