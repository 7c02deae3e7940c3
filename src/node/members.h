// Members: the hosts of the cluster as registers of scope "cluster". `member!<uuid>` is immutable: name, key, first
// addresses (R1); `addresses@<uuid>` is a fact of that host; `removed!<uuid>` wins over both.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/network.h"
#include "meta/registers.h"

namespace mars::node {

struct Member {
  Uuid host;
  std::string name;
  io::Sha256 key = {};
  std::vector<io::Address> addresses;
  friend bool operator==(const Member&, const Member&) = default;
};

inline constexpr const char* cluster_scope = "cluster";

// By uuid. What is malformed is left out.
std::vector<Member> list_members(const meta::Registers& registers);
std::optional<Member> find_member(const meta::Registers& registers, const Uuid& host);
std::optional<Member> find_member_by_name(const meta::Registers& registers, const std::string& name);
// What a person calls it: name or uuid. not_found; refused: two hosts have that name, which two members admitted at the
// same moment.
Result<Member> member_called(const meta::Registers& registers, const std::string& name);
// exists: this host is known with another key or name.
Task<Status> add_member(meta::Registers& registers, Member member);
bool is_removed(const meta::Registers& registers, const Uuid& host);
// Of this host, where they differ from what is known.
Task<Status> publish_addresses(meta::Registers& registers, Uuid self, std::vector<io::Address> addresses);

}  // namespace mars::node
