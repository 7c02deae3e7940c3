// Watch: looks at all hosts at once and holds them against the promises: the images of the disks (P1, P2, P5, P11), who
// may write (P4), what is given up (P6), what a sync moves (P7), what is said to the operator (P13), and bounds (P10).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/storm/stage.h"

namespace mars::sim {

class Watch {
 public:
  explicit Watch(Stage& stage) : stage_(stage) {}

  void look();
  // When everything is mended and up to date.
  void final_look();

 private:
  struct Seen {
    Position durable;
    Position applied;
    control::State state = control::State::unknown;
    unsigned starts = 0;
    io::Instant since = {};         // so long it shows the same and no reason
    uint64_t changes = UINT64_MAX;  // of its disks, when the image was checked
    bool was_consistent = false;
    std::optional<io::Instant> large_since;  // the log reaches into the reserve
  };

  void look_at(const std::string& host, replication::Replica& replica);
  void check_connections();
  void check_log(const std::string& host, uint64_t log_bytes, Seen& seen);
  void check_writers();
  bool is_forced_apart(const std::string& x, const std::string& y);
  void check_given_up(const std::string& host, const replication::Report& report, Seen& seen);
  void check_reason(const std::string& host, const replication::Report& report, Seen& seen);
  void check_image(const std::string& host, const replication::Report& report);
  std::vector<std::byte> image(const std::string& host);
  // What the log of the host has in (from, to], over the image. False: it cannot be read here.
  bool overlay(const std::string& host, Position from, Position to, std::span<std::byte> image);

  Stage& stage_;
  std::map<std::string, Seen> seen_;
  io::Instant stopped_at_ = {};  // when a living host was last seen that does nothing
};

}  // namespace mars::sim
