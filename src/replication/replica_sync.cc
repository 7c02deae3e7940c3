// Replica: sync by digests (rung 3). The disk is compared range by range with a consistent replica, beginning at q, the
// position at which our log begins; the log from q on is fetched beside and replayed afterwards. Until that is done the
// replica is no version of anything (S0, S8). An interrupted sync begins again; what is equal is not moved again.
#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "replication/replica.h"
#include "replication/sync_messages.h"
#include "xio/port.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using control::TransferKind;
using format::ReplicaState;
using format::StateBlock;

// It is of a side that was given up here, or follows a reign of this host that was: nobody can go on from there.
bool Replica::follows_what_was_given_up(const Report& peer) const {
  if (is_of_lost_side(life_, peer.branch, peer.durable.position.lsn)) return true;
  const Tail tail = tail_of(peer.branch, peer.durable.position.lsn, environment_.self(), Life{});
  return tail == Tail::mine || tail == Tail::granted;
}

// Some replica has a history that was not given up here, whether it can be reached or not. Who was not heard since our
// start is known by what it had before.
bool Replica::goes_on_elsewhere() const {
  const auto goes_on = [this](const auto& peer) {
    return peer.second.is_consistent && !follows_what_was_given_up(peer.second);
  };
  if (!has_heard() || std::ranges::any_of(peers_, goes_on)) return true;
  return std::ranges::any_of(memories_, [this](const auto& memory) {
    const auto peer = peers_.find(memory.first);
    const bool is_known = peer != peers_.end() && !peer->second.branch.empty();
    return !is_known && !memory.second.what.tip.position.is_none() &&
           !is_remembered_on_what_was_given_up(memory.second);
  });
}

// By those who are of that side: the remembered one had no more than they have, or has gone on there.
bool Replica::is_remembered_on_what_was_given_up(const Memory& memory) const {
  const Position& tip = memory.what.tip.position;
  const auto is_begun = [&](const Position& side) {
    return side.epoch == tip.epoch ? side.lsn < tip.lsn
                                   : std::ranges::find(memory.history, side.epoch) != memory.history.end();
  };
  if (std::ranges::any_of(life_.lost_sides, is_begun)) return true;
  return std::ranges::any_of(peers_, [&](const auto& peer) {
    if (!peer.second.is_consistent || !follows_what_was_given_up(peer.second)) return false;
    const format::BranchEpoch* epoch = bricks::find_epoch(peer.second.branch, tip.epoch);
    return epoch != nullptr && (!epoch->ended || tip.lsn <= epoch->end);
  });
}

// Who has the smallest place (SyncTrial); of those the primary, because it has the newest.
std::optional<Uuid> Replica::choose_sync_source() const {
  std::optional<Uuid> best;
  const auto rank = [this](const Uuid& host, const Report& peer) {
    const auto trial = sync_trials_.find(host);
    return std::pair(trial == sync_trials_.end() ? 0 : trial->second.place, !peer.is_primary);
  };
  const bool is_consistent = state_->value().state == ReplicaState::consistent;
  const bool is_side_given_up =
      (!is_consistent && !life_.lost_sides.empty()) || std::ranges::any_of(peers_, [this](const auto& peer) {
        return peer.second.is_consistent && follows_what_was_given_up(peer.second);
      });
  for (const auto& [host, peer] : peers_) {
    if (!environment_.is_connected(host) || !peer.is_attached || !peer.is_consistent || !peer.is_whole) continue;
    if (is_consistent ? !is_ahead(peer) : !has_what_was_here(peer)) continue;
    // The other side is waited for: whoever followed the one that was given up has nobody to go on with.
    if (is_no_way_on(peer) || (!is_consistent && is_decided_against(peer))) continue;
    if (!is_consistent && follows_what_was_given_up(peer) && goes_on_elsewhere()) continue;
    // Who forks from the designated primary's history is no source for anybody, unless that was given up.
    if (peer.state == State::fork && !peer.is_primary && !is_side_given_up) continue;
    if (!best || rank(host, peer) < rank(*best, peers_.at(*best))) best = host;
  }
  return best;
}

