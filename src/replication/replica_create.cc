// Replica: the files of a new one.
#include <algorithm>

#include "replication/fingerprint.h"
#include "replication/replica.h"

namespace mars::replication {

using format::ReplicaState;
using format::StateBlock;

namespace {

// Epoch 1 and the volume, on an empty log.
Task<Status> begin_log(Environment& environment, bricks::Log& log, const ReplicaOptions& options) {
  format::EpochStart start;
  start.id = random_uuid(environment.machine());
  start.number = 1;
  start.host = environment.self();
  start.incarnation = environment.incarnation();
  start.cause = EpochCause::create;
  Status status = co_await log.begin_epoch(start, 0);
  if (status != Status::ok) co_return status;
  const auto volume = format::encode(format::VolumeCreate{0, options.block_bytes, options.volume_bytes});
  co_return co_await log.append_control(RecordOp::volume, volume, 0);
}

}  // namespace

Task<bricks::SegmentsOptions> Replica::segments_options(Environment& environment, const ReplicaOptions& options) {
  bricks::SegmentsOptions segments;
  segments.directory = options.log_directory;
  segments.cluster = environment.cluster();
  segments.resource = options.resource;
  segments.segment_bytes = options.segment_bytes;
  segments.spare_max = 4;
  constexpr uint64_t reserve_min = 64u << 20;
  auto space = co_await environment.machine().storage().free_space(options.log_directory);
  segments.reserve_bytes =
      options.log_reserve_bytes.value_or(std::max(reserve_min, space ? space->total_bytes / 20 : 0));
  co_return segments;
}

// A crash in the middle leaves files that the next attempt replaces: nobody knows of the resource before the command
// that creates or joins it has written its register.
Task<Result<void>> Replica::create(Environment& environment, const ReplicaOptions& options, bool is_first) {
  io::Machine& machine = environment.machine();
  for (const std::string& directory : {options.state_directory, options.log_directory}) {
    if (Status status = co_await machine.storage().remove_tree(directory);
        status != Status::ok && status != Status::not_found) {
      co_return failure(status, "cannot empty " + directory + ": " + std::string(name(status)));
    }
    if (Status status = co_await machine.storage().make_directory(directory); status != Status::ok) {
      co_return failure(status, "cannot make " + directory + ": " + std::string(name(status)));
    }
  }
  const bricks::SegmentsOptions segments = co_await segments_options(environment, options);
  if (auto space = co_await machine.storage().free_space(options.log_directory);
      space && space->free_bytes < options.segment_bytes + segments.reserve_bytes) {
    co_return failure(Status::no_space, "the log disk has " + std::to_string(space->free_bytes >> 20) +
                                            " MiB free, and log-reserve keeps " +
                                            std::to_string(segments.reserve_bytes >> 20) +
                                            " MiB of it; make room, or set log-reserve lower");
  }
  auto left = co_await read_left_life(machine, options.state_directory);
  if (!left) {
    co_return failure(left.error().status, "cannot read what a former replica here gave up, " +
                                               options.state_directory + ".left: " + left.error().text);
  }
  const Life life{random_uuid(machine), {}, std::move(left->given_up), std::move(left->lost_sides)};
  if (Status status = co_await write_life(machine, options.state_directory, life); status != Status::ok) {
    co_return failure(status, "cannot write to " + options.state_directory + ": " + std::string(name(status)));
  }
  io::OpenOptions open;
  open.exclusive = true;
  auto disk = co_await machine.storage().open(options.disk, open);
  if (!disk) co_return failure(disk.error());

  StateBlock block;
  block.cluster = environment.cluster();
  block.resource = options.resource;
  block.host = environment.self();
  block.incarnation = environment.incarnation();
  block.state = is_first ? ReplicaState::consistent : ReplicaState::fresh;
  block.volumes_applied = {{0, options.block_bytes, options.volume_bytes}};
  block.volumes_durable = block.volumes_applied;
  block.disks = {identity_of(**disk)};
  bricks::StateFile state(machine);
  block.sweep.rewrites = !is_first && left->is_disk_doubted;
  if (auto made = co_await state.create(options.state_directory + "/state", block); !made) co_return made;
  if (!is_first) co_return Result<void>();

  bricks::Log log(machine, state, segments);
  if (auto opened = co_await log.segments().open(); !opened) co_return opened;
  log.begin_at({}, {});
  Status status = co_await begin_log(environment, log, options);
  co_await log.close();
  if (status == Status::ok) {
    status = co_await state.update([&](StateBlock& changed) { changed.branch = log.branch(); });
  }
  if (status != Status::ok)
    co_return failure(status, "cannot begin the log in " + options.log_directory + ": " + std::string(name(status)));
  co_return Result<void>();
}

}  // namespace mars::replication
