#include "format/batch.h"

#include <string>

#include "base/check.h"
#include "format/batch_layout.h"
#include "format/control_records.h"
#include "format/seal.h"

namespace mars::format {

namespace {

constexpr std::string_view batch_magic = "MARSBAT1";
constexpr uint16_t batch_version = 1;
constexpr uint8_t record_flag_fua = 1;

std::unexpected<Error> malformed(const char* what) {
  return failure(Status::invalid, std::string("the batch is malformed: ") + what);
}

std::unexpected<Error> foreign(const char* what) {
  return failure(Status::invalid, std::string("a whole batch that does not belong here: another ") + what);
}

BatchIdentity read_identity(Reader& reader) {
  BatchIdentity identity;
  identity.cluster = read_uuid(reader);
  identity.resource = read_uuid(reader);
  identity.epoch = read_uuid(reader);
  identity.epoch_number = reader.u64();
  identity.lsn = {reader.u64()};
  identity.previous = read_hash(reader);
  identity.durable = {reader.u64()};
  identity.admitted = reader.u64();
  identity.time = read_stamp(reader);
  return identity;
}

// Version 1 only, and only behind the hash.
Result<void> check_header(const BatchHeader& header, ByteView bytes) {
  if (header.codec != 0) {
    return failure(Status::unsupported, "the batch is compressed with codec " + std::to_string(header.codec));
  }
  if (!all_zero(bytes.subspan(44, 4)) || !all_zero(bytes.subspan(156, 100))) return malformed("reserved bytes");
  if (header.record_count == 0 || header.record_count > batch_records_max) return malformed("number of records");
  if (header.table_end != batch_header_bytes + header.record_count * record_bytes) return malformed("table length");
  if (!is_payload_alignment(header.payload_alignment)) return malformed("payload alignment");
  const BatchIdentity& identity = header.identity;
  if (identity.lsn.value % batch_block_bytes != 0 || identity.lsn.value > lsn_max) return malformed("LSN");
  if (identity.admitted > admitted_max) return malformed("number of requests");
  if (identity.durable > identity.lsn) return malformed("durable position behind its own");
  if (identity.cluster.is_nil() || identity.resource.is_nil() || identity.epoch.is_nil()) return malformed("nil id");
  return {};
}

Result<void> check_data_record(const Record& record) {
  if (record.length == 0 || record.offset > UINT64_MAX - record.length) return malformed("range");
  uint64_t expected = record.op == RecordOp::write ? record.length : 0;
  if (record.payload_bytes != expected) return malformed("payload length");
  return {};
}

Result<void> check_control_record(const Record& record) {
  if (record.fua || record.offset != 0 || record.length != 0) return malformed("control record");
  if (record.payload_bytes == 0 || record.payload_bytes > packed_payload_max) return malformed("control record");
  return {};
}

Result<Record> read_record(Reader& reader) {
  Record record;
  record.op = static_cast<RecordOp>(reader.u8());
  uint8_t flags = reader.u8();
  reader.reserved(2);
  record.fua = (flags & record_flag_fua) != 0;
  record.volume = reader.u32();
  record.offset = reader.u64();
  record.length = reader.u64();
  record.payload_offset = reader.u32();
  record.payload_bytes = reader.u32();
  record.payload_hash = read_hash(reader);
  reader.reserved(16);
  if (!reader.ok()) return malformed("reserved bytes of a record");
  if (!is_known(record.op)) {
    return failure(Status::unsupported, "a record of the batch has an operation that this program does not know");
  }
  if ((flags & ~record_flag_fua) != 0) return malformed("flags of a record");
  if (record.payload_bytes == 0 && !record.payload_hash.is_zero()) return malformed("hash without payload");
  Result<void> checked = is_data(record.op) ? check_data_record(record) : check_control_record(record);
  if (!checked) return failure(checked.error());
  return record;
}

// Gives the length of the head: header, table and packed payloads.
Result<size_t> check_layout(std::span<const Record> records, const BatchHeader& header) {
  uint64_t payload_bytes = 0;
  for (const Record& record : records) payload_bytes += record.payload_bytes;
  if (payload_bytes > batch_payload_max) return malformed("more payload than fits");
  std::vector<Record> expected(records.begin(), records.end());
  BatchLayout layout = lay_out(expected, header.payload_alignment);
  if (layout.batch_bytes != header.batch_bytes) return malformed("length");
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i].payload_offset != expected[i].payload_offset) return malformed("payload offset");
  }
  return layout.head_bytes;
}

