// Replica: the reign. Opening, closing, handing over.
#include <algorithm>

#include "base/probe.h"
#include "replication/decide_handover.h"
#include "replication/replica.h"
#include "replication/replica_reading.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using format::ReplicaState;
using format::StateBlock;

namespace {
constexpr size_t empty_releases_max = 8;
constexpr io::Duration empty_releases_time = 10min;
}  // namespace

// ---- opening

// Replay to the end of the log, bring in what a dead predecessor had acknowledged, begin an epoch, and only when that
// is durable show the device (T5, D11). Fetch and sync end first: the end of the log must not move, and what others say
// meanwhile may change the answer of the table, so it is asked again whether this is still to be done.
Task<void> Replica::open_primary(EpochCause cause, Uuid grant, bool opens_device, const StillDue& is_still_due) {
  const bool is_tried_again = shown_ == State::disk_failed && replayer_ != nullptr;
  if (!is_tried_again && (!has_lost_writes() || accepts_loss_)) say(State::opening);
  const Counted barred(barred_);
  if (!co_await replay_to_end()) co_return;
  if (is_tried_again) say(State::opening);
  if (!is_still_due()) {
    reached("role: not opened after all");
    co_return wake_.notify();
  }
  const bool is_mine = tail_of(log_->branch(), log_->durable().position.lsn, environment_.self(), life_) == Tail::mine;
  if (cause == EpochCause::force) reached("role: forced");
  if (is_mine && has_lost_writes() && !accepts_loss_) {
    co_return say(State::writes_lost,
                  "marsd ended without a clean close and the memory with acknowledged writes is gone or damaged",
                  "check the data, then run `marsadm attach " + options_.name + " --accept-loss`");
  }
  if (Status status = co_await start_logger(is_mine); status != Status::ok) {
    co_await close_logger();
    if (status == Status::damaged) {
      accepts_loss_ = false;
      misses_pooled_ = true;
      co_return say(State::writes_lost, "an acknowledged write is missing in the memory that marsd left behind",
                    "check the data, then run `marsadm attach " + options_.name + " --accept-loss`");
    }
    co_return say(State::log_failed, "the log cannot be written", "check the log disk");
  }
  // To bring in what a predecessor left may have waited for room, and others have spoken meanwhile.
  if (!is_still_due()) {
    reached("role: not opened after all");
    co_await close_logger();
    co_return wake_.notify();
  }
  if (Status status = co_await begin_epoch(cause, grant); status != Status::ok) {
    co_await close_logger();
    co_return say(State::log_failed, "the first batch of the epoch cannot be written", "check the log disk");
  }
  accepts_loss_ = misses_pooled_ = false;
  role_ = Role::primary;
  serve_limit_ = no_serve_limit;
  environment_.event(options_.resource, "epoch " + std::to_string(log_->branch().back().number) + " begins here (" +
                                            std::string(name(cause)) + ")");
  if (opens_device) co_await open_device();
  environment_.report_changed(options_.resource);
}

// The disk is where the log ends, and nothing fetches, syncs or serves any more. False: it was said why not.
Task<bool> Replica::replay_to_end() {
  co_await become_follower();
  // A paused replay goes on, before anything else: a fetched batch may wait for the room that only replay can make.
  if (replayer_ != nullptr) replayer_->allow(true);
  co_await end_fetching();
  if (!co_await end_serving_patiently()) {
    static_cast<void>(co_await log_->forget_given_up());
    co_return false;
  }
  const bool may_open = replayer_ != nullptr && state_->value().state == ReplicaState::consistent;
  if (may_open) {
    Status status = Status::timed_out;
    for (bool goes_on = true; goes_on && status == Status::timed_out;) {
      const uint64_t written = replayer_->written_bytes();
      status = co_await replayer_->catch_up(log_->durable().position.lsn, machine_.now() + disk_patience);
      goes_on = replayer_->written_bytes() != written;
      if (goes_on && shown_ == State::disk_failed) say(State::opening);
    }
    // It is tried again; meanwhile nobody waits for the turn.
    if (status == Status::timed_out) {
      static_cast<void>(co_await log_->forget_given_up());
      say(State::disk_failed, "the data disk " + options_.disk + " does not take what the log has", out_of_bad_disk());
      co_return false;
    }
    const bool has_failed = status != Status::ok && status != Status::stopped;
    if (has_failed && state_->failed() != Status::ok) {
      say(State::failed, "the state block cannot be written: " + std::string(name(status)),
          "check the disk of " + options_.state_directory);
    } else if (has_failed) {
      const Error& problem = replayer_->failed();
      const std::string why = problem.status == Status::ok ? std::string(name(status)) : problem.text;
      const bool is_log = problem.status == Status::damaged;
      say(is_log ? State::log_damaged : State::disk_failed, why, is_log ? way_out_of_bad_log() : out_of_bad_disk());
    }
  }
  co_await end_following();
  // What was being fetched lacked room; a reign needs the reserve only.
  if (may_open) static_cast<void>(co_await log_->forget_given_up());
  co_return may_open && state_->failed() == Status::ok &&
      state_->value().applied.position.lsn == log_->durable().position.lsn;
}

