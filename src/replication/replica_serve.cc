// Replica: what it answers to other members: its log, its extents, and whether it is ready to take over.
#include <algorithm>

#include "base/probe.h"
#include "replication/replica.h"
#include "replication/sync_messages.h"
#include "xio/port.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using format::ReplicaState;

// Counts one conversation, so that the log is not taken from under it.
class Replica::Serving {
 public:
  Serving(Replica& replica, net::Channel& channel) : replica_(replica), channel_(channel) {
    ++replica_.serving_count_;
    replica_.served_channels_.push_back(&channel);
  }
  ~Serving() {
    std::erase(replica_.served_channels_, &channel_);
    if (--replica_.serving_count_ == 0) replica_.served_.notify();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

 private:
  Replica& replica_;
  net::Channel& channel_;
};

// A peer has one conversation about the log here and one about the extents. A newer one ends the former, and takes
// memory when that is gone: so whoever opens many, or opens and closes them without end, holds what one holds.
class Replica::Place {
 public:
  Place(Replica& replica, net::Channel& channel) : replica_(replica), channel_(channel) {
    for (net::Channel* other : replica_.places_) {
      if (is_alike(*other)) other->close({Status::exists, "a newer conversation takes its place"});
    }
    replica_.places_.push_back(&channel);
    replica_.served_.notify();                                        // they may wait for this,
    if (replica_.log_ != nullptr) replica_.log_->changed().notify();  // or for that
  }
  ~Place() {
    std::erase(replica_.places_, &channel_);
    replica_.served_.notify();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  bool is_free() const {
    const auto alike = [this](const net::Channel* other) { return is_alike(*other); };
    return *std::ranges::find_if(replica_.places_, alike) == &channel_;
  }

 private:
  bool is_alike(const net::Channel& other) const {
    return other.peer() == channel_.peer() && other.service() == channel_.service();
  }
  Replica& replica_;
  net::Channel& channel_;
};

// False: it is over before it was its turn.
Task<bool> Replica::take(const Place& place, const net::Channel& channel) {
  while (!place.is_free() && channel.is_open() && !serving_stop_.is_set()) {
    co_await io::wait_until(machine_, served_, machine_.now() + 1s);
  }
  co_return channel.is_open() && !serving_stop_.is_set();
}

Task<Result<net::Bytes>> Replica::receive_within(net::Channel& channel, io::Duration limit) {
  bool expired = false;
  struct Late {
    net::Channel& channel;
    bool& expired;
  } late{channel, expired};
  io::Timer timer(
      machine_,
      [](void* context) {
        auto& self = *static_cast<Late*>(context);
        self.expired = true;
        self.channel.close();
      },
      &late);
  timer.arm_in(limit);
  auto message = co_await channel.receive();
  timer.cancel();
  if (!message && expired) co_return failure(Status::timed_out, "no answer in time");
  co_return message;
}

// ---- the log

// Where the fetcher stands must be a position of our branch, with the same hash (rung 1).
Error Replica::check_fetch(const Uuid& target, const Tip& from) const {
  if (log_ == nullptr) return {Status::unreachable, "the replica is not attached"};
  const bricks::Branch& branch = log_->branch();
  const Tip end = log_->durable();
  if (from.position.lsn > end.position.lsn) return {Status::end, "nothing is here behind that position"};
  const bool is_given_up = given_up_.contains(target) && from.position.lsn < trim_limit();
  if (is_given_up || from.position.lsn < log_->oldest()) {
    return {Status::not_found, "that part of the log is not kept any longer"};
  }
  const format::BranchEpoch* epoch = bricks::find_epoch(branch, from.position.epoch);
  if (epoch == nullptr || (epoch->ended && epoch->end < from.position.lsn) || from.position.lsn < epoch->first) {
    return {Status::forked, "that position is on another branch"};
  }
  if (from.position.lsn == end.position.lsn && from.hash != end.hash) return {Status::forked, "the histories differ"};
  return Status::ok;
}

Task<void> Replica::serve_log(std::unique_ptr<net::Channel> channel, net::Bytes opening) {
  Serving serving(*this, *channel);
  Reader reader(opening);
  read_uuid(reader);
  const Tip from = read_tip(reader);
  if (!reader.finished()) co_return channel->close({Status::invalid, "a malformed request for the log"});
  const Place place(*this, *channel);
  if (!co_await take(place, *channel)) co_return;
  if (barred_ > 0) co_return channel->close({Status::unreachable, "the replica is just changing"});
  if (Error problem = check_fetch(channel->peer(), from); problem.status != Status::ok)
    co_return channel->close(problem);
  bricks::LogReader log(log_->segments(), log_->options(), log_->branch(), from);
  while (channel->is_open() && !serving_stop_.is_set()) {
    const Lsn limit = std::min(log_->durable().position.lsn, serve_limit_);
    if (log.tip().position.lsn >= limit) {
      co_await io::wait_until(machine_, log_->changed(), machine_.now() + 1s);
      continue;
    }
    auto batch = co_await log.next(limit);
    if (!batch && batch.error().status == Status::end) {
      co_await io::wait_until(machine_, log_->changed(), machine_.now() + 1s);
      continue;
    }
    if (!batch) {
      const bool is_start = log.tip() == from;
      const Status status = is_start && batch.error().status == Status::damaged ? Status::forked : Status::not_found;
      co_return channel->close({status, "the log cannot be read here: " + batch.error().text});
    }
    net::Bytes bytes(batch->bytes.begin(), batch->bytes.end());
    if (co_await channel->send(std::move(bytes)) != Status::ok) co_return;
  }
}

// ---- extents (S3)

// Whose log has lost an end that it once had may have a disk that is ahead of it: it serves nobody (D12, T10).
bool Replica::may_serve_extents() const {
  return log_ != nullptr && state_->value().state == ReplicaState::consistent && is_log_whole();
}

// The target's q: where its log will begin. The primary reads through memory, so everything admitted up to its durable
// end is inside; a secondary answers with what it has applied.
Task<void> Replica::serve_sync(std::unique_ptr<net::Channel> channel, net::Bytes opening) {
  Serving serving(*this, *channel);
  const Uuid target = channel->peer();
  const Error not_whole(Status::refused, "this replica is not consistent itself");
  if (opening.size() == whole_copy_question_bytes) {
    if (barred_ > 0 || is_giving_up_ || !may_serve_extents()) co_return channel->close(not_whole);
    static_cast<void>(co_await channel->send(net::Bytes(1)));
    co_return channel->close();
  }
  const Place place(*this, *channel);
  if (!co_await take(place, *channel)) co_return;
  const bool is_whole = barred_ == 0 && !is_giving_up_ && may_serve_extents();
  // What others remember of a secondary's log may prove that its disk is ahead of it; a release that has not left
  // hides.
  const bool is_known = !is_releasing_ && (role_ == Role::primary || has_heard());
  const bool is_ready = is_whole && is_known && (role_ == Role::primary ? logger_ != nullptr : replayer_ != nullptr);
  if (!is_ready || opening.size() != 16) {
    co_return channel->close(not_whole);
  }
  const bool is_primary = role_ == Role::primary;
  SyncHeader header;
  header.q = is_primary ? log_->durable() : replayer_->applied();
  header.branch = log_->branch();
  header.admitted = log_->admitted();
  header.volume_bytes = options_.volume_bytes;
  const uint64_t number = ++pin_number_;
  pins_[target] = {header.q.position.lsn, number};
  bricks::cut(header.branch, header.q.position.lsn);
  Status status = co_await channel->send(encode(header));
  xio::Output& output = is_primary ? static_cast<xio::Output&>(*logger_) : *data_;
  xio::Port port(output, xio::Priority::background);
  AlignedBuffer buffer(sync_range_bytes);
  while (status == Status::ok && channel->is_open() && !serving_stop_.is_set()) {
    auto message = co_await receive_within(*channel, 60s);
    if (!message) break;
    auto request = decode_sync_request(*message);
    const bool fits = request && request->offset <= options_.volume_bytes &&
                      request->bytes <= options_.volume_bytes - request->offset && request->bytes <= sync_range_bytes;
    if (!fits) break;
    // A disk that is slower than the target has always a read under way.
    while (draining_ > 0 && channel->is_open() && !serving_stop_.is_set()) {
      co_await io::wait_until(machine_, served_, machine_.now() + 100ms);
    }
    if (serving_stop_.is_set()) break;
    status = co_await answer_range(*channel, port, *request, buffer);
  }
  Error why = Status::ok;
  if (status == Status::io_error) why = {status, "the source cannot read its data disk"};
  if (status == Status::refused) why = {status, "the source has learned that it is not consistent itself"};
  channel->close(why);
  // The pin ends with its conversation; what the target says of its own log pins from here on.
  if (const auto pin = pins_.find(target); pin != pins_.end() && pin->second.number == number) pins_.erase(pin);
}

// Everything that the bytes may contain must be durable in the log before they leave: else a power failure here would
// leave bytes of no history there.
Task<Status> Replica::answer_range(net::Channel& channel, xio::Port& port, const SyncRequest& request,
                                   AlignedBuffer& buffer) {
  const auto part = buffer.span().first(request.bytes);
  {
    if (served_reads_ == 0) served_at_ = machine_.now();
    const Counted reading(served_reads_);
    if (Status status = co_await port.read(request.offset, part); status != Status::ok) co_return status;
    served_at_ = machine_.now();
  }
  SyncAnswer answer;
  answer.offset = request.offset;
  answer.bytes = request.bytes;
  if (logger_ != nullptr) {
    auto durable = co_await logger_->durable_admitted();
    // A log that is full gets room by and by; to break off would mean to begin again at the first block.
    while (!durable && durable.error().status == Status::no_space && channel.is_open() && !serving_stop_.is_set()) {
      co_await io::wait_until(machine_, log_->changed(), machine_.now() + 100ms);
      durable = co_await logger_->durable_admitted();
    }
    if (!durable) co_return durable.error().status;
    answer.c = {log_->durable().position.epoch, *durable};
  } else {
    answer.c = log_->durable().position;
  }
  // What was heard meanwhile may say that this disk is no version of anything.
  if (!may_serve_extents()) co_return Status::refused;
  if (hash(part) == request.digest) {
    answer.kind = SyncKind::equal;
  } else if (all_zero(part)) {
    answer.kind = SyncKind::zeroes;
  } else {
    answer.kind = SyncKind::bytes;
    answer.payload.assign(part.begin(), part.end());
  }
  co_return co_await channel.send(encode(answer));
}

// ---- handover (T4)

Error Replica::check_successor() const {
  if (barred_ > 0 || log_ == nullptr || role_ != Role::following || replayer_ == nullptr)
    return {Status::refused, "not following"};
  if (state_->value().state != ReplicaState::consistent) return {Status::refused, "not consistent"};
  if (is_giving_up_) return {Status::refused, "it is being given up"};
  if (is_forked_) return {Status::forked, "the histories have parted"};
  if (!is_log_whole()) return {Status::refused, "its log has lost its end"};
  const control::Switches on = environment_.switches(options_.resource);
  if (!on.fetch || !on.replay) return {Status::refused, "fetch or replay is paused"};
  if (replayer_->failed().status != Status::ok) return {Status::refused, replayer_->failed().text};
  if (served_reads_ > 0 && machine_.now() >= served_at_ + disk_patience)
    return {Status::refused, "its data disk does not answer"};
  return Status::ok;
}

Task<void> Replica::serve_handover(std::unique_ptr<net::Channel> channel, net::Bytes) {
  Serving serving(*this, *channel);
  if (Error problem = check_successor(); problem.status != Status::ok) co_return channel->close(problem);
  const Counted succession(successions_);
  if (co_await channel->send({}) != Status::ok) co_return;
  auto message = co_await receive_within(*channel, 60s);
  if (!message) co_return;
  Reader reader(*message);
  const Tip final_position = read_tip(reader);
  if (!reader.finished()) co_return channel->close({Status::invalid, "a malformed position"});
  const Lsn end = final_position.position.lsn;
  // By epoch and hash, not by LSN alone: what was confirmed is what will be released (T4).
  const auto has_parted = [&] {
    const Tip& mine = log_->durable();
    return mine.position.lsn > end || (mine.position.lsn == end && mine != final_position);
  };
  while (channel->is_open() && !serving_stop_.is_set() && check_successor().status == Status::ok) {
    if (has_parted()) co_return channel->close({Status::forked, "the histories have parted"});
    if (log_->durable().position.lsn >= end && replayer_->applied().position.lsn >= end) {
      if (co_await channel->send({}) != Status::ok) co_return;
      break;
    }
    replayer_->hurry();
    co_await io::wait_until(machine_, replayer_->changed(), machine_.now() + 100ms);
  }
  if (Error problem = check_successor(); problem.status != Status::ok) co_return channel->close(problem);
  // Stays until the other side has released or given up.
  co_await receive_within(*channel, 60s);
}

Task<void> Replica::end_serving() {
  stop_serving();
  while (serving_count_ > 0) co_await served_.wait();
  serving_stop_.reset();
}

void Replica::stop_serving() {
  serving_stop_.set();
  for (net::Channel* channel : served_channels_) channel->close();
  if (log_ != nullptr) log_->changed().notify();
  if (replayer_ != nullptr) replayer_->changed().notify();
}

// False: a disk does not answer a read for somebody else, and it was said which. What waits for it ends by itself when
// it answers, its channel is closed.
Task<bool> Replica::end_serving_patiently() {
  stop_serving();
  const io::Instant deadline = machine_.now() + disk_patience;
  while (serving_count_ > 0 && machine_.now() < deadline) co_await io::wait_until(machine_, served_, deadline);
  serving_stop_.reset();
  if (serving_count_ == 0) co_return true;
  reached("serve: a disk does not answer");
  if (served_reads_ > 0) {
    say(State::disk_failed, "the data disk " + options_.disk + " does not answer", out_of_bad_disk());
  } else {
    say(State::log_failed, "the log disk does not answer", "check the log disk");
  }
  co_return false;
}

}  // namespace mars::replication
