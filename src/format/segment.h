// The first 4 KiB of a segment file, and its name (D8). A segment belongs to one epoch; its batches follow the header
// without holes, and file offset = segment_header_bytes + (LSN - first). Bytes: doc/format/segment.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t segment_header_bytes = 4096;

struct SegmentHeader {
  Uuid cluster;
  Uuid resource;
  EpochId epoch;
  uint64_t epoch_number = 0;
  Lsn first;                         // a multiple of 4 KiB
  uint64_t in_flight_bytes_max = 0;  // so far behind a bad batch evidence is searched (D10)
  uint64_t capacity = 0;             // bytes of the file, header included; a multiple of 4 KiB
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

std::array<std::byte, segment_header_bytes> encode_segment_header(const SegmentHeader& header);
// `bytes`: at least segment_header_bytes; only so many are looked at.
// invalid: no segment header, or too short. damaged: the hash does not fit. unsupported: another version.
Result<SegmentHeader> decode_segment_header(ByteView bytes);

// "<epoch number>-<first LSN, 16 hex>.seg"
struct SegmentName {
  uint64_t epoch_number = 0;
  Lsn first;
  friend auto operator<=>(const SegmentName&, const SegmentName&) = default;
};

std::string to_string(const SegmentName& name);
// invalid: anything but exactly what to_string makes.
Result<SegmentName> parse_segment_name(std::string_view text);

}  // namespace mars::format