std::string Replica::out_of_bad_disk() const {
  std::string text = "check the data disk " + options_.disk;
  if (!has_unlogged()) return text;
  return text + "; if it cannot be mended, stop marsd here and run `marsadm primary " + options_.name +
         " --force` on another host: what is only in the memory of this one is lost then";
}

// Acknowledged writes of a predecessor are not in the log: in the pool, or lost with it.
bool Replica::has_unlogged() const {
  const bool is_mine = tail_of(log_->branch(), log_->durable().position.lsn, environment_.self(), life_) == Tail::mine;
  return environment_.pool().has_inherited(options_.resource, log_->admitted()) || (is_mine && has_lost_writes());
}

// Acknowledged writes lay in memory that is not there any more, and the host did not lose its power (D6).
bool Replica::has_lost_writes() const {
  const StateBlock& state = state_->value();
  const bricks::Pool& pool = environment_.pool();
  if (state.clean || state.pool_id.is_nil() || state.boot_id != pool.boot_id()) return false;
  return state.pool_id != pool.id();
}

bool Replica::may_have_lost() const {
  const bool is_mine = tail_of(log_->branch(), log_->durable().position.lsn, environment_.self(), life_) == Tail::mine;
  return !is_log_whole() || (is_mine && (misses_pooled_ || has_lost_writes()));
}

// Of a device that is open, too: who turns the write cache off wants it off now.
void Replica::apply_settings() {
  if (logger_ == nullptr) return;
  const control::Settings settings = environment_.settings(options_.resource);
  logger_->set_durability(settings.write_cache, std::chrono::milliseconds(settings.flush_interval_ms));
}

Task<Status> Replica::start_logger(bool adopts) {
  // What it was given when it failed is not in it, although it has counted it: the pool has to keep that.
  if (log_->failed()) co_return Status::io_error;
  const control::Settings settings = environment_.settings(options_.resource);
  bricks::TransLoggerOptions options;
  options.bytes = options_.volume_bytes;
  options.block_bytes = options_.block_bytes;
  options.write_cache = settings.write_cache;
  options.batches.flush_interval = std::chrono::milliseconds(settings.flush_interval_ms);
  has_told_of_disk_ = false;
  logger_ = std::make_unique<bricks::TransLogger>(machine_, environment_.pool(), *log_, *state_, *data_, options);
  entrance_ = std::make_unique<bricks::Seam>(machine_.ready(), *logger_);
  if (auto added = graph_.add("device", "seam", *entrance_); !added) co_return added.error().status;
  if (auto added = graph_.add("trans_logger", "trans_logger", *logger_); !added) co_return added.error().status;
  logger_->start(state_->value().applied, log_->admitted());
  if (adopts) co_return co_await logger_->adopt(accepts_loss_);
  environment_.pool().take_inherited(options_.resource, ~uint64_t{0});
  co_return Status::ok;
}

Task<Status> Replica::begin_epoch(EpochCause cause, Uuid grant) {
  const Tip end = log_->tail();
  format::EpochStart start;
  start.id = random_uuid(machine_);
  start.number = log_->branch().empty() ? 1 : log_->branch().back().number + 1;
  // A lost file may be of a reign that nothing else here remembers: what follows is later than that, too.
  for (const auto& name : log_->segments().lost()) start.number = std::max(start.number, name.epoch_number + 1);
  start.host = environment_.self();
  start.incarnation = environment_.incarnation();
  start.cause = cause;
  start.parent = end.position.epoch;
  start.parent_end = end.position.lsn;
  start.parent_hash = end.hash;
  start.grant = grant;
  const Lsn evidence = has_lost_log() ? recovery_.evidence : Lsn{};
  const Status status = co_await log_->begin_epoch(start, logger_->admitted(), evidence);
  if (status != Status::ok) co_return status;
  logger_->pass(log_->tail());
  co_return co_await state_->update([this](StateBlock& state) {
    state.clean = false;
    state.gone.clear();
    state.boot_id = environment_.pool().boot_id();
    state.pool_id = environment_.pool().is_persistent() ? environment_.pool().id() : Uuid{};
  });
}

