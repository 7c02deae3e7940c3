// Resources: what marsd finds when it starts.
#include <algorithm>
#include <bit>
#include <utility>

#include "node/members.h"
#include "node/resources.h"

namespace mars::node {

using replication::Replica;

namespace {

constexpr uint64_t segment_bytes_least = 8u << 20;
constexpr uint64_t segment_bytes_most = 64u << 20;
// Nobody tells us that a disk was mounted or a file brought back.
constexpr io::Duration look_again_pause = std::chrono::seconds(1);

}  // namespace

Task<Result<void>> Resources::open() {
  Result<void> found = co_await find_log();
  if (!found) co_return found;
  auto entries = co_await parts_.machine.storage().list(parts_.places.resources());
  if (!entries) co_return failure(entries.error());
  std::set<Uuid> found_here;
  for (const io::DirectoryEntry& entry : *entries) {
    std::string_view name = entry.name;
    if (name.ends_with(".left")) {
      // For who joins again; nobody can any more, when it was deleted after this host had left.
      const Result<Uuid> left = parse_uuid(name.substr(0, name.size() - 5));
      if (!left || !is_deleted(parts_.registers, *left)) continue;
      const Status status = co_await replication::remove_left_life(parts_.machine, parts_.places.resource(*left));
      if (status == Status::gone) co_return failure(status);
      continue;
    }
    const bool is_unfinished = name.ends_with(unfinished_suffix);
    if (is_unfinished) name.remove_suffix(unfinished_suffix.size());
    Result<Uuid> id = parse_uuid(name);
    if (!id || !entry.is_directory) continue;
    found_here.insert(*id);
    if (is_unfinished) unfinished_.insert(*id);
  }
  for (const Uuid& id : found_here) {
    Result<void> opened = co_await open_one(id);
    if (!opened) co_return opened;
  }
  look_for_missing();
  reports_.start();
  for (const auto& [id, hosted] : hosted_) reports_.local_changed(id);
  due_.set();
  scope_.spawn(reconcile_loop());
  co_return Result<void>{};
}

// Read in nobody's turn, because the disk may not answer.
Task<Result<void>> Resources::open_one(Uuid resource) {
  auto file = co_await read_replica_file(parts_.machine, parts_.places.replica(resource), resource);
  co_await turn_.acquire();
  // Meanwhile a command may have done something about it.
  const bool is_over =
      is_looking_again_ && (!left_alone_.contains(resource) || occupied_.contains(resource) || stop_.is_set());
  Status status = status_of(file);
  if (status != Status::gone && !is_over) status = co_await take_in(resource, std::move(file));
  turn_.release(1);
  if (status == Status::gone) co_return failure(status);
  co_return Result<void>{};
}

// gone: the process is; all else is known to the operator.
Task<Status> Resources::take_in(Uuid resource, Result<ReplicaFile> file) {
  const std::string path = parts_.places.replica(resource);
  const auto known = find_replica(parts_.registers, resource, self());
  // No other crash leaves a replica without this file: somebody removed it, and what the registers say of this host may
  // be of before. Once he was told to bring it back, reconcile() removes what the cluster knows to be gone.
  const bool was_unfinished = unfinished_.contains(resource);
  const bool is_missing = status_of(file) == Status::not_found;
  const bool is_half = was_unfinished && (is_missing || (file && !known && !file->was_published));
  if (!is_looking_again_ && (is_half || (is_missing && is_deleted(parts_.registers, resource)))) {
    parts_.events.add("", "removing what an interrupted command left of resource " + to_string(resource));
    co_return co_await remove_folders(resource);
  }
  if (file && unfinished_.contains(resource)) {
    static_cast<void>(co_await parts_.machine.storage().remove_tree(parts_.places.unfinished(resource)));
  }
  if (file && parts_.is_store_new && !file->was_published) {
    // Whether it was is lost with the store, and the next start must know that, too.
    file->was_published = true;
    ReplicaFile written = *file;
    static_cast<void>(co_await write_replica_file(parts_.machine, path, std::move(written)));
  }
  if (!file) {
    const bool is_newer = status_of(file) == Status::unsupported;
    leave_alone(resource, is_newer ? file.error().text : is_missing ? path + " is missing" : path + " cannot be read");
  } else if (has_name_beside(*file)) {
    leave_alone(resource, path + " has the name of another resource here, " + file->record.name);
  } else {
    adopt(std::move(*file));
  }
  co_return Status::ok;
}

// What the registers know of this host, and of which nothing is here: also when they come back later than marsd
// started.
void Resources::look_for_missing() {
  for (const std::string& scope : parts_.registers.scopes("resource/")) {
    const Result<Uuid> id = parse_uuid(std::string_view(scope).substr(9));
    if (!id || has_traces(*id) || left_alone_.contains(*id) || is_deleted(parts_.registers, *id)) continue;
    const auto known = find_replica(parts_.registers, *id, self());
    if (known && known->has_joined) leave_alone(*id, parts_.places.replica(*id) + " is missing");
  }
  const bool is_anything_missing = !left_alone_.empty() || !log_problem_.empty();
  if (!is_anything_missing || is_looking_again_ || stop_.is_set()) return;
  is_looking_again_ = true;
  ending_.spawn(look_again_loop());
}

// It stays as it is. What the registers know of it is shown, and can be given up.
void Resources::leave_alone(Uuid resource, std::string why) {
  const auto record = find_resource(parts_.registers, resource);
  const auto known = find_replica(parts_.registers, resource, self());
  if (const auto told = left_alone_.find(resource); told == left_alone_.end() || told->second != why) {
    const std::string way_out = "; if it is not wanted any more, stop marsd and remove " +
                                parts_.places.resource(resource) + " and " + parts_.places.log_folder(resource);
    parts_.events.add("", why + ": this replica is left alone" + (record && known ? "" : way_out));
  }
  left_alone_[resource] = why;
  if (!record || !known) return;
  Hosted& hosted = hosted_[resource];
  hosted.file = {};
  hosted.file.record = *record;
  hosted.file.disk = known->disk;
  hosted.file.made_ns = UINT64_MAX;  // which copy it is cannot be told: no register says that it has left
  hosted.problem = std::move(why);
  hosted.is_published = true;
  reports_.local_changed(resource);
  due_.set();
}

// Names of devices are unique on a host, and commands see to it for what they know. Of disks each finds its own (D17).
bool Resources::has_name_beside(const ReplicaFile& file) const {
  const std::string& name = file.record.name;
  return std::ranges::any_of(occupied_, [&](const auto& entry) { return entry.second.name == name; }) ||
         std::ranges::any_of(hosted_, [&](const auto& entry) {
           return entry.first != file.record.id && entry.second.file.record.name == name;
         });
}

void Resources::adopt(ReplicaFile file) {
  const Uuid resource = file.record.id;
  if (left_alone_.erase(resource) != 0) {
    parts_.events.add(file.record.name, parts_.places.replica(resource) + " can be read again");
  }
  Hosted& hosted = hosted_[resource] = {};
  hosted.file = std::move(file);
  start(hosted);
  reports_.local_changed(resource);
  due_.set();
}

// gone: the process is.
Task<Result<void>> Resources::find_log() {
  Result<void> log = co_await check_log_directory(parts_.machine, parts_.places, parts_.identity.log_id);
  if (status_of(log) == Status::gone) co_return log;
  co_await turn_.acquire();
  const std::string problem = log ? "" : log.error().text;
  if (problem != log_problem_) {
    parts_.events.add("", log ? "the log directory " + parts_.places.log + " is there again" : problem);
    log_problem_ = problem;
    start_waiting();
  }
  turn_.release(1);
  co_return Result<void>{};
}

void Resources::start_waiting() {
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica || left_alone_.contains(id) || occupied_.contains(id) || stop_.is_set()) continue;
    start(hosted);
    reports_.local_changed(id);
  }
  due_.set();
}

