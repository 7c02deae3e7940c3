#include "bricks/write_back.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace mars::bricks {

namespace {
constexpr uint64_t native_zeroes_per_byte = 64;  // for what they cost
}

WriteBack::WriteBack(io::Machine& machine, xio::Output& data, StateFile& state, WriteBackOptions options,
                     std::move_only_function<void(Admitted&, uint64_t, uint64_t)> finished,
                     std::move_only_function<void(Admitted&)> dropped)
    : machine_(machine),
      data_(data, xio::Priority::background),
      state_(state),
      options_(options),
      finished_(std::move(finished)),
      dropped_(std::move(dropped)),
      durable_(&Admitted::durable_pieces, [this](Admitted& request) { on_dropped(request); }),
      width_(machine.ready(), options.width),
      merging_(machine.ready(), options.merge_buffers),
      committing_(machine.ready(), 1),
      stop_(machine.ready()),
      work_(machine.ready()),
      changed_(machine.ready()),
      scope_(machine.ready()),
      runs_(machine.ready()),
      commits_(machine.ready()) {
  for (uint32_t i = 0; i < options.merge_buffers; ++i) merge_buffers_.emplace_back(options.run_bytes_max);
}

WriteBack::~WriteBack() { CHECK(durable_.empty()); }

void WriteBack::start(Tip applied) {
  CHECK(!is_started_);
  is_started_ = true;
  applied_ = newest_ = applied;
  scope_.spawn(work());
}

void WriteBack::add(const std::vector<Admitted*>& requests, const format::BatchHeader& header) {
  LoggedBatch& batch = append(header.tip(), header.identity.admitted);
  for (Admitted* request : requests) {
    request->batch = &batch;
    ++batch.unfinished;
    durable_.insert(*request);
  }
  work_.notify();
}

void WriteBack::pass(Tip end, uint64_t admitted) {
  append(end, admitted);
  work_.notify();
}

LoggedBatch& WriteBack::append(Tip end, uint64_t admitted) {
  last_added_ = machine_.now();
  LoggedBatch& batch = batches_.emplace_back();
  batch.place = std::prev(batches_.end());
  batch.end = newest_ = end;
  batch.admitted = admitted;
  if (batches_.size() > 1) merge(*std::prev(batch.place));
  return batch;
}

// What is finished is reached with the batch before it. While the disk hangs, and the same blocks are written again and
// again, each batch but the last is finished soon: they would fill the memory as long as the log has room.
void WriteBack::merge(LoggedBatch& batch) {
  if (batch.unfinished > 0 || batch.place == batches_.begin() || &batch == &batches_.back()) return;
  LoggedBatch& before = *std::prev(batch.place);
  before.end = batch.end;
  before.admitted = batch.admitted;
  batches_.erase(batch.place);
}

void WriteBack::on_dropped(Admitted& request) {
  LoggedBatch& batch = *std::exchange(request.batch, nullptr);
  --batch.unfinished;
  merge(batch);
  dropped_(request);
}

void WriteBack::hurry() {
  is_hurried_ = true;
  work_.notify();
}

Task<Status> WriteBack::drain(io::Instant deadline) {
  while (failed_ == Status::ok && !stop_.is_set() && applied_ != newest_) {
    hurry();
    if (machine_.now() >= deadline) co_return Status::timed_out;
    if (deadline == io::Instant::max()) {
      co_await changed_.wait();
    } else {
      co_await io::wait_until(machine_, changed_, deadline);
    }
  }
  co_return stop_.is_set() ? Status::stopped : failed_;
}

// What is left in the index is let go: the log has it.
Task<void> WriteBack::stop() {
  stop_.set();
  work_.notify();
  changed_.notify();
  co_await scope_.join();
  for (auto piece = durable_.next(0); piece.owner != nullptr; piece = durable_.next(0)) {
    durable_.remove(*piece.owner, piece.offset, piece.bytes);
  }
  batches_.clear();
}

// ---- the activity