Task<void> Replica::open_device() {
  auto opened = co_await device_->open(*entrance_);
  if (!opened) {
    co_return say(State::failed, "the device cannot be opened: " + opened.error().text,
                  "mend that: it is tried again; or run `marsadm set " + options_.name +
                      " front-end nbd`, which needs no kernel module");
  }
  was_opened_ = true;
  empty_releases_.clear();  // whoever is asked to hand this device over does so at once
  say(State::up_to_date);
}

// ---- reigning

Task<void> Replica::step_primary() {
  if (log_->needs_space()) co_await make_room();
  co_await learn_data_end();
  if (stop_.is_set()) co_return;
  note_fork();
  if (co_await step_down()) co_return;
  // Deposed: the wish is not ours to act on, nor to write back (T2).
  if (wish() != Wish::me && !is_forked_) {
    const Designated wanted = environment_.designated(options_.resource);
    if (wanted.host.is_nil()) co_return co_await close_primary();
    co_return co_await hand_over(wanted);
  }
  // In a fork a device that is open stays so (T9), and one that is not wanted stays closed.
  if (wish() == Wish::me && !device_->is_open() && !log_->failed()) co_await open_device();
  show_primary();
}

// ---- handing over

// The holder writes the wish back to itself, with the reason, before whoever asked can see the end (T6). A newer wish
// than the one that was acted on stays.
Task<void> Replica::refuse(Designated wanted, std::string why) {
  reached("handover: refused");
  environment_.event(options_.resource, "handover refused: " + why);
  Designated answer{environment_.self(), wanted.request, std::move(why), false};
  const Status status = co_await environment_.redesignate(options_.resource, std::move(wanted), std::move(answer));
  if (status != Status::ok && status != Status::refused)
    environment_.event(options_.resource, "the refusal could not be written down");
}

HandoverFacts Replica::handover_facts(const Uuid& successor) const {
  HandoverFacts facts;
  const auto members = environment_.members(options_.resource);
  facts.is_member = std::find(members.begin(), members.end(), successor) != members.end();
  // What it said in an earlier session counts for nothing (T4).
  facts.is_connected = environment_.is_connected(successor) && answered_.contains(successor);
  const auto peer = peers_.find(successor);
  facts.successor = peer == peers_.end() ? nullptr : &peer->second;
  facts.branch = &log_->branch();
  facts.durable_end = log_->durable().position.lsn;
  facts.is_log_failed = log_->failed();
  facts.lag_max = environment_.settings(options_.resource).handover_lag_bytes;
  return facts;
}

// A forced primary reigns already: that it cannot be reached takes nothing from it. A later command takes that mark
// away, so a host whose device is closed takes nothing from anybody whom it cannot ask.
bool Replica::waits_for_forced(HandoverObstacle obstacle, const Designated& wanted, const std::string& to) {
  const bool is_silent = obstacle == HandoverObstacle::not_connected;
  if (!is_silent && obstacle != HandoverObstacle::not_attached) return false;
  reached("handover: a forced primary is waited for");
  const std::string why = is_silent ? "cannot be reached" : "has not attached its disk";
  say(State::waiting_for_peer,
      to + (wanted.is_forced ? " was forced primary and " : " is wanted as primary and ") + why,
      "or run `marsadm primary " + options_.name + "` here, if this side is to be kept");
  return true;
}

// Two hosts that do not see the same wish, as when the store of one takes no writes, would hand the right to and fro
// for ever, some fifty times a second, and nobody could follow so many reigns.
bool Replica::is_handed_to_and_fro() {
  while (!empty_releases_.empty() && empty_releases_.front() + empty_releases_time < machine_.now()) {
    empty_releases_.pop_front();
  }
  if (empty_releases_.size() < empty_releases_max) return false;
  reached("handover: to and fro");
  say(State::waiting_for_peer,
      "the right to write comes back from other hosts again and again, and nobody opens the device",
      "the hosts do not see the same wish: look at the warnings of `marsadm status` on all of them, mend what they "
      "name, then run `marsadm primary " +
          options_.name + "` where it shall be");
  return true;
}

