#include "node/resources.h"

#include <algorithm>
#include <utility>

namespace mars::node {

using replication::Replica;
using replication::Report;

Resources::Resources(Parts parts)
    : parts_(parts),
      registers_(parts.registers, parts.identity.host),
      reports_(parts.machine, *this),
      due_(parts.machine.ready()),
      stop_(parts.machine.ready()),
      file_turn_(parts.machine.ready(), 1),
      turn_(parts.machine.ready(), 1),
      scope_(parts.machine.ready()),
      stopping_(parts.machine.ready()),
      ending_(parts.machine.ready()) {}

Resources::~Resources() = default;

// ---- stop

Task<void> Resources::prepare_stop() {
  for (const Uuid& id : ids()) {
    Replica* replica = find(id);
    if (replica == nullptr) continue;
    replica->end_instruments();
    co_await replica->device().bar();
  }
}

uint64_t Resources::written_bytes() const {
  uint64_t sum = 0;
  for (const auto& [id, hosted] : hosted_) sum += hosted.written_bytes();
  for (const auto& [id, removal] : removing_) sum += removal->hosted.written_bytes();
  return sum;
}

Task<void> Resources::stop(io::Duration stop_wait) {
  stop_.set();
  due_.set();
  is_stuck_ = false;
  co_await scope_.join();
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica) stopping_.spawn(stop_one(*hosted.replica, parts_.machine.now() + stop_wait));
  }
  co_await stopping_.join();
  const std::function<bool()> is_idle = [this] { return removing_.empty() && occupied_.empty() && !is_looking_again_; };
  const std::function<uint64_t()> written = [this] { return written_bytes(); };
  co_await be_patient(is_idle, written);
  if (!is_idle()) is_stuck_ = true;  // the next start goes on with it
}

Task<void> Resources::stop_one(Replica& replica, io::Instant deadline) {
  bool is_told = false;
  while (replica.device().is_in_use() && parts_.machine.now() < deadline) {
    if (!std::exchange(is_told, true))
      parts_.events.add(replica.options().name, "waiting until the device is not in use");
    co_await io::wait_until(parts_.machine, parts_.changed, parts_.machine.now() + std::chrono::milliseconds(200));
  }
  // One that was seen free may be in use all the same: then it is asked again.
  const auto patience = replica.device().is_in_use() ? io::Duration{} : busy_patience;
  co_await end_within_patience(replica, parts_.machine.now() + patience);
  if (replica.was_cut_off()) was_cut_off_ = true;
}

// A disk that still writes is waited for; one that does nothing is not: what is not on it stays in the log, and the
// next start brings it there (D12).
Task<void> Resources::end_within_patience(Replica& replica, io::Instant forces_at) {
  auto is_done = std::make_shared<bool>(false);
  ending_.spawn(end(replica, forces_at, is_done));
  const std::function<bool()> is_over = [is_done] { return *is_done; };
  const std::function<uint64_t()> written = [&replica] { return replica.written_bytes(); };
  co_await be_patient(is_over, written);
  if (*is_done) co_return;
  is_stuck_ = true;
  parts_.events.add(replica.options().name, "its disks do not answer (" + replica.disk() +
                                                " and the log's): marsd ends without it; what is not on it is in the "
                                                "log, and the next start writes it");
}

// Until it is done, or nothing has moved for a while.
Task<void> Resources::be_patient(const std::function<bool()>& is_done, const std::function<uint64_t()>& written_bytes) {
  uint64_t written = written_bytes();
  io::Instant moved = parts_.machine.now();
  while (!is_done() && parts_.machine.now() < moved + stop_patience) {
    co_await io::wait_until(parts_.machine, parts_.changed, parts_.machine.now() + std::chrono::milliseconds(200));
    if (is_done() || written_bytes() == written) continue;
    written = written_bytes();
    moved = parts_.machine.now();
  }
}

Task<void> Resources::end(Replica& replica, io::Instant forces_at, std::shared_ptr<bool> is_done) {
  co_await replica.stop([this, forces_at] { return parts_.machine.now() >= forces_at; });
  *is_done = true;
  parts_.changed.notify();
}

Task<void> Resources::finish() {
  net_ = nullptr;
  co_await ending_.join();
  co_await reports_.stop();
  needs_pool_ = !left_alone_.empty() || std::ranges::any_of(hosted_, [](const auto& entry) {
    const Hosted& hosted = entry.second;
    return hosted.replica == nullptr || hosted.replica->needs_pool();
  });
  hosted_.clear();
}

// ---- what the cluster knows, and what is here

Task<void> Resources::reconcile_loop() {
  while (!stop_.is_set()) {
    // A register that found no room, and a device that was in use, are looked at again.
    if (is_reconciled_) {
      co_await due_.wait();
    } else {
      co_await io::sleep_for(parts_.machine, std::chrono::seconds(1), due_);
    }
    due_.reset();
    if (stop_.is_set()) break;
    co_await turn_.acquire();
    co_await reconcile();
    turn_.release(1);
  }
}

