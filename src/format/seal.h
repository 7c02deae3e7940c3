// What the fixed-size formats share: magic at 0 (8 bytes), version at 8 (u16), own hash at 16 (16 bytes). These three
// places mean the same in every version, so a damaged block is told apart from one of a newer version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

namespace mars::format {

inline constexpr size_t magic_bytes = 8;
inline constexpr size_t seal_offset = 16;
inline constexpr size_t seal_end = 32;

// The hash of `block` with its own hash field taken as zero. At least seal_end bytes.
Hash128 sealed_hash(ByteView block);

// Stores sealed_hash at its place.
Hash128 seal(ByteSpan block);

// ok, or invalid: shorter than seal_end, or another magic.
Status check_magic(ByteView block, std::string_view magic);

// Magic, then hash, then version, in this order; `what` names the thing in the sentence.
// invalid: shorter than seal_end, or another magic. damaged: the hash does not fit. unsupported: another version.
Result<void> check_seal(ByteView block, std::string_view magic, uint16_t version, std::string_view what);

}  // namespace mars::format
