// Commands that make and remove resources and replicas.
#include <utility>

#include "control/value_text.h"
#include "node/call.h"
#include "node/signature.h"
#include "node/text.h"

namespace mars::node {

using namespace std::chrono_literals;

namespace {

constexpr uint64_t size_unit = 4096;

// A disk that may become ours: opened exclusively for a moment.
struct Inspected {
  io::Geometry geometry;
  std::string content;  // what was recognised on it
};

Task<Result<void>> refuse_own(Call& call, std::string path) {
  const std::string& devices = call.node.options().device_directory;
  const bool is_named_so = !devices.empty() && path.starts_with(devices + "/");
  if (is_named_so || co_await call.node.devices().is_own(path)) {
    co_return failure(Status::refused, path + " is a device of MARS itself, or lies on one; give the disk below it");
  }
  co_return Result<void>{};
}

Task<Result<Inspected>> inspect(Call& call, std::string path) {
  Result<void> may = co_await refuse_own(call, path);
  if (!may) co_return failure(may.error());
  // Not even opened: the command that is just making the other replica needs it for itself.
  const std::string maker = call.resources().holder_of(path, {});
  if (!maker.empty()) {
    co_return failure(Status::refused,
                      path + " is in use: it is the disk of resource " + maker + " already; give another");
  }
  io::OpenOptions options;
  options.exclusive = true;
  auto file = co_await call.machine().storage().open(path, options);
  if (!file) {
    const Status status = file.error().status;
    std::string text = file.error().text;
    const io::Geometry unknown;
    std::string user;
    if (status == Status::busy) user = co_await call.resources().user_of_disk(path, unknown);
    if (!user.empty()) {
      co_return failure(Status::refused,
                        path + " is in use: it is the disk of resource " + user + " already; give another");
    }
    if (status == Status::busy) text = path + " is in use; unmount it, or end whatever holds it: " + text;
    if (status == Status::not_found) text = "there is no disk " + path + "; give an existing block device or file";
    if (status == Status::invalid) text = path + " is no disk (" + text + "); give a block device or a regular file";
    const bool is_wrong = status == Status::not_found || status == Status::invalid;
    co_return failure(is_wrong ? Status::refused : status, std::move(text));
  }
  Inspected inspected;
  inspected.geometry = (*file)->geometry();
  inspected.geometry.bytes = (*file)->size();
  Result<std::string> content = co_await recognise(**file);
  file->reset();
  if (!content) co_return failure(content.error());
  inspected.content = std::move(*content);
  const std::string user = co_await call.resources().user_of_disk(path, inspected.geometry);
  if (!user.empty())
    co_return failure(Status::refused, path + " is the disk of resource " + user + " already; give another");
  co_return inspected;
}

Task<Result<void>> may_make_file(Call& call, std::string path) {
  io::Storage& storage = call.machine().storage();
  Result<bool> exists = co_await storage.exists(path);
  if (!exists) co_return failure(exists.error());
  if (*exists) co_return failure(Status::exists, path + " exists already; leave --create-file out to adopt it");
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  exists = co_await storage.exists(directory);
  if (!exists) co_return failure(exists.error());
  if (!*exists) co_return failure(Status::refused, "the directory of " + path + " is not there; make it first");
  co_return co_await refuse_own(call, path);
}

// --create-file: sparse, and not there before, however many commands want it at once.
Task<Result<void>> make_file(Call& call, std::string path, uint64_t bytes) {
  io::Storage& storage = call.machine().storage();
  io::OpenOptions options;
  options.create = options.must_be_new = true;
  auto file = co_await storage.open(path, options);
  if (!file) co_return failure(file.error());
  file->reset();
  const Status status = co_await storage.resize(path, bytes);
  if (status == Status::ok) co_return Result<void>{};
  static_cast<void>(co_await storage.remove(path));
  co_return failure(status, path + " cannot be made " + std::to_string(bytes) + " bytes long (" +
                                std::string(name(status)) +
                                "); give a smaller --size, or a file system that takes files of this one");
}

// What this command has made, unless somebody has taken it as a disk meanwhile.
Task<void> remove_made(Call& call, std::string path) {
  if (call.resources().holder_of(path, {}).empty()) static_cast<void>(co_await call.machine().storage().remove(path));
}

std::string buffered_warning(const io::Geometry& geometry, const std::string& path) {
  return geometry.is_direct
             ? ""
             : "; warning: " + path + " is used through the page cache, its file system refuses direct I/O";
}

// Until the replica is attached; the answer when it cannot be.
Task<std::optional<Answer>> wait_attached(Call& call, Uuid id, std::string what) {
  for (;;) {
    const auto report = call.report(id);
    if (!report) co_return failed({Status::gone, what + ": the replica has gone meanwhile"});
    if (report->is_attached) co_return std::nullopt;
    if (is_broken(*report)) co_return stuck(*report, what);
    call.say("opening the disk");
    if (!co_await call.wait()) co_return call.over(what + ", but it is not attached yet");
  }
}

struct Plan {
  ReplicaFile file;
  io::Geometry geometry;
};

Task<Result<Plan>> plan_new(Call& call) {
  const std::string name = call.command.text("resource");
  const std::string disk = call.command.text("disk");
  for (const ResourceRecord& other : list_resources(call.registers())) {
    if (other.name == name)
      co_return failure(Status::exists, "there is a resource " + name + " already; choose another name");
  }
  const Result<uint64_t> size = control::parse_size(call.command.text("size"));
  const bool makes_file = call.command.flag("create-file");
  Plan plan;
  if (call.command.has("size") && *size < size_unit) {
    co_return failure(Status::refused, "a resource needs at least 4 KiB; give a larger --size");
  }
  if (makes_file) {
    Result<void> may = co_await may_make_file(call, disk);
    if (!may) co_return failure(may.error());
  }
  if (makes_file && call.is_dry_run()) {
    plan.geometry.bytes = *size;
    plan.geometry.is_direct = true;  // whether it can be is seen when it is there
  } else {
    if (makes_file) {
      Result<void> made = co_await make_file(call, disk, *size / size_unit * size_unit);
      if (!made) co_return failure(made.error());
    }
    Result<Inspected> found = co_await inspect(call, disk);
    if (!found && makes_file) co_await remove_made(call, disk);
    if (!found) co_return failure(found.error());
    plan.geometry = found->geometry;
  }
  const uint64_t wanted = call.command.has("size") ? *size / size_unit * size_unit : plan.geometry.bytes;
  if (wanted > plan.geometry.bytes) {
    co_return failure(Status::refused, disk + " has only " + control::size_text(plan.geometry.bytes) +
                                           "; take less than --size " + control::size_text(wanted));
  }
  ResourceRecord& record = plan.file.record;
  record.id = random_uuid(call.machine());
  record.name = name;
  record.bytes = wanted / size_unit * size_unit;
  record.block_bytes = plan.geometry.block_bytes == 512 ? 512 : 4096;
  record.creator = call.self();
  plan.file.disk = disk;
  plan.file.is_creator = true;
  if (record.bytes == 0) co_return failure(Status::refused, disk + " is empty; give one with at least 4 KiB");
  co_return plan;
}

}  // namespace

Task<Answer> create_resource(Call& call) {
  Result<Plan> plan = co_await plan_new(call);
  if (!plan) co_return failed(plan.error());
  const Uuid id = plan->file.record.id;
  const std::string name = plan->file.record.name;
  const std::string size = control::size_text(plan->file.record.bytes);
  const std::string warning = buffered_warning(plan->geometry, plan->file.disk);
  if (call.is_dry_run()) {
    const Result<void> may = call.resources().may_make(plan->file, plan->geometry);
    co_return may ? Answer::done("resource " + name + " of " + size + " would be made" + warning) : failed(may.error());
  }
  const std::string disk = plan->file.disk;
  Result<void> made = co_await call.resources().make(std::move(plan->file), plan->geometry);
  // In a stop the replica may have been made already: the next start finds it, and needs its disk.
  const bool is_undone = !made && made.error().status != Status::stopped;
  if (is_undone && call.command.flag("create-file")) co_await remove_made(call, disk);
  if (!made) co_return failed(made.error());
  for (;;) {
    if (const Error& problem = call.registers().problem(); problem.status != Status::ok) {
      co_return failed({problem.status, "resource " + name + " was made, but the cluster cannot be told of it"},
                       call.cluster().store_problem());
    }
    const auto report = call.report(id);
    if (report && report->is_primary) break;
    if (report && is_broken(*report)) co_return stuck(*report, "resource " + name + " was made, but it does not open");
    call.say("opening the device");
    if (!co_await call.wait()) co_return call.over("resource " + name + " was made, but its device is not open yet");
  }
  const std::string device = call.report(id)->device;
  co_return Answer{ExitCode::done,
                   "resource " + name + " of " + size + " is there" + (device.empty() ? "" : " as " + device) + warning,
                   "add copies with `marsadm join-resource " + name + " DISK` on other hosts",
                   {}};
}

namespace {

Task<Result<Inspected>> plan_join(Call& call, const ResourceRecord& record) {
  const std::string disk = call.command.text("disk");
  if (call.resources().is_leaving(record.id)) {
    co_return failure(Status::busy, "the replica of " + record.name + " here is just being given up; try again later");
  }
  if (call.resources().file(record.id) != nullptr) {
    if (call.replica(record.id) == nullptr) co_return failure(Status::refused, call.why_idle(record));
    co_return failure(Status::exists, "this host has a replica of " + record.name + " already; see `marsadm status`");
  }
  Result<Inspected> found = co_await inspect(call, disk);
  if (!found) co_return found;
  if (found->geometry.bytes < record.bytes) {
    co_return failure(Status::refused, disk + " is too small: it has " + std::to_string(found->geometry.bytes) +
                                           " bytes, resource " + record.name + " needs " +
                                           std::to_string(record.bytes) + "; give a larger one");
  }
  if (found->geometry.block_bytes > record.block_bytes) {
    co_return failure(Status::refused, disk + " has blocks of " + std::to_string(found->geometry.block_bytes) +
                                           " bytes, the resource has blocks of " + std::to_string(record.block_bytes) +
                                           "; use a disk with smaller blocks");
  }
  if (!found->content.empty() && !call.command.flag("overwrite")) {
    co_return failure(Status::refused,
                      disk + " carries " + found->content +
                          ", which would be overwritten; give another disk, or --overwrite to lose it");
  }
  co_return found;
}

// A replica that was just started cannot say yet what its log says.
Task<void> while_opening(Call& call, Uuid id) {
  const io::Instant patience = call.machine().now() + 10s;
  for (;;) {
    const auto report = call.report(id);
    const bool is_opening = report && !report->is_attached && report->switches.attach && !is_broken(*report);
    if (!is_opening || call.machine().now() >= patience) co_return;
    call.say("waiting for the log to be open");
    if (!co_await call.wait()) co_return;
  }
}

}  // namespace

Task<Answer> join_resource(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  Result<Inspected> disk = co_await plan_join(call, *record);
  if (!disk) co_return failed(disk.error());
  const std::string name = record->name;
  const Uuid id = record->id;
  const std::string warning = buffered_warning(disk->geometry, call.command.text("disk"));
  ReplicaFile file;
  file.record = *record;
  file.disk = call.command.text("disk");
  if (call.is_dry_run()) {
    const Result<void> may = call.resources().may_make(file, disk->geometry);
    co_return may ? Answer::done("a replica of " + name + " would be added here" + warning) : failed(may.error());
  }
  Result<void> made = co_await call.resources().make(std::move(file), disk->geometry);
  if (!made) co_return failed(made.error());
  if (const Error& problem = call.registers().problem(); problem.status != Status::ok) {
    co_return failed({problem.status, "a replica of " + name + " was made, but the cluster cannot be told of it"},
                     call.cluster().store_problem());
  }
  // What the operator has switched off of a former replica of this host does not hold for the new one.
  for (const char* kind : {"attach", "fetch", "replay", "sync"}) {
    const Status status = co_await write_switch(call.registers(), id, call.self(), kind, true);
    if (status != Status::ok) co_return not_written(call, status, "the switches");
  }
  if (auto problem = co_await wait_attached(call, id, "the replica of " + name + " was added")) co_return *problem;
  co_return Answer{ExitCode::done,
                   "this host has a replica of " + name + " now" + warning,
                   "watch its sync with `marsadm status " + name + "`",
                   {}};
}

Task<Answer> leave_resource(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  const std::string& name = record->name;
  co_await while_opening(call, record->id);
  const auto report = call.report(record->id);
  if (!report) co_return no_replica(*record);
  if (co_await call.stays_in_use(record->id, call.self())) co_return call.in_use(*record, call.self());
  if (report->is_holder || report->is_primary) {
    co_return refused("this host has the right to write " + name,
                      "run `marsadm primary " + name + "` on another host first, or delete the resource");
  }
  const bool is_known = report->is_attached && report->is_whole;
  const Uuid holder = is_known ? Uuid{} : call.holder(record->id, true);
  if (!is_known && (holder.is_nil() || holder == call.self())) {
    const bool is_idle = call.replica(record->id) == nullptr;
    const std::string why = is_idle               ? call.why_idle(*record)
                            : report->is_attached ? "its log has lost its end"
                                                  : "its log is not open";
    const std::string here = is_idle ? "bring its files back, or run" : "run `marsadm attach " + name + "` here, or";
    co_return refused("nobody knows whether this host has the right to write " + name + ": " + why,
                      here + " `marsadm primary " + name + " --force` on another host first, or delete the resource");
  }
  const std::string lost = report->is_attached && report->is_consistent ? only_here(call, *record, *report) : "";
  if (call.is_dry_run() && find_designated(call.registers(), record->id).host == call.self()) {
    co_return refused("this host is to become primary of " + name,
                      "run `marsadm primary " + name + "` on the host that shall be it first");
  }
  if (call.is_dry_run()) co_return Answer::done("the replica of " + name + " here would be given up" + lost);
  const auto leaving = call.resources().leave(record->id);
  while (!leaving->is_done) {
    call.say("removing the log");
    if (co_await call.wait() || leaving->is_done) continue;
    if (call.node.is_stopping()) {
      co_return call.over(
          "this host has not left " + name + " yet",
          "look at `marsadm status` after the next start, and repeat it if this host is still a member");
    }
    co_return call.over("this host has not left " + name + " yet");
  }
  if (!leaving->result) {
    const bool is_refused = leaving->result.error().status == Status::refused;
    co_return failed(leaving->result.error(),
                     is_refused ? "connect a replica that is whole, or run `marsadm delete-resource " + name +
                                      "` to remove it from all hosts"
                                : "");
  }
  co_return Answer::done("this host has left " + name + "; its disk keeps what it has" + lost);
}

Task<Answer> delete_resource(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  const std::string& name = record->name;
  size_t others = 0;
  for (const Uuid& host : call.resources().members(record->id)) {
    if (host != call.self()) ++others;
    if (co_await call.stays_in_use(record->id, host)) co_return call.in_use(*record, host);
  }
  if (others > 0 && !call.command.flag("force")) {
    const std::string who =
        others == 1 ? "another host has a replica" : std::to_string(others) + " others have replicas";
    co_return refused(who + " of " + name, "run `marsadm leave-resource " + name + "` there first, or give --force");
  }
  if (call.is_dry_run()) co_return Answer::done("resource " + name + " would be removed from all hosts");
  const Status status = co_await write_deleted(call.registers(), record->id, to_string(call.self()));
  if (status != Status::ok) co_return not_written(call, status, "that it is deleted");
  while (call.resources().has_traces(record->id)) {
    call.say("removing the log");
    if (!co_await call.wait()) co_return call.over("resource " + name + " is deleted, but its log is not removed yet");
  }
  const std::string left = call.resources().leftovers(record->id);
  if (!left.empty()) co_return failed({Status::io_error, "resource " + name + " is deleted, but " + left});
  co_return Answer::done("resource " + name + " is deleted; the data disks keep what they have");
}

}  // namespace mars::node
