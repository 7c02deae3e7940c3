// Replica: following. Fetch from any peer that has the bytes, replay what is durable here; two activities with a switch
// each.
#include <algorithm>

#include "replication/replica.h"

#include "base/probe.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using control::TransferKind;
using format::ReplicaState;
using format::StateBlock;

Task<void> Replica::step_follower() {
  co_await become_follower();
  const control::Switches on = environment_.switches(options_.resource);
  if (replayer_) replayer_->allow(on.replay);
  if (!on.fetch && fetch_channel_ != nullptr) fetch_channel_->close();
  leave_idle_source();
  leave_silent_sync_source();
  if (!on.sync && sync_channel_ != nullptr) sync_channel_->close();
  if (log_->needs_space()) co_await make_room();
  show_follower(on);
}

// A source that has nothing more, because it is cut off itself, or that sends nothing although it has more, because its
// disk hangs, keeps nobody from another one that has.
void Replica::leave_idle_source() {
  const auto source = fetch_awaited_ ? peers_.find(fetch_source_) : peers_.end();
  if (source == peers_.end()) return;
  // A long message on a slow link comes in pieces.
  if (const size_t bytes = fetch_channel_->partial_bytes(); std::exchange(fetch_partial_, bytes) != bytes) {
    fetch_awaited_ = machine_.now();
  }
  if (machine_.now() < *fetch_awaited_ + idle_source_after) return;
  const auto other = look_for_source(fetch_source_).best;
  if (!other) return;
  const bool has_more = source->second.durable.position.lsn > log_->durable().position.lsn;
  Silence mine = silence_of(fetch_source_);
  if (has_more && machine_.now() >= *fetch_awaited_ + mine.patience()) {
    mine = silences_[fetch_source_] = {mine.count + 1, machine_.now()};
  }
  // One that was silent gets another chance when nobody else has anything, after a while.
  const Silence theirs = silence_of(*other);
  const bool may_try = theirs.count == 0 || machine_.now() >= theirs.at + theirs.patience();
  if (has_more ? !(theirs < mine) : !may_try) return;
  reached(has_more ? "fetch: a silent source is left for another one"
                   : "fetch: an idle source is left for another one");
  fetch_channel_->close();
}

// `since`: while it is waited for.
Task<Result<net::Bytes>> Replica::await_source(net::Channel& channel, std::optional<io::Instant>& since) {
  since = machine_.now();
  auto message = co_await channel.receive();
  since.reset();
  co_return message;
}

Silence Replica::silence_of(const Uuid& host) const {
  const auto found = silences_.find(host);
  return found == silences_.end() ? Silence{} : found->second;
}

Task<void> Replica::become_follower() {
  if (role_ == Role::following) co_return begin_fetching();
  role_ = Role::following;
  if (!is_releasing_) serve_limit_ = no_serve_limit;
  must_sync_ = false;
  sync_trouble_.reset();
  sync_trials_.clear();
  silences_.clear();
  lacks_log_ = false;
  // A clean end left nothing in the pool: a pool that is gone since then has cost nothing (D6).
  const auto unclean = [](StateBlock& state) {
    state.clean = false;
    state.pool_id = {};
  };
  if (state_->value().clean && co_await state_->update(unclean) != Status::ok) {
    co_return say(State::log_failed, "the state block cannot be written", "check the state directory");
  }
  if (state_->value().state == ReplicaState::consistent) start_replay();
  begin_fetching();
}

// Where it had ended for an opening that came to nothing, it begins again.
void Replica::begin_fetching() {
  if (following_.count() > 0) return;
  following_stop_.reset();
  following_.spawn(fetch_loop());
  following_.spawn(sync_loop());
}

void Replica::start_replay() {
  bricks::ReplayerOptions options;
  options.bytes = options_.volume_bytes;
  options.block_bytes = options_.block_bytes;
  has_told_of_disk_ = false;
  replayer_ = std::make_unique<bricks::Replayer>(machine_, *log_, *state_, *data_, options);
  replayer_->allow(environment_.switches(options_.resource).replay);
  replayer_->start(state_->value().applied);
}

