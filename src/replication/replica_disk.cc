// Replica: its data disk, wherever it is.
#include <algorithm>

#include "base/probe.h"
#include "replication/fingerprint.h"
#include "replication/replica.h"

namespace mars::replication {

using control::State;
using format::ReplicaState;
using format::StateBlock;

Task<Result<void>> Replica::open_disk() {
  auto opened = co_await take_disk(options_.disk);
  if (!opened) opened = co_await open_moved_disk(std::move(opened.error()));
  if (!opened) co_return opened;
  disk_ = std::make_unique<bricks::Disk>(machine_.ready(), *disk_file_, options_.volume_bytes);
  data_ = std::make_unique<bricks::Seam>(machine_.ready(), *disk_);
  if (auto added = graph_.add("data", "seam", *data_); !added) co_return added;
  // Who is closed again without a change is recognised by the same extents.
  for (const format::FingerprintExtent& extent : state_->value().fingerprint_extents) {
    disk_->recent().add(extent.offset, 1);
  }
  if (auto added = graph_.add("disk", "disk", *disk_); !added) co_return added;
  co_return Result<void>();
}

// Opens what is at this path and compares it with what the state block knows. disk_file_ is there even when it is
// refused: then it tells which disk is there.
Task<Result<void>> Replica::take_disk(std::string path) {
  disk_file_.reset();
  io::OpenOptions open;
  open.exclusive = true;
  auto file = co_await machine_.storage().open(path, open);
  if (!file) {
    attach_problem_ = State::disk_missing;
    attach_next_step_ = "bring " + path + " back, or end whatever uses it; it is tried again every second";
    co_return failure(file.error());
  }
  disk_file_ = std::move(*file);
  if (disk_file_->size() < options_.volume_bytes) {
    attach_problem_ = State::disk_changed;
    attach_next_step_ =
        "the volume needs " + std::to_string(options_.volume_bytes) + " bytes; bring the right disk back";
    co_return failure(Status::refused, path + " is too small: " + std::to_string(disk_file_->size()) + " bytes");
  }
  if (disk_file_->geometry().block_bytes > options_.block_bytes) {
    attach_problem_ = State::disk_changed;
    attach_next_step_ = "bring a disk with blocks of " + std::to_string(options_.block_bytes) + " bytes";
    co_return failure(Status::refused, path + " has blocks of " + std::to_string(disk_file_->geometry().block_bytes) +
                                           " bytes, too large for this volume");
  }
  const std::string difference = co_await disk_difference(*disk_file_, state_->value(), options_.volume_bytes);
  if (difference.empty() || options_.allow_changed_disk) co_return Result<void>();
  attach_problem_ = State::disk_changed;
  attach_next_step_ = "bring the former disk back, or run `marsadm attach " + options_.name + " --accept-disk`";
  co_return failure(Status::refused, path + " is not the disk that was detached: " + difference);
}

// `problem`: why the disk cannot be had at its path. A disk whose name is given to another one by now, or to none, is
// looked for by its identity (D17). Which disk it is, is never guessed; and where the operator has accepted the one at
// the path, or it is the right one and has another problem, no other is looked for.
Task<Result<void>> Replica::open_moved_disk(Error problem) {
  const auto& known = state_->value().disks;
  if (problem.status == Status::gone || known.empty()) co_return failure(problem);
  const format::DiskIdentity identity = known.front();
  if (disk_file_ && (options_.allow_changed_disk || !is_other_disk(*disk_file_, identity))) co_return failure(problem);
  disk_file_.reset();  // it may belong to a resource that is looking for it now
  const std::string former = options_.disk;
  auto found = co_await find_disk(machine_.storage(), identity);
  if (status_of(found) == Status::exists) {
    attach_problem_ = State::disk_missing;
    attach_next_step_ = "leave only one of them at this host, the disk of " + options_.name +
                        ", and take the copy away; it is tried again every second";
    co_return failure(Status::refused, "the disk is not at " + former + ", and " + found.error().text);
  }
  if (!found || *found == former) co_return failure(problem);
  if (auto taken = co_await take_disk(*found); !taken) {
    if (attach_problem_ == State::disk_missing) {
      attach_next_step_ = "the disk of " + options_.name + " is not at " + former + " any more but at " + *found +
                          ": end whatever uses that; it is tried again every second";
    }
    co_return taken;
  }
  reached("start: moved disk");
  options_.disk = *found;
  environment_.event(options_.resource, "the disk of " + options_.name + " moved from " + former + " to " + *found);
  co_await environment_.write_disk(options_.resource, *found);
  co_return Result<void>();
}

// What only this host's log has would be given up with the disk, and nobody else could show it (P6, D17).
bool Replica::is_only_copy() const {
  const Lsn end = log_->durable().position.lsn;
  const Tail tail = tail_of(log_->branch(), end, environment_.self(), life_);
  if (state_->value().state != ReplicaState::consistent) return false;
  // Acknowledged, and nowhere but in the memory of this host.
  if (tail == Tail::mine && environment_.pool().has_inherited(options_.resource, log_->admitted())) return true;
  const EpochId epoch = log_->durable().position.epoch;
  return std::ranges::none_of(peers_, [&](const auto& entry) {
    const Report& peer = entry.second;
    if (!environment_.is_connected(entry.first) || !peer.is_attached || !peer.is_consistent) return false;
    // Who writes this epoch has all of it: what was heard of it last may be older than what was fetched from it.
    const bool writes_it = peer.is_primary && !peer.branch.empty() && peer.branch.back().id == epoch;
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    return writes_it || (common.any && !common.mine_beyond);
  });
}

// What is on it is no version of ours: it will be compared and brought up to date (rung 3). A fingerprint does not see
// every block, so that holds of the former disk, too.
Task<Result<void>> Replica::accept_other_disk() {
  if (is_only_copy() && !gives_up_content_) {
    // The former disk, back again as it was asked for: there is nothing to accept. Only a clean end proves that.
    const StateBlock& state = state_->value();
    const bool is_former = (co_await disk_difference(*disk_file_, state, options_.volume_bytes)).empty();
    if (is_former && state.clean && !state.disks.empty() && !state.disks.front().fingerprint.is_zero()) {
      options_.allow_changed_disk = false;
      co_return Result<void>();
    }
    const std::string attach = "`marsadm attach " + options_.name;
    attach_problem_ = State::disk_changed;
    attach_next_step_ = (is_former ? "if this is the former disk, run `marsadm detach " + options_.name + "` and " +
                                         attach + "`; if not, bring that one back"
                                   : std::string("bring the former disk back")) +
                        "; or, if only the log has it, connect a replica that has everything; or give it up with " +
                        attach + " --accept-disk --force`";
    co_return failure(Status::refused,
                      "this host has, in its log or in memory, what no replica that can be reached has, and it would "
                      "be given up with the former disk");
  }
  options_.allow_changed_disk = false;
  const format::DiskIdentity identity = identity_of(*disk_file_);
  const Status status = co_await state_->update([&](StateBlock& state) {
    const bool rewrites =
        state.sweep.rewrites && !state.disks.empty() && !is_other_disk(*disk_file_, state.disks.front());
    state.disks = {identity};
    state.clean = false;
    state.state = ReplicaState::fresh;
    state.sweep = {};
    state.sweep.rewrites = rewrites;
  });
  if (status == Status::ok) environment_.event(options_.resource, "another disk was accepted; it will be synced");
  co_return Result<void>();
}

}  // namespace mars::replication
