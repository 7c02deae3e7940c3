// Neighbour: in some seeds a second resource on the same hosts and the same log disks, with an application of its own.
// The storm's troubles are aimed at the first one; what both share, the neighbour feels too: hosts that die, links, the
// room on the log disk, the metadata store. It must come up to date again as well, on all hosts with the same content,
// which is what was written last, or not much older: what was flushed is lost only where an operator has accepted it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/prng.h"
#include "sim/storm/stage.h"

namespace mars::sim {

class Neighbour {
 public:
  Neighbour(Stage& stage, uint64_t seed) : stage_(stage), is_wanted_(seed % 10 == 0) {}

  void set_up();
  // Its application writes some blocks on the host whose device is open, and flushes; it waits for neither.
  void act(Prng prng);
  bool is_all_well();
  // One round of what a sensible operator does.
  void recover(int round);
  void final_look();
  std::string describe();

 private:
  struct Block {
    std::vector<uint32_t> values;  // that it may have: the last one that was flushed, and all behind it
  };
  replication::Replica* replica(const std::string& host);
  std::string primary();
  std::string choose_winner();
  void recover_host(const std::string& host, const std::string& winner);
  void order(const std::string& host, const std::string& line);
  Task<void> write(std::string host, uint64_t opening, unsigned first, unsigned count, SimMachine& machine);

  Stage& stage_;
  const bool is_wanted_;
  bool is_there_ = false;
  Uuid id_;
  std::map<unsigned, Block> blocks_;
  uint32_t last_value_ = 0;
  bool is_excused_ = false;  // an operator has accepted a loss
};

}  // namespace mars::sim
