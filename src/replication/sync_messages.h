// The messages of a sync conversation (S3), inside a channel: a header from the source, then one answer per request, in
// order. Bounded; every field is checked by the decoder. Who opens it names the resource; with one byte more it only
// asks whether a whole copy is there, and is answered by one byte.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "bricks/branch.h"
#include "format/values.h"

namespace mars::replication {

inline constexpr uint32_t sync_range_bytes = 128u << 10;
inline constexpr size_t whole_copy_question_bytes = 17;

struct SyncHeader {
  Tip q;                  // the target's log begins here, and is kept from here by the source
  bricks::Branch branch;  // of the source, cut at q
  uint64_t admitted = 0;
  uint64_t volume_bytes = 0;
};

struct SyncRequest {
  uint64_t offset = 0;
  uint32_t bytes = 0;
  Hash128 digest;  // of what the target has
};

enum class SyncKind : uint8_t { equal = 1, zeroes = 2, bytes = 3 };

struct SyncAnswer {
  SyncKind kind = SyncKind::equal;
  uint64_t offset = 0;
  uint32_t bytes = 0;
  Position c;  // nothing behind it is inside
  std::vector<std::byte> payload;
};

std::vector<std::byte> encode(const SyncHeader& header);
std::vector<std::byte> encode(const SyncRequest& request);
std::vector<std::byte> encode(const SyncAnswer& answer);
Result<SyncHeader> decode_sync_header(ByteView bytes);
Result<SyncRequest> decode_sync_request(ByteView bytes);
Result<SyncAnswer> decode_sync_answer(ByteView bytes);

}  // namespace mars::replication
