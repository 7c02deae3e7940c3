// Where the payloads of a batch lie: a function of the table alone, used to compose a batch and to check one.
#pragma once

#include <cstdint>
#include <span>

#include "format/batch.h"

namespace mars::format {

inline constexpr uint32_t packed_alignment = 16;

inline constexpr uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

inline constexpr bool is_packed(const Record& record) { return record.payload_bytes <= packed_payload_max; }

struct BatchLayout {
  uint64_t table_end = 0;    // header and table
  uint64_t head_bytes = 0;   // and the packed payloads, rounded up to the alignment
  uint64_t batch_bytes = 0;  // everything
};

// From the sums: packed payloads each rounded up to 16 bytes, large ones each to the alignment.
BatchLayout batch_layout(size_t records, uint64_t packed_bytes, uint64_t large_bytes, uint32_t alignment);

// Sets every payload_offset.
BatchLayout lay_out(std::span<Record> records, uint32_t alignment);

// 512, 1024, 2048 or 4096.
bool is_payload_alignment(uint32_t alignment);

}  // namespace mars::format
