#include "format/seal.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/check.h"

namespace mars::format {

Hash128 sealed_hash(ByteView block) {
  CHECK(block.size() >= seal_end);
  static constexpr std::array<std::byte, seal_end - seal_offset> hole{};
  Hasher hasher;
  hasher.add(block.first(seal_offset));
  hasher.add(hole);
  hasher.add(block.subspan(seal_end));
  return hasher.digest();
}

Hash128 seal(ByteSpan block) {
  Hash128 hash = sealed_hash(block);
  Writer writer(block.subspan(seal_offset, seal_end - seal_offset));
  write_hash(writer, hash);
  return hash;
}

Status check_magic(ByteView block, std::string_view magic) {
  CHECK(magic.size() == magic_bytes);
  if (block.size() < seal_end) return Status::invalid;
  return std::ranges::equal(block.first(magic_bytes), bytes_of(magic)) ? Status::ok : Status::invalid;
}

Result<void> check_seal(ByteView block, std::string_view magic, uint16_t version, std::string_view what) {
  std::string name(what);
  if (check_magic(block, magic) != Status::ok) return failure(Status::invalid, "this is no " + name);
  Reader stored(block.subspan(seal_offset));
  if (read_hash(stored) != sealed_hash(block)) {
    return failure(Status::damaged, "the " + name + " is damaged: its hash does not fit");
  }
  uint16_t found = load_u16(block.data() + magic_bytes);
  if (found != version) {
    return failure(Status::unsupported, "the " + name + " has version " + std::to_string(found) +
                                            ", this program knows version " + std::to_string(version));
  }
  return {};
}

}  // namespace mars::format
