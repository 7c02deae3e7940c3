#include "bricks/branch.h"

#include <algorithm>
#include <ranges>

namespace mars::bricks {

using format::BranchEpoch;

const BranchEpoch* epoch_at(const Branch& branch, Lsn lsn) {
  const BranchEpoch* found = nullptr;
  for (const BranchEpoch& epoch : branch) {
    if (epoch.first <= lsn) found = &epoch;
  }
  return found;
}

// The newest first: it is the one that is asked for most.
const BranchEpoch* find_epoch(const Branch& branch, EpochId id) {
  for (const BranchEpoch& epoch : branch | std::views::reverse) {
    if (epoch.id == id) return &epoch;
  }
  return nullptr;
}

namespace {

Status begin_epoch(Branch& branch, const format::Batch& batch, const format::EpochStart& start) {
  if (find_epoch(branch, start.id) != nullptr) return Status::ok;  // read again during recovery
  const format::BatchIdentity& identity = batch.header.identity;
  if (!branch.empty()) {
    BranchEpoch& parent = branch.back();
    if (parent.id != start.parent || parent.first > start.parent_end) return Status::refused;
    parent.ended = true;
    parent.end = start.parent_end;
    parent.end_hash = start.parent_hash;
  }
  BranchEpoch epoch;
  epoch.id = start.id;
  epoch.number = start.number;
  epoch.parent = start.parent;
  epoch.host = start.host;
  epoch.incarnation = start.incarnation;
  epoch.cause = start.cause;
  epoch.first = identity.lsn;
  epoch.first_previous = identity.previous;
  branch.push_back(epoch);
  if (branch.size() > format::branch_epochs_max) branch.erase(branch.begin());
  return Status::ok;
}

void end_by_release(BranchEpoch& epoch, const format::Batch& batch, const format::Release& release) {
  epoch.ended = true;
  epoch.end = batch.header.end();
  epoch.end_hash = batch.header.hash;
  epoch.released_to = release.to;
  epoch.grant = release.grant;
}

}  // namespace

Status extend(Branch& branch, const format::Batch& batch) {
  for (const format::Record& record : batch.records) {
    if (record.op == RecordOp::epoch) {
      auto start = format::decode_epoch_start(batch.payload(record));
      if (!start) return start.error().status;
      if (Status status = begin_epoch(branch, batch, *start); status != Status::ok) return status;
    } else if (record.op == RecordOp::release) {
      auto release = format::decode_release(batch.payload(record));
      if (!release) return release.error().status;
      for (BranchEpoch& epoch : branch) {
        if (epoch.id == batch.header.identity.epoch) end_by_release(epoch, batch, *release);
      }
    }
  }
  return Status::ok;
}

void cut(Branch& branch, Lsn end) {
  while (!branch.empty() && branch.back().first >= end) branch.pop_back();
  if (branch.empty()) return;
  BranchEpoch& last = branch.back();
  if (last.ended && last.end <= end && !last.released_to.is_nil()) return;  // its release is still its last batch
  last.ended = false;
  last.end = {};
  last.end_hash = {};
  last.released_to = {};
  last.grant = {};
}

void apply_volume_record(std::vector<format::VolumeState>& volumes, const format::Batch& batch) {
  for (const format::Record& record : batch.records) {
    if (record.op == RecordOp::volume) {
      auto volume = format::decode_volume_create(batch.payload(record));
      if (!volume) continue;
      std::erase_if(volumes, [&](const auto& old) { return old.id == volume->id; });
      volumes.push_back({volume->id, volume->block_size, volume->bytes});
    } else if (record.op == RecordOp::size) {
      auto size = format::decode_volume_size(batch.payload(record));
      if (!size) continue;
      for (format::VolumeState& volume : volumes) {
        if (volume.id == size->id) volume.bytes = size->bytes;
      }
    }
  }
}

Common common_position(const Branch& mine, Lsn mine_end, const Branch& peer, Lsn peer_end) {
  for (const BranchEpoch& epoch : mine | std::views::reverse) {
    const BranchEpoch* theirs = find_epoch(peer, epoch.id);
    if (theirs == nullptr) continue;
    const Lsn my_part = epoch.ended ? std::min(epoch.end, mine_end) : mine_end;
    const Lsn their_part = theirs->ended ? std::min(theirs->end, peer_end) : peer_end;
    const Lsn end = std::min(my_part, their_part);
    return {.any = true, .position = {epoch.id, end}, .mine_beyond = mine_end > end, .peer_beyond = peer_end > end};
  }
  return {};
}

bool have_lost_sight(const Branch& mine, const Branch& peer) {
  if (mine.empty() || peer.empty()) return false;
  return std::ranges::none_of(mine, [&](const BranchEpoch& epoch) { return find_epoch(peer, epoch.id) != nullptr; });
}

bool is_left_behind(const Branch& one, const Branch& other) {
  return have_lost_sight(one, other) && one.back().number < other.front().number;
}

}  // namespace mars::bricks
