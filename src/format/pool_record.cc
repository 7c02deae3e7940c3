#include "format/pool_record.h"

#include <atomic>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "format/seal.h"

namespace mars::format {

namespace {

constexpr std::string_view header_magic = "MARSPOL1";
constexpr std::string_view record_magic = "MARSPRC1";
constexpr uint16_t pool_version = 1;
constexpr uint8_t flag_fua = 1;

bool is_sound(const PoolHeader& header) {
  bool page_fits = header.page_bytes >= 4096 && header.page_bytes <= (1u << 20) &&
                   (header.page_bytes & (header.page_bytes - 1)) == 0;
  return page_fits && header.page_count > 0 && header.page_count <= pool_pages_max && header.record_slots > 0 &&
         header.record_slots <= pool_records_max && !header.pool_id.is_nil() && !header.boot_id.is_nil();
}

bool is_sound(const PoolRecord& record) {
  uint64_t payload = record.op == RecordOp::write ? record.length : 0;
  bool bare = record.payload_bytes == 0;
  return record.length > 0 && record.offset <= UINT64_MAX - record.length && record.payload_bytes == payload &&
         (!bare || (record.payload_hash.is_zero() && record.first_page == 0)) && !record.resource.is_nil() &&
         !record.epoch.is_nil() && !record.pool_id.is_nil() && !record.boot_id.is_nil();
}

// The record area begins and ends at a page, as the data pages do.
uint64_t up_to_page(const PoolHeader& header, uint64_t bytes) {
  return (bytes + header.page_bytes - 1) / header.page_bytes * header.page_bytes;
}

// The only store that decides whether the slot is taken.
void store_magic(std::span<std::byte, pool_record_bytes> slot, uint64_t magic) {
  CHECK(reinterpret_cast<uintptr_t>(slot.data()) % alignof(uint64_t) == 0);
  std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(slot.data())).store(magic, std::memory_order_release);
}

}  // namespace

uint64_t pool_record_offset(const PoolHeader& header, uint32_t slot) {
  return up_to_page(header, pool_header_bytes) + uint64_t{slot} * pool_record_bytes;
}

uint64_t pool_page_offset(const PoolHeader& header, uint32_t page) {
  return up_to_page(header, pool_record_offset(header, header.record_slots)) + uint64_t{page} * header.page_bytes;
}

uint64_t pool_file_bytes(const PoolHeader& header) { return pool_page_offset(header, header.page_count); }

std::array<std::byte, pool_header_bytes> encode_pool_header(const PoolHeader& header) {
  CHECK(is_sound(header));
  std::array<std::byte, pool_header_bytes> bytes{};
  Writer writer(bytes);
  writer.text(header_magic);
  writer.u16(pool_version);
  writer.zeroes(seal_end - writer.size());
  write_uuid(writer, header.pool_id);
  write_uuid(writer, header.boot_id);
  writer.u32(header.page_bytes);
  writer.u32(header.page_count);
  writer.u32(header.record_slots);
  seal(bytes);
  return bytes;
}

Result<PoolHeader> decode_pool_header(ByteView bytes) {
  if (bytes.size() < pool_header_bytes) return failure(Status::invalid, "the pool header is cut off");
  bytes = bytes.first(pool_header_bytes);
  Result<void> sealed = check_seal(bytes, header_magic, pool_version, "pool header");
  if (!sealed) return failure(sealed.error());
  Reader reader(bytes.subspan(seal_end));
  PoolHeader header;
  header.pool_id = read_uuid(reader);
  header.boot_id = read_uuid(reader);
  header.page_bytes = reader.u32();
  header.page_count = reader.u32();
  header.record_slots = reader.u32();
  reader.reserved(reader.rest());
  bool reserved_zero = all_zero(bytes.subspan(10, seal_offset - 10)) && reader.ok();
  if (!reserved_zero || !is_sound(header)) return failure(Status::invalid, "the pool header is malformed");
  return header;
}

void store_pool_record(std::span<std::byte, pool_record_bytes> slot, const PoolRecord& record) {
  CHECK(is_data(record.op) && is_sound(record));
  std::array<std::byte, pool_record_bytes> bytes{};
  Writer writer(bytes);
  writer.text(record_magic);
  writer.u16(pool_version);
  writer.u8(std::to_underlying(record.op));
  writer.u8(record.fua ? flag_fua : 0);
  writer.u32(record.volume);
  writer.zeroes(seal_end - seal_offset);
  write_uuid(writer, record.boot_id);
  write_uuid(writer, record.pool_id);
  write_uuid(writer, record.resource);
  write_uuid(writer, record.epoch);
  writer.u64(record.sequence);
  writer.u64(record.offset);
  writer.u64(record.length);
  writer.u32(record.first_page);
  writer.u32(record.payload_bytes);
  write_hash(writer, record.payload_hash);
  seal(bytes);
  clear_pool_record(slot);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the slot is free before its bytes change
  std::memcpy(slot.data() + magic_bytes, bytes.data() + magic_bytes, pool_record_bytes - magic_bytes);
  uint64_t magic = 0;
  std::memcpy(&magic, bytes.data(), magic_bytes);
  store_magic(slot, magic);
}

void clear_pool_record(std::span<std::byte, pool_record_bytes> slot) { store_magic(slot, 0); }

Result<PoolRecord> load_pool_record(std::span<const std::byte, pool_record_bytes> slot) {
  if (all_zero(slot.first(magic_bytes))) return failure(Status::not_found, "the pool's slot is free");
  Result<void> sealed = check_seal(slot, record_magic, pool_version, "pool record");
  if (!sealed) return failure(sealed.error());
  PoolRecord record;
  Reader fields(slot.subspan(10));
  record.op = static_cast<RecordOp>(fields.u8());
  uint8_t flags = fields.u8();
  record.volume = fields.u32();
  Reader reader(slot.subspan(seal_end));
  record.boot_id = read_uuid(reader);
  record.pool_id = read_uuid(reader);
  record.resource = read_uuid(reader);
  record.epoch = read_uuid(reader);
  record.sequence = reader.u64();
  record.offset = reader.u64();
  record.length = reader.u64();
  record.first_page = reader.u32();
  record.payload_bytes = reader.u32();
  record.payload_hash = read_hash(reader);
  reader.reserved(reader.rest());
  record.fua = flags == flag_fua;
  if (!is_data(record.op)) return failure(Status::unsupported, "the pool record has an unknown operation");
  if (!reader.ok() || flags > flag_fua || !is_sound(record)) {
    return failure(Status::invalid, "the pool record is malformed");
  }
  return record;
}

bool fits_pool(const PoolRecord& record, const PoolHeader& header) {
  uint64_t end = uint64_t{record.first_page} * header.page_bytes + record.payload_bytes;
  return record.pool_id == header.pool_id && record.boot_id == header.boot_id &&
         end <= uint64_t{header.page_count} * header.page_bytes;
}

}  // namespace mars::format
