// A batch: the unit of group commit, of shipping and of damage (D2, D3). Bytes: doc/format/batch.md.
// One batch = header, record table, packed small payloads, aligned large payloads, zeroes up to a multiple of 4 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr uint32_t batch_block_bytes = 4096;          // length and LSN of a batch are multiples of this
inline constexpr uint64_t lsn_max = uint64_t{1} << 62;       // of a batch: all sums with it stay below 2^64
inline constexpr uint64_t admitted_max = uint64_t{1} << 62;  // a reader refuses more: nobody can have written so much
inline constexpr uint32_t batch_header_bytes = 256;
inline constexpr uint32_t record_bytes = 64;
inline constexpr uint32_t batch_records_max = 1024;
inline constexpr uint32_t batch_payload_max = 4u << 20;  // sum over the records of one batch
inline constexpr uint32_t batch_bytes_max = (4u << 20) + (128u << 10);
inline constexpr uint32_t packed_payload_max = 4095;  // payloads up to here are copied behind the table

// One entry of the record table.
struct Record {
  RecordOp op = RecordOp::write;
  bool fua = false;
  uint32_t volume = 0;
  uint64_t offset = 0;          // bytes on the volume; 0 in control records
  uint64_t length = 0;          // bytes on the volume; 0 in control records
  uint32_t payload_offset = 0;  // bytes from the first byte of the batch; set by the composer; 0 without payload
  uint32_t payload_bytes = 0;   // = length for write, 0 for discard and write_zeroes, encoded size for control records
  Hash128 payload_hash;         // of the payload, made once at admission; zero without payload
  friend bool operator==(const Record&, const Record&) = default;
};

// The values that the log gives to a batch when it is closed.
struct BatchIdentity {
  Uuid cluster;
  Uuid resource;
  EpochId epoch;
  uint64_t epoch_number = 0;
  Lsn lsn;
  Hash128 previous;       // hash of the batch before; of an epoch's first batch: the last hash of its parent
  Lsn durable;            // the durable prefix when this batch was composed; <= lsn
  uint64_t admitted = 0;  // sequence of the last request that the log contains up to the end of this batch
  Stamp time;             // monotone within the log
  friend bool operator==(const BatchIdentity&, const BatchIdentity&) = default;
};

struct BatchHeader {
  uint16_t version = 0;
  uint16_t codec = 0;  // 0 = payloads as they are; nothing else exists yet
  BatchIdentity identity;
  uint32_t batch_bytes = 0;  // all of it; a multiple of 4 KiB
  uint32_t table_end = 0;    // header and table: what `hash` covers
  uint32_t record_count = 0;
  uint32_t payload_alignment = 0;  // of the payloads that are not packed: the log disk's logical block
  Hash128 hash;
  Lsn end() const { return identity.lsn + batch_bytes; }
  Tip tip() const { return {{identity.epoch, end()}, hash}; }
  friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};

// Collects the records of one batch and lays them out. Payloads above packed_payload_max are not copied: they are
// borrowed, and must neither change (D4) nor go before the pieces of finish() have been written. Reusable after
// clear(), which keeps the memory. One composer per batch in flight.
class BatchComposer {
 public:
  // `payload_alignment`: 512, 1024, 2048 or 4096.
  explicit BatchComposer(uint32_t payload_alignment);
  ~BatchComposer();
  BatchComposer(BatchComposer&&) noexcept;
  BatchComposer& operator=(BatchComposer&&) noexcept;

  // Would a further record with that much payload still fit? A payload of 1 MiB fits into every empty batch.
  bool fits(size_t payload_bytes) const;
  // `record`: all but payload_offset; payload_bytes and payload_hash must belong to `payload`. Must fit.
  void add(const Record& record, ByteView payload);
  // A control record: copies and hashes its payload (control_records.h makes it). Must fit.
  void add_control(RecordOp op, uint32_t volume, ByteView payload);

  bool empty() const { return records_.empty(); }
  std::span<const Record> records() const { return records_; }  // with payload offsets after finish()
  size_t batch_bytes() const;                                   // as it would be if finished now

  // Closes the batch: lays it out and makes the header and its hash. Not empty, once per clear().
  const BatchHeader& finish(const BatchIdentity& identity);
  // After finish(): the bytes of the batch in order. The length of every piece is a multiple of the payload alignment,
  // and every piece that is not a borrowed payload lies at a multiple of 4096 or of the alignment in memory. Valid
  // until clear() or destruction.
  std::span<const ByteView> pieces() const { return pieces_; }
  const BatchHeader& header() const { return header_; }
  void clear();

 private:
  struct AlignedBuffer;

  void write_head(size_t head_bytes);
  void make_pieces(size_t head_bytes);

  uint32_t alignment_;
  size_t large_bytes_ = 0;     // large payloads, each rounded up to the alignment
  size_t payload_bytes_ = 0;   // all payloads as they are
  size_t payload_pieces_ = 0;  // pieces that the large payloads will make
  size_t tail_bytes_ = 0;      // room for the unaligned ends of large payloads
  bool finished_ = false;
  BatchHeader header_;
  std::vector<Record> records_;
  std::vector<ByteView> payloads_;  // beside records_; empty where packed
  std::vector<std::byte> packed_;   // packed payloads, each rounded up to 16
  std::unique_ptr<AlignedBuffer> buffer_;
  std::vector<ByteView> pieces_;
};

// First look at bytes that may be a batch, to learn how many to read: checks magic and the bounds of the lengths, which
// mean the same in every version. Nothing else in the answer is verified. At least batch_block_bytes must be given.
// invalid: this is no batch.
Result<BatchHeader> decode_batch_header(ByteView first_block);

// What must stand here. Without `previous` the chain is not checked: for the search for evidence behind damage (D10).
struct BatchExpectation {
  Uuid cluster;
  Uuid resource;
  EpochId epoch;
  Lsn lsn;
  std::optional<Hash128> previous;
};

// A verified batch. Borrows the bytes that it was verified from.
struct Batch {
  BatchHeader header;
  std::vector<Record> records;
  ByteView bytes;
  ByteView payload(const Record& record) const { return bytes.subspan(record.payload_offset, record.payload_bytes); }
};

// Checks everything: lengths, hash of header and table, version, table, layout, hash of every payload, padding, the
// contents of control records, and the expectation. `whole` is exactly the batch.
// invalid: no batch, malformed, or a whole batch that does not belong here. damaged: a hash, the chain, the padding or
// the length does not fit. unsupported: whole, but of another version, codec or with unknown operations.
Result<Batch> verify_batch(ByteView whole, const BatchExpectation& expectation);

// The same without an expectation: is this a whole batch, of whatever history? (`gone` in the state block, fuzzing)
Result<Batch> verify_batch(ByteView whole);

}  // namespace mars::format
