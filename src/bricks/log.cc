#include "bricks/log.h"

#include <algorithm>

namespace mars::bricks {

using namespace std::chrono_literals;

Log::Log(io::Machine& machine, StateFile& state, SegmentsOptions options)
    : machine_(machine),
      state_(state),
      options_(options),
      segments_(machine, options),
      stop_(machine.ready()),
      space_(machine.ready()),
      changed_(machine.ready()),
      scope_(machine.ready()) {}

Log::~Log() { CHECK(queued_.empty() && submitted_.empty() && unflushed_.empty()); }

void Log::begin_at(Tip tip, Branch branch) {
  branch_ = std::move(branch);
  tail_ = durable_ = tip;
  written_ = tip.position.lsn;
  flush_wanted_ = written_;
  current_ = nullptr;
}

Lsn Log::oldest() const {
  const auto& files = segments_.all();
  return files.empty() ? tail_.position.lsn : std::min(files.front()->first(), durable_.position.lsn);
}

format::BatchIdentity Log::next_identity() const {
  format::BatchIdentity identity;
  identity.cluster = options_.cluster;
  identity.resource = options_.resource;
  identity.epoch = tail_.position.epoch;
  identity.epoch_number = branch_.empty() ? 0 : branch_.back().number;
  identity.lsn = tail_.position.lsn;
  identity.previous = tail_.hash;
  identity.durable = durable_.position.lsn;
  return identity;
}

// ---- appending

void Log::append(Append& append) {
  CHECK(append.header.identity.lsn == tail_.position.lsn && append.header.identity.previous == tail_.hash);
  CHECK(append.pieces.size() <= pieces_max && append.durable != nullptr && !closing_);
  append.op.append = &append;
  append.op.log = this;
  append.is_written = false;
  tail_ = append.header.tip();
  admitted_ = append.header.identity.admitted;
  last_time_ = std::max(last_time_, append.header.identity.time);
  if (append.is_urgent) flush_wanted_ = tail_.position.lsn;
  if (failed()) return finish(append, Status::io_error);
  queued_.push_back(append);
  pump();
}

void Log::pump() {
  while (!queued_.empty() && !failed() && !rolling_) {
    Append& append = queued_.front();
    const uint64_t in_flight = append.header.identity.lsn - written_;
    if (in_flight > 0 && in_flight + append.header.batch_bytes > options_.in_flight_bytes_max) return;
    if (!start_write(append)) {
      rolling_ = true;
      scope_.spawn(roll());
      return;
    }
  }
}

// False when the batch needs another file: the present one is full, or it belongs to an earlier epoch.
bool Log::start_write(Append& append) {
  const format::BatchIdentity& identity = append.header.identity;
  if (current_ == nullptr || current_->header.epoch != identity.epoch || append.header.end() > current_->limit()) {
    return false;
  }
  append.unlink();
  submitted_.push_back(append);
  append.segment = current_;
  append.buffers.clear();
  for (const ByteView& piece : append.pieces) {
    // A write does not change its buffer; the type serves both directions.
    append.buffers.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  }
  append.op.kind = io::FileOp::Kind::write;
  append.op.offset = current_->offset_of(identity.lsn);
  append.op.buffers = append.buffers;
  // Alone and awaited: one round to the disk instead of two.
  append.op.fua = append.is_urgent && !flushing_ && dirty_.empty() && identity.lsn == durable_.position.lsn;
  append.op.run = &Log::on_written;
  current_->file->submit(append.op);
  return true;
}

void Log::on_written(Job& job) {
  auto& op = static_cast<Append::Op&>(job);
  op.append->is_written = true;
  if (op.status != Status::ok) op.log->fail(op.status);
  op.log->advance_written();
}

void Log::advance_written() {
  while (!submitted_.empty() && submitted_.front().is_written) {
    Append& append = *submitted_.pop_front();
    if (failed()) {
      finish(append, Status::io_error);
      continue;
    }
    written_ = append.header.end();
    unflushed_.push_back(append);
    if (append.op.fua && durable_.position.lsn == append.header.identity.lsn) {
      advance_durable(written_);
    } else if (std::find(dirty_.begin(), dirty_.end(), append.segment) == dirty_.end()) {
      dirty_.push_back(append.segment);
    }
  }
  if (failed()) changed_.notify();
  start_flush();
  pump();
}

// ---- durability

void Log::flush() {
  flush_wanted_ = tail_.position.lsn;
  start_flush();
}

// One flush at a time; what is written meanwhile shares the next one. That is the group commit.
void Log::start_flush() {
  if (flushing_ || failed() || dirty_.empty() || flush_wanted_ <= durable_.position.lsn) return;
  flushing_ = true;
  scope_.spawn(flush_files(std::exchange(dirty_, {}), written_));
}

Task<void> Log::flush_files(std::vector<Segment*> files, Lsn upto) {
  for (Segment* file : files) {
    Status status = co_await io::flush(*file->file);
    if (status != Status::ok) fail(status);
  }
  flushing_ = false;
  if (!failed()) advance_durable(upto);
  start_flush();
  pump();
}

void Log::advance_durable(Lsn upto) {
  while (!unflushed_.empty() && unflushed_.front().header.end() <= upto) {
    Append& append = *unflushed_.pop_front();
    durable_ = append.header.tip();
    finish(append, Status::ok);
  }
  changed_.notify();
}

// From the ready queue, so that nobody's code runs inside append() or flush().
void Log::finish(Append& append, Status status) {
  append.op.status = status;
  append.op.run = [](Job& job) {
    auto& op = static_cast<Append::Op&>(job);
    op.append->durable(*op.append, op.status);
  };
  machine_.ready().push(append.op);
}

// What is on its way to the disk comes back by itself; everything else is told now. The epoch ends at the durable
// prefix: nothing is tried again with other bytes (D5).
void Log::fail(Status status) {
  if (failed()) return;
  failed_ = status;
  while (Append* append = unflushed_.pop_front()) finish(*append, Status::io_error);
  while (Append* append = queued_.pop_front()) finish(*append, Status::io_error);
  changed_.notify();
}

Task<Status> Log::wait_durable(Lsn lsn) {
  if (lsn > durable_.position.lsn && flush_wanted_ < lsn) flush();
  while (durable_.position.lsn < lsn) {
    if (failed()) co_return Status::io_error;
    if (closing_ && tail_.position.lsn < lsn) co_return Status::stopped;
    co_await changed_.wait();
  }
  co_return Status::ok;
}

// ---- files

// The next batch needs a file that begins where it begins. Without room it waits: trimming may free some, or a replica
// gives up its claim; the writes wait with it.
Task<void> Log::roll() {
  while (!queued_.empty() && !failed()) {
    const format::BatchIdentity identity = queued_.front().header.identity;
    auto segment = co_await segments_.begin(identity.epoch, identity.epoch_number, identity.lsn);
    if (segment) {
      current_ = *segment;
      break;
    }
    if (segment.error().status != Status::no_space) {
      fail(segment.error().status);
      break;
    }
    needs_space_ = true;
    changed_.notify();
    co_await io::wait_until(machine_, space_, machine_.now() + 1s);
  }
  needs_space_ = false;
  rolling_ = false;
  pump();
}

void Log::space_freed() { space_.notify(); }

void Log::give_up() {
  fail(Status::no_space);
  space_.notify();
}

Task<Status> Log::trim(Lsn limit) {
  Status status = co_await segments_.trim(std::min(limit, durable_.position.lsn));
  space_freed();
  co_return status;
}

Task<Status> Log::cut_back(Tip end) {
  CHECK(queued_.empty() && submitted_.empty() && unflushed_.empty());
  // A file that begins behind the end is not ours any more; one that holds it inside stays, and the branch says that
  // its epoch ended there, so nobody reads on.
  Status status = co_await segments_.set_aside(end.position.lsn);
  if (status != Status::ok) co_return status;
  cut(branch_, end.position.lsn);
  tail_ = durable_ = end;
  written_ = flush_wanted_ = end.position.lsn;
  current_ = nullptr;
  co_return Status::ok;
}

Task<void> Log::close() {
  closing_ = true;
  flush();
  while (!queued_.empty() || !submitted_.empty() || (!unflushed_.empty() && !failed())) {
    if (needs_space_) give_up();
    co_await changed_.wait();
  }
  changed_.notify();
  co_await scope_.join();
}

}  // namespace mars::bricks
