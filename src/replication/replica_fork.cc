// Replica: two histories, neither a prefix of the other, and tails of old reigns that hold nothing (T9).
#include <algorithm>
#include <set>

#include "base/probe.h"
#include "replication/replica.h"
#include "replication/replica_reading.h"

namespace mars::replication {

using control::State;
using format::ReplicaState;
using format::StateBlock;

namespace {
// This epoch continues my log, and nothing else can (T2): it is the use of the release with which my log ends; or the
// same host goes on behind its own end, of which nobody has more than that host had.
bool is_heir(const bricks::Branch& mine, Lsn my_end, const Uuid& host, EpochCause cause) {
  const format::BranchEpoch* last = my_end.value == 0 ? nullptr : bricks::epoch_at(mine, {my_end.value - 1});
  if (last == nullptr) return false;
  const bool is_released = last->ended && last->end == my_end && !last->released_to.is_nil();
  if (is_released) return last->released_to == host && cause == EpochCause::grant;
  return last->host == host && cause == EpochCause::recover;
}
}  // namespace

// My history may go on behind the end of the log: damaged there, or acknowledged in memory that outlived the process.
bool Replica::may_have_more() const {
  const Tail tail = tail_of(log_->branch(), log_->durable().position.lsn, environment_.self(), life_);
  return has_lost_log() || (tail == Tail::mine && has_unlogged());
}

// Where a peer's history parts from mine, is there data of mine behind that point? Asked of the log itself, because the
// answer decides between dropping a tail and keeping it (T9). One piece of data behind all such points is answer
// enough, whatever is written behind it: in [learned_from_, learned_to_) the last data ends at data_end_.
Task<void> Replica::learn_data_end() {
  if (is_replacing_log_) co_return;
  const Reading reading(*this);
  const Lsn end = log_->durable().position.lsn;
  std::optional<Position> lowest;
  Lsn highest;
  for (const auto& [host, peer] : peers_) {
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    if (!common.forked()) continue;
    if (!lowest || common.position.lsn < lowest->lsn) lowest = common.position;
    highest = std::max(highest, common.position.lsn);
  }
  if (!lowest) co_return;
  const bool goes_on = learned_from_ <= lowest->lsn && lowest->lsn < learned_to_ && learned_to_ <= end;
  const format::BranchEpoch* last = goes_on ? bricks::epoch_at(log_->branch(), {learned_to_.value - 1}) : nullptr;
  Position from = *lowest;
  if (last != nullptr) {
    from = {last->id, learned_to_};
  } else {
    data_end_ = learned_from_ = learned_to_ = lowest->lsn;
  }
  bricks::LogReader reader(log_->segments(), log_->options(), log_->branch(), {from, {}});
  while (data_end_ <= highest && learned_to_ < end && !stop_.is_set()) {
    auto batch = co_await reader.next(end);
    learned_to_ = batch ? batch->header.end() : end;
    if (batch && carries_data(*batch)) data_end_ = learned_to_;
    if (!batch && batch.error().status != Status::end) data_end_ = end;  // not readable: as if it had data
  }
}

bool Replica::carries_data(const format::Batch& batch) {
  for (const format::Record& record : batch.records) {
    if (is_data(record.op)) return true;
    if (record.op != RecordOp::epoch) continue;
    auto start = format::decode_epoch_start(batch.payload(record));
    if (!start || start->cause == EpochCause::force) return true;
  }
  return false;
}

// A reign that begins at my end continues me only when nothing of mine was there: else both are kept (P6). The heir of
// a release continues it in any case.
Rival Replica::rival(const Report& peer) const {
  const Lsn end = log_->durable().position.lsn;
  const Lsn data_end = learned_to_ == end ? data_end_ : end;
  const Rival found = rival_of(log_->branch(), end, data_end, peer);
  if (found != Rival::at_end || !may_have_more()) return found;
  for (const format::BranchEpoch& epoch : peer.branch) {
    if (epoch.first == end && is_heir(log_->branch(), end, epoch.host, epoch.cause)) return found;
  }
  return Rival::before_data;
}

// The same of a batch that begins a reign, which its sender may not have reported yet.
bool Replica::is_rival(const format::Batch& batch) const {
  if (!may_have_more()) return false;
  for (const format::Record& record : batch.records) {
    if (record.op != RecordOp::epoch) continue;
    auto start = format::decode_epoch_start(batch.payload(record));
    return !start || !is_heir(log_->branch(), log_->durable().position.lsn, start->host, start->cause);
  }
  return false;
}

// Where the first reign begins that ends mine, of those with nothing of mine behind that point: of everybody, or of who
// is here to be followed. The end of the log: there is none.
Lsn Replica::start_of_rivals(bool are_here) const {
  const Lsn end = log_->durable().position.lsn;
  Lsn start = end;
  for (const auto& [host, peer] : peers_) {
    if (!peer.is_consistent || (are_here && !(environment_.is_connected(host) && peer.is_attached))) continue;
    if (rival(peer) != Rival::at_end) continue;
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    start = std::min(start, common.position.lsn);
  }
  return start;
}

std::string Replica::reason_of_fork() const {
  for (const auto& [host, peer] : peers_) {
    if (!peer.is_consistent || !bricks::have_lost_sight(log_->branch(), peer.branch)) continue;
    if (rival(peer) != Rival::before_data) continue;
    return "more than " + std::to_string(format::branch_epochs_max) + " reigns lie between this log and that of " +
           environment_.host_name(host) + ": nobody can tell any more whether it has all that is here";
  }
  if (has_lost_log()) return "another reign begins where this log is damaged, and what lies behind may be nowhere else";
  if (may_have_more()) return "memory holds acknowledged writes of a reign that another host ended";
  return "the logs have parted: both sides are kept";
}

std::string Replica::way_out_of_fork() const {
  // Who sees no fork, because what it would lose is in this host's memory or behind a damage, refuses to be given up.
  std::set<std::string> names;
  for (const auto& [host, peer] : peers_) {
    if (shows_parting(peer)) names.insert(environment_.host_name(host));
  }
  // Forced, this host would begin where its log is damaged, and the other side has all that lies before.
  if (names.empty() && has_lost_log()) {
    return "run `marsadm invalidate " + options_.name +
           "` here; what lies behind the damage is kept only by bringing that file of the log back, then `marsadm "
           "detach " +
           options_.name + "` and `marsadm attach " + options_.name + "`";
  }
  if (names.empty() && may_have_more()) {
    return "run `marsadm invalidate " + options_.name +
           "` here; or, to keep what is only here, stop marsd on the others, run `marsadm primary " + options_.name +
           " --force` here, and `marsadm invalidate " + options_.name + "` on them when they are back";
  }
  std::string others;
  for (const std::string& name : names) others += (others.empty() ? "" : " and ") + name;
  const bool is_other_away = std::ranges::any_of(peers_, [this](const auto& peer) {
    return shows_parting(peer.second) && !environment_.is_connected(peer.first);
  });
  return "decide which side is kept, then run `marsadm invalidate " + options_.name + "` on the other: here" +
         (others.empty() ? "" : ", or on " + others) +
         (is_other_away ? "; if that is lost for good, restart marsd and run `marsadm primary " + options_.name +
                              " --force` here to keep this side"
                        : "");
}

// Two histories, neither a prefix of the other, and ours is the one inside which a rival begins (T9). A tail without
// data is no history: it is dropped by the table. Whoever follows the rival has no fork.
void Replica::note_fork() {
  const bool was_forked = is_forked_;
  is_forked_ = false;
  if (state_->value().state != ReplicaState::consistent) return;
  for (const auto& [host, peer] : peers_) {
    if (!peer.is_consistent || rival(peer) != Rival::before_data) continue;
    is_forked_ = true;
    if (was_forked) continue;
    reached("fork: seen");
    environment_.event(options_.resource, "fork: this host and " + environment_.host_name(host) + " have parted");
  }
}

// Each has what the other has not, wherever they parted, or may have it, or nobody can tell any more.
bool Replica::has_parted_from(const Report& peer) const {
  return peer.is_consistent && (shows_parting(peer) || rival(peer) == Rival::before_data);
}

// As both sides can see it.
bool Replica::shows_parting(const Report& peer) const {
  if (!peer.is_consistent) return false;
  const auto common =
      bricks::common_position(log_->branch(), log_->durable().position.lsn, peer.branch, peer.durable.position.lsn);
  return bricks::have_lost_sight(log_->branch(), peer.branch) || common.forked();
}

bool Replica::has_parted() const {
  return std::ranges::any_of(peers_, [this](const auto& peer) { return has_parted_from(peer.second); });
}

// A tail of the old reign, without data, behind the point where another one begins: it goes by itself (T9).
Task<bool> Replica::drop_empty_tail(Lsn cut) {
  const Status status = co_await drop_tail(cut);
  if (status == Status::ok) co_return true;
  if (status == Status::timed_out) co_return false;
  const bool is_disk = log_->failed() || state_->failed() != Status::ok;
  say(is_disk ? State::log_failed : State::log_damaged,
      "the end of the log, which another reign replaces, cannot be dropped (" + std::string(mars::name(status)) + ")",
      is_disk ? "check the log disk, then run `marsadm detach " + options_.name + "` and `marsadm attach " +
                    options_.name + "` here"
              : "run `marsadm invalidate " + options_.name + "` here");
  co_return false;
}

// The last reign was ours and nothing of it counts: a rival began before it had data.
Task<Status> Replica::drop_tail(Lsn cut) {
  const Lsn durable = log_->durable().position.lsn;
  if (cut == durable) co_return Status::ok;
  reached("fork: a tail without data is dropped");
  const Counted barred(barred_);
  if (!co_await end_serving_patiently()) co_return Status::timed_out;
  co_await end_following();
  // Fetch may have brought more meanwhile, or a sync has replaced everything: it is decided anew.
  const bool is_same = log_->durable().position.lsn == durable;
  if (!is_same || state_->value().state != ReplicaState::consistent) co_return Status::ok;
  environment_.event(options_.resource, "the tail behind LSN " + to_string(cut) + " has no data and is dropped");
  Tip end{{bricks::epoch_at(log_->branch(), {cut.value - 1})->id, cut}, {}};
  auto hash = co_await hash_at(cut);
  if (!hash) co_return hash.error().status;
  end.hash = *hash;
  // What others remember of this tail is no reason to miss it: it belonged to another life (T10).
  Life life = life_;
  life.id = random_uuid(machine_);
  if (Status status = co_await write_life(machine_, options_.state_directory, life); status != Status::ok) {
    co_return status;
  }
  life_ = life;
  Status status = co_await state_->update([&](StateBlock& state) {
    if (state.applied.position.lsn > cut) state.applied = end;
    state.durable = end;
  });
  learned_to_ = {};
  if (status == Status::ok) status = co_await log_->cut_back(end);
  if (status == Status::ok) status = co_await state_->update([](StateBlock&) {});
  // A release that nobody saw went with the tail: nothing is held back any more.
  is_releasing_ = false;
  serve_limit_ = no_serve_limit;
  co_return status;
}

// The hash of the batch that ends at `lsn`.
Task<Result<Hash128>> Replica::hash_at(Lsn lsn) {
  const bricks::Branch& branch = log_->branch();
  if (log_->durable().position.lsn == lsn) co_return log_->durable().hash;
  const format::BranchEpoch* owner = lsn.value == 0 ? nullptr : bricks::epoch_at(branch, {lsn.value - 1});
  if (owner == nullptr) co_return failure(Status::not_found, "no epoch holds this position");
  if (owner->ended && owner->end == lsn) co_return owner->end_hash;
  // The batch behind it names it, whatever is damaged before.
  bricks::LogReader behind(log_->segments(), log_->options(), branch, {{owner->id, lsn}, {}});
  auto successor = co_await behind.next(log_->durable().position.lsn);
  if (successor && successor->header.identity.lsn == lsn) co_return successor->header.identity.previous;
  const Lsn from = std::max(owner->first, log_->oldest());
  if (from >= lsn) co_return failure(Status::not_found, "the log begins behind it");
  bricks::LogReader reader(log_->segments(), log_->options(), branch, {{owner->id, from}, {}});
  while (reader.tip().position.lsn < lsn) {
    auto batch = co_await reader.next(lsn);
    if (!batch) co_return failure(batch.error());
  }
  co_return reader.tip().hash;
}

}  // namespace mars::replication