std::vector<std::string> Resources::warnings() const {
  std::vector<std::string> texts;
  for (const auto& [id, hosted] : hosted_) {
    if (!hosted.is_told) continue;
    texts.push_back("resource " + hosted.file.record.name +
                    " was deleted, but its device is in use here: it goes, and its log with it, when it is not");
  }
  return texts;
}

Task<void> Resources::reconcile() {
  // What this host says of itself while its registers are of before would outlive what it said last.
  is_reconciled_ = !parts_.registers.is_rolled_back();
  publish_anew_after_a_merge();
  look_for_missing();
  for (const Uuid& id : ids()) {
    if (!hosted_.contains(id) || occupied_.contains(id)) continue;  // who occupies it asks for this again
    const bool was_left = has_left(hosted_.at(id).file);
    if (is_deleted(parts_.registers, id) || was_left) {
      // Of a host that nobody could ask when it was deleted.
      Replica* const replica = find(id);
      if (replica != nullptr && replica->device().is_in_use()) {
        if (!parts_.registers.is_rolled_back() && !std::exchange(hosted_.at(id).is_told, true)) {
          parts_.events.add(hosted_.at(id).file.record.name,
                            "the resource was deleted; its device is still in use here, and goes when it is not");
        }
        is_reconciled_ = false;
        continue;
      }
      parts_.events.add(hosted_.at(id).file.record.name, was_left ? "this host has left" : "the resource was deleted");
      Result<void> removed = co_await remove(id);
      if (!removed) parts_.events.add("", removed.error().text);
      continue;
    }
    Hosted& hosted = hosted_.at(id);
    const bool may_publish = !hosted.is_published && !parts_.registers.is_rolled_back();
    if (may_publish && co_await publish(id) == Status::ok) hosted_.at(id).is_published = true;
    if (hosted_.contains(id) && !hosted_.at(id).is_published) is_reconciled_ = false;
    if (hosted_.contains(id)) co_await note_others(id);
  }
  for (auto& [id, hosted] : hosted_) {
    deliver(id, hosted);
    if (hosted.replica) hosted.replica->wake();
    reports_.local_changed(id);
  }
  forget_gone();
  parts_.changed.notify();
}

// What a peer remembers of this host may be what it said before the store was lost or restored.
void Resources::publish_anew_after_a_merge() {
  if (std::exchange(merges_, parts_.registers.merges()) == parts_.registers.merges()) return;
  for (auto& [id, hosted] : hosted_) hosted.is_published = left_alone_.contains(id);
}

// What a crash between the files and the registers has left undone.
Task<Status> Resources::publish(Uuid resource) {
  const ReplicaFile file = hosted_.at(resource).file;
  meta::Registers& registers = parts_.registers;
  if ((file.is_creator || file.was_published) && !find_resource(registers, resource)) {
    Status status = Status::ok;
    if (file.was_published) {
      // Another host may have been made primary since: the others bring back who it is, or the operator says it.
      event(resource,
            "the metadata store was lost: nobody is wanted as primary until a member or `marsadm primary` says so");
    } else {
      replication::Designated wish;
      wish.host = self();
      status = co_await write_designated(registers, resource, std::move(wish));
    }
    if (status != Status::ok) co_return status;
    status = co_await write_resource(registers, file.record);
    if (status != Status::ok && status != Status::exists) co_return status;
  }
  // The file may be an older one than the registers know.
  const auto former = find_replica(registers, resource, self());
  ReplicaRecord replica{true, file.disk, std::max(file.made_ns, former ? former->made_ns : 0)};
  const Status status = co_await write_replica(registers, resource, std::move(replica));
  if (status != Status::ok) co_return status;
  if (hosted_.at(resource).file.disk != file.disk) co_return Status::busy;  // it was found elsewhere meanwhile
  if (file.was_published) co_return Status::ok;
  hosted_.at(resource).file.was_published = true;
  const Status written = co_await write_file(resource);
  if (written != Status::ok) hosted_.at(resource).file.was_published = false;  // tried again
  co_return written;
}

// The latest of it; its owner is in our turn, or the replica itself.
Task<Status> Resources::write_file(Uuid resource) {
  co_await file_turn_.acquire();
  Status status = Status::not_found;
  if (const auto found = hosted_.find(resource); found != hosted_.end()) {
    ReplicaFile file = found->second.file;
    status = co_await write_replica_file(parts_.machine, parts_.places.replica(resource), std::move(file));
  }
  file_turn_.release(1);
  co_return status;
}

