// The values that everything above speaks of: identities, positions in a log, stamps. They copy, compare and print;
// they know no I/O, no clock and no randomness. They live in namespace mars, the encodings in mars::format.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

namespace mars {

// 16 bytes in the order in which the text shows them; ordered as that text is. Nil means "none".
struct Uuid {
  std::array<uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  bool is_nil() const { return *this == Uuid{}; }

  // Sets version 4 and variant in 16 random bytes that the caller got from the machine.
  static Uuid from_random(std::array<uint8_t, 16> random);
};

std::string to_string(const Uuid& uuid);         // 8-4-4-4-12, lower case
std::string short_text(const Uuid& uuid);        // the first eight digits, for log lines
Result<Uuid> parse_uuid(std::string_view text);  // the canonical form only; capitals are accepted
Uuid read_uuid(Reader& reader);
void write_uuid(Writer& writer, const Uuid& uuid);

// Byte position in a resource's log, counting batch bytes only (D8).
struct Lsn {
  uint64_t value = 0;
  friend auto operator<=>(const Lsn&, const Lsn&) = default;
  friend Lsn operator+(Lsn lsn, uint64_t bytes) { return {lsn.value + bytes}; }
  friend uint64_t operator-(Lsn later, Lsn earlier) { return later.value - earlier.value; }
  Lsn& operator+=(uint64_t bytes) {
    value += bytes;
    return *this;
  }
};

std::string to_string(Lsn lsn);  // decimal

// One reign. Random, so that two hosts never make the same one.
using EpochId = Uuid;

// Where a history stands: only the id and the LSN identify it; numbers of epochs are for people (D1). Not ordered:
// positions of different epochs compare only along a branch list.
struct Position {
  EpochId epoch;
  Lsn lsn;
  friend bool operator==(const Position&, const Position&) = default;
  bool is_none() const { return epoch.is_nil(); }
};

std::string to_string(const Position& position);   // "<uuid>:<lsn>"
std::string short_text(const Position& position);  // "<8 digits>:<lsn>"
Position read_position(Reader& reader);
void write_position(Writer& writer, const Position& position);

// The end of a history: the position behind its last batch, and that batch's hash. Equal tips mean equal histories.
struct Tip {
  Position position;
  Hash128 hash;
  friend bool operator==(const Tip&, const Tip&) = default;
};

std::string to_string(const Tip& tip);  // "<uuid>:<lsn>:<hash>"
Tip read_tip(Reader& reader);
void write_tip(Writer& writer, const Tip& tip);

// Hybrid clock: nanoseconds since 1970 UTC, then a counter. For people and for the order of wishes; no rule of the data
// path depends on it (R2).
struct Stamp {
  uint64_t physical_ns = 0;
  uint32_t logical = 0;
  friend auto operator<=>(const Stamp&, const Stamp&) = default;
};

std::string to_string(const Stamp& stamp);  // RFC 3339, UTC, nine digits; the counter is not shown
Stamp read_stamp(Reader& reader);           // 12 bytes: u64, u32
void write_stamp(Writer& writer, const Stamp& stamp);

// Counts the starts of one host's marsd; a new one is durable before the host speaks to anybody (R3).
struct Incarnation {
  uint64_t value = 0;
  friend auto operator<=>(const Incarnation&, const Incarnation&) = default;
};

// What a log record does. The numbers are on disk and are never reused.
enum class RecordOp : uint8_t {
  write = 1,
  discard = 2,
  write_zeroes = 3,
  mark = 4,
  epoch = 5,
  release = 6,
  gap = 7,
  volume = 8,
  size = 9,
};

std::string_view name(RecordOp op);
bool is_known(RecordOp op);
// write, discard, write_zeroes: changes bytes of a volume. All others are control records.
bool is_data(RecordOp op);

// Why an epoch began (T1).
enum class EpochCause : uint8_t {
  create = 1,
  recover = 2,
  grant = 3,
  force = 4,
  gap = 5,
};

std::string_view name(EpochCause cause);
bool is_known(EpochCause cause);

}  // namespace mars