Task<void> Replica::end_replay() {
  if (replayer_ == nullptr) co_return;
  co_await replayer_->stop();
  co_await look_at_disk();
  replayer_.reset();
}

// Fetch and sync end; replay goes on.
Task<void> Replica::end_fetching() {
  following_stop_.set();
  for (net::Channel* channel : {fetch_channel_, sync_channel_}) {
    if (channel != nullptr) channel->close();
  }
  wake_.notify();
  const uint64_t tries = log_->tries_without_room();
  uint64_t written = written_bytes();
  io::Instant moved = machine_.now();
  while (following_.count() > 0) {
    if (std::exchange(written, written_bytes()) != written) moved = machine_.now();
    // A fetched batch may wait for room that nobody makes any more, or that there is none to make: all is applied, and
    // trimmed.
    const bool is_done = replayer_ != nullptr && replayer_->applied().position.lsn >= log_->durable().position.lsn &&
                         log_->tries_without_room() > tries + 1;
    const bool is_hung = machine_.now() >= moved + disk_patience;
    const bool is_stuck = replayer_ == nullptr || replayer_->is_resting() || replayer_->failed().status != Status::ok ||
                          is_done || is_hung;
    if ((is_leaving_ || is_stuck) && log_->needs_space()) log_->give_up();
    log_->changed().notify();
    co_await io::wait_until(machine_, wake_, machine_.now() + 10ms);
  }
}

Task<void> Replica::end_following() {
  if (log_ != nullptr) co_await end_fetching();
  co_await following_.join();
  co_await end_replay();
  if (role_ == Role::following) role_ = Role::closed;
}

// The state block knows the release, the log lost it: it is written again, byte for byte (row 2).
Task<Status> Replica::recreate_gone() {
  auto release = format::verify_batch(state_->value().gone);
  if (!release || release->header.identity.lsn != log_->durable().position.lsn) co_return Status::damaged;
  reached("handover: the release is written again");
  environment_.event(options_.resource, "the release that ended this host's reign is written again");
  co_await end_following();
  co_return co_await log_->append_fetched(*release);
}

// ---- fetch

// Somebody who can be reached was forced where this one's history had its end, and was not given up here.
bool Replica::is_overruled(const Report& report) const {
  return std::ranges::any_of(peers_, [&](const auto& peer) { return is_verdict(peer.first, peer.second, report); });
}

bool Replica::is_verdict(const Uuid& host, const Report& forced, const Report& against) const {
  const bool is_here = environment_.is_connected(host) && forced.is_attached && forced.is_consistent;
  return is_here && overrules(forced, against) && !follows_what_was_given_up(forced) && !is_force_taken_back(forced);
}

// Whoever was forced there is here, and its log goes on beside that reign: the operator has kept the other side. One
// that only ends before it, because it was restored or is just being fetched, says nothing.
bool Replica::is_force_taken_back(const Report& follower) const { return who_took_back(follower) != nullptr; }

const Report* Replica::who_took_back(const Report& follower) const {
  const auto is_forced = [](const format::BranchEpoch& epoch) { return epoch.cause == EpochCause::force; };
  const auto forced = std::find_if(follower.branch.rbegin(), follower.branch.rend(), is_forced);
  if (forced == follower.branch.rend()) return nullptr;
  const auto host = peers_.find(forced->host);
  if (host == peers_.end() || !environment_.is_connected(host->first) || !answered_.contains(host->first))
    return nullptr;
  const Report& its = host->second;
  if (!its.is_attached || bricks::find_epoch(its.branch, forced->id) != nullptr) return nullptr;
  const auto common =
      bricks::common_position(its.branch, its.durable.position.lsn, follower.branch, follower.durable.position.lsn);
  return common.mine_beyond ? &its : nullptr;
}

// Its log continues ours on a side that a force or this host's operator has decided against (T9).
bool Replica::is_no_way_on(const Report& peer) const {
  const bool is_lost = is_of_lost_side(life_, peer.branch, peer.durable.position.lsn);
  if (is_lost && goes_on_elsewhere()) return true;
  // What is left of a force that was taken back, and the forced host itself is on the way that was kept.
  const Report* kept = who_took_back(peer);
  if (kept != nullptr && kept->is_consistent && rival(*kept) != Rival::before_data) return true;
  // Who has parted from the forced one itself is on the other side, and follows that until the operator decides.
  return std::ranges::any_of(peers_, [&](const auto& other) {
    return is_verdict(other.first, other.second, peer) && rival(other.second) != Rival::before_data;
  });
}

