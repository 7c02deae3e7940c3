#include "base/hash.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <new>

#include "base/check.h"

namespace mars {

namespace {

Hash128 from_library(XXH128_hash_t value) { return {value.low64, value.high64}; }

XXH3_state_t* library_state(std::byte* state) { return std::launder(reinterpret_cast<XXH3_state_t*>(state)); }

const XXH3_state_t* library_state(const std::byte* state) {
  return std::launder(reinterpret_cast<const XXH3_state_t*>(state));
}

}  // namespace

Hash128 hash(ByteView bytes) { return from_library(XXH3_128bits(bytes.data(), bytes.size())); }

std::string to_string(const Hash128& hash) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (uint64_t half : {hash.high, hash.low}) {
    for (int shift = 60; shift >= 0; shift -= 4) text.push_back(digits[(half >> shift) & 15]);
  }
  return text;
}

Hash128 read_hash(Reader& reader) {
  uint64_t low = reader.u64();
  uint64_t high = reader.u64();
  return {low, high};
}

void write_hash(Writer& writer, const Hash128& hash) {
  writer.u64(hash.low);
  writer.u64(hash.high);
}

void Hasher::reset() {
  static_assert(sizeof(XXH3_state_t) <= sizeof(state_));
  static_assert(alignof(XXH3_state_t) <= 64);
  new (state_.data()) XXH3_state_t;
  CHECK(XXH3_128bits_reset(library_state(state_.data())) == XXH_OK);
}

void Hasher::add(ByteView bytes) {
  if (bytes.empty()) return;
  CHECK(XXH3_128bits_update(library_state(state_.data()), bytes.data(), bytes.size()) == XXH_OK);
}

Hash128 Hasher::digest() const { return from_library(XXH3_128bits_digest(library_state(state_.data()))); }

}  // namespace mars
