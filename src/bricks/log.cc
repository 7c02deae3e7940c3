#include "bricks/log.h"

#include "base/probe.h"

#include <algorithm>
#include <utility>

namespace mars::bricks {

using namespace std::chrono_literals;

namespace {
constexpr uint32_t busy_tries_max = 30;  // one in a second
}

Log::Log(io::Machine& machine, StateFile& state, SegmentsOptions options)
    : machine_(machine),
      state_(state),
      options_(std::move(options)),
      segments_(machine, options_),
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
  dirty_.clear();
  admitted_ = durable_admitted_ = 0;
  has_begun_epoch_ = false;
  current_ = nullptr;
}

void Log::fill(format::StateBlock& state) const {
  state.branch = branch_;
  if (has_begun_epoch_ || state.durable.position.lsn < durable_.position.lsn) state.durable = durable_;
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
  CHECK(failed() || append.header.identity.admitted >= admitted_);
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
    const uint64_t unflushed = append.header.identity.lsn - durable_.position.lsn;
    if (unflushed > 0 && unflushed + append.header.batch_bytes > options_.in_flight_bytes_max) {
      flush_wanted_ = std::max(flush_wanted_, written_);
      return start_flush();
    }
    if (!start_write(append)) {
      rolling_ = true;
      scope_.spawn(roll());
      return;
    }
  }
}

