#include "replication/decide_force.h"

namespace mars::replication {

ForceObstacle decide_force(const ForceFacts& facts) {
  if (!facts.is_attached) return ForceObstacle::not_attached;
  if (facts.is_primary) return ForceObstacle::primary_already;
  if (facts.is_giving_up) return ForceObstacle::giving_up;
  if (!facts.is_consistent) return ForceObstacle::syncing;
  if (facts.has_failed) return ForceObstacle::failed;
  if (!facts.is_log_whole && !facts.is_loss_accepted) return ForceObstacle::log_lost_its_end;
  if (facts.is_holder_answering) return ForceObstacle::holder_answers;
  return ForceObstacle::none;
}

std::string sentence(ForceObstacle obstacle, const std::string& resource, const std::string& why,
                     const std::string& holder) {
  switch (obstacle) {
    case ForceObstacle::none:
      return {};
    case ForceObstacle::not_attached:
      return "the replica is not attached: " + why;
    case ForceObstacle::primary_already:
      return "this host is primary already; there is nothing to force";
    case ForceObstacle::giving_up:
      return "this replica is being given up; force another one";
    case ForceObstacle::syncing:
      return "this replica is not consistent: its sync is not done; force one that is, see `marsadm status`";
    case ForceObstacle::failed:
      return "the log of this replica has failed, or its state block: repair the log disk, then run `marsadm detach " +
             resource + "` and `marsadm attach " + resource + "`";
    case ForceObstacle::log_lost_its_end:
      return "the log of this replica has lost its end, and the disk may be ahead of it: connect a member that has the "
             "log, or run `marsadm attach " +
             resource + " --accept-loss` first and check the data afterwards";
    case ForceObstacle::holder_answers:
      return holder + " holds the right to write and answers; use `marsadm primary` without --force; where it cannot " +
             "hand over, stop marsd there first";
  }
  return {};
}

}  // namespace mars::replication
