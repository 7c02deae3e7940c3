#include "bricks/replayer.h"

#include <algorithm>
#include <cstring>

namespace mars::bricks {

using namespace std::chrono_literals;

Replayer::Replayer(io::Machine& machine, Log& log, StateFile& state, xio::Output& data, ReplayerOptions options)
    : machine_(machine),
      log_(log),
      options_(options),
      write_back_(
          machine, data, state, options.write_back, [](Admitted&, uint64_t, uint64_t) {},
          [this](Admitted& request) { release(request); }),
      window_(machine.ready(), options.window_bytes),
      stop_(machine.ready()),
      wake_(machine.ready()),
      scope_(machine.ready()) {}

Replayer::~Replayer() { CHECK(held_.empty()); }

void Replayer::start(Tip applied) {
  write_back_.start(applied);
  scope_.spawn(work());
}

void Replayer::allow(bool on) {
  allowed_ = on;
  wake_.notify();
}

void Replayer::interrupt() {
  is_interrupted_ = true;
  write_back_.changed().notify();
}

Task<Status> Replayer::catch_up(Lsn lsn, io::Instant deadline) {
  while (applied().position.lsn < lsn) {
    if (failed_.status != Status::ok) co_return failed_.status;
    if (write_back_.failed() != Status::ok) co_return write_back_.failed();
    if (stop_.is_set() || is_interrupted_) co_return Status::stopped;
    if (machine_.now() >= deadline) co_return Status::timed_out;
    write_back_.hurry();
    wake_.notify();
    co_await io::wait_until(machine_, write_back_.changed(), machine_.now() + 50ms);
  }
  co_return Status::ok;
}

Task<Status> Replayer::rest(io::Instant deadline) {
  allow(false);
  while (is_taking_) {  // one more batch is on its way into the window
    if (machine_.now() >= deadline) co_return Status::timed_out;
    co_await io::wait_until(machine_, write_back_.changed(), std::min(deadline, machine_.now() + 50ms));
  }
  co_return co_await write_back_.drain(deadline);
}

Task<void> Replayer::stop() {
  stop_.set();
  wake_.notify();
  log_.changed().notify();
  co_await scope_.join();
  // A clean end knows where it stands; a failed disk, or a dying machine, has nothing more to say.
  if (failed_.status == Status::ok) static_cast<void>(co_await write_back_.drain());
  const Status disk = write_back_.failed();
  if (failed_.status == Status::ok && disk != Status::ok && disk != Status::gone) failed_ = Status::io_error;
  co_await write_back_.stop();
}

Task<void> Replayer::work() {
  LogReader reader(log_.segments(), log_.options(), log_.branch(), applied());
  while (!stop_.is_set() && failed_.status == Status::ok) {
    const bool has_work = allowed_ && reader.tip().position.lsn < log_.durable().position.lsn;
    if (has_work) {
      is_taking_ = true;
      const bool is_taken = co_await take(reader);
      is_taking_ = false;
      if (is_taken) continue;
    }
    if (const Status status = write_back_.failed(); status != Status::ok) {
      // Whatever it says, to whoever asks it is the disk: what the log has is not at fault.
      failed_ = Error(status == Status::gone ? status : Status::io_error,
                      "the data disk failed (" + std::string(name(status)) + ")");
    }
    if (stop_.is_set() || failed_.status != Status::ok) break;
    co_await io::wait_until(machine_, allowed_ ? log_.changed() : wake_, machine_.now() + 200ms);
  }
  write_back_.changed().notify();
}

// The next batch into the window; false when there is none, or it cannot be applied.
Task<bool> Replayer::take(LogReader& reader) {
  auto batch = co_await reader.next(log_.durable().position.lsn);
  if (!batch) {
    // io_error is the data disk's: a log that cannot be read is a damaged one.
    const bool is_unreadable = batch.error().status == Status::io_error;
    if (batch.error().status != Status::end) {
      failed_ = Error(is_unreadable ? Status::damaged : batch.error().status, batch.error().text);
    }
    co_return false;
  }
  if (Status status = check(*batch); status != Status::ok) {
    failed_ = Error(status, "the log at LSN " + to_string(batch->header.identity.lsn) +
                                " changes bytes outside the volume; it is not applied");
    co_return false;
  }
  while (!window_.try_acquire(claim_of(batch->bytes.size()))) {
    if (stop_.is_set() || write_back_.failed() != Status::ok) co_return false;
    write_back_.hurry();
    co_await io::wait_until(machine_, write_back_.changed(), machine_.now() + 50ms);
  }
  feed(*batch);
  co_return true;
}

// Every byte of the log came from outside once: bounds first (D16).
Status Replayer::check(const format::Batch& batch) const {
  for (const format::Record& record : batch.records) {
    if (!is_data(record.op)) continue;
    const bool fits = record.volume == options_.volume && record.length <= options_.bytes &&
                      record.offset <= options_.bytes - record.length && record.length > 0 &&
                      record.offset % options_.block_bytes == 0 && record.length % options_.block_bytes == 0;
    if (!fits) return Status::invalid;
  }
  return Status::ok;
}

void Replayer::feed(const format::Batch& batch) {
  held_.push_back(std::make_unique<Held>());
  Held& held = *held_.back();
  held.bytes = AlignedBuffer(batch.bytes.size());
  std::memcpy(held.bytes.data(), batch.bytes.data(), batch.bytes.size());
  held.used = 1;
  std::vector<Admitted*> requests;
  for (const format::Record& record : batch.records) {
    if (!is_data(record.op)) continue;
    Admitted& request = stock_.take();
    request.op = record.op;
    request.volume = record.volume;
    request.offset = record.offset;
    request.bytes = record.length;
    request.data = record.op == RecordOp::write ? held.bytes.data() + record.payload_offset : nullptr;
    request.held = &held.used;
    ++held.used;
    requests.push_back(&request);
  }
  write_back_.add(requests, batch.header);
  --held.used;
  let_go();
}

void Replayer::let_go() {
  while (!held_.empty() && held_.front()->used == 0) {
    window_.release(claim_of(held_.front()->bytes.size()));
    held_.pop_front();
  }
}

void Replayer::release(Admitted& request) {
  if (request.is_needed()) return;
  --*request.held;
  stock_.give_back(request);
  let_go();
}

}  // namespace mars::bricks
