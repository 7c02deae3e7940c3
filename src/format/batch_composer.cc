#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "format/batch.h"
#include "format/batch_layout.h"
#include "format/seal.h"

namespace mars::format {

namespace {

alignas(batch_block_bytes) constexpr std::array<std::byte, batch_block_bytes> zero_block{};

// One system call takes at most 1024 pieces; head and final padding are two of them. Whoever writes may close earlier.
constexpr size_t payload_pieces_max = 1000;

void write_header(Writer& writer, const BatchHeader& header) {
  writer.text("MARSBAT1");
  writer.u16(header.version);
  writer.u16(header.codec);
  writer.u32(header.table_end);
  writer.zeroes(16);  // the hash, sealed when the table is written
  writer.u32(header.batch_bytes);
  writer.u32(header.record_count);
  writer.u32(header.payload_alignment);
  writer.zeroes(4);
  write_uuid(writer, header.identity.cluster);
  write_uuid(writer, header.identity.resource);
  write_uuid(writer, header.identity.epoch);
  writer.u64(header.identity.epoch_number);
  writer.u64(header.identity.lsn.value);
  write_hash(writer, header.identity.previous);
  writer.u64(header.identity.durable.value);
  writer.u64(header.identity.admitted);
  write_stamp(writer, header.identity.time);
  writer.zeroes(100);
}

void write_record(Writer& writer, const Record& record) {
  writer.u8(std::to_underlying(record.op));
  writer.u8(record.fua ? 1 : 0);
  writer.zeroes(2);
  writer.u32(record.volume);
  writer.u64(record.offset);
  writer.u64(record.length);
  writer.u32(record.payload_offset);
  writer.u32(record.payload_bytes);
  write_hash(writer, record.payload_hash);
  writer.zeroes(16);
}

size_t pieces_of(size_t payload_bytes, uint32_t alignment) {
  if (payload_bytes <= packed_payload_max) return 0;
  return payload_bytes % alignment == 0 ? 1 : 2;
}

}  // namespace

// Memory for the head and the unaligned ends; grows, and stays for the next batch.
struct BatchComposer::AlignedBuffer {
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, std::align_val_t{batch_block_bytes}); }
  };
  std::unique_ptr<std::byte, Free> bytes;
  size_t capacity = 0;

  void reserve(size_t count) {
    if (count <= capacity) return;
    bytes.reset(static_cast<std::byte*>(::operator new(count, std::align_val_t{batch_block_bytes})));
    capacity = count;
  }
};

BatchComposer::BatchComposer(uint32_t payload_alignment)
    : alignment_(payload_alignment), buffer_(std::make_unique<AlignedBuffer>()) {
  CHECK(is_payload_alignment(payload_alignment));
}

BatchComposer::~BatchComposer() = default;
BatchComposer::BatchComposer(BatchComposer&&) noexcept = default;
BatchComposer& BatchComposer::operator=(BatchComposer&&) noexcept = default;

bool BatchComposer::fits(size_t payload_bytes) const {
  if (finished_ || records_.size() >= batch_records_max) return false;
  if (payload_bytes > batch_payload_max - payload_bytes_) return false;
  if (payload_pieces_ + pieces_of(payload_bytes, alignment_) > payload_pieces_max) return false;
  bool packed = payload_bytes <= packed_payload_max;
  uint64_t packed_bytes = packed_.size() + (packed ? round_up(payload_bytes, packed_alignment) : 0);
  uint64_t large_bytes = large_bytes_ + (packed ? 0 : round_up(payload_bytes, alignment_));
  return batch_layout(records_.size() + 1, packed_bytes, large_bytes, alignment_).batch_bytes <= batch_bytes_max;
}

void BatchComposer::add(const Record& record, ByteView payload) {
  CHECK(fits(payload.size()));
  CHECK(record.payload_bytes == payload.size());
  records_.push_back(record);
  payload_bytes_ += payload.size();
  if (is_packed(record)) {
    packed_.insert(packed_.end(), payload.begin(), payload.end());
    packed_.resize(round_up(packed_.size(), packed_alignment));
    payloads_.emplace_back();
    return;
  }
  payloads_.push_back(payload);
  payload_pieces_ += pieces_of(payload.size(), alignment_);
  large_bytes_ += round_up(payload.size(), alignment_);
  if (payload.size() % alignment_ != 0) tail_bytes_ += alignment_;
}

void BatchComposer::add_control(RecordOp op, uint32_t volume, ByteView payload) {
  CHECK(!is_data(op) && !payload.empty() && payload.size() <= packed_payload_max);
  Record record;
  record.op = op;
  record.volume = volume;
  record.payload_bytes = static_cast<uint32_t>(payload.size());
  record.payload_hash = hash(payload);
  add(record, payload);
}

size_t BatchComposer::batch_bytes() const {
  return batch_layout(records_.size(), packed_.size(), large_bytes_, alignment_).batch_bytes;
}

const BatchHeader& BatchComposer::finish(const BatchIdentity& identity) {
  CHECK(!finished_ && !records_.empty());
  CHECK(identity.lsn.value % batch_block_bytes == 0 && identity.durable <= identity.lsn);
  BatchLayout layout = lay_out(records_, alignment_);
  header_ = BatchHeader{};
  header_.version = 1;
  header_.identity = identity;
  header_.batch_bytes = static_cast<uint32_t>(layout.batch_bytes);
  header_.table_end = static_cast<uint32_t>(layout.table_end);
  header_.record_count = static_cast<uint32_t>(records_.size());
  header_.payload_alignment = alignment_;
  buffer_->reserve(layout.head_bytes + tail_bytes_);
  write_head(layout.head_bytes);
  make_pieces(layout.head_bytes);
  finished_ = true;
  return header_;
}

void BatchComposer::write_head(size_t head_bytes) {
  ByteSpan head(buffer_->bytes.get(), head_bytes);
  Writer writer(head);
  write_header(writer, header_);
  for (const Record& record : records_) write_record(writer, record);
  writer.bytes(packed_);
  writer.zeroes(head_bytes - writer.size());
  header_.hash = seal(head.first(header_.table_end));
}

void BatchComposer::make_pieces(size_t head_bytes) {
  pieces_.emplace_back(buffer_->bytes.get(), head_bytes);
  size_t bytes = head_bytes + large_bytes_;
  std::byte* tail = buffer_->bytes.get() + head_bytes;
  for (ByteView payload : payloads_) {
    if (payload.empty()) continue;
    size_t rest = payload.size() % alignment_;
    pieces_.push_back(payload.first(payload.size() - rest));
    if (rest == 0) continue;
    std::memcpy(tail, payload.last(rest).data(), rest);
    std::memset(tail + rest, 0, alignment_ - rest);
    pieces_.emplace_back(tail, alignment_);
    tail += alignment_;
  }
  if (bytes < header_.batch_bytes) pieces_.push_back(ByteView(zero_block).first(header_.batch_bytes - bytes));
}

void BatchComposer::clear() {
  large_bytes_ = 0;
  payload_bytes_ = 0;
  payload_pieces_ = 0;
  tail_bytes_ = 0;
  finished_ = false;
  records_.clear();
  payloads_.clear();
  packed_.clear();
  pieces_.clear();
}

}  // namespace mars::format