// Who is no version of anything is on no side of a fork, whatever its log says, but for what it had when it was whole:
// the force is the verdict (T9).
bool Replica::is_decided_against(const Report& peer) const {
  return std::ranges::any_of(peers_, [&](const auto& other) {
    return is_verdict(other.first, other.second, peer) && has_what_was_here(other.second);
  });
}

// A source that is there and sends nothing, because its disk hangs, keeps nobody from another one.
void Replica::leave_silent_sync_source() {
  if (!sync_awaited_) return;
  SyncTrial& trial = sync_trials_[sync_source_];
  if (machine_.now() < *sync_awaited_ + Silence{trial.failures, {}}.patience()) return;
  const int before = std::exchange(trial.place, std::max(trial.place, place_behind(sync_source_)));
  const auto better = choose_sync_source();
  if (!better || *better == sync_source_) {
    trial.place = before;
    return;
  }
  reached("sync: a silent source is left for another one");
  sync_channel_->close();
}

namespace {
// A primary reads through memory, a secondary has what it has applied.
Lsn served_by(const Report& peer) { return peer.is_primary ? peer.durable.position.lsn : peer.applied.position.lsn; }
}  // namespace

// A sync that was interrupted goes on from nobody who has less than this replica had when it was whole (P6).
bool Replica::has_what_was_here(const Report& peer) const {
  const Position& base = state_->value().sweep.base.position;
  if (base.is_none()) return true;
  const format::BranchEpoch* epoch = bricks::find_epoch(peer.branch, base.epoch);
  if (epoch == nullptr) return false;
  return base.lsn <= (epoch->ended ? std::min(epoch->end, served_by(peer)) : served_by(peer));
}

// What it can serve lies behind everything that it shares with us. A replica that is whole is never synced from one
// that has less.
bool Replica::is_ahead(const Report& peer) const {
  const Lsn end = log_->durable().position.lsn;
  const Lsn served = served_by(peer);
  // Who has less than was durable here, or has parted from it, does not replace what lies behind a damage (P6).
  const bool has_less = has_lost_log() && (served < recovery_.evidence || was_forced_before_lost_end(peer));
  if (has_less || rival(peer) == Rival::before_data) return false;
  const auto common = bricks::common_position(log_->branch(), end, peer.branch, served);
  return log_->branch().empty() || (common.any && common.peer_beyond && !common.mine_beyond);
}

bool Replica::needs_sync() const { return must_sync_ || state_->value().state != ReplicaState::consistent; }

Task<void> Replica::sync_loop() {
  while (!following_stop_.is_set()) {
    const bool is_able = !log_->failed() && state_->failed() == Status::ok;
    const bool may = needs_sync() && environment_.switches(options_.resource).sync && is_able;
    const std::optional<Uuid> source = may ? choose_sync_source() : std::nullopt;
    if (source) {
      bool has_begun = false;
      const Status status = co_await sync_from(*source, has_begun);
      sync_channel_ = nullptr;
      syncing_.reset();
      wake_.notify();
      if (status != Status::ok && has_begun) reached("sync: interrupted");
      if (status == Status::ok) sync_trials_.clear();
      if (status != Status::ok && !following_stop_.is_set() && environment_.is_connected(*source)) {
        note_sync_failure(*source, status == Status::refused && !has_begun);
      }
      if (status != Status::ok && has_begun && !sync_trouble_ && !following_stop_.is_set()) {
        environment_.event(options_.resource, "the sync from " + environment_.host_name(*source) +
                                                  " was interrupted (" + std::string(name(status)) +
                                                  "); it begins again");
      }
    }
    if (following_stop_.is_set()) break;
    co_await io::wait_until(machine_, wake_, machine_.now() + (source ? 1s : 500ms));
  }
}

