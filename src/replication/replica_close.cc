// Replica: how a reign closes.
#include <utility>

#include "base/probe.h"
#include "replication/replica.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;

// Another reign began where ours ends, and nothing of ours lies behind that point: the right is void (row 4). We step
// down as soon as nobody uses the device; what is written until then makes it a fork.
Task<bool> Replica::step_down() {
  if (facts().rival != Rival::at_end) co_return false;
  reached("role: deposed, nothing lost");
  auto closed = co_await close_for_good();
  if (!closed) {
    const bool is_full = log_->needs_space();
    say(State::fork,
        "another host was forced primary, and " + sentence_of_open_device(closed.error()) +
            (is_full ? "; the log disk is full, and its users wait for room" : "") + failed_disks(),
        is_full ? "make room on the log disk and end its use here; or restart marsd, which takes it away from its users"
                : "end its use here; what is written from now on makes two histories");
    co_return true;
  }
  // As in close_primary(): what waits for memory that a failed disk does not give back would wait for ever.
  const Status drained = co_await drain_patiently();
  if (drained == Status::timed_out) {
    say_slow_disk();
    co_return true;
  }
  if (drained != Status::ok) tell_undrained();
  co_await close_logger();
  // Nothing has failed: it may follow, or be forced again.
  static_cast<void>(co_await log_->forget_given_up());
  role_ = Role::closed;
  environment_.event(options_.resource, std::string("another host was forced primary") +
                                            (drained == Status::ok ? " and nothing is lost here" : "") +
                                            ": the device is closed");
  wake_.notify();
  co_return true;
}

// The wish is "nobody": the token is parked here (T6).
Task<void> Replica::close_primary() {
  const Designated wanted = environment_.designated(options_.resource);
  auto closed = co_await device_->close();
  if (!closed) co_return co_await refuse(wanted, sentence_of_open_device(closed.error()));
  const Status drained = co_await drain_patiently();
  // The device stays closed, and the next step goes on with it.
  if (drained == Status::timed_out) co_return say_slow_disk();
  if (drained == Status::no_space) {
    co_return say(State::waiting_for_space,
                  "closed, but the log disk is full: what was written last is only in memory" + failed_disks(),
                  "make room on the log disk");
  }
  if (drained != Status::ok) tell_undrained();
  co_await close_logger();
  role_ = Role::closed;
  environment_.event(options_.resource, "the device is closed; the right to write stays parked here");
  wake_.notify();
}

Task<Status> Replica::drain() {
  const Counted draining(draining_);
  co_return co_await logger_->drain();
}

// A disk that hangs, or is very slow, would keep the device closed and everybody waiting: the right stays here then.
Task<Status> Replica::drain_patiently(io::Duration limit, io::Duration patience) {
  const Counted draining(draining_);
  const io::Instant last = machine_.now() + limit;
  uint64_t written = written_bytes();
  io::Instant moved = machine_.now();
  for (;;) {
    const io::Instant look = std::min(last, machine_.now() + 1s);
    Status status = Status::ok;
    if (logger_ != nullptr) {
      status = co_await logger_->drain(look);
    } else if (replayer_ != nullptr) {
      status = co_await replayer_->rest(look);
    }
    if (status != Status::timed_out) co_return status;
    if (is_handover_taken_back()) co_return Status::stopped;
    if (std::exchange(written, written_bytes()) != written) moved = machine_.now();
    if (machine_.now() >= std::min(last, moved + patience)) co_return status;
  }
}

// What hangs keeps whoever waits for it, and with him the turn, for ever. Before something ends that must not wait so:
// why not, else ok. timed_out.
Task<Error> Replica::what_hangs(io::Duration patience) {
  const uint64_t written = written_bytes();
  const bool is_late = co_await drain_patiently(patience, patience) == Status::timed_out;
  // Who reads all the time keeps a device from being drained, and no disk hangs.
  const bool is_waited_for = logger_ == nullptr || logger_->waits_for_log() || !logger_->is_written_back();
  if (is_late && is_waited_for && written_bytes() == written)
    co_return Error(Status::timed_out, sentence_of_slow_disk());
  co_return co_await why_no_answer(patience);
}

// A read tells: what is not dirty hangs, too.
Task<Error> Replica::why_no_answer(io::Duration patience) {
  if (disk_file_ == nullptr) co_return Error(Status::ok);
  if (probes_ == 0) {
    ++probes_;
    probing_.spawn(probe_disk());
  }
  const io::Instant deadline = machine_.now() + patience;
  while (probes_ > 0 && machine_.now() < deadline) co_await io::wait_until(machine_, wake_, deadline);
  if (probes_ == 0) co_return Error(Status::ok);
  co_return Error(Status::timed_out, "the data disk " + options_.disk + " does not answer: look at it, then ask again");
}

// With an error it answers, too.
Task<void> Replica::probe_disk() {
  AlignedBuffer buffer(disk_file_->geometry().block_bytes);
  static_cast<void>(co_await io::read(*disk_file_, 0, buffer.span()));
  --probes_;
  wake_.notify();
}

std::string Replica::sentence_of_open_device(const Error& why) {
  return (why.status == Status::busy ? "the device is in use: " : "the device cannot be closed: ") + why.text;
}

std::string Replica::slow_disk() const {
  return logger_ != nullptr && logger_->waits_for_log() ? "the log disk" : "the data disk " + options_.disk;
}

std::string Replica::sentence_of_slow_disk() const {
  return slow_disk() + " does not take what was written: look at it, then ask again";
}

void Replica::say_slow_disk() {
  say(logger_->waits_for_log() ? State::log_failed : State::disk_failed, "closed, but " + sentence_of_slow_disk(),
      "check " + slow_disk());
}

void Replica::tell_undrained() {
  environment_.event(options_.resource, log_->failed() || logger_->durable_sequence() < logger_->admitted()
                                            ? "closed with acknowledged writes that are only in memory: they "
                                              "are kept there until the log can be written"
                                            : "closed with writes that are only in the log");
}

Task<void> Replica::close_logger() {
  const Counted barred(barred_);
  co_await end_serving();
  if (logger_ == nullptr) co_return;
  co_await logger_->stop();
  co_await look_at_disk();
  graph_.remove("device");
  entrance_.reset();
  co_await insertions_.drop_unused();
  graph_.remove("trans_logger");
  logger_.reset();
  co_await insertions_.drop_unused();
}

}  // namespace mars::replication
