// Replica: room on the log disk, and whose log goes for it (D8, D15).
#include <algorithm>

#include "base/probe.h"
#include "replication/replica.h"

namespace mars::replication {

using namespace std::chrono_literals;
using format::StateBlock;

// D15. A member that we have not heard since our start may need everything that we have; one that has nothing in common
// with us will be synced, and pins its q; one whose log was sacrificed pins nothing but
// the q of a sync that it has begun since.
Lsn Replica::trim_limit() const { return trim_limit(state_->durable_applied()); }

Lsn Replica::trim_limit(Lsn applied) const {
  Lsn limit = applied;
  for (const Uuid& member : environment_.awaited(options_.resource)) {
    if (member == environment_.self()) continue;
    if (const auto from = needed_from(member)) limit = std::min(limit, std::max(*from, log_->oldest()));
  }
  return limit;
}

// From where on this member needs our log; zero: who knows. Nothing: it needs none of it.
std::optional<Lsn> Replica::needed_from(const Uuid& member) const {
  std::optional<Lsn> from;
  if (const auto pin = pins_.find(member); pin != pins_.end()) from = pin->second.from;
  if (given_up_.contains(member)) return from;
  const auto peer = peers_.find(member);
  // Since our start it has not said what it has.
  if (peer == peers_.end() || (!peer->second.is_attached && peer->second.branch.empty())) return Lsn{};
  const auto common = bricks::common_position(log_->branch(), log_->durable().position.lsn, peer->second.branch,
                                              peer->second.durable.position.lsn);
  if (common.any) from = std::min(from.value_or(common.position.lsn), common.position.lsn);
  return from;
}

// Its new log begins where the sync did: what it has of that counts from here on.
void Replica::end_pin(const Uuid& member, const Report& report) {
  const auto pin = pins_.find(member);
  if (pin == pins_.end() || !report.is_attached || report.is_consistent) return;
  if (report.oldest == pin->second.from && report.durable.position.lsn > pin->second.from) {
    pins_.erase(pin);
    given_up_.erase(member);
  }
}

Task<void> Replica::trim() {
  co_await room_turn_.acquire();
  if (log_ != nullptr) co_await trim_in_turn();
  room_turn_.release(1);
}

// The older slot of the state block counts when the newest one rots. Where a file waits for nothing else, it is brought
// up: it costs one small write for each file.
Task<void> Replica::bring_older_slot_up() {
  const Lsn from = trim_limit();
  const Lsn to = trim_limit(state_->newest_applied());
  const auto waits = [&](const auto& one) { return one->first() > from && one->first() <= to; };
  // When it cannot be written, the file stays.
  if (std::ranges::any_of(log_->segments().all(), waits))
    static_cast<void>(co_await state_->update([](StateBlock&) {}));
}

Task<void> Replica::trim_in_turn() {
  co_await shrink_branch(branch_segments_max * options_.segment_bytes);
  co_await bring_older_slot_up();
  const Status status = co_await log_->trim(trim_limit());
  if (status != Status::ok && status != Status::gone)
    environment_.event(options_.resource, "the log cannot be trimmed");
}

// Histories that were given up are kept within a bound, and only while there is room (G4): whatever lies in branch/,
// the operator has decided against it, or a crash has left it behind the end of a log.
Task<bool> Replica::shrink_branch(uint64_t bytes_max) {
  if (log_->segments().branch_bytes() <= bytes_max) co_return false;
  auto gone = co_await log_->segments().shrink_branch(bytes_max);
  if (gone) {
    environment_.event(options_.resource, std::to_string(*gone >> 10) + " KiB of given-up history were removed from " +
                                              options_.log_directory + "/branch" +
                                              (bytes_max == 0 ? ": the log disk is full" : ""));
  } else if (gone.error().status != Status::gone) {
    environment_.event(options_.resource, gone.error().text);
  }
  co_return gone.has_value();
}

// The log disk is full: first what was given up goes, then the replica with the worst lag loses its claim on our log
// (G4, as far as it goes here).
// False: nobody is left.
Task<bool> Replica::make_room() {
  co_await room_turn_.acquire();
  bool hopes = false;
  if (log_ != nullptr && log_->needs_space() && tries_at_last_room_ == log_->tries_without_room()) {
    hopes = true;  // whether what was freed last is enough is seen by the next try
  } else if (log_ != nullptr && (log_->needs_space() || log_->segments().is_short())) {
    hopes = co_await give_up_worst();
    tries_at_last_room_ = log_->tries_without_room();
  }
  room_turn_.release(1);
  co_return hopes;
}

// Somebody must end: what no room can be made for fails.
Task<void> Replica::make_room_or_give_up(const bool& is_over) {
  const auto is_wanted = [&] { return log_ != nullptr && log_->needs_space() && !is_over; };
  // Each member may be given up once, and one look is for what was freed before.
  size_t looks = environment_.members(options_.resource).size() + 1;
  for (bool hopes = true; hopes && looks > 0 && is_wanted(); --looks) {
    const uint64_t tries = log_->tries_without_room();
    hopes = co_await make_room();
    // Whether that was enough is seen by the next try.
    const io::Instant deadline = machine_.now() + 10s;
    while (is_wanted() && log_->tries_without_room() == tries && machine_.now() < deadline) {
      co_await io::wait_until(machine_, log_->changed(), machine_.now() + 100ms);
    }
  }
  if (is_wanted()) log_->give_up();
}

// Requests that came last may need room when nobody else makes it any more.
Task<void> Replica::make_room_until(const bool& is_over) {
  while (!is_over) {
    co_await make_room_or_give_up(is_over);
    co_await io::wait_until(machine_, wake_, machine_.now() + 100ms);
  }
}

// Nobody is in it, and what waits for room in a log that is not gone on with would keep the device open for ever.
Task<Result<void>> Replica::close_for_good() {
  auto closed = co_await device_->close();
  const bool waits = !closed && closed.error().status == Status::timed_out && log_->needs_space();
  if (!waits || device_->is_in_use()) co_return closed;
  bool is_closed = false;
  Scope beside(machine_.ready());
  beside.spawn(make_room_until(is_closed));
  closed = co_await device_->close();
  is_closed = true;
  wake_.notify();
  co_await beside.join();
  co_return closed;
}

Task<bool> Replica::give_up_worst() {
  // Who was given up last, or has caught up since, may just have let go of a file.
  const size_t files = log_->segments().all().size();
  co_await trim_in_turn();
  const bool is_short = log_->needs_space() || log_->segments().is_short();
  if (!is_short || log_->segments().all().size() < files) co_return true;
  if (co_await shrink_branch(0)) {
    co_await trim_in_turn();  // which looks whether that was enough
    co_return true;
  }
  std::optional<Uuid> worst;
  Lsn least = state_->newest_applied();
  for (const Uuid& member : environment_.awaited(options_.resource)) {
    if (member == environment_.self()) continue;
    const auto from = needed_from(member);
    if (!from || *from >= least) continue;
    worst = member;
    least = *from;
  }
  if (worst) {
    reached("room: a replica's log is given up");
    given_up_.insert(*worst);
    pins_.erase(*worst);
    // What it is just being sent holds a file of the log, for as long as its link takes.
    for (net::Channel* channel : served_channels_) {
      if (channel->peer() == *worst) channel->close({Status::not_found, "the log is not kept any longer for you"});
    }
    environment_.event(options_.resource, "the log disk is full: the log is not kept any longer for " +
                                              environment_.host_name(*worst) + "; it will be synced by digests");
  }
  co_await trim_in_turn();
  co_return worst.has_value();
}

}  // namespace mars::replication