// Whoever mounts the log disk or brings a file back, and a disk that reads again, need no restart of marsd.
Task<void> Resources::look_again_loop() {
  while (!left_alone_.empty() || !log_problem_.empty()) {
    co_await io::sleep_for(parts_.machine, look_again_pause, stop_);
    if (stop_.is_set()) break;
    Result<void> looked;
    if (!log_problem_.empty()) looked = co_await find_log();
    std::vector<Uuid> alone;
    for (const auto& [id, why] : left_alone_) alone.push_back(id);
    for (const Uuid& id : alone) {
      if (looked) looked = co_await open_one(id);
    }
    if (!looked) break;  // the process is gone
  }
  is_looking_again_ = false;
  parts_.changed.notify();
}

replication::ReplicaOptions Resources::replica_options(const ReplicaFile& file) const {
  replication::ReplicaOptions options;
  options.resource = file.record.id;
  options.name = file.record.name;
  options.state_directory = parts_.places.resource(file.record.id);
  options.log_directory = parts_.places.log_folder(file.record.id);
  options.disk = file.disk;
  options.volume_bytes = file.record.bytes;
  options.block_bytes = file.record.block_bytes;
  // Each change of files costs several flushes: not too many in the time that it takes to write the volume once.
  options.segment_bytes = std::clamp(std::bit_floor(file.record.bytes / 32), segment_bytes_least, segment_bytes_most);
  options.log_reserve_bytes = parts_.options.log_reserve_bytes;
  if (parts_.options.segment_bytes != 0) options.segment_bytes = parts_.options.segment_bytes;
  return options;
}

void Resources::start(Hosted& hosted) {
  const Uuid id = hosted.file.record.id;
  hosted.problem = has_left(hosted.file) ? "this host has left; what is still here is being removed" : log_problem_;
  if (!hosted.problem.empty()) return;
  DeviceOrder order{id, hosted.file.record.name, [this, id] { return settings(id).front_end; }};
  hosted.replica =
      std::make_unique<Replica>(*this, replica_options(hosted.file), parts_.devices.make(std::move(order)));
  hosted.replica->start();
}

}  // namespace mars::node
