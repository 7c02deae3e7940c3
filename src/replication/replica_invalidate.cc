// Replica: the operator gives this copy up (T9, P6).
#include <algorithm>

#include "base/probe.h"
#include "replication/replica.h"
#include "replication/sync_messages.h"

namespace mars::replication {

using namespace std::chrono_literals;
using format::ReplicaState;
using format::StateBlock;

namespace {
constexpr io::Duration confirmation_patience = 5s;
constexpr io::Duration hearing_patience = 1s;
}  // namespace

// This copy goes for good, with what only it has. From here on it neither opens nor confirms anything to others, until
// stays_after_all().
Task<Result<void>> Replica::agree_to_leave() {
  co_await turn_.acquire();
  is_giving_up_ = true;
  auto result = co_await may_leave();
  if (result) {
    Status status = Status::ok;
    if (log_ != nullptr) {
      Life life = life_;
      give_up_rights(life, log_->branch(), environment_.self());
      give_up_sides(life);
      co_await look_at_disk();
      life.is_disk_doubted = state_->value().sweep.rewrites;
      status = co_await leave_life(machine_, options_.state_directory, std::move(life));
    } else {
      // Detached, or its disk is away: its rights are given up all the same (T2).
      std::vector<bricks::Branch> branches;
      for (const auto& [host, peer] : peers_) branches.push_back(peer.branch);
      status = co_await leave_rights(machine_, options_.state_directory, environment_.self(), std::move(branches));
    }
    if (status != Status::ok) result = failure(status, "cannot write " + options_.state_directory + ".left");
  }
  if (!result) is_giving_up_ = false;
  turn_.release(1);
  co_return result;
}

// Of a replica that has left, and whose last flush failed since it said so.
Task<void> Replica::leave_doubt() {
  if (!is_giving_up_ || !state_->value().sweep.rewrites) co_return;
  auto left = co_await read_left_life(machine_, options_.state_directory);
  if (!left || left->id != life_.id || left->is_disk_doubted) co_return;
  left->is_disk_doubted = true;
  if (co_await leave_life(machine_, options_.state_directory, std::move(*left)) == Status::ok) co_return;
  environment_.event(options_.resource, "a flush of " + options_.disk +
                                            " failed while this replica left, and that could not be written down: "
                                            "check that disk before it is joined again");
}

void Replica::stays_after_all() {
  is_giving_up_ = false;
  wake_.notify();
}

Task<Result<void>> Replica::may_leave() {
  const Report mine = report();
  if (mine.is_primary || mine.is_holder) {
    co_return failure(Status::refused, "this host has the right to write " + options_.name);
  }
  if (successions_ > 0 || wish() == Wish::me) {
    co_return failure(Status::refused, "this host is to become primary: run `marsadm primary " + options_.name +
                                           "` on the host that shall be it first");
  }
  // What a detached disk has is not known now; it may be all that there is.
  if (mine.is_attached && !mine.is_consistent) co_return Result<void>();
  const auto is_anybody_connected = [this] {
    return std::ranges::any_of(peers_, [&](const auto& peer) {
      return peer.second.is_attached && peer.second.is_consistent && environment_.is_connected(peer.first);
    });
  };
  if (is_anybody_connected()) {
    auto kept = co_await confirm_elsewhere();
    if (kept || is_anybody_connected()) co_return kept;
  }
  // Of those who cannot be asked what was last heard has to do; who is connected says itself that it has none.
  for (const Uuid& member : environment_.members(options_.resource)) {
    if (member == environment_.self() || environment_.is_connected(member)) continue;
    const auto peer = peers_.find(member);
    const auto memory = memories_.find(member);
    const bool is_heard_whole = peer != peers_.end() && peer->second.is_consistent && peer->second.is_whole;
    const bool is_remembered =
        peer == peers_.end() && memory != memories_.end() && !memory->second.what.tip.position.is_none();
    if (is_heard_whole || is_remembered) co_return Result<void>();
  }
  co_return failure(Status::refused, "no other replica is known to be consistent: this may be the only good copy");
}

// The operator gives this copy up: its log is kept in branch/, the disk will be compared with another replica's.
Task<Result<void>> Replica::invalidate(std::function<bool()> is_over) {
  co_await turn_.acquire();
  if (is_giving_up_) {
    turn_.release(1);
    co_return failure(Status::refused, "this host is just leaving the resource");
  }
  is_giving_up_ = true;
  auto result = co_await invalidate_in_turn(is_over);
  is_giving_up_ = false;
  turn_.release(1);
  wake_.notify();
  co_return result;
}

// What others have may be older, and nobody would have the right to write (T2). Who has confirmed a handover gets it.
Result<void> Replica::holds_no_right() const {
  if (has_parted()) return {};
  const std::string way_out = ": run `marsadm primary " + options_.name + "` on another host first";
  if (successions_ > 0) return failure(Status::refused, "a handover to this host is under way" + way_out);
  if (report().is_holder) return failure(Status::refused, "this host holds the right to write" + way_out);
  return {};
}

Task<Result<void>> Replica::invalidate_in_turn(const std::function<bool()>& is_over) {
  if (log_ == nullptr) co_return failure(Status::refused, "the replica is not attached: " + reason_);
  if (role_ == Role::primary && !has_parted()) {
    co_return failure(Status::refused,
                      "this host is primary: run `marsadm primary " + options_.name + "` on another host first");
  }
  if (auto free = holds_no_right(); !free) co_return free;
  if (auto kept = co_await confirm_elsewhere(); !kept) co_return kept;
  if (Error why = co_await what_hangs(30s); why.status != Status::ok) co_return failure(Status::refused, why.text);
  if (is_over && is_over()) co_return failure(Status::stopped, "nobody waits for this any more");
  if (role_ == Role::primary) {
    if (!has_parted()) co_return failure(Status::refused, "the fork is over, and this host is primary");
    auto closed = co_await close_for_good();
    if (!closed) co_return closed;
  }
  if (has_parted() && co_await withdraw_wish() != Status::ok) {
    co_return failure(Status::io_error, "the wish could not be written down");
  }
  const Counted barred(barred_);
  co_await end_serving();
  if (role_ == Role::primary) co_await close_logger();
  co_await end_following();
  role_ = Role::closed;
  // The release that names this host may have been fetched meanwhile.
  if (auto free = holds_no_right(); !free) {
    static_cast<void>(co_await log_->forget_given_up());
    co_return free;
  }
  Life life = life_;
  life.id = random_uuid(machine_);
  give_up_rights(life, log_->branch(), environment_.self());
  give_up_sides(life);
  Status status = co_await write_life(machine_, options_.state_directory, life);
  if (status == Status::ok) {
    life_ = life;
    status = co_await state_->update([](StateBlock& state) { state.state = ReplicaState::fresh; });
  }
  if (status == Status::ok) status = co_await log_->restart({}, {}, true);
  if (status == Status::ok) status = co_await state_->update(&Replica::forget_history);
  if (status != Status::ok) co_return failure(status, "cannot write to the state directory or the log disk");
  forget_former_log();
  is_forked_ = false;
  reached("fork: invalidated");
  environment_.event(options_.resource, "invalidated: the former log is kept in branch/, the disk will be synced");
  co_return Result<void>();
}

// Of each fork that is known here, this side: others that are on it are no source for what was given up (T9). Not where
// the holder of this side goes on: then this copy is given up, and no side.
void Replica::give_up_sides(Life& life) const {
  // What is being synced is no side any more: the verdict that led to that stands.
  if (state_->value().state != ReplicaState::consistent) return;
  life.lost_sides.clear();
  const Lsn end = log_->durable().position.lsn;
  const bool goes_on = std::ranges::any_of(peers_, [&](const auto& peer) {
    const bool is_here = environment_.is_connected(peer.first) && peer.second.is_attached;
    return is_here && peer.second.is_holder && peer.second.state != control::State::fork &&
           !is_overruled(peer.second) && !has_parted_from(peer.second);
  });
  if (goes_on) return;
  for (const auto& [host, peer] : peers_) {
    if (!has_parted_from(peer) || is_force_taken_back(peer)) continue;
    give_up_side(life, log_->branch(), end, peer.branch, peer.durable.position.lsn);
  }
}

// Who is given up is not wanted as primary any longer: else the winner would hand over to it by surprise (T6). That the
// winner was just forced may not have been heard yet: "nobody" would close its device again.
Task<Status> Replica::withdraw_wish() {
  const auto primary = [this]() -> Uuid {
    for (const auto& [host, peer] : peers_) {
      if (peer.is_primary && environment_.is_connected(host)) return host;
    }
    return {};
  };
  const io::Instant deadline = machine_.now() + hearing_patience;
  while (wish() == Wish::me && primary().is_nil() && machine_.now() < deadline && !stop_.is_set()) {
    co_await io::wait_until(machine_, wake_, machine_.now() + 100ms);
  }
  Designated mine = environment_.designated(options_.resource);
  if (mine.host != environment_.self()) co_return Status::ok;
  Designated wanted{primary(), random_uuid(machine_), {}};
  const Status status = co_await environment_.redesignate(options_.resource, std::move(mine), std::move(wanted));
  co_return status == Status::refused ? Status::ok : status;
}

// Somebody else must have a whole copy, and say so now: a report may be older than its sender's own invalidation. Who
// is being given up itself confirms nothing, so of two that are given up at the same moment neither is.
Task<Result<void>> Replica::confirm_elsewhere() {
  const io::Instant deadline = machine_.now() + confirmation_patience;
  for (;;) {
    std::vector<Uuid> candidates;
    for (const auto& [host, peer] : peers_) {
      if (peer.is_attached && peer.is_consistent && environment_.is_connected(host)) candidates.push_back(host);
    }
    if (candidates.empty()) {
      co_return failure(Status::refused, "no other consistent replica is connected: this may be the only good copy");
    }
    Error why = Status::refused;
    for (const Uuid& host : candidates) {
      why = co_await ask_for_a_whole_copy(host);
      if (why.status == Status::ok) co_return Result<void>();
      why.text = environment_.host_name(host) + " does not confirm that it has a whole copy: " + why.text;
    }
    if (stop_.is_set() || machine_.now() >= deadline) co_return failure(Status::refused, why.text + "; try again");
    co_await io::sleep_for(machine_, 200ms, stop_);
  }
}

Task<Error> Replica::ask_for_a_whole_copy(Uuid host) {
  net::Bytes opening;
  Writer writer(opening);
  write_uuid(writer, options_.resource);
  writer.u8(0);
  CHECK(opening.size() == whole_copy_question_bytes);
  auto channel = environment_.open_channel(host, sync_service, std::move(opening), sync_window);
  if (channel == nullptr) co_return Error(Status::unreachable, "it is not connected");
  auto answer = co_await receive_within(*channel, 2s);
  channel->close();
  co_return answer ? Error(Status::ok) : answer.error();
}

void Replica::forget_history(StateBlock& state) {
  state.state = ReplicaState::fresh;
  state.applied = {};
  state.durable = {};
  state.admitted = 0;
  state.gone.clear();
  state.pool_id = {};
  state.branch.clear();
  const bool rewrites = state.sweep.rewrites;
  state.sweep = {};
  state.sweep.rewrites = rewrites;
}

}  // namespace mars::replication
