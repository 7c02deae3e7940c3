// What a host must know about a resource before it has read the log (D9): two slots of 64 KiB in the state directory,
// written in turn and in place. Bytes: doc/format/state_block.md. Its one writer is the resource's replication on this
// host.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t state_slot_bytes = 64u << 10;
inline constexpr size_t state_file_bytes = 2 * state_slot_bytes;
inline constexpr size_t branch_epochs_max = 256;
inline constexpr size_t volumes_max = 64;
inline constexpr size_t gone_bytes_max = 8192;
inline constexpr size_t disk_text_max = 64;
inline constexpr size_t fingerprint_extents_max = 64;
inline constexpr uint32_t fingerprint_extent_bytes_max = 16u << 20;

// One epoch of this host's branch, oldest first in the list; what its log said about it, kept when the log is trimmed.
struct BranchEpoch {
  EpochId id;
  uint64_t number = 0;
  EpochId parent;
  Uuid host;  // who reigned
  Incarnation incarnation;
  EpochCause cause = EpochCause::create;
  bool ended = false;  // a release or a child epoch bound its end; else `end` and `end_hash` are zero
  Lsn first;           // LSN of its first batch
  Lsn end;
  Hash128 first_previous;  // the last hash of the parent
  Hash128 end_hash;        // the hash of its last batch
  Uuid released_to;        // nil unless a release is its last batch
  Uuid grant;              // of that release; nil without
  friend bool operator==(const BranchEpoch&, const BranchEpoch&) = default;
};

struct VolumeState {
  uint32_t id = 0;
  uint32_t block_size = 0;
  uint64_t bytes = 0;
  friend bool operator==(const VolumeState&, const VolumeState&) = default;
};

// Reserved for the change map: zero until there is one.
struct MapCheckpoint {
  uint64_t generation = 0;
  Position position;
  Lsn floor;
  friend bool operator==(const MapCheckpoint&, const MapCheckpoint&) = default;
};

// A sync or resync that was under way (S1, S5). Inactive = all zero.
struct SweepState {
  bool active = false;
  // A flush of the disk failed: what it reads may be nowhere else, and a sweep writes all of it. Of a disk that is no
  // version of anything; or, without a sweep, until what the log has up to cmax was written and flushed anew.
  bool rewrites = false;
  Uuid id;
  uint64_t map_generation = 0;
  uint32_t frontier_volume = 0;  // everything below (volume, offset) is done
  uint64_t frontier_offset = 0;
  Tip r;            // R: replayed up to here behind the frontier
  Position cmax;    // consistent not before here
  Tip base;         // what the disk was before; none at a first sync
  Position q;       // where the log is pinned
  Position common;  // C
  friend bool operator==(const SweepState&, const SweepState&) = default;
};

// Reserved for the emergency (G1). Inactive = all zero.
struct GapState {
  bool active = false;
  uint32_t slot = 0;
  Uuid id;
  EpochId parent;
  Lsn log_end;
  friend bool operator==(const GapState&, const GapState&) = default;
};

enum class ReplicaState : uint8_t { fresh = 1, syncing = 2, consistent = 3 };
enum class DiskKind : uint8_t { block_device = 1, regular_file = 2 };

std::string_view name(ReplicaState state);  // "new", "syncing", "consistent"
std::string_view name(DiskKind kind);       // "block", "file"

// The disk under one volume (D17).
struct DiskIdentity {
  uint32_t volume = 0;
  DiskKind kind = DiskKind::regular_file;
  uint64_t bytes = 0;
  uint64_t device = 0;  // of a file: device and inode
  uint64_t inode = 0;
  std::string text;     // of a block device: WWN, partition or LV uuid; at most 64 bytes
  Hash128 fingerprint;  // over first and last MiB and the window's extents; zero unless closed cleanly
  friend bool operator==(const DiskIdentity&, const DiskIdentity&) = default;
};

// One of the last extents that were written before a clean close: the fingerprint covers them, in this order.
struct FingerprintExtent {
  uint32_t volume = 0;
  uint64_t offset = 0;
  friend bool operator==(const FingerprintExtent&, const FingerprintExtent&) = default;
};

struct StateBlock {
  Uuid cluster;
  Uuid resource;
  Uuid host;
  uint64_t sequence = 0;  // the newer of two valid slots has the larger one; slot = sequence mod 2
  Incarnation incarnation;
  Uuid boot_id;  // of the machine's boot in which the pool was in use; nil: none
  Uuid pool_id;
  bool clean = false;  // closed cleanly: pool empty, log drained, data flushed
  ReplicaState state = ReplicaState::fresh;
  uint64_t admitted = 0;  // sequence of the last request known to be in the log
  Tip applied;            // the data disk is at least here
  Tip durable;            // hint: the log was durable at least up to here
  std::vector<BranchEpoch> branch;
  std::vector<VolumeState> volumes_applied;
  std::vector<VolumeState> volumes_durable;
  MapCheckpoint map;
  SweepState sweep;
  GapState gap;
  std::vector<std::byte> gone;  // the release batch that ended my reign, byte for byte (T3); empty: none
  std::vector<DiskIdentity> disks;
  uint32_t fingerprint_extent_bytes = 0;
  std::vector<FingerprintExtent> fingerprint_extents;
  friend bool operator==(const StateBlock&, const StateBlock&) = default;
};

inline constexpr size_t slot_of(uint64_t sequence) { return sequence % 2; }

// Exactly state_slot_bytes. All lists must be within their bounds: the encoding then always fits.
std::vector<std::byte> encode_state_block(const StateBlock& block);

// One slot. invalid: no state block or malformed; damaged: the hash does not fit; unsupported: another version;
// not_found: the slot is all zero, never written.
Result<StateBlock> decode_state_block(ByteView slot);

// The same of the slot at this place of a file: a sequence that belongs into the other place is invalid.
Result<StateBlock> decode_state_slot(ByteView slot, size_t place);

// Of both slots, in the order of the file: the newest valid one. One bad slot is what a crash leaves behind; a slot of
// another version beside a valid one is `unsupported`: a newer marsd has written it, and its other slot is stale.
Result<StateBlock> newest_state_block(const std::array<Result<StateBlock>, 2>& slots);
Result<StateBlock> newest_state_block(ByteView file);

}  // namespace mars::format
