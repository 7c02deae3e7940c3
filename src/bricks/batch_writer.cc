#include "bricks/batch_writer.h"

#include <algorithm>
#include <utility>

namespace mars::bricks {

namespace {
// A request takes at most two pieces of a batch (packed ones fewer, which is not looked at), and the head takes one.
constexpr size_t requests_max = (Log::pieces_max - 2) / 2;
}  // namespace

BatchWriter::BatchWriter(io::Machine& machine, Log& log, BatchWriterOptions options, Logged logged)
    : machine_(machine),
      log_(log),
      options_(options),
      logged_(std::move(logged)),
      interval_(machine, [](void* self) { static_cast<BatchWriter*>(self)->hurry(); }, this) {}

BatchWriter::~BatchWriter() { CHECK(idle()); }

bool BatchWriter::fits(const Admitted& request) const {
  const size_t payload = request.data == nullptr ? 0 : request.bytes;
  return open_->composer.fits(payload) && open_->requests.size() < requests_max;
}

// Then its write begins now, and the flush finds it on its way instead of at its beginning.
bool BatchWriter::will_be_flushed() const {
  return lone_flushes_ == flushes_before_one_is_expected && in_flight_ == 0 && open_->requests.size() == 1;
}

void BatchWriter::add(Admitted& request, bool is_urgent) {
  if (std::exchange(is_flush_expected_, false)) lone_flushes_ = 0;  // another request came instead
  if (open_ != nullptr && !fits(request)) close(is_hurried_);
  if (open_ == nullptr) {
    if (free_.empty()) {
      open_ = std::make_unique<Batch>(options_.payload_alignment);
    } else {
      open_ = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!interval_.is_armed()) interval_.arm_in(options_.flush_interval);
  format::Record record;
  record.op = request.op;
  record.fua = request.fua;
  record.volume = request.volume;
  record.offset = request.offset;
  record.length = request.bytes;
  ByteView payload;
  if (request.data != nullptr) {
    payload = {request.data, request.bytes};
    record.payload_bytes = static_cast<uint32_t>(request.bytes);
    record.payload_hash = request.payload_hash;
  }
  open_->composer.add(record, payload);
  open_->requests.push_back(&request);
  request.is_logging = true;
  is_flush_expected_ = !is_urgent && will_be_flushed();
  if (is_urgent || is_flush_expected_) is_hurried_ = true;
  consider_closing();
}

void BatchWriter::note_flush() {
  const bool was_expected = std::exchange(is_flush_expected_, false);
  if (!was_expected && open_ != nullptr) {
    const bool is_lone = open_->requests.size() == 1;
    lone_flushes_ = is_lone ? std::min(lone_flushes_ + 1, flushes_before_one_is_expected) : 0;
  }
}

void BatchWriter::hurry() {
  if (open_ == nullptr) {
    log_.flush();
    return;
  }
  is_hurried_ = true;
  consider_closing();
}

void BatchWriter::set_flush_interval(io::Duration interval) {
  const bool is_shorter = interval < options_.flush_interval;
  options_.flush_interval = interval;
  if (!is_shorter) return;
  hurry();
  interval_.cancel();  // what is not hurried now is armed with the new one
}

// Who waits gets a batch of its own only when nothing that somebody waits for is under way: else it shares the next.
void BatchWriter::consider_closing() {
  if (open_ == nullptr) return;
  if (open_->composer.batch_bytes() >= options_.batch_bytes_target) return close(is_hurried_);
  if (is_hurried_ && urgent_in_flight_ == 0) close(true);
}

Stamp BatchWriter::next_time() {
  Stamp time{static_cast<uint64_t>(machine_.wall_now().count()), 0};
  if (time <= log_.last_time()) time = {log_.last_time().physical_ns, log_.last_time().logical + 1};
  return time;
}

void BatchWriter::close(bool is_urgent) {
  Batch& batch = *open_.release();
  if (is_urgent) interval_.cancel();  // it flushes everything before it, too
  is_hurried_ = false;
  format::BatchIdentity identity = log_.next_identity();
  identity.admitted = batch.requests.back()->sequence;
  identity.time = next_time();
  batch.header = batch.composer.finish(identity);
  batch.pieces = batch.composer.pieces();
  batch.writer = this;
  batch.is_urgent = is_urgent;
  batch.durable = [](Append& append, Status status) {
    auto& done = static_cast<Batch&>(append);
    done.writer->on_durable(done, status);
  };
  ++in_flight_;
  if (is_urgent) ++urgent_in_flight_;
  log_.append(batch);
}

void BatchWriter::on_durable(Batch& batch, Status status) {
  std::unique_ptr<Batch> mine(&batch);
  --in_flight_;
  if (batch.is_urgent) --urgent_in_flight_;
  logged_(batch.requests, batch.header, status);
  batch.requests.clear();
  batch.composer.clear();
  free_.push_back(std::move(mine));
  consider_closing();
}

}  // namespace mars::bricks
