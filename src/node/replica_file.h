// replica.json: that this host has a replica, and on which disk.
#pragma once

#include <map>
#include <string>

#include "io/machine.h"
#include "node/resource_registers.h"

namespace mars::node {

struct ReplicaFile {
  ResourceRecord record;
  std::string disk;
  // When this copy was made, by the hybrid clock: who leaves and joins again makes a later one. 0 in files of an older
  // marsd.
  uint64_t made_ns = 0;
  bool is_creator = false;
  // The registers had it once: where they know nothing of it, they were lost or restored to before.
  bool was_published = false;
  // When the copies of other hosts were made, by host, as far as the registers have told; for the same reason.
  std::map<Uuid, uint64_t> others;
};

// not_found: no such file; damaged: it is not what we write.
Task<Result<ReplicaFile>> read_replica_file(io::Machine& machine, std::string path, Uuid id);

Task<Status> write_replica_file(io::Machine& machine, std::string path, ReplicaFile file);

}  // namespace mars::node
