// What the cluster knows of its resources, as registers of scope "resource/<uuid>":
//   create!0           immutable: name, bytes, block size, creator
//   replica@<host>     fact: has a replica or has left, path of its disk, which copy
//   designated         wish: who is to be primary (T6)
//   switch.<host>.KIND wish: attach, fetch, replay, sync; "on" when absent
//   option.KEY         wish: control/settings.h
//   memory@<host>      fact: what it remembers of the other members' logs (T10, D10)
//   deleted!0          immutable: gone for good (R1)
// Reading is pure; writing returns when it is durable here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/view.h"
#include "meta/registers.h"
#include "replication/environment.h"

namespace mars::node {

struct ResourceRecord {
  Uuid id;
  std::string name;
  uint64_t bytes = 0;
  uint32_t block_bytes = 0;
  Uuid creator;
  friend bool operator==(const ResourceRecord&, const ResourceRecord&) = default;
};

struct ReplicaRecord {
  bool has_joined = false;  // false: it has left
  std::string disk;
  uint64_t made_ns = 0;  // which copy (replica_file.h)
};

std::string scope_of(const Uuid& resource);

// By uuid; without those that were deleted.
std::vector<ResourceRecord> list_resources(const meta::Registers& registers);
std::optional<ResourceRecord> find_resource(const meta::Registers& registers, const Uuid& id);
bool is_deleted(const meta::Registers& registers, const Uuid& id);
// By host, also of those that have left.
std::map<Uuid, ReplicaRecord> list_replicas(const meta::Registers& registers, const Uuid& id);
std::optional<ReplicaRecord> find_replica(const meta::Registers& registers, const Uuid& id, const Uuid& host);
replication::Designated find_designated(const meta::Registers& registers, const Uuid& id);
control::Switches find_switches(const meta::Registers& registers, const Uuid& id, const Uuid& host);
std::map<std::string, std::string> find_options(const meta::Registers& registers, const Uuid& id);
// By who remembers; entries that are not well-formed are left out.
std::map<Uuid, replication::Memories> find_memories(const meta::Registers& registers, const Uuid& id);

Task<Status> write_resource(meta::Registers& registers, ResourceRecord record);
Task<Status> write_replica(meta::Registers& registers, Uuid id, ReplicaRecord record);
Task<Status> write_designated(meta::Registers& registers, Uuid id, replication::Designated wish);
// refused: another wish than `former` stands there by now, and stays.
Task<Status> replace_designated(meta::Registers& registers, Uuid id, replication::Designated former,
                                replication::Designated wish);
// `kind`: attach, fetch, replay, sync.
Task<Status> write_switch(meta::Registers& registers, Uuid id, Uuid host, std::string kind, bool is_on);
Task<Status> write_option(meta::Registers& registers, Uuid id, std::string key, std::string value);
Task<Status> write_memories(meta::Registers& registers, Uuid id, replication::Memories memories);
Task<Status> write_deleted(meta::Registers& registers, Uuid id, std::string by);

}  // namespace mars::node