// False when the batch needs another file: the present one is full, or it belongs to an earlier epoch, or the file that
// begins right here is there already (what was damaged is fetched again).
bool Log::start_write(Append& append) {
  const format::BatchIdentity& identity = append.header.identity;
  if (current_ == nullptr || current_->header.epoch != identity.epoch || append.header.end() > current_->limit()) {
    return false;
  }
  if (current_ != segments_.all().back().get()) {
    const Segment* there = segments_.find(identity.epoch, identity.lsn);
    if (there != nullptr && there != current_) return false;
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
      if (gave_up_) written_ = append.header.end();  // it lies there, and it was to be as if it had never come
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
  if (written_ - durable_.position.lsn > options_.in_flight_bytes_max / 2) {
    flush_wanted_ = std::max(flush_wanted_, written_);
  }
  start_flush();
  pump();
}

// ---- durability

void Log::flush() {
  flush_wanted_ = std::max(flush_wanted_, tail_.position.lsn);
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
    durable_admitted_ = append.header.identity.admitted;
    has_begun_epoch_ = has_begun_epoch_ || append.begins_reign;
    finish(append, append.branch_step == nullptr ? Status::ok : extend(branch_, *append.branch_step));
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
  reached("log: a write or flush failed");
  gave_up_ = false;
  if (failed()) return;
  failed_ = status;
  dirty_.clear();
  while (Append* append = unflushed_.pop_front()) finish(*append, Status::io_error);
  while (Append* append = queued_.pop_front()) finish(*append, Status::io_error);
  changed_.notify();
}

Task<Status> Log::wait_durable(Lsn lsn) {
  while (durable_.position.lsn < lsn) {
    if (failed()) co_return Status::io_error;
    flush_wanted_ = std::max(flush_wanted_, lsn);
    start_flush();
    if (closing_ && tail_.position.lsn < lsn) co_return Status::stopped;
    co_await changed_.wait();
  }
  co_return Status::ok;
}

// ---- files

// The next batch needs a file that begins where it begins. Without room it waits: trimming may free some, or a replica
// gives up its claim; the writes wait with it.
Task<void> Log::roll() {
  uint32_t tries = 0;
  while (!queued_.empty() && !failed()) {
    const format::BatchIdentity identity = queued_.front().header.identity;
    const bool is_control = queued_.front().is_control;
    auto segment = co_await segments_.begin(identity.epoch, identity.epoch_number, identity.lsn, is_control);
    if (segment) {
      current_ = *segment;
      if (rolled_) rolled_();
      if (queued_.empty() || queued_.front().header.end() <= current_->limit()) break;
      fail(Status::invalid);  // no file of this log is long enough: a further one would not be either
      break;
    }
    // Too many open files (busy) may be so for a moment; giving up a replica's log would not help.
    const Status why = segment.error().status;
    if (why != Status::no_space && (why != Status::busy || ++tries > busy_tries_max)) {
      fail(why);
      break;
    }
    needs_space_ = why == Status::no_space;
    if (needs_space_) ++tries_without_room_;
    if (needs_space_) reached("log: no space");
    // What is written already waits for no room: flushed, it can be written back and trimmed.
    flush_wanted_ = std::max(flush_wanted_, written_);
    start_flush();
    changed_.notify();
    co_await io::wait_until(machine_, space_, machine_.now() + 1s);
  }
  needs_space_ = false;
  rolling_ = false;
  pump();
}

void Log::space_freed() { space_.notify(); }

void Log::give_up() {
  if (!failed()) {
    fail(Status::no_space);
    gave_up_ = true;
  }
  space_.notify();
}

// Only room was missing, and what waited for it is gone: nothing has failed on the disk.
void Log::begin_again() {
  if (std::exchange(gave_up_, false)) failed_ = Status::ok;
}

Task<bool> Log::forget_given_up() {
  if (!gave_up_) co_return !failed();
  co_await end_flush();
  CHECK(queued_.empty() && submitted_.empty() && unflushed_.empty());
  if (written_ != durable_.position.lsn) co_return false;
  tail_ = durable_;
  admitted_ = durable_admitted_;
  flush_wanted_ = written_;
  // A file that was cut may have been moved aside to make room for another, which there was no room for. And one that
  // was just being begun for a later batch is no place for the next one.
  const auto& all = segments_.all();
  const bool is_there = std::ranges::find(all, current_, &std::unique_ptr<Segment>::get) != all.end();
  if (!is_there || current_->first() > written_ || current_->header.epoch != durable_.position.epoch)
    current_ = nullptr;
  begin_again();
  co_return true;
}

bool Log::is_on_branch(const Segment& segment) const {
  const format::BranchEpoch* epoch = find_epoch(branch_, segment.header.epoch);
  return epoch != nullptr && segment.first() >= epoch->first && (!epoch->ended || segment.first() < epoch->end);
}

Task<Status> Log::trim(Lsn limit) {
  const auto counts = [this](const Segment& segment) { return is_on_branch(segment); };
  Status status = co_await segments_.trim(std::min(limit, durable_.position.lsn), counts, current_);
  space_freed();
  co_return status;
}

uint64_t Log::bytes_below(Lsn limit) const {
  const auto counts = [this](const Segment& segment) { return is_on_branch(segment); };
  return segments_.bytes_below(std::min(limit, durable_.position.lsn), counts, current_);
}

// What a flush holds, and what it will call durable, belongs to the log as it was; so does a file that is being begun.
Task<void> Log::end_flush() {
  while (flushing_ || rolling_) {
    space_freed();
    co_await io::wait_until(machine_, changed_, machine_.now() + 100ms);
  }
}

Task<Status> Log::cut_back(Tip end) {
  co_await end_flush();
  CHECK(queued_.empty() && submitted_.empty() && unflushed_.empty());
  // A file that begins behind the end is not ours any more. One that holds it inside stays, and if more of its epoch
  // stands there, the branch says that it ended here: the abandoned tail chains perfectly (D8).
  const bool has_more = co_await goes_on_in_epoch(end);
  cut(branch_, end.position.lsn);
  if (has_more && !branch_.empty() && branch_.back().id == end.position.epoch) {
    branch_.back().ended = true;
    branch_.back().end = end.position.lsn;
    branch_.back().end_hash = end.hash;
  }
  tail_ = durable_ = end;
  written_ = flush_wanted_ = end.position.lsn;
  admitted_ = durable_admitted_;  // what was given up for want of room had been counted
  current_ = nullptr;
  begin_again();
  // Power lost behind the state block: the abandoned files chain on and are read as before, and cut off again. Lost
  // between two files: as before, with a shorter end. No step makes a hole that looks like damage.
  Status status = co_await state_.update([this, end](format::StateBlock& state) {
    state.branch = branch_;
    state.durable = end;
  });
  if (status != Status::ok) co_return status;
  co_return co_await segments_.set_aside(end.position.lsn);
}

Task<Status> Log::restart(Tip tip, Branch branch, bool keeps_files) {
  co_await end_flush();
  CHECK(queued_.empty() && submitted_.empty() && unflushed_.empty());
  current_ = nullptr;
  Status status = keeps_files ? co_await segments_.set_aside({}) : co_await segments_.drop_all();
  if (status == Status::ok) begin_at(tip, std::move(branch));
  if (status == Status::ok) begin_again();
  co_return status;
}

Task<void> Log::close() {
  closing_ = true;
  flush();
  while (!queued_.empty() || !submitted_.empty() || (!unflushed_.empty() && !failed())) {
    if (needs_space_ && !failed()) {
      give_up();
    } else {
      co_await changed_.wait();
    }
  }
  changed_.notify();
  co_await scope_.join();
}

}  // namespace mars::bricks
