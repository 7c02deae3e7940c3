// The payloads of control records: what the log says about itself. Fixed little-endian encodings, versioned by the
// batch that carries them; a decoder takes exactly its own length. Bytes: doc/format/batch.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t mark_name_max = 255;

// First record of an epoch's first batch (T1). Its id and number are those of the batch header, its parent_hash is
// the header's `previous`. cause = create: parent nil, grant nil. parent_end equals the batch's LSN, except that after
// a gap the epoch begins later than its parent ended (G3).
struct EpochStart {
  EpochId id;
  uint64_t number = 0;
  Uuid host;
  Incarnation incarnation;
  EpochCause cause = EpochCause::create;
  EpochId parent;
  Lsn parent_end;
  Hash128 parent_hash;
  Uuid grant;  // the release that allowed it; nil unless cause = grant
  friend bool operator==(const EpochStart&, const EpochStart&) = default;
};

// The only record of an epoch's last batch (T3).
struct Release {
  Uuid grant;
  Uuid from;
  Uuid to;
  friend bool operator==(const Release&, const Release&) = default;
};

// Where logging ended and unlogged writes began (G1). Reserved: nobody writes it yet.
struct Gap {
  Uuid id;
  EpochId parent;
  Lsn log_end;
  friend bool operator==(const Gap&, const Gap&) = default;
};

struct VolumeCreate {
  uint32_t id = 0;
  uint32_t block_size = 0;  // 512 or 4096
  uint64_t bytes = 0;       // a multiple of block_size, not zero
  friend bool operator==(const VolumeCreate&, const VolumeCreate&) = default;
};

struct VolumeSize {
  uint32_t id = 0;
  uint64_t bytes = 0;  // a multiple of 512, not zero
  friend bool operator==(const VolumeSize&, const VolumeSize&) = default;
};

// Names the position behind its batch; the last record of it (D2).
struct Mark {
  std::string name;  // 1..255 bytes
  friend bool operator==(const Mark&, const Mark&) = default;
};

std::vector<std::byte> encode(const EpochStart& start);
std::vector<std::byte> encode(const Release& release);
std::vector<std::byte> encode(const Gap& gap);
std::vector<std::byte> encode(const VolumeCreate& volume);
std::vector<std::byte> encode(const VolumeSize& size);
std::vector<std::byte> encode(const Mark& mark);

// invalid: wrong length, reserved bytes set, or values that contradict each other. unsupported: unknown cause.
Result<EpochStart> decode_epoch_start(ByteView payload);
Result<Release> decode_release(ByteView payload);
Result<Gap> decode_gap(ByteView payload);
Result<VolumeCreate> decode_volume_create(ByteView payload);
Result<VolumeSize> decode_volume_size(ByteView payload);
Result<Mark> decode_mark(ByteView payload);

}  // namespace mars::format
