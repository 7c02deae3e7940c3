#include "bricks/log_reader.h"

#include <algorithm>

namespace mars::bricks {

namespace {
constexpr size_t read_ahead_bytes = 1u << 20;
}

LogReader::LogReader(Segments& segments, const SegmentsOptions& options, const Branch& branch, Tip start)
    : segments_(segments),
      cluster_(options.cluster),
      resource_(options.resource),
      branch_(branch),
      tip_(start),
      buffer_(read_ahead_bytes) {}

LogReader::~LogReader() { pin(nullptr); }

void LogReader::pin(Segment* segment) {
  if (segment_ == segment) return;
  if (segment_ != nullptr) --segment_->readers;
  if (segment != nullptr) ++segment->readers;
  segment_ = segment;
  buffer_bytes_ = 0;
}

ByteView LogReader::buffered() const {
  const Lsn at = tip_.position.lsn;
  if (at < buffer_first_ || at >= buffer_first_ + buffer_bytes_) return {};
  return buffer_.span().first(buffer_bytes_).subspan(at - buffer_first_);
}

// The file of the epoch that owns this position comes first; at an epoch's end, or where nothing more of it stands, a
// file that begins right here may hold the first batch of the next one.
std::vector<Segment*> LogReader::places(Lsn at) const {
  const format::BranchEpoch* owner = epoch_at(branch_, at);
  const bool has_ended = owner != nullptr && owner->ended && owner->end <= at;
  std::vector<Segment*> own;
  std::vector<Segment*> others;
  for (Segment* segment : segments_.candidates(at)) {
    const bool is_owner = owner != nullptr && segment->header.epoch == owner->id;
    if (is_owner && !has_ended) own.push_back(segment);
    if (!is_owner && segment->first() == at) others.push_back(segment);
  }
  own.insert(own.end(), others.begin(), others.end());
  return own;
}

Task<Result<format::Batch>> LogReader::next(Lsn limit) {
  const Lsn at = tip_.position.lsn;
  if (at >= limit) co_return failure(Status::end);
  Error why(Status::not_found, "no log file holds LSN " + to_string(at));
  // Held while this waits: trimming may take a file that nobody reads.
  const Held held(places(at));
  for (Segment* segment : held.segments) {
    auto batch = co_await read_from(*segment, limit);
    if (batch) co_return batch;
    if (batch.error().status == Status::gone || batch.error().status == Status::end) co_return batch;
    pin(nullptr);
    const bool is_worse = batch.error().status == Status::io_error || batch.error().status == Status::damaged;
    if (why.status == Status::not_found || (is_worse && why.status != Status::io_error)) {
      why = Error(batch.error().status, segment->path + ", LSN " + to_string(at) + ": " + batch.error().text);
    }
  }
  co_return failure(std::move(why));
}

Task<Status> LogReader::fill(Segment& segment, Lsn limit, size_t bytes) {
  if (bytes > buffer_.size()) buffer_ = AlignedBuffer(bytes);
  const Lsn at = tip_.position.lsn;
  const uint64_t most = std::min(limit, segment.limit()) - at;
  size_t wanted = std::min<uint64_t>(std::max(bytes, read_ahead_bytes), most);
  buffer_bytes_ = 0;
  Status status = co_await io::read(*segment.file, segment.offset_of(at), buffer_.span().first(wanted));
  if (status == Status::io_error && wanted > bytes) {
    wanted = bytes;  // the bad place may lie behind what is asked for
    status = co_await io::read(*segment.file, segment.offset_of(at), buffer_.span().first(wanted));
  }
  if (status != Status::ok) co_return status;
  buffer_first_ = at;
  buffer_bytes_ = wanted;
  co_return Status::ok;
}

Task<Result<format::Batch>> LogReader::read_from(Segment& segment, Lsn limit) {
  pin(&segment);
  const Lsn at = tip_.position.lsn;
  if (limit - at < format::batch_block_bytes) co_return failure(Status::end);
  if (buffered().size() < format::batch_block_bytes) {
    if (Status status = co_await fill(segment, limit, format::batch_block_bytes); status != Status::ok) {
      co_return failure(status, "cannot be read");
    }
  }
  auto header = format::decode_batch_header(buffered());
  if (!header) co_return failure(header.error());
  if (at + header->batch_bytes > segment.limit()) co_return failure(Status::invalid, "the batch would leave its file");
  // A limit is the end of a batch: a length that leads beyond it is not what was written.
  if (at + header->batch_bytes > limit) co_return failure(Status::damaged, "the batch has a wrong length");
  if (buffered().size() < header->batch_bytes) {
    if (Status status = co_await fill(segment, limit, header->batch_bytes); status != Status::ok) {
      co_return failure(status, "cannot be read");
    }
  }
  format::BatchExpectation expected{cluster_, resource_, segment.header.epoch, at, tip_.hash};
  if (tip_.hash.is_zero() && at.value != 0) expected.previous.reset();
  auto batch = format::verify_batch(buffered().first(header->batch_bytes), expected);
  if (batch) tip_ = batch->header.tip();
  co_return batch;
}

}  // namespace mars::bricks
