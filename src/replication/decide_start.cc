#include "replication/decide_start.h"

#include <algorithm>

namespace mars::replication {

std::string_view name(StartAction action) {
  switch (action) {
    case StartAction::rolled_back:
      return "rolled-back";
    case StartAction::recreate_gone:
      return "recreate-gone";
    case StartAction::follow:
      return "follow";
    case StartAction::drop_tail:
      return "drop-tail";
    case StartAction::fork:
      return "fork";
    case StartAction::log_damaged:
      return "log-damaged";
    case StartAction::open_recovered:
      return "open-recovered";
    case StartAction::keep_closed:
      return "keep-closed";
    case StartAction::open_granted:
      return "open-granted";
    case StartAction::null_reign:
      return "null-reign";
    case StartAction::wait:
      return "wait";
  }
  return "unknown";
}

StartAction decide_start(const StartFacts& facts) {
  if (facts.is_outremembered) return StartAction::rolled_back;                 // 1
  if (facts.is_gone && facts.is_gone_lost) return StartAction::recreate_gone;  // 2
  const bool is_token_here = facts.tail == Tail::mine || facts.tail == Tail::granted;
  if (!is_token_here || (facts.is_gone && facts.tail == Tail::mine)) return StartAction::follow;  // 3
  if (facts.rival == Rival::at_end) return StartAction::drop_tail;                                // 4
  if (facts.rival == Rival::before_data) return StartAction::fork;                                // 5
  if (facts.is_damaged) return StartAction::log_damaged;                                          // 6
  if (facts.tail == Tail::mine && facts.wish != Wish::me) return StartAction::keep_closed;        // 8
  if (!facts.has_heard) return StartAction::wait;
  if (facts.tail == Tail::mine) return StartAction::open_recovered;                     // 7
  return facts.wish == Wish::me ? StartAction::open_granted : StartAction::null_reign;  // 9, 10
}

Tail tail_of(const bricks::Branch& branch, Lsn durable_end, const Uuid& self, const Life& life) {
  const format::BranchEpoch* last = nullptr;
  for (const format::BranchEpoch& epoch : branch) {
    if (epoch.first < durable_end) last = &epoch;
  }
  if (last == nullptr) return Tail::none;
  const bool is_released = last->ended && !last->released_to.is_nil() && last->end <= durable_end;
  if (is_released) {
    const bool is_known = last->end > life.born && !has_given_up(life, last->grant);
    return last->released_to == self && is_known ? Tail::granted : Tail::released_to_other;
  }
  const bool is_known = last->first >= life.born && !has_given_up(life, last->id);
  return last->host == self && is_known ? Tail::mine : Tail::foreign;
}

// Of two histories that part in a common epoch, the rival is the one that begins another epoch there: the other one
// only has more of the old reign. When both begin one at the same point, each is the other's rival.
Rival rival_of(const bricks::Branch& mine, Lsn my_end, Lsn my_data_end, const Report& peer) {
  const Lsn peer_end = peer.durable.position.lsn;
  // Who may have been left behind begins nothing; of two that overlap, neither is the one.
  if (bricks::have_lost_sight(mine, peer.branch)) {
    return bricks::is_left_behind(peer.branch, mine) ? Rival::none : Rival::before_data;
  }
  const bricks::Common common = bricks::common_position(mine, my_end, peer.branch, peer_end);
  if (!common.any || !common.peer_beyond) return Rival::none;
  const format::BranchEpoch* theirs = bricks::find_epoch(peer.branch, common.position.epoch);
  const bool begins_another_there = theirs->ended && theirs->end == common.position.lsn && peer_end > theirs->end;
  if (!begins_another_there) return Rival::none;
  if (!common.mine_beyond) return Rival::at_end;
  return my_data_end <= common.position.lsn ? Rival::at_end : Rival::before_data;
}

bool overrules(const Report& one, const Report& other) {
  if (bricks::is_left_behind(other.branch, one.branch)) return true;
  const Lsn end = one.durable.position.lsn;
  const Lsn other_end = other.durable.position.lsn;
  const bricks::Common common = bricks::common_position(one.branch, end, other.branch, other_end);
  if (!common.forked()) return false;
  const format::BranchEpoch* next = bricks::epoch_at(one.branch, common.position.lsn);
  const bool is_forced_there = next != nullptr && next->id != common.position.epoch && next->cause == EpochCause::force;
  return is_forced_there && std::ranges::none_of(other.branch, [&](const format::BranchEpoch& epoch) {
           const bool is_behind = epoch.first >= common.position.lsn && epoch.first < other_end;
           return is_behind && epoch.id != common.position.epoch && epoch.cause == EpochCause::force;
         });
}

bool is_superseded(const Report& one, const Uuid& host, const Report& other) {
  const Lsn other_end = other.durable.position.lsn;
  const Tail tail = tail_of(other.branch, other_end, host, Life{});
  const bricks::Common common = bricks::common_position(one.branch, one.durable.position.lsn, other.branch, other_end);
  const bool is_back = tail == Tail::mine || tail == Tail::granted;
  if (!common.any || common.mine_beyond || is_back) return false;
  const format::BranchEpoch* epoch = bricks::find_epoch(other.branch, common.position.epoch);
  return epoch->ended && epoch->end == common.position.lsn && other_end > epoch->end;
}

namespace {
// Where our histories part, mine goes on with the epoch of somebody else, or with one that was forced here although
// the end of the log was lost: what the peer has behind that point was given up, of my own reigns too.
bool was_given_up(const bricks::Branch& mine, Lsn my_end, const Uuid& self, const Report& peer) {
  const bricks::Common common = bricks::common_position(mine, my_end, peer.branch, peer.durable.position.lsn);
  if (!common.any || !common.mine_beyond) return false;
  for (size_t i = 0; i + 1 < mine.size(); ++i) {
    const format::BranchEpoch& next = mine[i + 1];
    if (mine[i].id == common.position.epoch) return next.host != self || next.cause == EpochCause::force;
  }
  return false;
}
}  // namespace

// What the peer's own log has of my epochs counts always; what it merely remembers of me counts for the replica that I
// was then, not for one that the operator invalidated or joined anew since.
bool is_outremembered(const bricks::Branch& mine, Lsn my_end, const Uuid& self, const Life& life, const Report& peer) {
  const bool is_past = was_given_up(mine, my_end, self, peer);
  // Whose sync has just begun has nothing of the history that it was told.
  const bool has_nothing = !peer.is_consistent && peer.oldest >= peer.durable.position.lsn;
  for (const format::BranchEpoch& epoch : peer.branch) {
    if (epoch.host != self || is_past || has_nothing || has_given_up(life, epoch.id)) continue;
    const Lsn end = epoch.ended ? std::min(epoch.end, peer.durable.position.lsn) : peer.durable.position.lsn;
    // Of an epoch that I have ended I have no more than its end, however much I wrote since.
    const format::BranchEpoch* ours = bricks::find_epoch(mine, epoch.id);
    const Lsn has = ours != nullptr && ours->ended ? std::min(ours->end, my_end) : my_end;
    if (has < end) return true;
  }
  const auto found = peer.remembered.find(self);
  if (found == peer.remembered.end() || found->second.life != life.id) return false;
  if (found->second.tip.position.epoch.is_nil()) return false;
  const Position& remembered = found->second.tip.position;
  const format::BranchEpoch* ours = bricks::find_epoch(mine, remembered.epoch);
  // Of reigns before the first one that the branch still tells, nothing can be missed by it (D9).
  const bool is_forgotten = !mine.empty() && !mine.front().parent.is_nil() && remembered.lsn <= mine.front().first;
  if (ours == nullptr) return !is_forgotten;
  return ours->host == self && !ours->ended && my_end < remembered.lsn;
}

}  // namespace mars::replication