// So that the next start knows of them, whatever the registers know then.
Task<void> Resources::note_others(Uuid resource) {
  ReplicaFile& file = hosted_.at(resource).file;
  std::map<Uuid, uint64_t> others;
  const auto& known = registers_.replicas(resource);
  for (const Uuid& host : awaited(resource)) {
    if (host == self()) continue;
    const auto its = known.find(host);
    const bool has_joined = its != known.end() && its->second.has_joined;
    const auto before = file.others.find(host);
    const uint64_t known_ns = before == file.others.end() ? 0 : before->second;  // a restored register may know less
    others.emplace(host, std::max(has_joined ? its->second.made_ns : 0, known_ns));
  }
  if (left_alone_.contains(resource) || file.others == others) co_return;
  std::map<Uuid, uint64_t> before = std::exchange(file.others, std::move(others));
  if (co_await write_file(resource) != Status::ok) {
    hosted_.at(resource).file.others = std::move(before);
    is_reconciled_ = false;
  }
}

// A report may come before the register that says that its sender is a member: it is kept, and delivered later (R6).
void Resources::deliver(const Uuid& resource, Hosted& hosted) {
  if (!hosted.replica) return;
  const std::vector<Uuid> hosts = members(resource);
  for (const Uuid& host : hosts) {
    Reports::Heard* heard = reports_.find(resource, host);
    if (heard == nullptr || heard->is_delivered || !heard->is_current) continue;
    heard->is_delivered = true;
    hosted.replica->on_report(host, heard->report);
  }
}

void Resources::forget_gone() {
  for (const std::string& scope : parts_.registers.scopes("resource/")) {
    Result<Uuid> id = parse_uuid(std::string_view(scope).substr(9));
    if (id && is_deleted(parts_.registers, *id)) reports_.forget(*id);
  }
}

Task<std::string> Resources::user_of_disk(std::string path, io::Geometry geometry) {
  if (std::string name = holder_of(path, geometry); !name.empty()) co_return name;
  for (const Uuid& id : ids()) {
    const ReplicaFile* its = file(id);
    if (its == nullptr) continue;  // it was removed meanwhile
    const std::string name = its->record.name;
    const Replica* replica = find(id);
    if (replica != nullptr && replica->disk_geometry() != nullptr) continue;
    io::OpenOptions options;
    options.write = false;
    options.direct = false;  // whether the disk bears that would be asked of it, and it may not answer
    const std::string disk = its->disk;
    auto other = co_await parts_.machine.storage().open(disk, options);
    if (!other) continue;
    if (is_same_disk((*other)->geometry(), geometry)) co_return name;
  }
  co_return std::string();
}

// ---- lookups

Replica* Resources::find(const Uuid& resource) {
  const auto found = hosted_.find(resource);
  return found == hosted_.end() ? nullptr : found->second.replica.get();
}

const ReplicaFile* Resources::file(const Uuid& resource) const {
  const auto found = hosted_.find(resource);
  return found == hosted_.end() ? nullptr : &found->second.file;
}

std::vector<Uuid> Resources::ids() const {
  std::vector<Uuid> ids;
  for (const auto& [id, hosted] : hosted_) ids.push_back(id);
  return ids;
}

// ---- peers

Task<void> Resources::serve(net::ServiceId service, std::unique_ptr<net::Channel> channel, net::Bytes opening) {
  Reader reader(opening);
  const Uuid resource = read_uuid(reader);
  if (!reader.ok()) co_return channel->close({Status::invalid, "an opening without a resource"});
  // First: what is asked for may be of the peer's invention, and to ask for its members would keep it in mind.
  Replica* replica = find(resource);
  if (replica == nullptr || stop_.is_set()) co_return channel->close({Status::not_found, "no replica of it here"});
  const std::vector<Uuid> hosts = members(resource);
  if (std::find(hosts.begin(), hosts.end(), channel->peer()) == hosts.end()) {
    co_return channel->close({Status::permission, "only members of a resource may read it"});
  }
  if (service == replication::log_service)
    co_return co_await replica->serve_log(std::move(channel), std::move(opening));
  if (service == replication::sync_service) {
    co_return co_await replica->serve_sync(std::move(channel), std::move(opening));
  }
  co_await replica->serve_handover(std::move(channel), std::move(opening));
}

void Resources::on_peer_up(const Uuid&) {
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica) hosted.replica->wake();
  }
}

void Resources::on_peer_down(const Uuid& peer) {
  reports_.on_peer_down(peer);
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica) hosted.replica->on_peer_down(peer);
  }
}

// ---- replication::Environment

std::string Resources::host_name(const Uuid& host) const {
  if (host == self()) return parts_.identity.name;
  const std::vector<Member>& members = registers_.members();
  const auto found = std::ranges::find(members, host, &Member::host);
  return found == members.end() ? short_text(host) : found->name;
}

