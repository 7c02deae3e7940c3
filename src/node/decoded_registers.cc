#include "node/decoded_registers.h"

#include <utility>

namespace mars::node {

void DecodedRegisters::forget_old() {
  if (change_count_ == registers_.change_count()) return;
  change_count_ = registers_.change_count();
  members_.reset();
  resources_.reset();
  decoded_.clear();
}

const std::vector<Member>& DecodedRegisters::members() {
  forget_old();
  if (!members_) members_ = list_members(registers_);
  return *members_;
}

const std::vector<ResourceRecord>& DecodedRegisters::resources() {
  forget_old();
  if (!resources_) resources_ = list_resources(registers_);
  return *resources_;
}

const DecodedRegisters::Decoded& DecodedRegisters::current(const Uuid& id) {
  forget_old();
  const auto [place, is_new] = decoded_.try_emplace(id);
  if (is_new) {
    std::vector<Uuid> hosts;
    auto replicas = list_replicas(registers_, id);
    for (const auto& [host, record] : replicas) {
      if (record.has_joined) hosts.push_back(host);
    }
    place->second = {std::move(hosts),
                     std::move(replicas),
                     find_designated(registers_, id),
                     find_memories(registers_, id),
                     find_switches(registers_, id, self_),
                     control::settings_from(find_options(registers_, id))};
  }
  return place->second;
}

}  // namespace mars::node
