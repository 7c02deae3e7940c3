// Resources: making and removing the replicas of this host, one at a time.
#include <algorithm>
#include <utility>

#include "node/resources.h"

namespace mars::node {

using replication::Replica;

// Of two resources of one name, which two hosts may have made at the same moment, this host has one: the name is that
// of the device, and taken until the last one of it is gone.
bool Resources::has_name(const std::string& name) const {
  return std::ranges::any_of(hosted_, [&](const auto& entry) { return entry.second.file.record.name == name; }) ||
         std::ranges::any_of(removing_, [&](const auto& entry) { return entry.second == name; });
}

// Asked in our turn: another command may have been first.
Result<void> Resources::may_make(const ResourceRecord& record) const {
  if (hosted_.contains(record.id)) {
    return failure(Status::exists, "this host has a replica of " + record.name + " already");
  }
  if (const auto alone = left_alone_.find(record.id); alone != left_alone_.end()) {
    return failure(Status::refused, "there is a replica of " + record.name + " on this host: " + alone->second);
  }
  if (removing_.contains(record.id)) {
    return failure(Status::busy, "the former replica of " + record.name + " is still being removed: try again later");
  }
  if (has_name(record.name)) return failure(Status::exists, "this host has a resource " + record.name + " already");
  return {};
}

Task<Result<void>> Resources::make(ReplicaFile file) {
  const Uuid id = file.record.id;
  co_await turn_.acquire();
  Result<void> made = may_make(file.record);
  if (!made) {  // nothing is here yet that would have to be removed
    turn_.release(1);
    co_return made;
  }
  if (stop_.is_set()) {
    made = failure(Status::stopped, "marsd is stopping");
  } else if (!log_problem_.empty()) {
    made = failure(Status::not_found, log_problem_);
  } else {
    const replication::ReplicaOptions options = replica_options(file);
    made = co_await Replica::create(*this, options, file.is_creator);
  }
  if (made) {
    const Status status = co_await write_replica_file(parts_.machine, parts_.places.replica(id), file);
    if (status != Status::ok)
      made = failure(status, "cannot write " + parts_.places.replica(id) + ": " + std::string(name(status)));
  }
  if (made && stop_.is_set()) {  // nobody would stop it; the next start finds its files
    turn_.release(1);
    co_return failure(Status::stopped, "marsd is stopping");
  }
  if (made) {
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
  } else {
    static_cast<void>(co_await remove_folders(id));
  }
  turn_.release(1);
  due_.set();
  co_return made;
}

Task<Result<void>> Resources::leave(Uuid resource) {
  co_await turn_.acquire();
  Result<void> left;
  if (!hosted_.contains(resource)) {
    left = failure(Status::not_found, "this host has no replica of it");
  } else {
    Hosted& hosted = hosted_.at(resource);
    if (hosted.replica) {
      left = co_await hosted.replica->agree_to_leave();
    } else if (const Status status =
                   co_await replication::leave_rights(parts_.machine, parts_.places.resource(resource), self(), {});
               status != Status::ok) {
      left = failure(status, "that its rights are given up could not be written down");
    }
    ReplicaRecord record{false, hosted.file.disk};
    const Status status = left ? co_await write_replica(parts_.registers, resource, std::move(record)) : Status::ok;
    if (status != Status::ok) {
      left = failure(status, "that this host has left could not be written down");
      if (hosted.replica) hosted.replica->stays_after_all();
    }
    if (left) left = co_await remove(resource);
  }
  turn_.release(1);
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
