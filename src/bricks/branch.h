// A branch: the epochs of one history, oldest first, as the state block keeps them (D1, D9). Pure functions on values.
#pragma once

#include <optional>
#include <vector>

#include "format/batch.h"
#include "format/control_records.h"
#include "format/state_block.h"

namespace mars::bricks {

using Branch = std::vector<format::BranchEpoch>;

// The epoch that owns the byte at `lsn`: the youngest one that begins at or before it. Null before the first.
const format::BranchEpoch* epoch_at(const Branch& branch, Lsn lsn);
const format::BranchEpoch* find_epoch(const Branch& branch, EpochId id);

// What a verified batch means for the branch: an epoch start ends its parent and appends, a release ends its epoch.
// Others change nothing. refused: an epoch start that does not fit behind the last epoch.
Status extend(Branch& branch, const format::Batch& batch);

// The branch as it is when its history ends at `end`: later epochs are gone, the one that holds `end` is open again.
void cut(Branch& branch, Lsn end);

// A volume table after a control record (create, size).
void apply_volume_record(std::vector<format::VolumeState>& volumes, const format::Batch& batch);

// Where two histories part. `mine_end` and `peer_end` are the durable ends of the two.
struct Common {
  bool any = false;          // they have an epoch in common
  Position position;         // last common position: epoch, and the smaller of the two ends of it
  bool mine_beyond = false;  // I have bytes behind it
  bool peer_beyond = false;  // the peer has
  // Both beyond = two histories (T9); only one = that one is ahead; none = equal.
  bool forked() const { return any && mine_beyond && peer_beyond; }
};
Common common_position(const Branch& mine, Lsn mine_end, const Branch& peer, Lsn peer_end);

// Each has epochs, and none is known to both: more reigns lie between them than a branch remembers (D9). Whether the
// former one is a beginning of the other cannot be told any more.
bool have_lost_sight(const Branch& mine, const Branch& peer);
// And `one` ended before the first reign that `other` still tells. Of two that overlap, neither was left behind.
bool is_left_behind(const Branch& one, const Branch& other);

}  // namespace mars::bricks
