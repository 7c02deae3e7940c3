#include "node/resource_registers.h"

#include <utility>

#include "meta/key.h"
#include "node/json.h"

namespace mars::node {

namespace {

constexpr size_t value_bytes_max = 64u << 10;
constexpr std::string_view scope_prefix = "resource/";
constexpr std::string_view option_prefix = "option.";

Uuid uuid_of(std::string_view text) {
  Result<Uuid> uuid = parse_uuid(text);
  return uuid ? *uuid : Uuid();
}

std::optional<ResourceRecord> decode(const Uuid& id, const format::Register& value) {
  Result<Json> json = control::parse_object(meta::text_of(value), value_bytes_max);
  if (!json) return std::nullopt;
  Fields fields(*json);
  ResourceRecord record;
  std::string creator;
  uint64_t block = 0;
  record.id = id;
  fields.get("name", record.name);
  fields.get("bytes", record.bytes);
  fields.get("block", block);
  fields.get("creator", creator);
  const bool is_legal = fields.ok() && control::check_name(record.name) == Status::ok && record.bytes > 0 &&
                        (block == 512 || block == 4096);
  if (!is_legal) return std::nullopt;
  record.block_bytes = static_cast<uint32_t>(block);
  record.creator = uuid_of(creator);
  return record;
}

std::optional<replication::Memory> memory_from(const Json& json) {
  Fields fields(json);
  std::string life, epoch;
  replication::Memory memory;
  fields.get("life", life);
  fields.get("epoch", epoch);
  fields.get("lsn", memory.what.tip.position.lsn.value);
  const auto history = json.find("history");
  if (!fields.ok() || history == json.end() || !history->is_array()) return std::nullopt;
  if (history->size() > replication::Memory::history_max) return std::nullopt;
  memory.what.life = uuid_of(life);
  memory.what.tip.position.epoch = uuid_of(epoch);
  for (const Json& one : *history) {
    if (one.is_string()) memory.history.push_back(uuid_of(one.get<std::string>()));
  }
  return memory;
}

Json json_from(const replication::Memory& memory) {
  Json history = Json::array();
  for (const EpochId& epoch : memory.history) history.push_back(to_string(epoch));
  return {{"life", to_string(memory.what.life)},
          {"epoch", to_string(memory.what.tip.position.epoch)},
          {"lsn", memory.what.tip.position.lsn.value},
          {"history", history}};
}

meta::Bytes encode(replication::Designated wish) {
  if (wish.refusal.size() > 4096) wish.refusal.resize(4096);
  Json json = {{"host", wish.host.is_nil() ? "" : to_string(wish.host)},
               {"request", wish.request.is_nil() ? "" : to_string(wish.request)},
               {"refusal", wish.refusal},
               {"forced", wish.is_forced}};
  return meta::bytes_from(control::write_json(json));
}

bool is_off(const meta::Registers& registers, const Uuid& id, const Uuid& host, const std::string& kind) {
  const auto value = registers.find(scope_of(id), "switch." + to_string(host) + "." + kind);
  return value && meta::text_of(*value) == "off";
}

}  // namespace

std::string scope_of(const Uuid& resource) { return std::string(scope_prefix) + to_string(resource); }

std::vector<ResourceRecord> list_resources(const meta::Registers& registers) {
  std::vector<ResourceRecord> records;
  for (const std::string& scope : registers.scopes(scope_prefix)) {
    const Uuid id = uuid_of(std::string_view(scope).substr(scope_prefix.size()));
    if (id.is_nil() || is_deleted(registers, id)) continue;
    if (auto record = find_resource(registers, id)) records.push_back(std::move(*record));
  }
  return records;
}

std::optional<ResourceRecord> find_resource(const meta::Registers& registers, const Uuid& id) {
  const auto value = registers.find(scope_of(id), meta::immutable_key("create", "0"));
  return value ? decode(id, *value) : std::nullopt;
}

bool is_deleted(const meta::Registers& registers, const Uuid& id) {
  return registers.find(scope_of(id), meta::immutable_key("deleted", "0")).has_value();
}

std::map<Uuid, ReplicaRecord> list_replicas(const meta::Registers& registers, const Uuid& id) {
  std::map<Uuid, ReplicaRecord> replicas;
  for (const format::Register& value : registers.list(scope_of(id), "replica@")) {
    const std::optional<Uuid> host = meta::owner_of(value.key);
    if (!host) continue;
    if (auto record = find_replica(registers, id, *host)) replicas.emplace(*host, std::move(*record));
  }
  return replicas;
}

std::optional<ReplicaRecord> find_replica(const meta::Registers& registers, const Uuid& id, const Uuid& host) {
  const auto value = registers.find_fact(scope_of(id), "replica", host);
  if (!value) return std::nullopt;
  Result<Json> json = control::parse_object(meta::text_of(*value), value_bytes_max);
  if (!json) return std::nullopt;
  Fields fields(*json);
  ReplicaRecord record;
  fields.get("joined", record.has_joined);
  fields.get("disk", record.disk);
  fields.get("made_ns", record.made_ns);
  return fields.ok() ? std::optional(std::move(record)) : std::nullopt;
}

replication::Designated find_designated(const meta::Registers& registers, const Uuid& id) {
  replication::Designated designated;
  const auto value = registers.find(scope_of(id), "designated");
  if (!value) return designated;
  Result<Json> json = control::parse_object(meta::text_of(*value), value_bytes_max);
  if (!json) return designated;
  Fields fields(*json);
  std::string host, request;
  fields.get("host", host);
  fields.get("request", request);
  fields.get("refusal", designated.refusal);
  fields.get("forced", designated.is_forced);
  designated.host = uuid_of(host);
  designated.request = uuid_of(request);
  return designated;
}

control::Switches find_switches(const meta::Registers& registers, const Uuid& id, const Uuid& host) {
  control::Switches switches;
  switches.attach = !is_off(registers, id, host, "attach");
  switches.fetch = !is_off(registers, id, host, "fetch");
  switches.replay = !is_off(registers, id, host, "replay");
  switches.sync = !is_off(registers, id, host, "sync");
  return switches;
}

std::map<std::string, std::string> find_options(const meta::Registers& registers, const Uuid& id) {
  std::map<std::string, std::string> options;
  for (const format::Register& value : registers.list(scope_of(id), option_prefix)) {
    options.emplace(value.key.substr(option_prefix.size()), meta::text_of(value));
  }
  return options;
}

std::map<Uuid, replication::Memories> find_memories(const meta::Registers& registers, const Uuid& id) {
  std::map<Uuid, replication::Memories> found;
  for (const format::Register& value : registers.list(scope_of(id), "memory@")) {
    const std::optional<Uuid> host = meta::owner_of(value.key);
    Result<Json> json = control::parse_object(meta::text_of(value), value_bytes_max);
    if (!host || !json) continue;
    for (const auto& [name, one] : json->items()) {
      const Result<Uuid> of = parse_uuid(name);
      auto memory = of && one.is_object() ? memory_from(one) : std::nullopt;
      if (memory) found[*host].emplace(*of, std::move(*memory));
    }
  }
  return found;
}

Task<Status> write_resource(meta::Registers& registers, ResourceRecord record) {
  Json json = {{"name", record.name},
               {"bytes", record.bytes},
               {"block", record.block_bytes},
               {"creator", to_string(record.creator)}};
  meta::Bytes value = meta::bytes_from(control::write_json(json));
  co_return co_await registers.set_immutable(scope_of(record.id), meta::immutable_key("create", "0"), std::move(value));
}

Task<Status> write_replica(meta::Registers& registers, Uuid id, ReplicaRecord record) {
  Json json = {{"joined", record.has_joined}, {"disk", record.disk}, {"made_ns", record.made_ns}};
  meta::Bytes value = meta::bytes_from(control::write_json(json));
  co_return co_await registers.set_fact(scope_of(id), "replica", std::move(value));
}

Task<Status> write_designated(meta::Registers& registers, Uuid id, replication::Designated wish) {
  meta::Bytes value = encode(std::move(wish));
  co_return co_await registers.set_wish(scope_of(id), "designated", std::move(value));
}

Task<Status> replace_designated(meta::Registers& registers, Uuid id, replication::Designated former,
                                replication::Designated wish) {
  const auto value = registers.find(scope_of(id), "designated");
  if (!value || find_designated(registers, id) != former) co_return Status::refused;
  meta::Bytes expected = value->value;
  meta::Bytes next = encode(std::move(wish));
  co_return co_await registers.replace_wish(scope_of(id), "designated", std::move(expected), std::move(next));
}

Task<Status> write_switch(meta::Registers& registers, Uuid id, Uuid host, std::string kind, bool is_on) {
  std::string key = "switch." + to_string(host) + "." + kind;
  const auto present = registers.find(scope_of(id), key);
  const bool is_on_now = !present || meta::text_of(*present) != "off";
  if (is_on_now == is_on) co_return Status::ok;
  meta::Bytes value = meta::bytes_from(is_on ? "on" : "off");
  co_return co_await registers.set_wish(scope_of(id), std::move(key), std::move(value));
}

Task<Status> write_option(meta::Registers& registers, Uuid id, std::string key, std::string value) {
  meta::Bytes bytes = meta::bytes_from(value);
  co_return co_await registers.set_wish(scope_of(id), std::string(option_prefix) + key, std::move(bytes));
}

Task<Status> write_memories(meta::Registers& registers, Uuid id, replication::Memories memories) {
  Json json = Json::object();
  for (const auto& [host, memory] : memories) json[to_string(host)] = json_from(memory);
  std::string text = control::write_json(json);
  if (text.size() > value_bytes_max) co_return Status::no_space;
  meta::Bytes value = meta::bytes_from(text);
  co_return co_await registers.set_fact(scope_of(id), "memory", std::move(value));
}

Task<Status> write_deleted(meta::Registers& registers, Uuid id, std::string by) {
  Json json = {{"by", by}};
  meta::Bytes value = meta::bytes_from(control::write_json(json));
  const Status status =
      co_await registers.set_immutable(scope_of(id), meta::immutable_key("deleted", "0"), std::move(value));
  co_return status == Status::exists ? Status::ok : status;
}

}  // namespace mars::node
