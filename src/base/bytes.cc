#include "base/bytes.h"

#include <cstring>

#include "base/check.h"

namespace mars {

namespace {

template <class T>
T load(const std::byte* at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | (static_cast<T>(std::to_integer<uint8_t>(at[i])) << (8 * i)));
  }
  return value;
}

template <class T>
void store(std::byte* at, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace

uint16_t load_u16(const std::byte* at) { return load<uint16_t>(at); }
uint32_t load_u32(const std::byte* at) { return load<uint32_t>(at); }
uint64_t load_u64(const std::byte* at) { return load<uint64_t>(at); }
void store_u16(std::byte* at, uint16_t value) { store(at, value); }
void store_u32(std::byte* at, uint32_t value) { store(at, value); }
void store_u64(std::byte* at, uint64_t value) { store(at, value); }

bool all_zero(ByteView bytes) {
  if (bytes.empty()) return true;
  // Zero at the front and each byte equal to its successor: memcmp does this at the speed of memory.
  return bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

ByteView bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

std::string_view text_of(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

void Reader::fail() {
  ok_ = false;
  at_ = bytes_.size();
}

ByteView Reader::bytes(size_t count) {
  if (!ok_ || count > rest()) {
    fail();
    return {};
  }
  ByteView view = bytes_.subspan(at_, count);
  at_ += count;
  return view;
}

uint8_t Reader::u8() {
  ByteView view = bytes(1);
  return view.empty() ? 0 : std::to_integer<uint8_t>(view[0]);
}

uint16_t Reader::u16() {
  ByteView view = bytes(2);
  return view.empty() ? 0 : load_u16(view.data());
}

uint32_t Reader::u32() {
  ByteView view = bytes(4);
  return view.empty() ? 0 : load_u32(view.data());
}

uint64_t Reader::u64() {
  ByteView view = bytes(8);
  return view.empty() ? 0 : load_u64(view.data());
}

std::string_view Reader::text(size_t count) { return text_of(bytes(count)); }

void Reader::copy(ByteSpan target) {
  ByteView view = bytes(target.size());
  if (target.empty()) return;
  if (view.empty()) {
    std::memset(target.data(), 0, target.size());
  } else {
    std::memcpy(target.data(), view.data(), view.size());
  }
}

void Reader::reserved(size_t count) {
  if (!all_zero(bytes(count))) fail();
}

size_t Writer::size() const { return vector_ != nullptr ? vector_->size() - start_ : at_; }

std::byte* Writer::grow(size_t count) {
  if (vector_ != nullptr) {
    size_t before = vector_->size();
    vector_->resize(before + count);
    return vector_->data() + before;
  }
  CHECK(count <= fixed_.size() - at_);
  std::byte* at = fixed_.data() + at_;
  at_ += count;
  return at;
}

void Writer::u8(uint8_t value) { *grow(1) = static_cast<std::byte>(value); }
void Writer::u16(uint16_t value) { store_u16(grow(2), value); }
void Writer::u32(uint32_t value) { store_u32(grow(4), value); }
void Writer::u64(uint64_t value) { store_u64(grow(8), value); }

void Writer::bytes(ByteView source) {
  if (source.empty()) return;
  std::memcpy(grow(source.size()), source.data(), source.size());
}

void Writer::zeroes(size_t count) {
  if (count > 0) std::memset(grow(count), 0, count);
}

void Writer::patch_u32(size_t at, uint32_t value) {
  CHECK(at <= size() && size() - at >= 4);
  store_u32(vector_ != nullptr ? vector_->data() + start_ + at : fixed_.data() + at, value);
}

}  // namespace mars
