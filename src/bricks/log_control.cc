// Log: batches that one activity composes and awaits: control records, epoch starts, and what a replica fetched.
#include <coroutine>
#include <optional>

#include "base/probe.h"
#include "bricks/log.h"

namespace mars::bricks {
namespace {

// Appends one batch and resumes when it is durable.
class Appended : public Append {
 public:
  explicit Appended(Log& log, bool for_control = false) : log_(log) {
    is_control = for_control;
    is_urgent = true;
    durable = [](Append& append, Status status) {
      auto& self = static_cast<Appended&>(append);
      self.status_ = status;
      self.caller_.resume();
    };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    caller_ = caller;
    log_.append(*this);
  }
  Status await_resume() const noexcept { return status_; }

 private:
  Log& log_;
  std::coroutine_handle<> caller_;
  Status status_ = Status::ok;
};

// Monotone within the log, whatever the clock says (D3).
Stamp next_time(io::Machine& machine, Stamp last) {
  Stamp time{static_cast<uint64_t>(machine.wall_now().count()), 0};
  if (time <= last) time = {last.physical_ns, last.logical + 1};
  return time;
}

}  // namespace

Task<Status> Log::append_control(RecordOp op, ByteView payload, uint64_t admitted) {
  format::BatchComposer composer(format::batch_block_bytes);
  composer.add_control(op, 0, payload);
  format::BatchIdentity identity = next_identity();
  identity.admitted = admitted;
  identity.time = next_time(machine_, last_time_);
  Appended append(*this, true);
  append.header = composer.finish(identity);
  append.pieces = composer.pieces();
  auto verified = format::verify_batch(composer.pieces()[0]);
  CHECK(verified.has_value());
  append.branch_step = &*verified;
  co_return co_await append;
}

// In both slots, so that one that rots does not undo it. The epoch is nil: which one the bytes belonged to may be known
// only to what is missing.
Task<Status> Log::keep_evidence(Lsn evidence) {
  for (int slot = 0; slot < 2; ++slot) {
    if (evidence <= tail_.position.lsn) break;
    const Status status = co_await state_.update([this, evidence](format::StateBlock& state) {
      if (evidence_in_state() < evidence) state.durable = {{{}, evidence}, {}};
    });
    if (status != Status::ok) co_return status;
  }
  co_return Status::ok;
}

// The first batch of an epoch: it carries the id of the new epoch, and the last hash of the parent as its predecessor.
Task<Status> Log::begin_epoch(format::EpochStart start, uint64_t admitted, Lsn evidence) {
  CHECK(queued_.empty() && submitted_.empty());
  // Before anything moves that proves it: a crash in between must find the same damage.
  if (Status status = co_await keep_evidence(evidence); status != Status::ok) co_return status;
  // What lies behind a damaged end is of a history that ends here: it would be taken for ours when the log gets there.
  if (Status status = co_await segments_.set_aside_behind(tail_.position); status != Status::ok) co_return status;
  if (!branch_.empty() && branch_.back().first >= tail_.position.lsn) cut(branch_, tail_.position.lsn);
  const Tip parent = tail_;
  tail_.position.epoch = start.id;
  format::BatchIdentity identity = next_identity();
  identity.epoch_number = start.number;
  identity.admitted = admitted;
  identity.time = next_time(machine_, last_time_);
  format::BatchComposer composer(format::batch_block_bytes);
  const auto payload = format::encode(start);
  composer.add_control(RecordOp::epoch, 0, payload);
  Appended append(*this, true);
  append.header = composer.finish(identity);
  append.pieces = composer.pieces();
  auto verified = format::verify_batch(composer.pieces()[0]);
  CHECK(verified.has_value());
  Branch longer = branch_;
  if (Status status = extend(longer, *verified); status != Status::ok) {
    tail_ = parent;
    co_return status;
  }
  append.branch_step = &*verified;
  append.begins_reign = true;
  const Status status = co_await append;
  if (status != Status::ok && durable_ != tail_) tail_ = parent;
  if (status != Status::ok) co_return status;
  // Not before: until the new reign stands, they are the evidence that something is missing. Afterwards they are older
  // than what stands before them, and no evidence any more (evidence_of_lost_files): that it fails is no failure here.
  if (co_await segments_.set_aside_lost(parent.position.lsn) != Status::ok) reached("log: a lost file stays");
  co_return status;
}

Task<Status> Log::append_fetched(const format::Batch& batch) {
  const format::BatchIdentity& identity = batch.header.identity;
  const bool begins_epoch = !batch.records.empty() && batch.records.front().op == RecordOp::epoch;
  // Of an epoch that is known to have ended only what belongs to it: bytes that were lost here come back. It need not
  // be the last one: the branch goes on behind a damaged end.
  const format::BranchEpoch* const epoch = find_epoch(branch_, identity.epoch);
  const bool has_ended = epoch != nullptr && epoch->ended && batch.header.end() > epoch->end;
  if (identity.lsn != tail_.position.lsn || identity.previous != tail_.hash) co_return Status::refused;
  if (identity.admitted < admitted_ || closing_) co_return Status::refused;
  if (!begins_epoch && (has_ended || identity.epoch != tail_.position.epoch)) co_return Status::refused;
  AlignedBuffer copy(batch.bytes.size());
  std::copy(batch.bytes.begin(), batch.bytes.end(), copy.data());
  Branch longer = branch_;
  if (Status status = extend(longer, batch); status != Status::ok) co_return status;
  const ByteView piece = copy.span();
  std::optional<format::Batch> step;
  if (longer != branch_) {
    auto verified = format::verify_batch(piece);
    CHECK(verified.has_value());
    step = std::move(*verified);
  }
  Appended append(*this);
  append.header = batch.header;
  append.pieces = {&piece, 1};
  append.branch_step = step ? &*step : nullptr;
  co_return co_await append;
}

}  // namespace mars::bricks
