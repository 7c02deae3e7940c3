#include "bricks/copy.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mars::bricks {
namespace {

Error refusal(std::string text) { return {Status::refused, "copy: " + std::move(text)}; }

}  // namespace

Copy::Copy(Ready& ready, xio::Output& source, xio::Output& target, CopyOptions options)
    : Switch(ready),
      options_(options),
      source_(source, options.priority),
      target_(target, options.priority),
      next_(options.start),
      durable_(options.start),
      workers_(options.width),
      working_(ready),
      scope_(ready) {
  CHECK(options.width > 0 && options.range_bytes > 0 && options.checkpoint_bytes > 0);
}

uint64_t Copy::position() const {
  uint64_t position = next_;
  for (const Worker& worker : workers_) {
    if (worker.is_busy) position = std::min(position, worker.range.offset);
  }
  return position;
}

void Copy::retry() {
  failed_ = Status::ok;
  look_again();
}

void Copy::on_button() {
  if (is_forced()) {
    source().turn_away(Status::gone);
    target().turn_away(Status::gone);
  }
  if (goes_on() && !is_done_ && !is_running()) scope_.spawn(run());
  if (!is_running()) return light(Led::off);
  light(goes_on() ? Led::on : Led::dark);
}

Task<void> Copy::run() {
  failed_ = prepare();
  if (failed_.status == Status::ok) {
    for (Worker& worker : workers_) working_.spawn(work(worker));
    co_await working_.join();
    if (!is_forced()) co_await checkpoint();
  }
  is_done_ = failed_.status == Status::ok && durable_ == total_;
  look_again();
}

// Asked again at each start: what the inputs lead to may be another brick by now.
Error Copy::prepare() {
  const xio::Info from = source_.info();
  const xio::Info to = target_.info();
  const uint32_t block = std::max(from.block_bytes, to.block_bytes);
  range_bytes_ = std::min({options_.range_bytes, from.bytes_max, to.bytes_max}) / block * block;
  total_ = from.bytes;
  durable_ = durable_ / block * block;
  next_ = durable_;
  has_flush_failed_ = false;
  if (range_bytes_ == 0) return refusal("a block of " + std::to_string(block) + " bytes does not fit into a range");
  if (to.bytes < total_) {
    return refusal("the target has " + std::to_string(to.bytes) + " bytes, the source " + std::to_string(total_) +
                   "; take a target that is not smaller");
  }
  if (total_ % block != 0 || durable_ > total_) {
    return refusal(std::to_string(total_) + " bytes of the source are no whole blocks of " + std::to_string(block) +
                   ", or less than the start at " + std::to_string(durable_));
  }
  // Ranges behind the point where it goes on are compared again, so what was found there is found again.
  std::erase_if(mismatches_, [&](const CopyRange& range) {
    if (range.offset < durable_) return false;
    counts_.different -= range.bytes;
    return true;
  });
  for (Worker& worker : workers_) {
    worker.is_busy = false;
    if (worker.buffer.size() != range_bytes_) worker.buffer = AlignedBuffer(range_bytes_);
  }
  return Status::ok;
}

Task<void> Copy::work(Worker& worker) {
  while (goes_on() && next_ < total_) {
    worker.range = {next_, std::min<uint64_t>(range_bytes_, total_ - next_)};
    worker.is_busy = true;
    next_ += worker.range.bytes;
    const Status status = co_await handle(worker);
    if (status != Status::ok) co_return;
    worker.is_busy = false;
    if (position() - durable_ >= options_.checkpoint_bytes) co_await checkpoint();
  }
}

// While the two change together, a difference may be one of time only: it is asked once more (S9).
Task<Status> Copy::handle(Worker& worker) {
  const CopyRange range = worker.range;
  Digests digests;
  Status status = co_await compare(range, digests);
  if (status != Status::ok) co_return status;
  counts_.compared += range.bytes;
  if (digests.source == digests.target) {
    if (options_.mode == CopyMode::sync && range.offset < lost_end_) status = co_await move(worker, digests.source);
    co_return status;
  }
  if (options_.mode == CopyMode::verify) {
    status = co_await compare(range, digests);
    if (status != Status::ok || digests.source == digests.target) co_return status;
    if (mismatches_.size() < mismatches_max) mismatches_.push_back(range);
  }
  counts_.different += range.bytes;
  if (options_.mode == CopyMode::sync) status = co_await move(worker, digests.source);
  co_return status;
}

Task<Status> Copy::compare(CopyRange range, Digests& digests) {
  Status status = co_await source_.digest(range.offset, range.bytes, digests.source);
  if (status != Status::ok) co_return noted(status, "source", "reading", range.offset);
  status = co_await target_.digest(range.offset, range.bytes, digests.target);
  co_return noted(status, "target", "reading", range.offset);
}

Task<Status> Copy::move(Worker& worker, Hash128 source) {
  const CopyRange range = worker.range;
  const ByteSpan buffer = worker.buffer.span().first(range.bytes);
  std::ranges::fill(buffer, std::byte{0});
  if (source == hash(buffer)) co_return co_await zero(worker);
  Status status = co_await source_.read(range.offset, buffer);
  if (status != Status::ok) co_return noted(status, "source", "reading", range.offset);
  status = co_await target_.write(range.offset, buffer);
  if (status == Status::ok) counts_.moved += range.bytes;
  co_return noted(status, "target", "writing", range.offset);
}

// The buffer is all zero.
Task<Status> Copy::zero(Worker& worker) {
  const CopyRange range = worker.range;
  Status status = Status::ok;
  if (target_.info().write_zeroes != xio::Support::none) {
    status = co_await target_.write_zeroes(range.offset, range.bytes);
  } else {
    status = co_await target_.write(range.offset, worker.buffer.span().first(range.bytes));
  }
  if (status == Status::ok) counts_.zeroed += range.bytes;
  co_return noted(status, "target", "writing", range.offset);
}

// A crash before the flush has come back leaves durable() where it was: those ranges are compared again. After a flush
// that failed the next one may succeed and have saved nothing, and the target may read back what it will not keep: then
// they are written again as well.
Task<void> Copy::checkpoint() {
  const uint64_t reached = position();
  if (is_flushing_ || has_flush_failed_ || reached <= durable_) co_return;
  if (options_.mode == CopyMode::sync && target_.info().flush != xio::Support::none) {
    is_flushing_ = true;
    const Status status = co_await target_.flush();
    is_flushing_ = false;
    if (status != Status::ok) {
      has_flush_failed_ = true;
      lost_end_ = std::max(lost_end_, next_);
      static_cast<void>(noted(status, "target", "flushing", reached));
      co_return;
    }
  }
  durable_ = std::max(durable_, reached);
}

// The first failure is what the operator reads. Forced off, everything fails, and that is none.
Status Copy::noted(Status status, const char* side, const char* what, uint64_t offset) {
  if (status != Status::ok && failed_.status == Status::ok && !is_forced()) {
    failed_ = {status, "copy: " + std::string(what) + " the " + side + " at offset " + std::to_string(offset) +
                           " failed: " + std::string(name(status))};
    look_again();
  }
  return status;
}

std::vector<CopyRange> Copy::mismatches() const {
  std::vector<CopyRange> sorted = mismatches_;
  std::ranges::sort(sorted, {}, &CopyRange::offset);
  std::vector<CopyRange> joined;
  for (const CopyRange& range : sorted) {
    if (!joined.empty() && joined.back().offset + joined.back().bytes == range.offset) {
      joined.back().bytes += range.bytes;
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

}  // namespace mars::bricks
