#include "node/members.h"

#include <utility>

#include "control/words.h"
#include "meta/key.h"
#include "node/json.h"
#include "node/text.h"

namespace mars::node {

namespace {

constexpr size_t value_bytes_max = 64u << 10;

std::vector<io::Address> addresses_of(Fields& fields) {
  std::vector<io::Address> addresses;
  fields.get("addresses", addresses);
  if (addresses.size() > 64) addresses.resize(64);
  return addresses;
}

std::optional<Member> decode(const format::Register& value) {
  const size_t sign = value.key.find('!');
  Result<Uuid> host = parse_uuid(std::string_view(value.key).substr(sign + 1));
  Result<Json> json = control::parse_object(meta::text_of(value), value_bytes_max);
  if (!host || !json) return std::nullopt;
  Fields fields(*json);
  Member member;
  std::string key;
  member.host = *host;
  fields.get("name", member.name);
  fields.get("key", key);
  member.addresses = addresses_of(fields);
  const auto hash = unhex<32>(key);
  if (!fields.ok() || !hash || control::check_name(member.name) != Status::ok) return std::nullopt;
  member.key = *hash;
  return member;
}

void take_newer_addresses(const meta::Registers& registers, Member& member) {
  const auto fact = registers.find_fact(cluster_scope, "addresses", member.host);
  if (!fact) return;
  Result<Json> json = control::parse_object(meta::text_of(*fact), value_bytes_max);
  if (!json) return;
  Fields fields(*json);
  std::vector<io::Address> addresses = addresses_of(fields);
  if (fields.ok() && !addresses.empty()) member.addresses = std::move(addresses);
}

}  // namespace

bool is_removed(const meta::Registers& registers, const Uuid& host) {
  return registers.find(cluster_scope, meta::immutable_key("removed", to_string(host))).has_value();
}

std::vector<Member> list_members(const meta::Registers& registers) {
  std::vector<Member> members;
  for (const format::Register& value : registers.list(cluster_scope, "member!")) {
    std::optional<Member> member = decode(value);
    if (!member || is_removed(registers, member->host)) continue;
    take_newer_addresses(registers, *member);
    members.push_back(std::move(*member));
  }
  return members;
}

std::optional<Member> find_member(const meta::Registers& registers, const Uuid& host) {
  const auto value = registers.find(cluster_scope, meta::immutable_key("member", to_string(host)));
  if (!value || is_removed(registers, host)) return std::nullopt;
  return decode(*value);
}

std::optional<Member> find_member_by_name(const meta::Registers& registers, const std::string& name) {
  for (Member& member : list_members(registers)) {
    if (member.name == name) return std::move(member);
  }
  return std::nullopt;
}

Result<Member> member_called(const meta::Registers& registers, const std::string& name) {
  const std::vector<Member> members = list_members(registers);
  std::vector<std::string_view> names;
  const Member* found = nullptr;
  for (const Member& member : members) {
    if (to_string(member.host) == name) return member;
    names.push_back(member.name);
    if (member.name != name) continue;
    if (found != nullptr) {
      return failure(Status::refused, "two hosts of this cluster are called " + name + ": give the uuid, " +
                                          to_string(found->host) + " or " + to_string(member.host));
    }
    found = &member;
  }
  if (found != nullptr) return *found;
  return failure(Status::not_found,
                 "no host of this cluster is called \"" + name + "\"" + control::suggestion(name, names));
}

Task<Status> add_member(meta::Registers& registers, Member member) {
  const std::optional<Member> known = find_member(registers, member.host);
  if (known) co_return known->key == member.key && known->name == member.name ? Status::ok : Status::exists;
  Json json = {{"name", member.name}, {"key", hex(member.key)}, {"addresses", member.addresses}};
  std::string key = meta::immutable_key("member", to_string(member.host));
  meta::Bytes value = meta::bytes_from(control::write_json(json));
  co_return co_await registers.set_immutable(cluster_scope, std::move(key), std::move(value));
}

Task<Status> publish_addresses(meta::Registers& registers, Uuid self, std::vector<io::Address> addresses) {
  for (const Member& member : list_members(registers)) {
    if (member.host == self && member.addresses == addresses) co_return Status::ok;
  }
  Json json = {{"addresses", addresses}};
  meta::Bytes value = meta::bytes_from(control::write_json(json));
  co_return co_await registers.set_fact(cluster_scope, "addresses", std::move(value));
}

}  // namespace mars::node
