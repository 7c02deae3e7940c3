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

// The log disk is full: room is made as give_up_worst() says (G4, as far as it goes here).
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
  // Each member may be given up once, one look is for what was freed before, and some are for what others free.
  constexpr size_t looks_at_others = 8;
  size_t looks = environment_.members(options_.resource).size() + 1 + looks_at_others;
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

// First what nobody misses goes, ours before that of other resources; then the longest log that is kept for somebody,
// ours or another one's.
Task<bool> Replica::give_up_worst() {
  if (co_await free_what_nobody_needs()) co_return true;
  const RoomOffer beside = environment_.room_beside(options_.resource);
  Sacrifice mine = least_sacrifice();
  if (beside.spare > 0 || beside.claims > mine.bytes) {
    environment_.ask_for_room(options_.resource, beside.spare > 0 ? RoomRequest::spare : RoomRequest::claims);
    co_return true;
  }
  const bool is_any = !mine.members.empty();
  if (is_any) co_await give_up(std::move(mine));
  co_return is_any;
}

Task<bool> Replica::free_what_nobody_needs() {
  // Who was given up last, or has caught up since, may just have let go of a file.
  const size_t files = log_->segments().all().size();
  co_await trim_in_turn();
  const bool is_short = log_->needs_space() || log_->segments().is_short();
  if (!is_short || log_->segments().all().size() < files) co_return true;
  if (!co_await shrink_branch(0)) co_return false;
  co_await trim_in_turn();  // which looks whether that was enough
  co_return true;
}

// A claim is given up for room alone: where the data disk holds the same file, or another member does whose claim would
// have to go too, the least that frees one is told.
Sacrifice Replica::least_sacrifice() const {
  const Lsn applied = state_->failed() == Status::ok ? state_->newest_applied() : state_->durable_applied();
  std::vector<std::pair<Lsn, Uuid>> claims;
  for (const Uuid& member : environment_.awaited(options_.resource)) {
    if (member == environment_.self()) continue;
    const auto from = needed_from(member);
    if (from && *from < applied) claims.emplace_back(*from, member);
  }
  std::ranges::sort(claims);
  Sacrifice sacrifice;
  for (size_t i = 0; i < claims.size() && sacrifice.bytes == 0; ++i) {
    sacrifice.members.push_back(claims[i].second);
    sacrifice.bytes = log_->bytes_below(i + 1 < claims.size() ? claims[i + 1].first : applied);
  }
  if (sacrifice.bytes == 0) sacrifice.members.clear();
  return sacrifice;
}

Task<void> Replica::give_up(Sacrifice sacrifice) {
  for (const Uuid& member : sacrifice.members) {
    reached("room: a replica's log is given up");
    given_up_.insert(member);
    pins_.erase(member);
    // What it is just being sent holds a file of the log, for as long as its link takes.
    for (net::Channel* channel : served_channels_) {
      if (channel->peer() == member) channel->close({Status::not_found, "the log is not kept any longer for you"});
    }
    environment_.event(options_.resource, "the log disk is full: the log is not kept any longer for " +
                                              environment_.host_name(member) + "; it will be synced by digests");
  }
  co_await trim_in_turn();
}

// ---- room for other resources

uint64_t Replica::log_bytes() const {
  return log_ == nullptr ? 0 : log_->segments().bytes() + log_->segments().branch_bytes();
}

RoomOffer Replica::room_offer() const {
  if (log_ == nullptr || is_leaving_ || stop_.is_set()) return {};
  bricks::Segments& segments = log_->segments();
  RoomOffer offer;
  offer.spare = segments.spare_bytes() + segments.branch_bytes() + log_->bytes_below(trim_limit());
  offer.claims = least_sacrifice().bytes;
  // What could not be had a moment ago is not hoped for at once: nobody else would be asked meanwhile.
  const bool is_new = machine_.now() >= in_vain_until_;
  if (!is_new && offer.spare <= offer_in_vain_.spare) offer.spare = 0;
  if (!is_new && offer.claims <= offer_in_vain_.claims) offer.claims = 0;
  return offer;
}

void Replica::ask_for_room(RoomRequest request) {
  if (log_ == nullptr || is_leaving_ || stop_.is_set() || is_making_room_) return;
  is_making_room_ = true;
  scope_.spawn(make_room_for_others(request));
}

Task<void> Replica::make_room_for_others(RoomRequest request) {
  co_await room_turn_.acquire();
  const RoomOffer offer = room_offer();
  if (offer.spare > 0 || offer.claims > 0) {
    const uint64_t before = log_bytes();
    const bool gives_up = offer.spare == 0 && request == RoomRequest::claims;
    if (gives_up) {
      Sacrifice sacrifice = least_sacrifice();
      co_await give_up(std::move(sacrifice));
    } else {
      co_await trim_in_turn();
      co_await shrink_branch(0);
    }
    // What was trimmed has become a spare file: it would help nobody else.
    if (co_await log_->segments().drop_spares() != Status::ok)
      environment_.event(options_.resource, "a spare file of the log cannot be removed");
    if (log_bytes() < before) {
      reached("room: made for another resource");
      environment_.room_was_made();
    } else {
      offer_in_vain_ = gives_up ? RoomOffer{0, offer.claims} : RoomOffer{offer.spare, 0};
      in_vain_until_ = machine_.now() + 10s;
    }
  }
  is_making_room_ = false;
  room_turn_.release(1);
}

void Replica::room_was_made() {
  if (log_ != nullptr && log_->needs_space()) log_->space_freed();
}

std::string Replica::who_fills_log_disk() const {
  const LogBeside longest = environment_.longest_log_beside(options_.resource);
  if (longest.bytes <= log_bytes()) return {};
  return "; the longest log there is that of " + longest.resource + " (" + std::to_string(longest.bytes >> 20) +
         " MiB)";
}

}  // namespace mars::replication
