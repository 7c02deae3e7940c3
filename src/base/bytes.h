// Explicit little-endian access to bytes, and two cursors over them. Every format of ours is read and written with
// these: never by casting a struct. Values only, no allocation except the growth of a Writer's vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mars {

using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;

// The bytes must be there: `at` points to at least as many as the width.
uint16_t load_u16(const std::byte* at);
uint32_t load_u32(const std::byte* at);
uint64_t load_u64(const std::byte* at);
void store_u16(std::byte* at, uint16_t value);
void store_u32(std::byte* at, uint32_t value);
void store_u64(std::byte* at, uint64_t value);

// True when every byte is zero; true for no bytes.
bool all_zero(ByteView bytes);

ByteView bytes_of(std::string_view text);
std::string_view text_of(ByteView bytes);

// Reads forward over bytes that somebody else owns. The first read past the end, or the first fail(), makes it fail for
// good: from then on every read yields zero, an empty view or nothing, and ok() is false. So a decoder reads all its
// fields and asks once.
class Reader {
 public:
  explicit Reader(ByteView bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t rest() const { return bytes_.size() - at_; }  // bytes not yet read; 0 after a failure
  size_t position() const { return at_; }
  bool finished() const { return ok_ && rest() == 0; }
  void fail();

  uint8_t u8();
  uint16_t u16();
  uint32_t u32();
  uint64_t u64();
  ByteView bytes(size_t count);
  std::string_view text(size_t count);
  void copy(ByteSpan target);   // fills all of `target`; zeroes it on failure
  void reserved(size_t count);  // bytes that must be zero in this version; fails on any other

 private:
  ByteView bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

// Writes forward, either appending to a vector or into a fixed span; running out of a fixed span is a programmer error.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& target) : vector_(&target), start_(target.size()) {}
  explicit Writer(ByteSpan target) : fixed_(target) {}

  size_t size() const;  // bytes written by this Writer
  void u8(uint8_t value);
  void u16(uint16_t value);
  void u32(uint32_t value);
  void u64(uint64_t value);
  void bytes(ByteView source);
  void text(std::string_view source) { bytes(bytes_of(source)); }
  void zeroes(size_t count);
  // Overwrites four bytes that were written before, `at` counted from this Writer's first byte.
  void patch_u32(size_t at, uint32_t value);

 private:
  std::byte* grow(size_t count);

  std::vector<std::byte>* vector_ = nullptr;
  size_t start_ = 0;
  ByteSpan fixed_;
  size_t at_ = 0;
};

}  // namespace mars
