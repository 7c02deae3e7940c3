// Replica: what members remember of each other's logs, and what it proves (D10, T10).
#include <algorithm>

#include "base/probe.h"
#include "replication/memory.h"
#include "replication/replica.h"

namespace mars::replication {

using format::StateBlock;

// What others had is worth something only when it outlives this process and this host.
Task<void> Replica::keep_memories() {
  Memories written = memories_;
  while (co_await io::sleep_for(machine_, memories_interval, stop_)) {
    if (memories_ == written) continue;
    recall_memories();
    written = memories_;
    Memories kept = memories_;
    if (co_await environment_.write_memories(options_.resource, std::move(kept)) != Status::ok) written.clear();
  }
}

// What this host knows of a member's log; at first what it wrote down before it was started.
Memory& Replica::memory_of(const Uuid& member) {
  const auto [memory, is_first] = memories_.try_emplace(member);
  if (!is_first) return memory->second;
  const auto all = environment_.memories(options_.resource);
  const auto mine = all.find(environment_.self());
  if (mine == all.end()) return memory->second;
  if (const auto former = mine->second.find(member); former != mine->second.end()) memory->second = former->second;
  return memory->second;
}

// A store that was lost or restored got back from the others what this host remembered before: it is not written over.
void Replica::recall_memories() {
  const auto all = environment_.memories(options_.resource);
  const auto mine = all.find(environment_.self());
  if (mine == all.end()) return;
  for (const Uuid& member : environment_.members(options_.resource)) {
    const auto former = mine->second.find(member);
    if (former == mine->second.end()) continue;
    const auto [at, is_new] = memories_.try_emplace(member, former->second);
    if (!is_new && is_earlier(at->second.what, former->second)) at->second = former->second;
  }
}

// There is evidence that the log was durable beyond its end, and nobody has brought it back yet (D10). Until then the
// disk may hold more than the log says.
bool Replica::has_lost_log() const { return recovery_.is_damaged && log_->durable().position.lsn < recovery_.evidence; }

// Somebody was forced, before what is lost here had ended, in a reign that this host does not know: LSNs of that reign
// are no measure of what it has.
bool Replica::was_forced_before_lost_end(const Report& peer) const {
  const Lsn end = log_->durable().position.lsn;
  return has_lost_log() && std::ranges::any_of(peer.branch, [&](const format::BranchEpoch& epoch) {
           const bool is_inside = epoch.first >= end && epoch.first < recovery_.evidence;
           return is_inside && epoch.cause == EpochCause::force && !bricks::find_epoch(log_->branch(), epoch.id);
         });
}

// The others have closed the gap as far as they can. Behind it this host's own log may be whole, and nobody else has
// it.
bool Replica::may_read_on() const {
  return has_lost_log() && !log_->failed() && log_->durable().position.lsn > recovery_.end.position.lsn &&
         !look_for_source({}).best;
}

// Nothing is known to be missing: neither behind what was read here, nor of this host's own reigns (T10).
bool Replica::is_log_whole() const { return !has_lost_log() && !facts().is_outremembered; }

// What the others know of this replica's log: from their reports, of those that were not heard since our start from the
// registers. What another life had counts for nothing.
std::vector<Position> Replica::remembered_of_me() const {
  std::vector<Position> positions;
  const auto add = [&](const Remembered& what) {
    if (what.life == life_.id) positions.push_back(what.tip.position);
  };
  for (const auto& [host, peer] : peers_) {
    if (const auto me = peer.remembered.find(environment_.self()); me != peer.remembered.end()) add(me->second);
  }
  for (const auto& [host, theirs] : environment_.memories(options_.resource)) {
    if (peers_.contains(host)) continue;
    if (const auto me = theirs.find(environment_.self()); me != theirs.end()) add(me->second.what);
  }
  return positions;
}

// Memory that outlived the process gives a write up when it is durable in the log. One that is missing there and in the
// log was in it: no tear, but damage (D10).
void Replica::note_gap_in_pool() {
  const StateBlock& state = state_->value();
  const bricks::Pool& pool = environment_.pool();
  const Position end = log_->durable().position;
  const bool is_same = !state.clean && !state.pool_id.is_nil() && state.pool_id == pool.id();
  if (!is_same || has_lost_log() || tail_of(log_->branch(), end.lsn, environment_.self(), life_) != Tail::mine) return;
  if (!pool.has_gap(options_.resource, end.epoch, log_->admitted())) return;
  reached("log: damaged, as the pool knows");
  recovery_.is_damaged = true;
  recovery_.evidence = end.lsn + format::batch_block_bytes;
  recovery_.reason = "the log ends at LSN " + to_string(end.lsn) +
                     ", and the memory that marsd left behind proves that " + "it had more";
  environment_.event(options_.resource, recovery_.reason);
}

// A peer that is heard later than the log was read may know that it was durable further: what looked like a tear is
// damage, and the bytes are fetched again (D10).
void Replica::note_evidence() {
  const Lsn end = log_->durable().position.lsn;
  for (const auto& [host, peer] : peers_) {
    const auto me = peer.remembered.find(environment_.self());
    if (me == peer.remembered.end()) continue;
    const Lsn evidence = evidence_of(log_->branch(), life_.id, me->second);
    if (evidence <= end || (recovery_.is_damaged && evidence <= recovery_.evidence)) continue;
    if (!has_lost_log()) {
      recovery_.reason = "the log ends at LSN " + to_string(end) + ", and " + environment_.host_name(host) +
                         " remembers LSN " + to_string(evidence) + " of it";
      environment_.event(options_.resource, recovery_.reason);
    }
    recovery_.is_damaged = true;
    recovery_.evidence = evidence;
  }
}

}  // namespace mars::replication
