// The memory pool that outlives marsd (D6): one file on tmpfs per reactor. Layout: header (4 KiB), record slots of 192
// bytes rounded up to a page, data pages. Only the reactor that owns the pool writes; a successor process reads it
// after the owner's death. Bytes: doc/format/pool_record.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t pool_header_bytes = 4096;
inline constexpr size_t pool_record_bytes = 192;
inline constexpr uint32_t pool_pages_max = 1u << 28;  // 1 TiB of 4 KiB pages
inline constexpr uint32_t pool_records_max = 1u << 26;

struct PoolHeader {
  Uuid pool_id;
  Uuid boot_id;  // another boot id: the pool was lost by a power failure, which P2 allows
  uint32_t page_bytes = 4096;
  uint32_t page_count = 0;
  uint32_t record_slots = 0;
  friend bool operator==(const PoolHeader&, const PoolHeader&) = default;
};

uint64_t pool_record_offset(const PoolHeader& header, uint32_t slot);
uint64_t pool_page_offset(const PoolHeader& header, uint32_t page);
uint64_t pool_file_bytes(const PoolHeader& header);

std::array<std::byte, pool_header_bytes> encode_pool_header(const PoolHeader& header);
// invalid: no pool header, or values out of bounds. damaged: the hash does not fit. unsupported: another version.
Result<PoolHeader> decode_pool_header(ByteView bytes);

// One admitted request that the log may not contain yet.
struct PoolRecord {
  Uuid pool_id;
  Uuid boot_id;
  Uuid resource;
  EpochId epoch;
  uint64_t sequence = 0;          // order of admission; the log's `admitted` counts the same
  RecordOp op = RecordOp::write;  // write, discard or write_zeroes
  bool fua = false;
  uint32_t volume = 0;
  uint64_t offset = 0;         // bytes on the volume
  uint64_t length = 0;         // bytes on the volume
  uint32_t first_page = 0;     // of the data, in consecutive pages; 0 without payload
  uint32_t payload_bytes = 0;  // = length for write, else 0
  Hash128 payload_hash;        // as in the batch's record; zero without payload
  friend bool operator==(const PoolRecord&, const PoolRecord&) = default;
};

// Fills a slot so that a death at any instruction leaves it free or whole: everything but the magic first, the magic
// last, by one atomic store with release order. The data pages must be complete before. `slot` lies at a multiple of 8.
void store_pool_record(std::span<std::byte, pool_record_bytes> slot, const PoolRecord& record);
// Makes the slot free, the same way round.
void clear_pool_record(std::span<std::byte, pool_record_bytes> slot);

// not_found: the slot is free. invalid: another magic, or values out of bounds. damaged: the hash does not fit.
// unsupported: another version or an unknown operation. Whether pages exist: check against the header, fits_pool().
Result<PoolRecord> load_pool_record(std::span<const std::byte, pool_record_bytes> slot);

// Do the record's pages lie inside the pool, and is it of this pool and boot?
bool fits_pool(const PoolRecord& record, const PoolHeader& header);

}  // namespace mars::format
