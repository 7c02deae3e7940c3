// Registers, the replicated metadata, and the delta in which hosts exchange them (R2-R4). The values here carry no
// meaning: which key means what is meta/'s and replication/'s matter. Bytes: doc/format/registers.md.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t register_scope_max = 255;
inline constexpr size_t register_key_max = 255;
inline constexpr size_t register_value_max = 64u << 10;
inline constexpr size_t delta_bytes_max = 1u << 20;
inline constexpr size_t delta_writers_max = 16u << 10;

// Who wrote: a host in one of its lives (R3).
struct WriterId {
  Uuid host;
  Incarnation incarnation;
  friend auto operator<=>(const WriterId&, const WriterId&) = default;
};

struct Register {
  std::string scope;             // 1..255 bytes
  std::string key;               // 1..255 bytes
  std::vector<std::byte> value;  // at most 64 KiB; empty in a tombstone
  uint64_t version = 0;          // 1 + the one it replaced
  Stamp stamp;
  WriterId writer;
  uint64_t sequence = 0;  // of this writer: 1, 2, 3 ...
  bool tombstone = false;
  friend bool operator==(const Register&, const Register&) = default;
};

// The order of wishes: version, then stamp, then writer (R2). True when `b` replaces `a`.
bool wish_replaces(const Register& b, const Register& a);
// The order of one host's facts: incarnation, then sequence (R2).
bool fact_replaces(const Register& b, const Register& a);

// Bytes that a register takes in a delta and in the store.
size_t encoded_bytes(const Register& value);
// invalid: a field is out of its bounds; nothing is encoded.
Result<std::vector<std::byte>> encode_register(const Register& value);
// Exactly one register.
Result<Register> decode_register(ByteView bytes);

// One entry of a version vector: everything of this writer up to here is known.
struct SeenUpTo {
  WriterId writer;
  uint64_t sequence = 0;
  friend bool operator==(const SeenUpTo&, const SeenUpTo&) = default;
};

// Complete for the vector it claims, applied as one transaction (R4).
struct Delta {
  std::vector<SeenUpTo> claimed;    // each writer once
  std::vector<Register> registers;  // each (scope, key) once
  friend bool operator==(const Delta&, const Delta&) = default;
};

// Sorts: writers ascending, registers by (scope, key), so equal deltas have equal bytes.
// invalid: a field out of its bounds or a key twice. no_space: longer than delta_bytes_max.
Result<std::vector<std::byte>> encode_delta(const Delta& delta);
// invalid: malformed, out of bounds or out of order. unsupported: another version.
Result<Delta> decode_delta(ByteView bytes);

}  // namespace mars::format