Result<std::vector<Record>> read_table(ByteView head, const BatchHeader& header) {
  std::vector<Record> records;
  records.reserve(header.record_count);
  Reader reader(head.subspan(batch_header_bytes));
  for (uint32_t i = 0; i < header.record_count; ++i) {
    auto record = read_record(reader);
    if (!record) return failure(record.error());
    records.push_back(*record);
  }
  return records;
}

std::unexpected<Error> damaged(const char* what) {
  return failure(Status::damaged, std::string("the batch is damaged: ") + what);
}

// The layout is known to be right, so payloads ascend within the head and behind it.
Result<void> check_payloads(const Batch& batch, size_t head_bytes) {
  size_t packed_at = batch.header.table_end;
  size_t large_at = head_bytes;
  for (const Record& record : batch.records) {
    if (record.payload_bytes == 0) continue;
    size_t& at = is_packed(record) ? packed_at : large_at;
    if (!all_zero(batch.bytes.subspan(at, record.payload_offset - at))) return damaged("its padding is not zero");
    if (hash(batch.payload(record)) != record.payload_hash) return damaged("a payload's hash does not fit");
    at = record.payload_offset + record.payload_bytes;
  }
  bool padded =
      all_zero(batch.bytes.subspan(packed_at, head_bytes - packed_at)) && all_zero(batch.bytes.subspan(large_at));
  if (!padded) return damaged("its padding is not zero");
  return {};
}

Result<void> check_epoch(const Batch& batch, const Record& record) {
  auto start = decode_epoch_start(batch.payload(record));
  if (!start) return failure(start.error());
  const BatchIdentity& identity = batch.header.identity;
  if (&record != &batch.records.front()) return malformed("epoch record not at the front");
  bool begins_here =
      start->cause == EpochCause::gap ? start->parent_end <= identity.lsn : start->parent_end == identity.lsn;
  if (start->id != identity.epoch || start->number != identity.epoch_number || !begins_here ||
      start->parent_hash != identity.previous) {
    return malformed("epoch record and header contradict each other");
  }
  return {};
}

template <class T>
Result<void> outcome(const Result<T>& decoded) {
  if (!decoded) return failure(decoded.error());
  return {};
}

template <class T>
Result<void> volume_outcome(const Result<T>& decoded, const Record& record) {
  if (decoded && decoded->id != record.volume) return malformed("volume of a control record");
  return outcome(decoded);
}

Result<void> check_control(const Batch& batch, const Record& record) {
  ByteView payload = batch.payload(record);
  bool about_volume = record.op == RecordOp::volume || record.op == RecordOp::size;
  if (!about_volume && record.volume != 0) return malformed("volume of a control record");
  bool alone = batch.records.size() == 1;
  switch (record.op) {
    case RecordOp::epoch:
      return check_epoch(batch, record);
    case RecordOp::release:
      return alone ? outcome(decode_release(payload)) : malformed("release not alone");
    case RecordOp::gap:
      return alone ? outcome(decode_gap(payload)) : malformed("gap not alone");
    case RecordOp::volume:
      return volume_outcome(decode_volume_create(payload), record);
    case RecordOp::size:
      return volume_outcome(decode_volume_size(payload), record);
    case RecordOp::mark:
      if (&record != &batch.records.back()) return malformed("mark not at the end");
      return outcome(decode_mark(payload));
    default:
      return {};
  }
}

Result<void> check_controls(const Batch& batch) {
  for (const Record& record : batch.records) {
    if (is_data(record.op)) continue;
    Result<void> checked = check_control(batch, record);
    if (!checked) return checked;
  }
  return {};
}