// Behind all others.
int Replica::place_behind(const Uuid& source) const {
  int most = 0;
  for (const auto& [host, trial] : sync_trials_) {
    if (host != source) most = std::max(most, trial.place);
  }
  return most + 1;
}

// Who refuses, because it has not heard the others yet, says so each second: that is no failure.
void Replica::note_sync_failure(const Uuid& source, bool has_refused) {
  SyncTrial& trial = sync_trials_[source];
  if (has_refused) {
    trial.place = std::max(trial.place, place_behind(source));
    return;
  }
  ++trial.failures;
  ++trial.place;
}

// The report by which the source was chosen may be older than what it is now (P6).
bool Replica::may_sync_from(const Uuid& source, const SyncHeader& header) const {
  const auto peer = peers_.find(source);
  if (peer == peers_.end()) return false;
  Report now = peer->second;
  now.branch = header.branch;
  now.durable = now.applied = header.q;
  return state_->value().state == ReplicaState::consistent ? is_ahead(now) : has_what_was_here(now);
}

Task<Status> Replica::sync_from(Uuid source, bool& has_begun) {
  net::Bytes opening;
  Writer writer(opening);
  write_uuid(writer, options_.resource);
  auto channel = environment_.open_channel(source, sync_service, std::move(opening), sync_window);
  if (channel == nullptr) co_return Status::unreachable;
  sync_channel_ = channel.get();
  sync_source_ = source;
  syncing_ = control::Transfer{TransferKind::sync, 0, options_.volume_bytes, 0, environment_.host_name(source)};
  sync_began_ = machine_.now();
  moved_bytes_ = 0;
  auto message = co_await await_source(*channel, sync_awaited_);
  if (!message) co_return message.error().status;
  auto header = decode_sync_header(*message);
  if (!header || header->volume_bytes != options_.volume_bytes || header->branch.empty()) co_return Status::invalid;
  if (!may_sync_from(source, *header)) {
    reached("sync: the source is not what it was");
    co_return Status::refused;
  }
  has_begun = true;
  reached("sync: begun");
  if (!sync_trouble_) {
    environment_.event(options_.resource, "sync from " + environment_.host_name(source) + " begins at LSN " +
                                              to_string(header->q.position.lsn));
  }
  if (Status status = co_await begin_sync(*header); status != Status::ok) co_return status;
  Position cmax = header->q.position;
  if (Status status = co_await sweep(*channel, cmax); status != Status::ok) co_return status;
  co_return co_await finish_sync(cmax);
}

// The state block says "syncing" before the first block is overwritten; the log begins at q.
Task<Status> Replica::begin_sync(SyncHeader header) {
  // Whoever ends the sync would wait for a disk that hangs.
  if (replayer_ != nullptr && co_await replayer_->rest(machine_.now() + disk_patience) == Status::timed_out) {
    trouble_in_sync(State::disk_failed, "the data disk " + options_.disk + " does not take what the log has",
                    "check the data disk " + options_.disk + ": the sync begins again by itself");
    co_return Status::timed_out;
  }
  is_replacing_log_ = true;
  const Status status = co_await replace_log(std::move(header));
  is_replacing_log_ = false;
  co_return status;
}

