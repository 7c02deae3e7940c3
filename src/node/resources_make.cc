// Resources: making and removing the replicas of this host.
#include <algorithm>
#include <utility>

#include "node/resources.h"

namespace mars::node {

using replication::Replica;

// Of two resources of one name, which two hosts may have made at the same moment, this host has one: the name is that
// of the device, and taken until the last one of it is gone.
bool Resources::has_name(const std::string& name) const {
  const auto is_it = [&](const auto& entry) { return entry.second == name; };
  return std::ranges::any_of(hosted_, [&](const auto& entry) { return entry.second.file.record.name == name; }) ||
         std::ranges::any_of(removing_, is_it) || std::ranges::any_of(occupied_, is_it);
}

// Asked in our turn: another command may have been first.
Result<void> Resources::may_make(const ResourceRecord& record) const {
  if (hosted_.contains(record.id)) {
    return failure(Status::exists, "this host has a replica of " + record.name + " already");
  }
  if (const auto alone = left_alone_.find(record.id); alone != left_alone_.end()) {
    return failure(Status::refused, "there is a replica of " + record.name + " on this host: " + alone->second);
  }
  if (occupied_.contains(record.id)) {
    return failure(Status::busy, "another command is just making a replica of " + record.name + " here");
  }
  if (removing_.contains(record.id)) {
    return failure(Status::busy, "the former replica of " + record.name + " is still being removed: try again later");
  }
  if (has_name(record.name)) return failure(Status::exists, "this host has a resource " + record.name + " already");
  return {};
}

// Files are made in nobody's turn, because a disk may not answer: only the id and the name are taken meanwhile.
Task<Result<void>> Resources::make(ReplicaFile file) {
  const Uuid id = file.record.id;
  Result<void> made = co_await reserve(file.record);
  if (!made) co_return made;  // nothing is here yet that would have to be removed
  const replication::ReplicaOptions options = replica_options(file);
  made = co_await Replica::create(*this, options, file.is_creator);
  if (made) {
    const Status status = co_await write_replica_file(parts_.machine, parts_.places.replica(id), file);
    if (status != Status::ok)
      made = failure(status, "cannot write " + parts_.places.replica(id) + ": " + std::string(name(status)));
  }
  if (!made) static_cast<void>(co_await remove_folders(id));
  co_await turn_.acquire();
  if (made && stop_.is_set()) {  // nobody would stop it; the next start finds its files
    made = failure(Status::stopped, "marsd is stopping");
  } else if (made) {
    co_await host(std::move(file));
  }
  occupied_.erase(id);
  turn_.release(1);
  due_.set();
  co_return made;
}

Task<Result<void>> Resources::reserve(ResourceRecord record) {
  co_await turn_.acquire();
  Result<void> reserved = may_make(record);
  if (reserved && stop_.is_set()) reserved = failure(Status::stopped, "marsd is stopping");
  if (reserved && !log_problem_.empty()) reserved = failure(Status::not_found, log_problem_);
  if (reserved) occupied_[record.id] = record.name;
  turn_.release(1);
  co_return reserved;
}

Task<void> Resources::host(ReplicaFile file) {
  const Uuid id = file.record.id;
  hosted_[id].file = std::move(file);
  const Status status = co_await publish(id);
  hosted_.at(id).is_published = status == Status::ok;
  start(hosted_.at(id));
  for (const Uuid& host : members(id)) {
    // A replica that was here before had it.
    if (Reports::Heard* heard = reports_.find(id, host)) heard->is_delivered = false;
  }
  deliver(id, hosted_.at(id));
  reports_.local_changed(id);
}

std::shared_ptr<const Resources::Leaving> Resources::leave(Uuid resource) {
  auto leaving = std::make_shared<Leaving>();
  ending_.spawn(finish_leaving(resource, leaving));
  return leaving;
}

Task<void> Resources::finish_leaving(Uuid resource, std::shared_ptr<Leaving> leaving) {
  const std::string name = hosted_.contains(resource) ? hosted_.at(resource).file.record.name : "";
  leaving->result = co_await give_up(resource);
  // Perhaps nobody waits for the answer any more.
  if (!name.empty())
    parts_.events.add(name, leaving->result ? "this host has left" : "not left: " + leaving->result.error().text);
  leaving->is_done = true;
  parts_.changed.notify();
}

// The replica is asked in nobody's turn, because its disk may not answer.
Task<Result<void>> Resources::give_up(Uuid resource) {
  co_await turn_.acquire();
  Result<void> left;
  if (!hosted_.contains(resource)) {
    left = failure(Status::not_found, "this host has no replica of it");
  } else if (occupied_.contains(resource)) {
    left = failure(Status::busy, "another command is just giving this replica up");
  } else {
    occupied_[resource] = hosted_.at(resource).file.record.name;
  }
  turn_.release(1);
  if (!left) co_return left;
  Replica* const replica = find(resource);
  if (replica != nullptr) {
    left = co_await replica->agree_to_leave();
  } else if (const Status status =
                 co_await replication::leave_rights(parts_.machine, parts_.places.resource(resource), self(), {});
             status != Status::ok) {
    left = failure(status, "that its rights are given up could not be written down");
  }
  co_await turn_.acquire();
  if (left) {
    ReplicaRecord record{false, hosted_.at(resource).file.disk};
    const Status status = co_await write_replica(parts_.registers, resource, std::move(record));
    if (status != Status::ok) {
      left = failure(status, "that this host has left could not be written down");
      if (replica != nullptr) replica->stays_after_all();
    }
  }
  occupied_.erase(resource);
  if (left && stop_.is_set()) {  // the replica is just being stopped; the next start removes its files
    left = failure(Status::stopped, "this host has left, and marsd is stopping: the next start removes the log");
  }
  if (left) left = co_await remove(resource);
  turn_.release(1);
  due_.set();
  co_return left;
}

// In our turn, which is given to others while the replica stops: its disk may not answer.
Task<Result<void>> Resources::remove(Uuid resource) {
  auto removal = std::make_shared<Removal>();
  removal->hosted = std::move(hosted_.at(resource));
  hosted_.erase(resource);  // nothing new is served from now on
  removing_[resource] = removal->hosted.file.record.name;
  reports_.local_changed(resource);
  ending_.spawn(finish_removal(resource, removal));
  turn_.release(1);
  Replica* replica = removal->hosted.replica.get();
  const std::function<uint64_t()> written = [replica] { return replica == nullptr ? 0 : replica->written_bytes(); };
  co_await be_patient(removal->is_done, written);
  co_await turn_.acquire();
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
  if (removal->status != Status::ok) {
    leftovers_[resource] = "the log and state files of " + removal->hosted.file.record.name +
                           " could not be removed (" + std::string(name(removal->status)) +
                           "): the next start of marsd removes them";
  }
  removal->is_done = true;
  parts_.changed.notify();
}

// replica.json goes first: what is left after a crash is rubbish, not half a replica.
Task<Status> Resources::remove_folders(Uuid resource) {
  io::Storage& storage = parts_.machine.storage();
  if (!log_problem_.empty())
    co_return Status::not_found;  // the log disk is not there: what is on it would be forgotten
  Status worst = co_await storage.remove(parts_.places.replica(resource));
  if (worst == Status::not_found) worst = Status::ok;
  // The log first: the next start looks for rubbish among the states.
  for (const std::string& folder : {parts_.places.log_folder(resource), parts_.places.resource(resource)}) {
    if (worst != Status::ok) break;
    const Status status = co_await storage.remove_tree(folder);
    if (status != Status::not_found) worst = status;
  }
  co_return worst;
}

}  // namespace mars::node