Result<void> check_expectation(const BatchHeader& header, const BatchExpectation& expectation) {
  const BatchIdentity& identity = header.identity;
  if (identity.cluster != expectation.cluster) return foreign("cluster");
  if (identity.resource != expectation.resource) return foreign("resource");
  if (identity.epoch != expectation.epoch) return foreign("epoch");
  if (identity.lsn != expectation.lsn) return foreign("LSN");
  if (expectation.previous && identity.previous != *expectation.previous) {
    return failure(Status::damaged, "the chain is broken: the batch does not follow the one before it");
  }
  return {};
}

Result<Batch> verify(ByteView whole, const BatchExpectation* expectation) {
  auto header = decode_batch_header(whole);
  if (!header) return failure(header.error());
  if (whole.size() != header->batch_bytes) {
    return failure(Status::damaged, "the batch has " + std::to_string(whole.size()) + " bytes instead of " +
                                        std::to_string(header->batch_bytes));
  }
  ByteView head = whole.first(header->table_end);
  Result<void> checked = check_seal(head, batch_magic, batch_version, "batch");
  if (checked) checked = check_header(*header, head);
  if (checked && expectation != nullptr) checked = check_expectation(*header, *expectation);
  if (!checked) return failure(checked.error());
  auto records = read_table(head, *header);
  if (!records) return failure(records.error());
  auto head_bytes = check_layout(*records, *header);
  if (!head_bytes) return failure(head_bytes.error());
  Batch batch{*header, std::move(*records), whole};
  checked = check_payloads(batch, *head_bytes);
  if (checked) checked = check_controls(batch);
  if (!checked) return failure(checked.error());
  return batch;
}

}  // namespace

bool is_payload_alignment(uint32_t alignment) {
  return alignment >= 512 && alignment <= 4096 && (alignment & (alignment - 1)) == 0;
}

BatchLayout batch_layout(size_t records, uint64_t packed_bytes, uint64_t large_bytes, uint32_t alignment) {
  BatchLayout layout;
  layout.table_end = batch_header_bytes + records * record_bytes;
  layout.head_bytes = round_up(layout.table_end + packed_bytes, alignment);
  layout.batch_bytes = round_up(layout.head_bytes + large_bytes, batch_block_bytes);
  return layout;
}

BatchLayout lay_out(std::span<Record> records, uint32_t alignment) {
  uint64_t packed_bytes = 0;
  uint64_t large_bytes = 0;
  for (const Record& record : records) {
    if (is_packed(record))
      packed_bytes += round_up(record.payload_bytes, packed_alignment);
    else
      large_bytes += round_up(record.payload_bytes, alignment);
  }
  BatchLayout layout = batch_layout(records.size(), packed_bytes, large_bytes, alignment);
  uint64_t packed_at = layout.table_end;
  uint64_t large_at = layout.head_bytes;
  for (Record& record : records) {
    bool packed = is_packed(record);
    uint64_t& at = packed ? packed_at : large_at;
    record.payload_offset = record.payload_bytes == 0 ? 0 : static_cast<uint32_t>(at);
    at += round_up(record.payload_bytes, packed ? packed_alignment : alignment);
  }
  return layout;
}

Result<BatchHeader> decode_batch_header(ByteView first_block) {
  if (first_block.size() < batch_block_bytes || check_magic(first_block, batch_magic) != Status::ok) {
    return failure(Status::invalid, "this is no batch");
  }
  Reader reader(first_block.subspan(magic_bytes));
  BatchHeader header;
  header.version = reader.u16();
  header.codec = reader.u16();
  header.table_end = reader.u32();
  header.hash = read_hash(reader);
  header.batch_bytes = reader.u32();
  header.record_count = reader.u32();
  header.payload_alignment = reader.u32();
  reader.u32();  // reserved: checked behind the hash
  header.identity = read_identity(reader);
  CHECK(reader.ok());
  bool bounded = header.batch_bytes >= batch_block_bytes && header.batch_bytes <= batch_bytes_max;
  if (!bounded || header.batch_bytes % batch_block_bytes != 0) return malformed("length");
  if (header.table_end < batch_header_bytes || header.table_end > header.batch_bytes) return malformed("table length");
  return header;
}

Result<Batch> verify_batch(ByteView whole, const BatchExpectation& expectation) { return verify(whole, &expectation); }

Result<Batch> verify_batch(ByteView whole) { return verify(whole, nullptr); }

}  // namespace mars::format
