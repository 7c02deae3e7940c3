// The one hash of MARS: XXH3 with 128 bits and seed 0 (D3). It finds damage; it is no defence against an attacker who
// may choose the bytes. The same bytes give the same hash on every machine and in every version of MARS.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace mars {

// Stored as low then high, each little-endian: 16 bytes.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
  bool is_zero() const { return low == 0 && high == 0; }
};

Hash128 hash(ByteView bytes);

// 32 lower-case hex digits, the high half first.
std::string to_string(const Hash128& hash);

Hash128 read_hash(Reader& reader);
void write_hash(Writer& writer, const Hash128& hash);

// The same hash over pieces: add() them in order, then digest(). Holds its state inside, allocates nothing.
class Hasher {
 public:
  Hasher() { reset(); }
  void reset();
  void add(ByteView bytes);
  Hash128 digest() const;

 private:
  alignas(64) std::array<std::byte, 576> state_;
};

}  // namespace mars
