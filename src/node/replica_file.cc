#include "node/replica_file.h"

#include <optional>
#include <utility>

#include "node/json.h"

namespace mars::node {
namespace {

constexpr uint64_t format_version = 1;

Json to_json(const ReplicaFile& file) {
  Json others = Json::object();
  for (const auto& [host, made_ns] : file.others) others[to_string(host)] = made_ns;
  return {{"format", format_version},
          {"name", file.record.name},
          {"bytes", file.record.bytes},
          {"block", file.record.block_bytes},
          {"creator", to_string(file.record.creator)},
          {"disk", file.disk},
          {"made_ns", file.made_ns},
          {"is_creator", file.is_creator},
          {"was_published", file.was_published},
          {"others", std::move(others)}};
}

bool is_of_newer(const Json& json) {
  Fields fields(json);
  uint64_t version = 0;
  fields.get("format", version);
  return fields.ok() && version > format_version;
}

std::optional<ReplicaFile> from_json(const Uuid& id, const Json& json) {
  Fields fields(json);
  ReplicaFile file;
  uint64_t version = 0, block = 0;
  std::string creator;
  file.record.id = id;
  fields.get("format", version);
  fields.get("name", file.record.name);
  fields.get("bytes", file.record.bytes);
  fields.get("block", block);
  fields.get("creator", creator);
  fields.get("disk", file.disk);
  fields.get("is_creator", file.is_creator);
  // Who wrote a file without it may have been interrupted; that a resource is not new is the safe thing to believe.
  file.was_published = true;
  fields.get("was_published", file.was_published);
  if (const Json* others = fields.find("others"); others != nullptr) {
    if (!others->is_object()) return std::nullopt;
    for (const auto& [name, value] : others->items()) {
      const Result<Uuid> host = parse_uuid(name);
      if (!host || !value.is_number_unsigned()) return std::nullopt;
      file.others.emplace(*host, value.get<uint64_t>());
    }
  }
  fields.get("made_ns", file.made_ns);
  const Result<Uuid> uuid = parse_uuid(creator);
  const bool is_legal = fields.ok() && version == format_version && uuid && (block == 512 || block == 4096) &&
                        file.record.bytes > 0 && !file.disk.empty() &&
                        control::check_name(file.record.name) == Status::ok;
  if (!is_legal) return std::nullopt;
  file.record.block_bytes = static_cast<uint32_t>(block);
  file.record.creator = *uuid;
  return file;
}

}  // namespace

Task<Result<ReplicaFile>> read_replica_file(io::Machine& machine, std::string path, Uuid id) {
  auto json = co_await read_json(machine, path);
  if (!json) co_return failure(json.error());
  if (is_of_newer(*json)) {
    co_return failure(Status::unsupported, path + " was written by a newer marsd; install that version again");
  }
  std::optional<ReplicaFile> file = from_json(id, *json);
  if (!file) co_return failure(Status::damaged, path + " is damaged");
  co_return std::move(*file);
}

Task<Status> write_replica_file(io::Machine& machine, std::string path, ReplicaFile file) {
  Json json = to_json(file);
  co_return co_await write_json(machine, std::move(path), std::move(json));
}

}  // namespace mars::node