// Two hosts that are here were both forced at one point, and that is not behind us: neither verdict counts, and who
// stands before it waits for the operator's (T9).
bool Replica::is_undecided(const Uuid& host, const Report& peer) const {
  const Lsn end = log_->durable().position.lsn;
  return std::ranges::any_of(peers_, [&](const auto& entry) {
    const Report& other = entry.second;
    if (entry.first == host || !environment_.is_connected(entry.first) || !other.is_attached || !other.is_consistent)
      return false;
    const auto common =
        bricks::common_position(peer.branch, peer.durable.position.lsn, other.branch, other.durable.position.lsn);
    const auto is_forced_there = [&](const bricks::Branch& branch) {
      const format::BranchEpoch* next = bricks::epoch_at(branch, common.position.lsn);
      return next != nullptr && next->id != common.position.epoch && next->cause == EpochCause::force;
    };
    return common.forked() && common.position.lsn >= end && is_forced_there(peer.branch) &&
           is_forced_there(other.branch);
  });
}

// Who has the log that continues ours, on our branch: who was silent least; of those the primary,
// because it has the newest.
Replica::Sources Replica::look_for_source(const Uuid& except) const {
  const Lsn end = log_->durable().position.lsn;
  const bool is_synced = state_->value().state == ReplicaState::consistent;
  Sources sources;
  std::pair<Silence, uint64_t> least;
  for (const auto& [host, peer] : peers_) {
    if (host == except || !environment_.is_connected(host) || !peer.is_attached) continue;
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    if (!common.any || common.mine_beyond || !common.peer_beyond) continue;
    if (rival(peer) == Rival::before_data) {
      sources.is_any_parted = true;
      continue;
    }
    if (is_no_way_on(peer)) continue;
    if (is_synced && is_undecided(host, peer)) {
      sources.is_undecided = true;
      continue;
    }
    sources.is_any_ahead = true;
    if (peer.oldest > end || unable_.contains(host)) continue;
    const uint64_t has = peer.durable.position.lsn.value + (peer.is_primary ? 1u << 20 : 0);
    const std::pair rank(silence_of(host), ~has);
    if (sources.best && !(rank < least)) continue;
    sources.best = host;
    least = rank;
  }
  return sources;
}

std::optional<Uuid> Replica::choose_source() {
  must_sync_ = lacks_log_ = waits_for_decision_ = false;
  const bool is_synced = state_->value().state == ReplicaState::consistent;
  if (!is_synced && has_lost_log()) return std::nullopt;  // the sync will begin another log
  const Sources sources = look_for_source({});
  waits_for_decision_ = sources.is_undecided && !sources.best;
  lacks_log_ = is_synced && sources.is_any_ahead && !sources.best && !is_forked_ && !sources.is_any_parted;
  must_sync_ = lacks_log_ && nobody_holds(log_->durable().position.lsn);
  return sources.best;
}

// True when every connected peer that is ahead has trimmed the log that we need, or cannot read it. Who is not ahead
// has nothing of it.
bool Replica::nobody_holds(Lsn end) const {
  for (const Uuid& member : environment_.members(options_.resource)) {
    if (member == environment_.self()) continue;
    const auto peer = peers_.find(member);
    if (peer == peers_.end() || !environment_.is_connected(member) || !peer->second.is_attached) {
      // It may have the log; but it may never come back.
      if (!has_heard()) return false;
      continue;
    }
    const Report& its = peer->second;
    const auto common = bricks::common_position(log_->branch(), end, its.branch, its.durable.position.lsn);
    const bool is_ahead = common.any && common.peer_beyond && !common.mine_beyond && !is_no_way_on(its);
    if (is_ahead && its.oldest <= end && !unable_.contains(member)) return false;
  }
  return true;
}

