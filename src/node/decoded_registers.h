// DecodedRegisters: what replicas ask of the registers at each step of their work, and `status` of all of them, decoded
// once for each change of any register. Belongs to the reactor; what it returns lives until the next register changes.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "control/settings.h"
#include "node/members.h"
#include "node/resource_registers.h"

namespace mars::node {

class DecodedRegisters {
 public:
  // `self`: whose switches.
  DecodedRegisters(const meta::Registers& registers, const Uuid& self) : registers_(registers), self_(self) {}

  const std::vector<Member>& members();                                                 // list_members()
  const std::vector<ResourceRecord>& resources();                                       // list_resources()
  const std::vector<Uuid>& replica_hosts(const Uuid& id) { return current(id).hosts; }  // by uuid
  const std::map<Uuid, ReplicaRecord>& replicas(const Uuid& id) { return current(id).replicas; }
  const replication::Designated& designated(const Uuid& id) { return current(id).designated; }
  const std::map<Uuid, replication::Memories>& memories(const Uuid& id) { return current(id).memories; }
  const control::Switches& switches(const Uuid& id) { return current(id).switches; }
  const control::Settings& settings(const Uuid& id) { return current(id).settings; }

 private:
  struct Decoded {
    std::vector<Uuid> hosts;
    std::map<Uuid, ReplicaRecord> replicas;
    replication::Designated designated;
    std::map<Uuid, replication::Memories> memories;
    control::Switches switches;
    control::Settings settings;
  };
  void forget_old();
  const Decoded& current(const Uuid& id);

  const meta::Registers& registers_;
  const Uuid self_;
  uint64_t change_count_ = 0;
  std::optional<std::vector<Member>> members_;
  std::optional<std::vector<ResourceRecord>> resources_;
  std::map<Uuid, Decoded> decoded_;
};

}  // namespace mars::node