// T4, then T3. Any failure before the release batch is written leaves us in charge, in the same epoch.
Task<void> Replica::hand_over(Designated wanted) {
  const Uuid successor = wanted.host;
  const std::string to = environment_.host_name(successor);
  HandoverObstacle obstacle = decide_handover(handover_facts(successor));
  if (obstacle == HandoverObstacle::rival) {
    co_return say(State::fork, sentence(obstacle, to), way_out_of_fork());
  }
  if (is_handed_to_and_fro()) co_return;
  const bool takes_nothing = wanted.is_forced || !device_->is_open();
  // Looked at in each step: not begun anew each time.
  if (shown_ == State::waiting_for_peer && takes_nothing && waits_for_forced(obstacle, wanted, to)) co_return;
  say(State::handing_over, "to " + to);
  const io::Instant begun = machine_.now();
  while (!stop_.is_set()) {
    const bool is_short = obstacle == HandoverObstacle::not_connected && machine_.now() < begun + 5s;
    const bool is_long = obstacle == HandoverObstacle::lagging && machine_.now() < begun + 30s;
    // A sync that is just done may not have been heard of.
    const bool is_brief = obstacle == HandoverObstacle::syncing && machine_.now() < begun + 1s;
    if (!is_brief && !is_short && !is_long) break;
    if (environment_.designated(options_.resource) != wanted) co_return taken_back(to);
    co_await io::wait_until(machine_, wake_, machine_.now() + 200ms);
    obstacle = decide_handover(handover_facts(successor));
  }
  if (obstacle == HandoverObstacle::rival) {
    co_return say(State::fork, sentence(obstacle, to), way_out_of_fork());
  }
  if (takes_nothing && waits_for_forced(obstacle, wanted, to)) co_return;
  if (obstacle != HandoverObstacle::none) co_return co_await refuse(wanted, sentence(obstacle, to));
  net::Bytes opening;
  Writer writer(opening);
  write_uuid(writer, options_.resource);
  auto channel = environment_.open_channel(successor, handover_service, std::move(opening), net::window_default);
  if (channel == nullptr) co_return co_await refuse(wanted, "there is no connection to " + to);
  handover_channel_ = channel.get();
  handed_over_ = wanted;
  auto prepared = co_await prepare(*channel, successor);
  handover_channel_ = nullptr;
  const bool is_taken_back = environment_.designated(options_.resource) != wanted;
  if (!prepared) reached("handover: broken off before the release");
  if ((!prepared || is_taken_back) && role_ == Role::primary && !device_->is_open()) co_await open_device();
  // Whoever asked may have given up meanwhile.
  if (is_taken_back) co_return taken_back(to);
  if (!prepared) {
    if (decide_handover(handover_facts(successor)) == HandoverObstacle::rival) co_return;
    co_return co_await refuse(wanted, prepared.error().text);
  }
  const Status status = co_await release_to(successor);
  if (status == Status::refused) {  // nothing was written: the next step looks at what has come between
    reached("handover: broken off before the release");
    co_return wake_.notify();
  }
  if (status != Status::ok) {
    say(State::failed, "the right to write may be on its way to " + to, "look at both hosts with `marsadm status`");
    co_return;
  }
  environment_.event(options_.resource, "the right to write is on its way to " + to);
  say(State::replaying);
}

bool Replica::is_handover_taken_back() const {
  return handover_channel_ != nullptr && environment_.designated(options_.resource) != handed_over_;
}

void Replica::taken_back(const std::string& to) {
  environment_.event(options_.resource, "the handover to " + to + " was taken back");
  wake_.notify();
}

// The conversation of T4: the successor says that it is ready, the device closes, everything admitted is durable, and
// the successor has replayed it.
Task<Result<void>> Replica::prepare(net::Channel& channel, const Uuid& successor) {
  const std::string to = environment_.host_name(successor);
  auto ready = co_await receive_within(channel, 10s);
  if (!ready) co_return failure(ready.error().status, to + " is not ready: " + ready.error().text);
  if (role_ == Role::primary) {
    auto closed = co_await device_->close();
    if (!closed) co_return failure(closed.error().status, sentence_of_open_device(closed.error()));
    const Status drained = co_await drain_patiently();
    if (drained == Status::timed_out) co_return failure(drained, sentence_of_slow_disk());
    if (drained == Status::stopped) co_return failure(drained, "nobody waits for it any more");
    if (state_->failed() != Status::ok) co_return failure(Status::io_error, "its state block cannot be written");
    if (log_->failed()) co_return failure(Status::io_error, sentence(HandoverObstacle::log_failed, to));
    // A data disk that failed is no obstacle: the successor needs the log only.
    if (auto durable = co_await logger_->durable_admitted(); !durable) {
      co_return failure(durable.error().status, "not everything could be written to the log: " + durable.error().text);
    }
    if (drained != Status::ok && logger_->disk_status() == Status::ok) {
      co_return failure(drained, "not everything could be written back");
    }
  }
  net::Bytes final_position;
  Writer writer(final_position);
  write_tip(writer, log_->durable());
  if (Status status = co_await channel.send(std::move(final_position)); status != Status::ok) {
    co_return failure(status, "the connection to " + to + " broke");
  }
  auto confirmed = co_await receive_within(channel, 60s);
  if (!confirmed) co_return failure(confirmed.error().status, to + " did not catch up: " + confirmed.error().text);
  co_return Result<void>();
}

