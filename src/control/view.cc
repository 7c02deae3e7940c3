#include "control/view.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/answer.h"
#include "control/json_fields.h"

namespace mars::control {

namespace {

void put(Json& json, const char* key, const std::optional<uint64_t>& value) {
  if (value) json[key] = *value;
}
void put(Json& json, const char* key, const std::string& value) {
  if (!value.empty()) json[key] = value;
}
void put_time(Json& json, const char* key, const std::optional<uint64_t>& value) {
  if (value) json[key] = rfc3339(*value);
}

Json json_of(const Transfer& transfer) {
  Json json = {{"kind", name(transfer.kind)},
               {"done_bytes", transfer.done_bytes},
               {"total_bytes", transfer.total_bytes},
               {"bytes_per_second", transfer.bytes_per_second}};
  put(json, "source", transfer.source);
  return json;
}

Json json_of(const ReplicaView& replica) {
  const Switches& switches = replica.switches;
  Json json = {
      {"host", replica.host},
      {"role", name(replica.role)},
      {"wanted_role", name(replica.wanted_role)},
      {"state", name(replica.state)},
      {"is_device_open", replica.is_device_open},
      {"is_in_use", replica.is_in_use},
      {"switches",
       {{"attach", switches.attach}, {"fetch", switches.fetch}, {"replay", switches.replay}, {"sync", switches.sync}}}};
  put(json, "reason", replica.reason);
  put(json, "next_step", replica.next_step);
  if (replica.epoch) {
    json["epoch"] = {{"number", replica.epoch->number},
                     {"id", replica.epoch->id},
                     {"host", replica.epoch->host},
                     {"cause", replica.epoch->cause}};
  }
  put(json, "received_lsn", replica.received_lsn);
  put(json, "durable_lsn", replica.durable_lsn);
  put(json, "applied_lsn", replica.applied_lsn);
  put(json, "lag_bytes", replica.lag_bytes);
  put(json, "lag_ms", replica.lag_ms);
  put_time(json, "applied_time", replica.applied_time_ns);
  put_time(json, "last_contact", replica.last_contact_ns);
  put(json, "disk", replica.disk);
  put(json, "device", replica.device);
  put(json, "front_end", replica.front_end);
  put(json, "log_bytes", replica.log_bytes);
  put(json, "log_room_bytes", replica.log_room_bytes);
  put(json, "dirty_bytes", replica.dirty_bytes);
  json["transfers"] = Json::array();
  for (const Transfer& transfer : replica.transfers) json["transfers"].push_back(json_of(transfer));
  return json;
}

Json json_of(const ResourceView& resource) {
  Json json = {{"name", resource.name},
               {"uuid", resource.uuid},
               {"size_bytes", resource.size_bytes},
               {"block_bytes", resource.block_bytes},
               {"alarms", resource.alarms}};
  put(json, "designated", resource.designated);
  json["replicas"] = Json::array();
  for (const ReplicaView& replica : resource.replicas) json["replicas"].push_back(json_of(replica));
  return json;
}

Json json_of(const HostView& host) {
  Json json = {{"name", host.name},
               {"uuid", host.uuid},
               {"addresses", host.addresses},
               {"is_self", host.is_self},
               {"is_connected", host.is_connected}};
  put_time(json, "last_contact", host.last_contact_ns);
  put(json, "marsd", host.version);
  put(json, "problem", host.problem);
  return json;
}

Transfer transfer_from(const Json& json, bool& ok) {
  Fields fields(json);
  Transfer transfer;
  fields.get_word("kind", transfer.kind, find_transfer_kind);
  fields.get("done_bytes", transfer.done_bytes);
  fields.get("total_bytes", transfer.total_bytes);
  fields.get("bytes_per_second", transfer.bytes_per_second);
  fields.get("source", transfer.source);
  ok = ok && fields.ok();
  return transfer;
}

void read_epoch(const Json& json, ReplicaView& replica, bool& ok) {
  Fields fields(json);
  EpochView& epoch = replica.epoch.emplace();
  fields.get("number", epoch.number);
  fields.get("id", epoch.id);
  fields.get("host", epoch.host);
  fields.get("cause", epoch.cause);
  ok = ok && fields.ok();
}

void read_switches(const Json& json, Switches& switches, bool& ok) {
  Fields fields(json);
  fields.get("attach", switches.attach);
  fields.get("fetch", switches.fetch);
  fields.get("replay", switches.replay);
  fields.get("sync", switches.sync);
  ok = ok && fields.ok();
}

ReplicaView replica_from(const Json& json, bool& ok) {
  Fields fields(json);
  ReplicaView replica;
  fields.get("host", replica.host);
  fields.get_word("role", replica.role, find_role);
  fields.get_word("wanted_role", replica.wanted_role, find_role);
  // A newer marsd may know states that we do not: that is no reason to show nothing.
  fields.get_word("state", replica.state, [](const std::string& text) {
    return std::optional<State>(find_state(text).value_or(State::unknown));
  });
  fields.get("reason", replica.reason);
  fields.get("next_step", replica.next_step);
  if (const Json* switches = fields.find("switches")) read_switches(*switches, replica.switches, ok);
  if (const Json* epoch = fields.find("epoch")) read_epoch(*epoch, replica, ok);
  fields.get("received_lsn", replica.received_lsn);
  fields.get("durable_lsn", replica.durable_lsn);
  fields.get("applied_lsn", replica.applied_lsn);
  fields.get("lag_bytes", replica.lag_bytes);
  fields.get("lag_ms", replica.lag_ms);
  fields.get_time("applied_time", replica.applied_time_ns);
  fields.get_time("last_contact", replica.last_contact_ns);
  fields.get("disk", replica.disk);
  fields.get("device", replica.device);
  fields.get("front_end", replica.front_end);
  fields.get("is_device_open", replica.is_device_open);
  fields.get("is_in_use", replica.is_in_use);
  fields.get("log_bytes", replica.log_bytes);
  fields.get("log_room_bytes", replica.log_room_bytes);
  fields.get("dirty_bytes", replica.dirty_bytes);
  fields.each("transfers", [&](const Json& item) { replica.transfers.push_back(transfer_from(item, ok)); });
  ok = ok && fields.ok();
  return replica;
}

ResourceView resource_from(const Json& json, bool& ok) {
  Fields fields(json);
  ResourceView resource;
  uint64_t block_bytes = 0;
  fields.get("name", resource.name);
  fields.get("uuid", resource.uuid);
  fields.get("size_bytes", resource.size_bytes);
  fields.get("block_bytes", block_bytes);
  fields.get("designated", resource.designated);
  fields.get("alarms", resource.alarms);
  fields.each("replicas", [&](const Json& item) { resource.replicas.push_back(replica_from(item, ok)); });
  ok = ok && fields.ok() && block_bytes <= UINT32_MAX;
  resource.block_bytes = static_cast<uint32_t>(block_bytes);
  return resource;
}

HostView host_from(const Json& json, bool& ok) {
  Fields fields(json);
  HostView host;
  fields.get("name", host.name);
  fields.get("uuid", host.uuid);
  fields.get("addresses", host.addresses);
  fields.get("is_self", host.is_self);
  fields.get("is_connected", host.is_connected);
  fields.get_time("last_contact", host.last_contact_ns);
  fields.get("marsd", host.version);
  fields.get("problem", host.problem);
  ok = ok && fields.ok();
  return host;
}

}  // namespace

std::string commands_to_resume(const Switches& switches, std::string_view resource) {
  std::string text;
  for (const auto& [is_on, command] : {std::pair{switches.attach, "attach"},
                                       {switches.fetch, "resume-fetch"},
                                       {switches.replay, "resume-replay"},
                                       {switches.sync, "resume-sync"}}) {
    if (!is_on) text += fmt::format("{}`marsadm {} {}`", text.empty() ? "" : " and ", command, resource);
  }
  return text;
}

std::string to_json(const ClusterView& view) {
  Json json = {{"version", view_version},   {"host", view.host},         {"time", rfc3339(view.time_ns)},
               {"marsd", view.version},     {"warnings", view.warnings}, {"hosts", Json::array()},
               {"resources", Json::array()}};
  put(json, "cluster", view.cluster);
  put(json, "problem", view.problem);
  put(json, "memory_bytes", view.memory_bytes);
  put(json, "memory_bytes_max", view.memory_bytes_max);
  for (const HostView& host : view.hosts) json["hosts"].push_back(json_of(host));
  for (const ResourceView& resource : view.resources) json["resources"].push_back(json_of(resource));
  return write_json(json);
}

std::string to_json(const ResourceView& view) {
  Json json = json_of(view);
  json["version"] = view_version;
  return write_json(json);
}

Result<ClusterView> cluster_view_from_json(std::string_view text) {
  Result<Json> json = parse_object(text, answer_bytes_max);
  if (!json) return failure(json.error());
  Fields fields(*json);
  uint64_t version = 0;
  fields.get("version", version);
  if (!fields.ok() || version != view_version) {
    return failure(Status::unsupported, "the status is of another version than this marsadm understands");
  }
  ClusterView view;
  bool ok = true;
  fields.get("cluster", view.cluster);
  fields.get("problem", view.problem);
  fields.get("host", view.host);
  fields.get_time("time", view.time_ns);
  fields.get("marsd", view.version);
  fields.get("warnings", view.warnings);
  fields.get("memory_bytes", view.memory_bytes);
  fields.get("memory_bytes_max", view.memory_bytes_max);
  fields.each("hosts", [&](const Json& item) { view.hosts.push_back(host_from(item, ok)); });
  fields.each("resources", [&](const Json& item) { view.resources.push_back(resource_from(item, ok)); });
  if (!ok || !fields.ok()) return failure(Status::invalid, "the status has a field of a wrong type");
  return view;
}

Result<ClusterView> only(ClusterView view, std::string_view resource) {
  if (!view.problem.empty()) {
    return failure(Status::io_error,
                   fmt::format("this host is a member of a cluster, which could not be opened: {}; {}", view.problem,
                               way_to_open));
  }
  if (view.cluster.empty()) {
    return failure(Status::refused, "this host is in no cluster; `marsadm create-cluster` or `marsadm join-cluster`");
  }
  std::string ResourceView::* key = &ResourceView::uuid;
  if (std::ranges::find(view.resources, resource, key) == view.resources.end()) key = &ResourceView::name;
  if (std::ranges::find(view.resources, resource, key) == view.resources.end()) {
    std::vector<std::string_view> names;
    for (const ResourceView& known : view.resources) names.push_back(known.name);
    std::string_view near = nearest(resource, names);
    std::string hint = near.empty() ? "; `marsadm status` lists them" : fmt::format("; did you mean \"{}\"?", near);
    return failure(Status::not_found, fmt::format("there is no resource \"{}\"{}", resource, hint));
  }
  std::erase_if(view.resources, [&](const ResourceView& known) { return known.*key != resource; });
  return view;
}

}  // namespace mars::control
