// Replica: forced primary (T8), and what is known to be lost by that.
#include <algorithm>

#include "replication/decide_force.h"
#include "replication/replica.h"

namespace mars::replication {

using namespace std::chrono_literals;
using format::ReplicaState;

// T8. Says first what will be missing, as far as it is known here.
Task<Result<LossStatement>> Replica::force(ForceOrder order) {
  co_await turn_.acquire();
  auto statement = co_await force_in_turn(order);
  turn_.release(1);
  wake_.notify();
  co_return statement;
}

// What was said in a former session counts for nothing, and in a fresh one the first report is on its way (T8): on a
// slow link behind much else. Who says nothing at all is not connected for long. The name of who has not said it yet.
Task<std::string> Replica::hear_the_connected() {
  const io::Instant deadline = machine_.now() + 10s;
  const auto unheard = [this] {
    for (const Uuid& member : environment_.members(options_.resource)) {
      if (environment_.is_connected(member) && !answered_.contains(member)) return environment_.host_name(member);
    }
    return std::string();
  };
  while (!unheard().empty() && machine_.now() < deadline && !stop_.is_set()) {
    co_await io::wait_until(machine_, wake_, machine_.now() + 100ms);
  }
  co_return unheard();
}

Task<Result<LossStatement>> Replica::force_in_turn(const ForceOrder& order) {
  const auto is_over = [&] { return stop_.is_set() || (order.is_over && order.is_over()); };
  if (const std::string who = co_await hear_the_connected(); !who.empty() && !order.now) {
    co_return failure(Status::refused, who + " is connected and has not said yet what it has: try again; --now does " +
                                           "without its word");
  }
  if (auto allowed = may_be_forced(); !allowed) co_return failure(allowed.error());
  const io::Instant deadline = machine_.now() + 60s;
  const bool fetches = !order.now && environment_.switches(options_.resource).fetch;
  while (fetches && !order.is_dry_run && !is_over() && choose_source() && machine_.now() < deadline) {
    co_await become_follower();
    co_await io::wait_until(machine_, wake_, machine_.now() + 200ms);
  }
  LossStatement loss = known_loss();
  const std::string has_more = order.now ? "" : connected_and_ahead();
  if (order.is_dry_run && fetches && !has_more.empty()) {
    loss.text += "; " + has_more + " is connected and has more: that is fetched first";
    co_return loss;
  }
  // It can be had: paused, slow, or kept by a host that cannot read it for the moment.
  if (!has_more.empty()) {
    co_return failure(Status::refused, has_more + " has more than this host and is connected (" + loss.text +
                                           "): force that one, or wait until it is fetched (`marsadm resume-fetch " +
                                           options_.name + "`); --now gives it up");
  }
  if (order.is_dry_run) co_return loss;
  // The operator may have forced another host meanwhile, which is not seen from here; and the holder, or somebody who
  // has more, may have come back: now, or while the log is replayed.
  const auto obstacle = [&]() -> Result<void> {
    if (is_over()) return failure(Status::stopped, "nobody waits for this force any more");
    if (auto allowed = may_be_forced(); !allowed) return allowed;
    const std::string newer = order.now ? "" : connected_and_ahead();
    if (!newer.empty()) return failure(Status::refused, newer + " has come and has more than this host: try again");
    return {};
  };
  const StillDue is_still_due = [&] { return obstacle().has_value(); };
  if (auto allowed = obstacle(); !allowed) co_return failure(allowed.error());
  if (order.tell) order.tell(loss.text);
  environment_.event(options_.resource, "forced primary: " + loss.text);
  co_await open_primary(EpochCause::force, {}, false, is_still_due);
  if (role_ != Role::primary) {
    auto allowed = obstacle();
    const Error why = allowed ? Error(Status::io_error, "it could not be opened: " + reason_) : allowed.error();
    environment_.event(options_.resource, "not forced after all: " + why.text);
    co_return failure(why);
  }
  recovery_ = {};  // the new epoch binds the end of the log: what was lost behind it is not waited for any more
  Designated wish{environment_.self(), random_uuid(machine_), {}, true};
  if (Status status = co_await environment_.designate(options_.resource, wish); status != Status::ok) {
    co_return failure(status, "the wish could not be written down");
  }
  co_await open_device();
  co_return loss;
}

Result<void> Replica::may_be_forced() const {
  ForceFacts facts;
  facts.is_attached = log_ != nullptr;
  facts.is_primary = role_ == Role::primary;
  facts.is_giving_up = is_giving_up_;
  std::string holder;
  if (facts.is_attached) {
    facts.is_consistent = state_->value().state == ReplicaState::consistent;
    facts.has_failed = log_->failed() || state_->failed() != Status::ok;
    facts.is_log_whole = is_log_whole();
    facts.is_loss_accepted = accepts_loss_;
    holder = answering_holder();
    facts.is_holder_answering = !holder.empty();
  }
  const ForceObstacle obstacle = decide_force(facts);
  if (obstacle == ForceObstacle::none) return {};
  return failure(Status::refused, sentence(obstacle, options_.name, reason_, holder));
}

// Who has the right to write this history and can hand it over; empty: nobody.
std::string Replica::answering_holder() const {
  const Report mine = report();
  for (const auto& [host, peer] : peers_) {
    // Whose log has parted from this one has the right in another history, and hands nothing over to this host. Not
    // where a rival reign began in ours: this host is the one that was given up.
    if (have_parted(mine, peer) && rival(peer) == Rival::none) continue;
    if (peer.is_holder && environment_.is_connected(host) && answered_.contains(host)) {
      return environment_.host_name(host);
    }
  }
  return {};
}

// How much more of this history a member had that was not heard since the start of marsd.
uint64_t Replica::remembered_beyond(const Uuid& host, const Memory& memory) const {
  const Position& tip = memory.what.tip.position;
  if (host == environment_.self() || peers_.contains(host) || log_->branch().empty()) return 0;
  const format::BranchEpoch& last = log_->branch().back();
  const Lsn end = log_->durable().position.lsn;
  return !last.ended && tip.epoch == last.id && tip.lsn > end ? tip.lsn - end : 0;
}

// Empty: nobody.
std::string Replica::connected_and_ahead() const {
  const Lsn end = log_->durable().position.lsn;
  for (const auto& [host, peer] : peers_) {
    if (!environment_.is_connected(host) || !answered_.contains(host) || !peer.is_attached || !peer.is_consistent)
      continue;
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    if (common.any && common.peer_beyond && !common.mine_beyond && rival(peer) == Rival::none && !is_no_way_on(peer)) {
      return environment_.host_name(host);
    }
  }
  return {};
}

// "At least, as far as known": what others said that they had of this history and we have not.
LossStatement Replica::known_loss() const {
  LossStatement loss;
  const Lsn end = log_->durable().position.lsn;
  std::string who;
  std::optional<io::Duration> silent;
  for (const auto& [host, peer] : peers_) {
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    if (!common.any || !common.peer_beyond) continue;
    const uint64_t more = peer.durable.position.lsn - common.position.lsn;
    const bool is_better = more > loss.bytes || (more == loss.bytes && more > 0 && environment_.is_connected(host));
    if (!is_better) continue;
    loss.bytes = more;
    // Nothing is known of a log that has no batch yet.
    const uint64_t mine = log_->last_time().physical_ns;
    const uint64_t its = peer.durable_time.physical_ns;
    loss.milliseconds = mine > 0 && its > mine ? (its - mine) / 1'000'000 : 0;
    who = environment_.host_name(host);
  }
  for (const auto& [host, memory] : memories_) {
    const uint64_t more = remembered_beyond(host, memory);
    if (more <= loss.bytes) continue;
    loss.bytes = more;
    loss.milliseconds = 0;
    who = environment_.host_name(host);
  }
  for (const auto& [host, peer] : peers_) {
    if (peer.is_holder && heard(host)) silent = machine_.now() - *heard(host);
  }
  const std::string since =
      silent ? std::to_string(std::chrono::duration_cast<std::chrono::seconds>(*silent).count()) + " s ago"
             : "before marsd was started here";
  // What rotted here was durable here, whoever else has heard of it (D10).
  if (recovery_.is_damaged && recovery_.evidence > end && recovery_.evidence - end > loss.bytes) {
    loss.bytes = recovery_.evidence - end;
    loss.text =
        "at least " + std::to_string(loss.bytes) + " bytes of this host's own log are damaged and will be missing";
  } else if (loss.bytes == 0) {
    loss.text =
        "nothing is known to be missing; the primary was last heard " + since + ", and what it wrote since is not here";
  } else {
    loss.text = "at least " + std::to_string(loss.bytes) + " bytes of log" +
                (loss.milliseconds > 0 ? " (" + std::to_string(loss.milliseconds) + " ms of writes)" : "") +
                " will be missing, as far as known; " + who + " has more; last heard " + since;
  }
  for (const auto& [host, peer] : peers_) {
    if (!peer.is_consistent || !bricks::have_lost_sight(log_->branch(), peer.branch)) continue;
    loss.text += "; how much more " + environment_.host_name(host) + " has is not known, more than " +
                 std::to_string(format::branch_epochs_max) + " reigns lie between";
  }
  return loss;
}

}  // namespace mars::replication
