// Resources: making and removing the replicas of this host.
#include <algorithm>
#include <utility>

#include "node/resources.h"

namespace mars::node {

using replication::Replica;

// Of two resources of one name, which two hosts may have made at the same moment, this host has one: the name is that
// of the device, and taken until the last one of it is gone.
bool Resources::has_name(const std::string& name) const {
  return std::ranges::any_of(hosted_, [&](const auto& entry) { return entry.second.file.record.name == name; });
}

std::string Resources::holder_of(const std::string& disk, const io::Geometry& geometry) const {
  for (const auto& [id, its] : occupied_) {
    if (!its.is_leaving && (its.disk == disk || is_same_disk(its.geometry, geometry))) return its.name;
  }
  for (const auto& [id, hosted] : hosted_) {
    const io::Geometry* open = hosted.replica == nullptr ? nullptr : hosted.replica->disk_geometry();
    if (hosted.file.disk == disk || (open != nullptr && is_same_disk(*open, geometry))) return hosted.file.record.name;
  }
  return {};
}

Result<void> Resources::may_make(const ReplicaFile& file, const io::Geometry& geometry) const {
  const ResourceRecord& record = file.record;
  if (const auto its = occupied_.find(record.id); its != occupied_.end()) {
    return failure(Status::busy, its->second.is_leaving
                                     ? "the replica of " + record.name + " here is just being given up: try again later"
                                     : "another command is just making a replica of " + record.name + " here");
  }
  if (const auto alone = left_alone_.find(record.id); alone != left_alone_.end()) {
    return failure(Status::refused, "there is a replica of " + record.name + " on this host, but " + alone->second +
                                        ": bring that file back as it was, and it goes on by itself");
  }
  if (hosted_.contains(record.id)) {
    return failure(Status::exists, "this host has a replica of " + record.name + " already; see `marsadm status`");
  }
  if (removing_.contains(record.id)) {
    return failure(Status::busy, "the former replica of " + record.name + " is still being removed: try again later");
  }
  if (std::ranges::any_of(removing_,
                          [&](const auto& entry) { return entry.second->hosted.file.record.name == record.name; })) {
    return failure(Status::busy, "a former resource " + record.name + " is still being removed here: try again later");
  }
  const auto known = find_replica(parts_.registers, record.id, self());
  if (parts_.registers.is_rolled_back() || (known && known->has_joined)) {
    return failure(Status::busy,
                   "what this host had of " + record.name +
                       " is just being found out: try again in a moment, and look at the warnings of `marsadm status`");
  }
  if (has_name(record.name))
    return failure(Status::exists, "this host has a resource " + record.name + " already; take another name");
  if (std::ranges::any_of(occupied_, [&](const auto& entry) { return entry.second.name == record.name; })) {
    return failure(Status::busy, "another command is just making a resource " + record.name + " here");
  }
  if (const std::string user = holder_of(file.disk, geometry); !user.empty()) {
    return failure(Status::refused, file.disk + " is the disk of resource " + user + " already; give another");
  }
  if (stop_.is_set()) return failure(Status::stopped, "marsd is stopping");
  if (!log_problem_.empty()) return failure(Status::refused, log_problem_);
  return {};
}

// Files are made in nobody's turn, because a disk may not answer: the id, the name and the disk are taken meanwhile.
Task<Result<void>> Resources::make(ReplicaFile file, io::Geometry geometry) {
  const Uuid id = file.record.id;
  co_await turn_.acquire();
  Result<void> made = may_make(file, geometry);  // in our turn: another command may have been first
  if (made) occupied_[id] = {file.record.name, file.disk, geometry, false};
  turn_.release(1);
  if (!made) co_return made;  // nothing is here yet that would have to be removed
  const auto former = find_replica(parts_.registers, id, self());
  file.made_ns = std::max(parts_.registers.clock().now().physical_ns, former ? former->made_ns + 1 : 0);
  made = co_await may_replace(file.record);
  if (made) {
    made = co_await make_files(file);
    unfinished_.erase(id);
    if (!made && co_await remove_folders(id) != Status::ok) unfinished_.insert(id);
  }
  co_await turn_.acquire();
  if (made) made = co_await host(std::move(file));
  occupied_.erase(id);
  turn_.release(1);
  due_.set();
  co_return made;
}

// A log that nobody knows of may hold what no other host has: its state was restored to before it joined, or lost.
Task<Result<void>> Resources::may_replace(const ResourceRecord& record) {
  if (unfinished_.contains(record.id) || leftovers_.contains(record.id)) co_return Result<void>{};
  for (const std::string& folder : {parts_.places.log_folder(record.id), parts_.places.resource(record.id)}) {
    const auto exists = co_await parts_.machine.storage().exists(folder);
    if (exists && !*exists) continue;
    if (!exists) co_return failure(exists.error().status, "cannot look for " + folder);
    co_return failure(Status::refused, "there is " + folder + " of a replica of " + record.name +
                                           " that nothing here knows of: bring " + parts_.places.replica(record.id) +
                                           " back as it was and restart marsd, or remove " + folder +
                                           " if nobody needs it");
  }
  co_return Result<void>{};
}

Task<Result<void>> Resources::make_files(const ReplicaFile& file) {
  io::Storage& storage = parts_.machine.storage();
  const Uuid id = file.record.id;
  const std::string replica = parts_.places.replica(id), unfinished = parts_.places.unfinished(id);
  const auto cannot = [](std::string what, Status status) {
    return failure(status, "cannot " + std::move(what) + ": " + std::string(name(status)));
  };
  Status status = co_await storage.make_directory(unfinished);
  if (status != Status::ok) co_return cannot("make " + unfinished, status);
  const replication::ReplicaOptions options = replica_options(file);
  Result<void> made = co_await Replica::create(*this, options, file.is_creator);
  if (!made) co_return made;
  status = co_await write_replica_file(parts_.machine, replica, file);
  if (status != Status::ok) co_return cannot("write " + replica, status);
  status = co_await storage.remove_tree(unfinished);
  if (status != Status::ok) co_return cannot("remove " + unfinished, status);
  co_return Result<void>{};
}

// While marsd stops nobody would stop it any more: then the next start finds its files.
Task<Result<void>> Resources::host(ReplicaFile file) {
  const Uuid id = file.record.id;
  if (stop_.is_set()) co_return failure(Status::stopped, "marsd is stopping");
  hosted_[id].file = std::move(file);
  const Status status = co_await publish(id);
  hosted_.at(id).is_published = status == Status::ok;
  if (stop_.is_set()) co_return failure(Status::stopped, "marsd is stopping");
  start(hosted_.at(id));
  for (const Uuid& host : members(id)) {
    // A replica that was here before had it.
    if (Reports::Heard* heard = reports_.find(id, host)) heard->is_delivered = false;
  }
  deliver(id, hosted_.at(id));
  reports_.local_changed(id);
  co_return Result<void>{};
}

std::shared_ptr<const Resources::Leaving> Resources::leave(Uuid resource) {
  auto leaving = std::make_shared<Leaving>();
  ending_.spawn(finish_leaving(resource, leaving));
  return leaving;
}

Task<void> Resources::finish_leaving(Uuid resource, std::shared_ptr<Leaving> leaving) {
  const std::string name = hosted_.contains(resource) ? hosted_.at(resource).file.record.name : "";
  bool has_left = false;
  leaving->result = co_await give_up(resource, has_left);
  // Perhaps nobody waits for the answer any more.
  if (!name.empty()) {
    const std::string why = leaving->result ? "" : ": " + leaving->result.error().text;
    parts_.events.add(name, (has_left ? "this host has left" : "this host stays") + why);
  }
  leaving->is_done = true;
  parts_.changed.notify();
}

namespace {

// The holder has this reign before its own, or was forced against it: the operator has accepted what only that has.
// How far its log goes is not known here.
bool goes_on_from_or_overrules(const replication::Report& holder, const bricks::Branch& reign) {
  if (bricks::find_epoch(holder.branch, reign.back().id) != nullptr) return true;
  constexpr Lsn far{~uint64_t{0} / 2};
  replication::Report mine;
  mine.branch = reign;
  mine.durable.position = {reign.back().id, far};
  return replication::overrules(holder, mine);
}

}  // namespace

// For a replica that does not run: what it would say itself (Replica::agree_to_leave), as far as it can be known.
Task<Result<void>> Resources::agree_to_leave_idle(Uuid resource) {
  const std::string name = hosted_.at(resource).file.record.name;
  if (designated(resource).host == self()) {
    co_return failure(Status::refused, "this host is wanted as primary of " + name + ": run `marsadm primary " + name +
                                           "` on another host first");
  }
  const std::string folder = parts_.places.resource(resource);
  const auto reign = co_await replication::own_reign(parts_.machine, folder, self());
  if (!reign) {
    co_return failure(Status::refused, "whether this host was primary of " + name + " last cannot be read (" +
                                           std::string(mars::name(reign.error().status)) +
                                           "): bring its files back, or delete the resource");
  }
  std::vector<bricks::Branch> branches;
  bool is_known = reign->empty();
  for (const auto& [host, heard] : reports_.of(resource)) {
    branches.push_back(heard.report.branch);
    const bool is_heir = heard.report.is_holder && heard.is_current;
    if (is_heir && !is_known) is_known = goes_on_from_or_overrules(heard.report, *reign);
  }
  if (!is_known) {
    co_return failure(Status::refused, "this host was primary of " + name +
                                           " last, and its log may have writes that no " +
                                           "other has: bring its files back, or delete the resource");
  }
  const Status status = co_await replication::leave_rights(parts_.machine, folder, self(), std::move(branches));
  if (status != Status::ok) co_return failure(status, "that its rights are given up could not be written down");
  co_return Result<void>{};
}

// The replica is asked in nobody's turn, because its disk may not answer.
Task<Result<void>> Resources::give_up(Uuid resource, bool& has_left) {
  co_await turn_.acquire();
  Result<void> left;
  if (!hosted_.contains(resource)) {
    left = failure(Status::not_found, "this host has no replica of it");
  } else if (occupied_.contains(resource)) {
    left = failure(Status::busy, "another command is just giving this replica up");
  } else if (stop_.is_set()) {
    left = failure(Status::stopped, "marsd is stopping");
  } else {
    const ReplicaFile& file = hosted_.at(resource).file;
    occupied_[resource] = {file.record.name, file.disk, {}, true};
  }
  turn_.release(1);
  if (!left) co_return left;
  Replica* const replica = find(resource);
  if (replica != nullptr) {
    left = co_await replica->agree_to_leave();
  } else {
    left = co_await agree_to_leave_idle(resource);
  }
  co_await turn_.acquire();
  if (left) {
    const ReplicaFile& file = hosted_.at(resource).file;
    // Of now: others may know of a later copy than the file here does, and of one without its file nothing is known.
    const auto former = find_replica(parts_.registers, resource, self());
    uint64_t left_ns = std::max(parts_.registers.clock().now().physical_ns, former ? former->made_ns : 0);
    if (!left_alone_.contains(resource)) left_ns = std::max(left_ns, file.made_ns);
    ReplicaRecord record{false, file.disk, left_ns};
    const Status status = co_await write_replica(parts_.registers, resource, std::move(record));
    if (status != Status::ok) {
      const bool is_known = parts_.registers.problem().status == Status::ok;
      left = failure(status, std::string("that this host has left could not be written down") +
                                 (is_known ? "" : ", and only the next start of marsd tells whether it has"));
      if (replica != nullptr) replica->stays_after_all();
    }
  }
  occupied_.erase(resource);
  has_left = left.has_value();
  if (left && stop_.is_set()) {  // the replica is just being stopped
    left = failure(Status::stopped, "marsd is stopping, and the next start removes the log");
  }
  if (left) left = co_await remove(resource);
  start_waiting();  // one that has not left, and whose log disk has come back meanwhile
  turn_.release(1);
  co_return left;
}

// In our turn, which is given to others while the replica stops: its disk may not answer.
Task<Result<void>> Resources::remove(Uuid resource) {
  auto removal = std::make_shared<Removal>();
  removal->hosted = std::move(hosted_.at(resource));
  hosted_.erase(resource);  // nothing new is served from now on
  left_alone_.erase(resource);
  removing_[resource] = removal;
  reports_.local_changed(resource);
  ending_.spawn(finish_removal(resource, removal));
  turn_.release(1);
  const std::function<bool()> is_over = [this, removal] { return removal->is_done || stop_.is_set(); };
  const std::function<uint64_t()> written = [removal] { return removal->hosted.written_bytes(); };
  co_await be_patient(is_over, written);
  co_await turn_.acquire();
  if (!removal->is_done && stop_.is_set()) {
    co_return failure(Status::stopped, "marsd is stopping, and the next start goes on removing it");
  }
  if (!removal->is_done) {
    leftovers_[resource] =
        removal->hosted.file.record.name + " is not removed yet, because its disk or the log's does not answer";
    co_return failure(Status::timed_out, leftovers_[resource]);
  }
  if (removal->status != Status::ok) co_return failure(removal->status, leftovers_[resource]);
  co_return Result<void>{};
}

Task<void> Resources::finish_removal(Uuid resource, std::shared_ptr<Removal> removal) {
  if (removal->hosted.replica) co_await removal->hosted.replica->stop([this] { return stop_.is_set(); });
  static_cast<void>(parts_.pool.take_inherited(resource, ~uint64_t{0}));
  removal->status = co_await remove_folders(resource);
  if (removal->status == Status::ok && is_deleted(parts_.registers, resource)) {
    static_cast<void>(co_await replication::remove_left_life(parts_.machine, parts_.places.resource(resource)));
  }
  removing_.erase(resource);
  leftovers_.erase(resource);
  if (removal->status == Status::not_found) {
    removal->status = Status::io_error;
    leftovers_[resource] =
        "this host has left " + removal->hosted.file.record.name +
        ", but its log disk is not there: the first start of marsd with that disk removes what is on it";
  } else if (removal->status != Status::ok) {
    leftovers_[resource] = "the log and state files of " + removal->hosted.file.record.name +
                           " could not be removed (" + std::string(name(removal->status)) +
                           "): the next start of marsd removes them";
  }
  removal->is_done = true;
  parts_.changed.notify();
}

// replica.json goes first: what is left after a crash is rubbish, not half a replica, and a directory beside it says
// so. Without room for that the next start leaves alone what is left. not_found: the log disk is not there.
Task<Status> Resources::remove_folders(Uuid resource) {
  io::Storage& storage = parts_.machine.storage();
  if (!log_problem_.empty())
    co_return Status::not_found;  // the log disk is not there: what is on it would be forgotten
  if (co_await storage.make_directory(parts_.places.unfinished(resource)) == Status::gone) co_return Status::gone;
  Status worst = co_await storage.remove(parts_.places.replica(resource));
  if (worst == Status::not_found) worst = Status::ok;
  // The log first: the next start looks for rubbish among the states.
  for (const std::string& folder : {parts_.places.log_folder(resource), parts_.places.resource(resource)}) {
    if (worst != Status::ok) break;
    const Status status = co_await storage.remove_tree(folder);
    if (status != Status::not_found) worst = status;
  }
  if (worst == Status::ok) worst = co_await storage.remove_tree(parts_.places.unfinished(resource));
  co_return worst == Status::not_found ? Status::ok : worst;
}

}  // namespace mars::node