// Requests run ahead of their answers, so that distance costs nothing.
Task<Status> Replica::sweep(net::Channel& channel, Position& cmax) {
  constexpr uint64_t ahead_max = uint64_t{32} * sync_range_bytes;
  xio::Port port(*data_, xio::Priority::background);
  const bool rewrites = state_->value().sweep.rewrites;
  if (rewrites) reached("sync: all is written anew");
  uint64_t asked = 0;
  uint64_t done = 0;
  while (done < options_.volume_bytes) {
    while (asked < options_.volume_bytes && asked - done < ahead_max) {
      SyncRequest request;
      request.offset = asked;
      request.bytes = static_cast<uint32_t>(std::min<uint64_t>(sync_range_bytes, options_.volume_bytes - asked));
      Status status = Status::ok;
      if (!rewrites) status = co_await port.digest(request.offset, request.bytes, request.digest);
      // What cannot be read equals nothing: it is sent, and writing it may heal the disk.
      if (status == Status::io_error) {
        reached("sync: an unreadable range is written anew");
        request.digest = {};
        status = Status::ok;
      }
      if (status != Status::ok) co_return disk_failed_in_sync(asked, status);
      if (status = co_await channel.send(encode(request)); status != Status::ok) co_return status;
      asked += request.bytes;
    }
    auto message = co_await await_source(channel, sync_awaited_);
    if (!message) co_return message.error().status;
    auto answer = decode_sync_answer(*message);
    if (!answer || answer->offset != done || answer->offset + answer->bytes > asked) co_return Status::invalid;
    Status status = Status::ok;
    if (answer->kind == SyncKind::bytes) status = co_await port.write(done, answer->payload);
    if (answer->kind == SyncKind::zeroes) status = co_await port.write_zeroes(done, answer->bytes);
    if (status != Status::ok) co_return disk_failed_in_sync(done, status);
    moved_bytes_ += answer->payload.size();
    if (answer->c.lsn > cmax.lsn) cmax = answer->c;
    done += answer->bytes;
    if (sync_trouble_ && done > sync_trouble_->at) sync_trouble_.reset();
    syncing_->done_bytes = done;
    syncing_->bytes_per_second = rate(done, sync_began_);
    environment_.report_changed(options_.resource);
  }
  const Status status = co_await port.flush();
  if (status == Status::ok) co_return status;
  // What it covered is read back from a cache, and a later flush says nothing of it.
  co_await doubt_disk();
  co_return disk_failed_in_sync(done - 1, status);
}

// A flush of the data disk failed: what it covered may be in a cache alone, and a later flush says nothing of it.
Task<void> Replica::doubt_disk() {
  if (log_ == nullptr || state_->failed() != Status::ok) co_return;
  reached("disk: a flush failed, and it is doubted");
  // When it cannot be written, the state block has failed, which is shown, and nothing begins before the next attach.
  static_cast<void>(co_await state_->update([this](StateBlock& state) {
    state.sweep.rewrites = true;
    if (!state.sweep.active) state.sweep.cmax = log_->durable().position;
  }));
}

// Whatever the log had then was written and flushed anew since.
Task<void> Replica::look_at_disk() {
  // A log that cannot be read is no reason to doubt the disk, nor does it hide one.
  const auto is_bad = [](Status disk) { return disk != Status::ok && disk != Status::gone; };
  const bool has_failed =
      (replayer_ && is_bad(replayer_->disk_status())) || (logger_ && is_bad(logger_->disk_status()));
  const StateBlock& state = state_->value();
  // Once for each that has failed: a later failure covers more of the log.
  if (has_failed && !std::exchange(has_told_of_disk_, true)) co_return co_await doubt_disk();
  if (has_failed || !state.sweep.rewrites || state.sweep.active || state.state != ReplicaState::consistent) co_return;
  if (state_->newest_applied() < state.sweep.cmax.lsn || state_->failed() != Status::ok) co_return;
  static_cast<void>(co_await state_->update([](StateBlock& changed) { changed.sweep = {}; }));
}

// It begins again every second; what is wrong here is shown all the time, and told once.
void Replica::trouble_in_sync(State state, std::string reason, std::string next_step, uint64_t at) {
  if (!sync_trouble_) environment_.event(options_.resource, "the sync cannot go on: " + reason);
  sync_trouble_ = SyncTrouble{at, state, std::move(reason), std::move(next_step)};
}

Status Replica::disk_failed_in_sync(uint64_t at, Status status) {
  trouble_in_sync(State::disk_failed,
                  "the data disk failed at byte " + std::to_string(at) + " (" + std::string(name(status)) + ")",
                  "check " + options_.disk + ": the sync begins again by itself", at);
  return status;
}