std::vector<Uuid> Resources::members(const Uuid& resource) const {
  std::vector<Uuid> hosts = registers_.replica_hosts(resource);
  const auto at = std::lower_bound(hosts.begin(), hosts.end(), self());
  if (hosted_.contains(resource) && (at == hosts.end() || *at != self())) hosts.insert(at, self());
  return hosts;
}

// Registers that were lost or restored know less than replica.json.
std::vector<Uuid> Resources::awaited(const Uuid& resource) const {
  std::vector<Uuid> hosts = members(resource);
  const auto found = hosted_.find(resource);
  if (found == hosted_.end()) return hosts;
  const auto& known = registers_.replicas(resource);
  for (const auto& [host, made_ns] : found->second.file.others) {
    const auto its = known.find(host);
    if (its == known.end() || (!its->second.has_joined && its->second.made_ns < made_ns)) hosts.push_back(host);
  }
  return hosts;
}

replication::Designated Resources::designated(const Uuid& resource) const { return registers_.designated(resource); }

Task<Status> Resources::designate(const Uuid& resource, replication::Designated wish) {
  co_return co_await write_designated(parts_.registers, resource, std::move(wish));
}

Task<Status> Resources::redesignate(const Uuid& resource, replication::Designated former,
                                    replication::Designated wish) {
  co_return co_await replace_designated(parts_.registers, resource, std::move(former), std::move(wish));
}

control::Switches Resources::switches(const Uuid& resource) const { return registers_.switches(resource); }

control::Settings Resources::settings(const Uuid& resource) const { return registers_.settings(resource); }

bool Resources::is_connected(const Uuid& peer) const { return net_ != nullptr && net_->find(peer) != nullptr; }

std::unique_ptr<net::Channel> Resources::open_channel(const Uuid& peer, net::ServiceId service, net::Bytes opening,
                                                      uint32_t window) {
  net::Session* session = net_ == nullptr ? nullptr : net_->find(peer);
  return session == nullptr ? nullptr : session->open(service, std::move(opening), window);
}

std::map<Uuid, replication::Memories> Resources::memories(const Uuid& resource) const {
  return registers_.memories(resource);
}

Task<Status> Resources::write_memories(const Uuid& resource, replication::Memories memories) {
  co_return co_await node::write_memories(parts_.registers, resource, std::move(memories));
}

// Where it was found before it could be written down, it is found again. The register follows in reconcile(), where
// nobody leaves meanwhile.
Task<void> Resources::write_disk(const Uuid& resource, std::string path) {
  const auto found = hosted_.find(resource);
  if (found == hosted_.end()) co_return;
  found->second.file.disk = std::move(path);
  found->second.is_published = false;
  due_.set();
  if (co_await write_file(resource) != Status::ok)
    event(resource, "the new path of the disk could not be written down");
}

void Resources::report_changed(const Uuid& resource) { reports_.local_changed(resource); }

void Resources::event(const Uuid& resource, std::string text) {
  const ReplicaFile* its = file(resource);
  parts_.events.add(its == nullptr ? "" : its->record.name, std::move(text));
}

// ---- ReportOwner

std::optional<Report> Resources::local_report(const Uuid& resource) const {
  const auto found = hosted_.find(resource);
  if (found == hosted_.end()) return std::nullopt;
  if (found->second.replica) return found->second.replica->report();
  Report report;
  report.resource = resource;
  report.volume_bytes = found->second.file.record.bytes;
  report.switches = switches(resource);
  // What it saw of others speaks against them also while it cannot run (T10).
  const std::map<Uuid, replication::Memories> memories = registers_.memories(resource);
  if (const auto mine = memories.find(self()); mine != memories.end()) {
    for (const auto& [host, memory] : mine->second) report.remembered[host] = memory.what;
  }
  report.state = control::State::log_missing;
  report.reason = found->second.problem;
  report.next_step = log_problem_.empty()
                         ? "it goes on by itself"
                         : "mount the log disk; it goes on by itself then; a new, empty log disk: see 'When the log "
                           "disk is replaced' in doc/manual.md";
  if (left_alone_.contains(resource)) {
    report.state = control::State::failed;
    report.next_step =
        "bring that file back as it was: this replica goes on by itself then; or give it up: `marsadm "
        "leave-resource " +
        found->second.file.record.name + "`";
  }
  return report;
}

void Resources::on_report(const Uuid& peer, const Report& report) {
  const auto found = hosted_.find(report.resource);
  if (found == hosted_.end() || !found->second.replica) return;
  const std::vector<Uuid> hosts = members(report.resource);
  if (std::find(hosts.begin(), hosts.end(), peer) == hosts.end()) return;
  if (Reports::Heard* heard = reports_.find(report.resource, peer)) heard->is_delivered = true;
  found->second.replica->on_report(peer, report);
}

}  // namespace mars::node