Task<void> Replica::fetch_loop() {
  while (!following_stop_.is_set()) {
    if (is_replacing_log_) {
      co_await io::wait_until(machine_, wake_, machine_.now() + 100ms);
      continue;
    }
    co_await log_turn_.acquire();
    const bool may = !following_stop_.is_set() && environment_.switches(options_.resource).fetch && !log_->failed();
    const std::optional<Uuid> source = may ? choose_source() : std::nullopt;
    if (source) {
      const Status status = co_await fetch_from(*source);
      if (status == Status::not_found || status == Status::forked) {
        reached("fetch: the source cannot give it");
        unable_.insert(*source);
        if (!choose_source() && must_sync_) wake_.notify();
      }
      fetch_channel_ = nullptr;
      fetching_.reset();
    }
    log_turn_.release(1);
    if (following_stop_.is_set()) break;
    co_await io::wait_until(machine_, wake_, machine_.now() + (source ? 100ms : 500ms));
  }
}

Task<Status> Replica::fetch_from(Uuid source) {
  net::Bytes opening;
  Writer writer(opening);
  write_uuid(writer, options_.resource);
  write_tip(writer, log_->durable());
  auto channel = environment_.open_channel(source, log_service, std::move(opening), log_window);
  if (channel == nullptr) co_return Status::unreachable;
  fetch_channel_ = channel.get();
  fetch_source_ = source;
  fetching_ = control::Transfer{TransferKind::fetch, 0, 0, 0, environment_.host_name(source)};
  transfer_began_ = machine_.now();
  while (!following_stop_.is_set()) {
    auto message = co_await await_source(*channel, fetch_awaited_);
    if (!message) co_return message.error().status;
    auto batch = format::verify_batch(*message);
    if (!batch) {
      reached("fetch: a damaged batch");
      environment_.event(options_.resource, "a damaged batch came from " + environment_.host_name(source));
      co_return batch.error().status;
    }
    const format::BatchIdentity& identity = batch->header.identity;
    if (identity.cluster != environment_.cluster() || identity.resource != options_.resource) co_return Status::invalid;
    const bool is_other_reign = bricks::find_epoch(log_->branch(), identity.epoch) == nullptr;
    if (is_other_reign && is_rival(*batch)) co_return Status::forked;
    if (is_other_reign && has_lost_log()) co_return co_await leave_damaged_history();
    if (Status status = co_await log_->append_fetched(*batch); status != Status::ok) co_return status;
    silences_.erase(source);
    note_progress(source, *batch);
  }
  co_return Status::ok;
}

// The heir's reign begins where our log is damaged. The disk may hold more of the old one than what is left of the log
// says (D12): it is no version of anything until it was synced.
Task<Status> Replica::leave_damaged_history() {
  reached("fetch: the heir's reign begins at a damaged end");
  const Tip end = log_->durable();
  const Status status = co_await state_->update([end](StateBlock& state) {
    state.state = ReplicaState::fresh;
    const bool rewrites = state.sweep.rewrites;
    state.sweep = {};
    state.sweep.rewrites = rewrites;
    state.sweep.base = end;
  });
  wake_.notify();
  co_return status == Status::ok ? Status::forked : status;
}

uint64_t Replica::rate(uint64_t bytes, io::Instant since) const {
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(machine_.now() - since).count();
  return elapsed <= 0 ? 0 : bytes * 1000 / static_cast<uint64_t>(elapsed);
}

void Replica::note_progress(const Uuid& source, const format::Batch& batch) {
  const auto peer = peers_.find(source);
  // It had caught up: what comes now is the next transfer.
  if (fetching_->total_bytes == fetching_->done_bytes) {
    fetching_->done_bytes = 0;
    transfer_began_ = machine_.now();
  }
  fetching_->done_bytes += batch.bytes.size();
  const Lsn end = batch.header.end();
  const Lsn theirs = peer == peers_.end() ? end : peer->second.durable.position.lsn;
  fetching_->total_bytes = fetching_->done_bytes + (theirs > end ? theirs - end : 0);
  fetching_->bytes_per_second = rate(fetching_->done_bytes, transfer_began_);
  environment_.report_changed(options_.resource);
}

}  // namespace mars::replication