Task<void> WriteBack::work() {
  while (!stop_.is_set() && failed_ == Status::ok) {
    if (durable_.empty() && batches_.empty()) {
      co_await work_.wait();
      continue;
    }
    co_await rest();
    if (stop_.is_set()) break;
    is_hurried_ = false;
    std::vector<Run> runs = collect();
    Status written = runs.empty() ? Status::ok : co_await leave_evidence();
    if (written == Status::ok) written = co_await write(runs);
    co_await committing_.acquire();
    if (!runs.empty()) {
      unsettled_from_ = runs.front().offset;
      unsettled_to_ = runs.back().offset + runs.back().bytes;
    }
    commits_.spawn(commit(std::move(runs), written));
  }
  co_await commits_.join();
  if (failed_ != Status::ok && heard_) heard_();
}

// A block that is written again and again goes to the disk once per rest. While changes come and memory is plenty, the
// processor and the disk are left to them: a burst is not slowed down by its own write-back.
Task<void> WriteBack::rest() {
  const io::Instant latest = machine_.now() + std::max(options_.delay, options_.delay_max);
  while (!is_hurried_ && !stop_.is_set()) {
    const io::Instant until = std::min(last_added_ + options_.delay, latest);
    if (machine_.now() >= until) break;
    co_await io::wait_until(machine_, work_, until);
  }
}

// What was collected is part of what was added.
Task<Status> WriteBack::leave_evidence() {
  const Tip end = newest_;
  if (state_.durable_evidence() >= end.position.lsn) co_return Status::ok;
  co_return co_await state_.update([end](format::StateBlock& state) {
    if (state.durable.position.lsn < end.position.lsn) state.durable = end;
  });
}

// Runs start in waves of half the width: the machine gives a whole wave to the disk at once, which costs much less than
// one by one as the earlier ones complete.
Task<Status> WriteBack::write(const std::vector<Run>& runs) {
  round_status_ = Status::ok;
  for (size_t begun = 0; begun < runs.size();) {
    const size_t wave = std::min<size_t>(runs.size() - begun, std::max(options_.width / 2, 1u));
    co_await width_.acquire(wave);
    for (const size_t end = begun + wave; begun < end; ++begun) runs_.spawn(write_run(runs[begun]));
  }
  co_await runs_.join();
  co_return round_status_;
}

// One at a time. When a flush failed, what the next round wrote meanwhile may be lost as well, although its own flush
// succeeds: nothing is settled any more.
Task<void> WriteBack::commit(std::vector<Run> runs, Status written) {
  Status status = failed_ != Status::ok ? failed_ : written;
  if (status == Status::ok && !runs.empty()) status = co_await data_.flush();
  if (status == Status::ok) settle(runs);
  unpin(runs);
  unsettled_from_ = unsettled_to_ = 0;
  if (status == Status::ok) status = co_await advance_applied();
  if (status != Status::ok) failed_ = status;
  committing_.release(1);
  changed_.notify();
}

// A long one is worked off in parts.
ShadowIndex::Piece WriteBack::next_piece(uint64_t from) const {
  ShadowIndex::Piece piece = durable_.next(from);
  if (piece.owner == nullptr || piece.offset >= from) return piece;
  piece.bytes -= from - piece.offset;
  piece.offset = from;
  return piece;
}