// Everything up to cmax may be on the disk already; only behind it the replica is a version of the primary (S8).
Task<Status> Replica::finish_sync(Position cmax) {
  Status status = co_await state_->update([&](StateBlock& state) {
    state.sweep.cmax = cmax;
    state.sweep.frontier_offset = options_.volume_bytes;
    state.sweep.rewrites = false;  // all of it was written, and flushed
  });
  if (status == Status::ok) status = following_stop_.is_set() ? Status::stopped : Status::ok;
  if (status != Status::ok) co_return status;
  start_replay();
  status = co_await reach(cmax);
  if (status == Status::ok) {
    status = co_await state_->update([](StateBlock& state) {
      state.state = ReplicaState::consistent;
      state.sweep = {};  // reach() saw no doubt
    });
  }
  if (status != Status::ok) {
    co_await end_replay();
    co_return status;
  }
  reached("sync: done");
  environment_.event(options_.resource, "the sync is done; this replica is consistent");
  environment_.report_changed(options_.resource);
  co_return status;
}

// Until the log, on the branch that cmax is on, and the disk have reached it. forked: our log took another branch
// before that point; what the sweep brought belongs to no history, and it begins again.
Task<Status> Replica::reach(Position cmax) {
  constexpr io::Duration gone_after = 10s;
  io::Instant seen = machine_.now();
  for (;;) {
    if (following_stop_.is_set()) co_return Status::stopped;
    if (log_->failed()) co_return Status::io_error;
    if (replayer_->failed().status != Status::ok) co_return replayer_->failed().status;
    if (replayer_->disk_status() != Status::ok) co_return replayer_->disk_status();
    const Lsn durable = log_->durable().position.lsn;
    const format::BranchEpoch* epoch = bricks::find_epoch(log_->branch(), cmax.epoch);
    const bool has_parted = epoch != nullptr ? epoch->ended && epoch->end < cmax.lsn : durable >= cmax.lsn;
    if (epoch != nullptr || !is_gone_with_its_hosts(cmax.epoch)) seen = machine_.now();
    const auto has_it = [&](const auto& peer) { return bricks::find_epoch(peer.second.branch, cmax.epoch) != nullptr; };
    const io::Duration patience = std::ranges::any_of(peers_, has_it) ? 60 * gone_after : gone_after;
    if (has_parted || is_cut_off() || machine_.now() >= seen + patience) {
      reached("sync: the branch changed under it");
      co_return Status::forked;
    }
    if (durable >= cmax.lsn && replayer_->applied().position.lsn >= cmax.lsn) co_return Status::ok;
    replayer_->hurry();
    co_await io::wait_until(machine_, replayer_->changed(), machine_.now() + 100ms);
  }
}

// The source had heard of an epoch of which nobody who can be asked has anything: what the sweep brought of it cannot
// be completed.
bool Replica::is_gone_with_its_hosts(EpochId epoch) const {
  bool is_anybody_here = false;
  for (const auto& [host, peer] : peers_) {
    if (!environment_.is_connected(host) || !peer.is_attached || !peer.is_consistent) continue;
    if (bricks::find_epoch(peer.branch, epoch) != nullptr) return false;
    is_anybody_here = true;
  }
  return is_anybody_here;
}

// Peers are ahead, all that are connected, and none has the log that continues ours, or can read it.
bool Replica::is_cut_off() const {
  const Lsn end = log_->durable().position.lsn;
  bool is_anybody_ahead = false;
  for (const auto& [host, peer] : peers_) {
    if (!environment_.is_connected(host) || !peer.is_attached || !peer.is_consistent) continue;
    if (bricks::is_left_behind(peer.branch, log_->branch())) continue;
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    if (!common.peer_beyond && common.any) return false;
    is_anybody_ahead = true;
    if (common.any && !common.mine_beyond && peer.oldest <= end && !unable_.contains(host)) return false;
  }
  return is_anybody_ahead;
}

}  // namespace mars::replication