// The release is for ever the last batch of its epoch. It leaves the host only when the state block, in both slots,
// says that the right is gone: a rotten log cannot bring it back (T3). From the moment in which it is durable this
// process never writes in this epoch again, whatever fails.
Task<Status> Replica::release_to(Uuid successor) {
  if (role_ == Role::following) co_await end_fetching();
  // Meanwhile another reign may have been fetched, or heard of; or who remembers more of this host than it has.
  const StartFacts now = facts();
  const bool is_kept = role_ == Role::primary || decide_start(now) == StartAction::keep_closed;
  if (now.tail != Tail::mine || now.rival != Rival::none || !is_kept) co_return Status::refused;
  serve_limit_ = log_->durable().position.lsn;
  is_releasing_ = true;
  const auto release = format::encode(format::Release{random_uuid(machine_), environment_.self(), successor});
  Status status = co_await log_->append_control(RecordOp::release, release, log_->admitted());
  if (status != Status::ok) co_return status;
  if (!std::exchange(was_opened_, false)) empty_releases_.push_back(machine_.now());
  // What may have to wait for a disk that hangs comes behind: the successor does not.
  const bool was_following = role_ == Role::following;
  role_ = Role::closed;
  status = co_await remember_gone();
  // Nobody is served while a disk that hangs under a read, or under the last that was written, is waited for: the
  // successor gets the release before.
  const io::Instant deadline = machine_.now() + 10s;
  const auto has_release = [&] {
    const auto peer = peers_.find(successor);
    return peer != peers_.end() && peer->second.durable.position.lsn >= log_->durable().position.lsn;
  };
  const auto may_hang = [&] {
    return served_reads_ > 0 || (logger_ != nullptr && logger_->disk_status() != Status::ok);
  };
  while (status == Status::ok && may_hang() && !has_release() && machine_.now() < deadline) {
    co_await io::wait_until(machine_, wake_, machine_.now() + 50ms);
  }
  if (was_following) co_await end_following();
  co_await close_logger();
  co_return status;
}

// A release of ours that is durable in the log, and not in the state block: written there, then it may be served. Also
// after a restart in between.
Task<Status> Replica::remember_gone() {
  const bricks::Branch& branch = log_->branch();
  const Lsn end = log_->durable().position.lsn;
  const bool is_released = tail_of(branch, end, environment_.self(), life_) == Tail::released_to_other;
  if (!is_released || branch.back().host != environment_.self()) co_return Status::ok;
  auto known = format::verify_batch(state_->value().gone);
  if (known && known->header.identity.epoch == branch.back().id && !is_releasing_) co_return Status::ok;
  // A log that begins behind the release came from somebody who has it: nothing is left that could rot.
  if (branch.back().end <= log_->oldest()) {
    reached("handover: synced behind its own release");
    co_return Status::ok;
  }
  if (is_replacing_log_) co_return Status::ok;
  const Reading reading(*this);
  if (!is_releasing_) reached("handover: died between release and gone");
  is_releasing_ = true;
  serve_limit_ = {std::min(serve_limit_.value, end.value - format::batch_block_bytes)};
  // A release is one block long, and the last of its epoch.
  const Lsn at{branch.back().end.value - format::batch_block_bytes};
  bricks::LogReader reader(log_->segments(), log_->options(), branch, {{branch.back().id, at}, {}});
  auto batch = co_await reader.next(branch.back().end);
  if (!batch) co_return batch.error().status;
  const std::vector<std::byte> bytes(batch->bytes.begin(), batch->bytes.end());
  for (int slot = 0; slot < 2; ++slot) {
    const Status status = co_await state_->update([&](StateBlock& state) {
      state.gone = bytes;
      state.pool_id = {};
    });
    if (status != Status::ok) co_return status;
  }
  is_releasing_ = false;
  serve_limit_ = no_serve_limit;
  log_->changed().notify();
  environment_.report_changed(options_.resource);
  co_return Status::ok;
}

}  // namespace mars::replication