// Neighbours become one run; a piece that is being written is pinned, newer versions may come meanwhile. What the round
// before has written is left out until it is settled.
std::vector<WriteBack::Run> WriteBack::collect() {
  std::vector<Run> runs;
  uint64_t bytes = 0;
  uint64_t zeroes = 0;
  ShadowIndex::Piece piece = next_piece(cursor_);
  if (piece.owner == nullptr) piece = next_piece(0);
  while (piece.owner != nullptr && bytes < options_.round_bytes_max) {
    if (piece.offset < unsettled_to_ && piece.offset + piece.bytes > unsettled_from_) {
      piece = next_piece(unsettled_to_);
      continue;
    }
    const bool is_zeroes = piece.data() == nullptr;
    if (is_zeroes && zeroes >= options_.zeroes_round_bytes_max) {
      is_hurried_ = true;  // the rest of them costs no memory, for which anybody would ask
      piece = next_piece(piece.offset + piece.bytes);
      continue;
    }
    const uint64_t per_byte = is_zeroes && is_zeroed_natively(*piece.owner) ? native_zeroes_per_byte : 1;
    piece.bytes = std::min(piece.bytes, is_zeroes ? options_.zeroes_run_bytes_max * per_byte : options_.run_bytes_max);
    const bool joins = !runs.empty() && !is_zeroes && !runs.back().is_zeroes &&
                       runs.back().offset + runs.back().bytes == piece.offset &&
                       runs.back().bytes + piece.bytes <= options_.run_bytes_max;
    if (!joins) runs.push_back({{}, piece.offset, 0, is_zeroes});
    runs.back().pieces.push_back(piece);
    runs.back().bytes += piece.bytes;
    ++piece.owner->pins;
    (is_zeroes ? zeroes : bytes) += piece.bytes / per_byte;
    cursor_ = piece.offset + piece.bytes;
    piece = next_piece(cursor_);
  }
  if (piece.owner == nullptr) cursor_ = 0;
  return runs;
}

Task<void> WriteBack::write_run(Run run) {
  Status status = Status::ok;
  if (run.is_zeroes) {
    status = co_await write_zeroes(run);
  } else if (run.pieces.size() == 1) {
    status = co_await data_.write(run.offset, {run.pieces[0].data(), run.bytes});
  } else {
    status = co_await write_merged(run);
  }
  if (status == Status::ok) {
    written_bytes_ += run.bytes;
  } else {
    round_status_ = status;
  }
  width_.release(1);
}

Task<Status> WriteBack::write_merged(const Run& run) {
  co_await merging_.acquire();
  AlignedBuffer buffer = std::move(merge_buffers_.back());
  merge_buffers_.pop_back();
  for (const auto& piece : run.pieces) {
    std::memcpy(buffer.data() + (piece.offset - run.offset), piece.data(), piece.bytes);
  }
  const Status status = co_await data_.write(run.offset, buffer.span().first(run.bytes));
  merge_buffers_.push_back(std::move(buffer));
  merging_.release(1);
  co_return status;
}

// A discard in the log means zeroes on every replica: a hole where the disk guarantees that it reads as zeroes (D16).
Task<Status> WriteBack::write_zeroes(const Run& run) {
  if (is_hole(*run.pieces[0].owner)) co_return co_await data_.discard(run.offset, run.bytes);
  co_return co_await data_.write_zeroes(run.offset, run.bytes);
}

bool WriteBack::is_hole(const Admitted& request) {
  return request.op == RecordOp::discard && data_.info().discard == xio::Support::native;
}

bool WriteBack::is_zeroed_natively(const Admitted& request) {
  return is_hole(request) || data_.info().write_zeroes == xio::Support::native;
}

void WriteBack::settle(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    for (const auto& piece : run.pieces) {
      durable_.remove(*piece.owner, piece.offset, piece.bytes);
      finished_(*piece.owner, piece.offset, piece.bytes);
    }
  }
}

// Whoever was overwritten while it was being written is let go here.
void WriteBack::unpin(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    for (const auto& piece : run.pieces) {
      if (--piece.owner->pins == 0) dropped_(*piece.owner);
    }
  }
}

// Batches are finished in the order of the log. What was overwritten by a newer durable request counts as finished:
// redo from the applied position brings the newer one.
Task<Status> WriteBack::advance_applied() {
  Tip reached = applied_;
  uint64_t admitted = 0;
  while (!batches_.empty() && batches_.front().unfinished == 0) {
    reached = batches_.front().end;
    admitted = batches_.front().admitted;
    batches_.pop_front();
  }
  if (reached == applied_) co_return Status::ok;
  const Status status = co_await state_.update([reached, admitted](format::StateBlock& state) {
    state.applied = reached;
    state.admitted = admitted;
    if (state.durable.position.lsn < reached.position.lsn) state.durable = reached;
  });
  if (status == Status::ok) applied_ = reached;
  co_return status;
}

}  // namespace mars::bricks
