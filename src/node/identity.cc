#include "node/identity.h"

#include <utility>

#include "node/json.h"
#include "node/text.h"

namespace mars::node {

namespace {

constexpr uint64_t format_version = 1;

Result<Uuid> uuid_field(const Json& json, const char* key) {
  Fields fields(json);
  std::string text;
  fields.get(key, text);
  return parse_uuid(text);
}

Result<Identity> identity_from(const Json& json, const std::string& path) {
  Fields fields(json);
  uint64_t version = 0;
  Identity identity;
  fields.get("format", version);
  fields.get("name", identity.name);
  fields.get("log_dir_id", identity.log_id);
  if (fields.ok() && version > format_version) {
    return failure(Status::unsupported, path + " was written by a newer marsd; install that version again");
  }
  Result<Uuid> cluster = uuid_field(json, "cluster");
  Result<Uuid> host = uuid_field(json, "host");
  const bool is_whole = fields.ok() && version != 0 && cluster && host && !identity.name.empty();
  if (!is_whole) return failure(Status::damaged, path + " is damaged; bring that file back from a backup");
  identity.cluster = *cluster;
  identity.host = *host;
  return identity;
}

Task<Status> read_into(io::Machine& machine, std::string path, std::string& target) {
  Result<std::string> text = co_await read_text_file(machine, std::move(path));
  if (!text) co_return text.error().status;
  target = std::move(*text);
  co_return Status::ok;
}

Result<void> outcome(Status status, const std::string& doing) {
  if (status == Status::ok) return {};
  return failure(status, "cannot write " + doing + ": " + std::string(name(status)));
}

}  // namespace

Task<Result<std::optional<Identity>>> load_identity(io::Machine& machine, Places places) {
  Result<Json> json = co_await read_json(machine, places.host());
  if (!json && json.error().status == Status::not_found) co_return std::optional<Identity>();
  if (status_of(json) == Status::damaged) {
    co_return failure(Status::damaged, json.error().text + "; bring that file back from a backup");
  }
  if (!json) co_return failure(json.error());
  Result<Identity> identity = identity_from(*json, places.host());
  if (!identity) co_return failure(identity.error());
  const std::pair<std::string, std::string*> files[] = {{places.key(), &identity->key_pem},
                                                        {places.certificate(), &identity->certificate_pem},
                                                        {places.ca(), &identity->ca.certificate_pem},
                                                        {places.ca_key(), &identity->ca.key_pem}};
  for (const auto& [path, target] : files) {
    const Status status = co_await read_into(machine, path, *target);
    if (status != Status::ok) {
      co_return failure(status, "cannot read " + path + " (" + std::string(name(status)) +
                                    "); restore the state directory, or clear it and join the cluster again");
    }
  }
  co_return std::optional<Identity>(std::move(*identity));
}

// Folders of replicas and, unless a joining is under way, the registers: both are made after host.json. Either may lie
// on a disk of its own, of which the other one is not mounted.
Task<Result<std::string>> find_traces_of_member(io::Machine& machine, Places places) {
  for (const std::string& folder : {places.resources(), places.log + "/resources"}) {
    auto entries = co_await machine.storage().list(folder);
    if (status_of(entries) == Status::not_found) continue;
    if (!entries) {
      co_return failure(entries.error().status,
                        "cannot look into " + folder + ": " + std::string(name(status_of(entries))));
    }
    for (const io::DirectoryEntry& entry : *entries) {
      std::string_view id = entry.name;
      if (id.ends_with(unfinished_suffix)) id.remove_suffix(unfinished_suffix.size());
      if (parse_uuid(id)) co_return folder + "/" + entry.name;
    }
  }
  const auto registers = co_await machine.storage().exists(places.registers());
  const auto joining = co_await machine.storage().exists(places.joining());
  if (!registers) co_return failure(registers.error());
  if (!joining) co_return failure(joining.error());
  co_return *registers && !*joining ? places.registers() : std::string();
}

Task<Result<void>> store_identity(io::Machine& machine, Places places, Identity identity) {
  const std::pair<std::string, std::string> files[] = {{places.key(), identity.key_pem},
                                                       {places.certificate(), identity.certificate_pem},
                                                       {places.ca(), identity.ca.certificate_pem},
                                                       {places.ca_key(), identity.ca.key_pem},
                                                       {places.log_id(), identity.log_id + "\n"}};
  for (const std::string& directory : {places.resources(), places.log + "/resources"}) {
    const Status status = co_await machine.storage().make_directory(directory);
    if (status != Status::ok) co_return outcome(status, directory);
  }
  for (const auto& [path, text] : files) {
    const Status status = co_await write_text_file(machine, path, text, true);
    if (status != Status::ok) co_return outcome(status, path);
  }
  Json json = {{"format", format_version},
               {"cluster", to_string(identity.cluster)},
               {"host", to_string(identity.host)},
               {"name", identity.name},
               {"log_dir_id", identity.log_id}};
  const Status status = co_await write_json(machine, places.host(), std::move(json));
  if (status != Status::ok) co_return outcome(status, places.host());
  static_cast<void>(co_await machine.storage().remove(places.joining()));
  co_return Result<void>{};
}

Task<Result<void>> clear_registers(io::Machine& machine, Places places) {
  auto entries = co_await machine.storage().list(places.state);
  if (!entries) co_return failure(entries.error());
  for (const io::DirectoryEntry& entry : *entries) {
    if (!entry.name.starts_with("meta.db")) continue;
    const Status status = co_await machine.storage().remove(places.state + "/" + entry.name);
    if (status != Status::ok) co_return outcome(status, places.state + "/" + entry.name);
  }
  co_return Result<void>{};
}

Task<Result<void>> check_log_directory(io::Machine& machine, Places places, std::string log_id) {
  Result<std::string> found = co_await read_text_file(machine, places.log_id());
  if (found && *found == log_id + "\n") co_return Result<void>{};
  const Status status = status_of(found);
  if (status == Status::gone) co_return failure(status);
  if (!found && status != Status::not_found)
    co_return failure(status, places.log_id() + " cannot be read (" + std::string(name(status)) + ")");
  const std::string why = found ? "carries the log-dir-id of another host" : "has no log-dir-id";
  co_return failure(Status::not_found,
                    "the log directory " + places.log + " " + why + ", so the log disk is probably not mounted there");
}

Result<io::KeyPair> issue_key(io::Keys& keys, const Uuid& cluster, const io::KeyPair& ca, std::string role,
                              const std::string& name) {
  Result<std::string> key = keys.make_key();
  if (!key) return failure(key.error());
  const std::string uri = "mars:" + to_string(cluster) + "/" + role + "/" + name;
  Result<std::string> request = keys.make_request(*key, uri);
  if (!request) return failure(request.error());
  Result<std::string> certificate = keys.sign(ca, *request, uri, std::move(role));
  if (!certificate) return failure(certificate.error());
  return io::KeyPair{.key_pem = std::move(*key), .certificate_pem = std::move(*certificate)};
}

Task<Result<Candidate>> make_candidate(io::Machine& machine, Places places, Uuid cluster) {
  const Status made = co_await machine.storage().make_directory(places.state);
  if (made != Status::ok) co_return failure(made, "cannot make " + places.state + ": " + std::string(name(made)));
  Result<Json> json = co_await read_json(machine, places.joining());
  if (json) {
    Candidate former;
    Result<Uuid> its_cluster = uuid_field(*json, "cluster");
    Result<Uuid> its_host = uuid_field(*json, "host");
    const Status status = co_await read_into(machine, places.key(), former.key_pem);
    if (its_cluster && *its_cluster == cluster && its_host && status == Status::ok) {
      former.cluster = cluster;
      former.host = *its_host;
      co_return former;
    }
  }
  Result<std::string> key = machine.keys().make_key();
  if (!key) co_return failure(key.error());
  Candidate candidate{cluster, random_uuid(machine), *key};
  Status status = co_await write_text_file(machine, places.key(), candidate.key_pem, true);
  if (status != Status::ok) co_return failure(outcome(status, places.key()).error());
  Json note = {{"cluster", to_string(cluster)}, {"host", to_string(candidate.host)}};
  status = co_await write_json(machine, places.joining(), std::move(note));
  if (status != Status::ok) co_return failure(outcome(status, places.joining()).error());
  co_return candidate;
}

}  // namespace mars::node
