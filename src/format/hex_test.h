// The vocabulary of the format tests: bytes as hex, small identities, and the two attacks that every format stands.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "format/values.h"

namespace mars::format::test {

// Rows of 32 bytes; a run of equal rows of zeroes is "*N".
inline std::string hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  size_t zero_rows = 0;
  auto end_run = [&] {
    if (zero_rows > 0) text += "*" + std::to_string(zero_rows) + "\n";
    zero_rows = 0;
  };
  for (size_t at = 0; at < bytes.size(); at += 32) {
    ByteView row = bytes.subspan(at, std::min<size_t>(32, bytes.size() - at));
    if (row.size() == 32 && all_zero(row)) {
      ++zero_rows;
      continue;
    }
    end_run();
    for (std::byte byte : row) {
      text.push_back(digits[std::to_integer<int>(byte) >> 4]);
      text.push_back(digits[std::to_integer<int>(byte) & 15]);
    }
    text.push_back('\n');
  }
  end_run();
  return text;
}

// Sixteen times the same byte.
inline Uuid uuid_of(uint8_t byte) {
  Uuid uuid;
  uuid.bytes.fill(byte);
  return uuid;
}

inline std::vector<std::byte> pattern(size_t count, uint8_t first = 1) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(first + i * 13 + i / 251);
  return bytes;
}

// `is_accepted(bytes)` must be false with any one bit turned, and true as it was.
template <class Accept>
void every_bit_flip_is_detected(std::vector<std::byte> bytes, Accept is_accepted) {
  ASSERT_TRUE(is_accepted(bytes));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[at] ^= static_cast<std::byte>(1 << bit);
      ASSERT_FALSE(is_accepted(bytes)) << "byte " << at << " bit " << bit;
      bytes[at] ^= static_cast<std::byte>(1 << bit);
    }
  }
  ASSERT_TRUE(is_accepted(bytes));
}

template <class Accept>
void every_truncation_is_detected(ByteView bytes, Accept is_accepted) {
  for (size_t length = 0; length < bytes.size(); ++length) {
    // A copy of exactly that length, so that the sanitizer sees a read beyond.
    std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    ASSERT_FALSE(is_accepted(cut)) << "length " << length;
  }
}

}  // namespace mars::format::test
