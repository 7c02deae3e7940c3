#include "replication/decide_handover.h"

namespace mars::replication {

HandoverObstacle decide_handover(const HandoverFacts& facts) {
  if (facts.is_log_failed) return HandoverObstacle::log_failed;
  if (!facts.is_member) return HandoverObstacle::not_member;
  if (!facts.is_connected || facts.successor == nullptr) return HandoverObstacle::not_connected;
  const Report& successor = *facts.successor;
  if (!successor.is_attached) return HandoverObstacle::not_attached;
  if (!successor.is_consistent) return HandoverObstacle::syncing;
  const bricks::Common common =
      bricks::common_position(*facts.branch, facts.durable_end, successor.branch, successor.durable.position.lsn);
  if (!common.any || common.peer_beyond) return HandoverObstacle::rival;
  if (!successor.switches.fetch || !successor.switches.replay) return HandoverObstacle::switched_off;
  if (!successor.is_whole) return HandoverObstacle::damaged;
  const Lsn applied = successor.applied.position.lsn;
  if (applied < facts.durable_end && facts.durable_end - applied > facts.lag_max) return HandoverObstacle::lagging;
  return HandoverObstacle::none;
}

std::string sentence(HandoverObstacle obstacle, const std::string& host) {
  switch (obstacle) {
    case HandoverObstacle::none:
      return {};
    case HandoverObstacle::log_failed:
      return "the log disk of the primary failed, so the right to write cannot leave it; repair that disk and restart "
             "marsd there: nothing acknowledged is lost by that; or stop it and force " +
             host + ", which loses what is not in the log";
    case HandoverObstacle::not_member:
      return host + " is no member of this resource; join it there first";
    case HandoverObstacle::not_connected:
      return "the primary has no connection to " + host + "; mend the network first";
    case HandoverObstacle::not_attached:
      return "the data disk on " + host + " is not attached; run `marsadm attach` there";
    case HandoverObstacle::syncing:
      return "the replica on " + host + " is not consistent yet; wait until its sync is done";
    case HandoverObstacle::rival:
      return "the logs of the primary and of " + host + " have parted; resolve the fork first";
    case HandoverObstacle::switched_off:
      return "fetch or replay is paused on " + host + "; run `marsadm up` there, or resume the switch";
    case HandoverObstacle::damaged:
      return "the log on " + host + " is damaged; wait until it was fetched again";
    case HandoverObstacle::lagging:
      return host + " lags too far behind; wait, or raise handover-lag";
  }
  return {};
}

}  // namespace mars::replication
