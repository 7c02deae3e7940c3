// May this host be forced to be primary (T8)? Its preconditions as one table, asked before anything is changed and
// again before the epoch begins. A pure function on values.
#pragma once

#include <cstdint>
#include <string>

namespace mars::replication {

struct ForceFacts {
  bool is_attached = false;  // the log is open
  bool is_primary = false;
  bool is_giving_up = false;  // about to leave, or to be invalidated
  bool is_consistent = false;
  bool has_failed = false;           // the log, or the state block
  bool is_log_whole = false;         // else the disk may hold writes that the log does not say any more
  bool is_loss_accepted = false;     // by `attach --accept-loss`
  bool is_holder_answering = false;  // somebody has the right to write this history, and is there to hand it over
};

enum class ForceObstacle : uint8_t {
  none,
  not_attached,
  primary_already,
  giving_up,
  syncing,
  failed,
  log_lost_its_end,
  holder_answers,
};

ForceObstacle decide_force(const ForceFacts& facts);

// What the operator reads: the reason and the next step. `why`: why the replica is not attached; `holder`: who answers.
std::string sentence(ForceObstacle obstacle, const std::string& resource, const std::string& why,
                     const std::string& holder);

}  // namespace mars::replication
