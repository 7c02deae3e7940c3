#include "node/status.h"

#include <algorithm>
#include <utility>

#include "bricks/branch.h"
#include "node/text.h"

namespace mars::node {

using control::ClusterView;
using control::HostView;
using control::ReplicaView;
using control::ResourceView;
using replication::Report;

namespace {

// Of one resource: what each host last said, and who is the primary.
struct Known {
  Node& node;
  const ResourceRecord& record;
  const Report* own = nullptr;
  const Report* primary = nullptr;  // the holder's: all lags count from its durable end

  const Report* of(const Uuid& host) const {
    if (host == node.cluster()->identity().host) return own;
    const Reports::Heard* heard = node.cluster()->resources().reports().find(record.id, host);
    return heard == nullptr ? nullptr : &heard->report;
  }
};

std::optional<uint64_t> wall_of(Node& node, io::Instant at) {
  if (at.count() == 0) return std::nullopt;
  const io::Duration age = node.machine().now() - at;
  return static_cast<uint64_t>((node.machine().wall_now() - age).count());
}

std::optional<uint64_t> last_contact(Node& node, const Uuid& host) {
  for (const net::PeerView& peer : node.cluster()->net().peers()) {
    if (peer.host == host) return wall_of(node, peer.last_heard);
  }
  return std::nullopt;
}

void fill_lag(const Known& known, const Report& report, ReplicaView& view) {
  if (known.primary == nullptr || !report.is_attached) return;
  const Report& primary = *known.primary;
  const auto common =
      bricks::common_position(primary.branch, primary.durable.position.lsn, report.branch, report.durable.position.lsn);
  if (!common.any || common.peer_beyond) return;
  const Lsn end = primary.durable.position.lsn;
  const Lsn applied = std::min(report.applied.position.lsn, end);
  view.lag_bytes = &report == &primary ? 0 : end - applied;
  // Not known when what it applied is: what it has received is at least as new.
  const Stamp has = report.applied_time.physical_ns != 0 ? report.applied_time : report.durable_time;
  const uint64_t newest = primary.durable_time.physical_ns;
  view.lag_ms = *view.lag_bytes == 0 || newest <= has.physical_ns ? 0 : (newest - has.physical_ns) / 1'000'000;
}

void fill_epoch(const Report& report, Node& node, ReplicaView& view) {
  if (report.branch.empty()) return;
  const format::BranchEpoch& last = report.branch.back();
  view.epoch = control::EpochView{last.number, to_string(last.id), node.cluster()->resources().host_name(last.host),
                                  std::string(name(last.cause))};
}

void fill_from(const Known& known, const Report& report, ReplicaView& view) {
  view.role = report.is_primary ? control::Role::primary : control::Role::secondary;
  view.state = report.state;
  view.reason = report.reason;
  view.next_step = report.next_step;
  view.switches = report.switches;
  view.device = report.device;
  view.is_device_open = !report.device.empty();
  view.is_in_use = report.is_in_use;
  view.transfers = report.transfers;
  fill_epoch(report, known.node, view);
  if (!report.is_attached) return;
  view.received_lsn = report.durable.position.lsn.value;
  view.durable_lsn = report.durable.position.lsn.value;
  view.applied_lsn = report.applied.position.lsn.value;
  view.log_bytes = report.log_bytes;
  const Lsn end = report.durable.position.lsn;
  view.dirty_bytes = end > report.applied.position.lsn ? end - report.applied.position.lsn : 0;
  if (report.applied_time.physical_ns != 0) view.applied_time_ns = report.applied_time.physical_ns;
  fill_lag(known, report, view);
}

// What was heard before the connection broke is shown, but not as if it were so now.
void mark_unreachable(ReplicaView& view) {
  const std::string before(control::name(view.state));
  view.reason = view.role == control::Role::unknown ? "no connection; it was not heard since marsd was started here"
                                                    : "no connection; when it was heard last it was " + before;
  view.next_step = "look at the network and at marsd on " + view.host;
  view.state = control::State::unreachable;
}

ReplicaView replica_view(const Known& known, const Uuid& host, const Uuid& designated) {
  Cluster& cluster = *known.node.cluster();
  ReplicaView view;
  view.host = cluster.resources().host_name(host);
  view.wanted_role = host == designated ? control::Role::primary : control::Role::secondary;
  const std::map<Uuid, ReplicaRecord>& records = cluster.resources().registers().replicas(known.record.id);
  const auto record = records.find(host);
  if (record != records.end()) view.disk = record->second.disk;
  const bool is_self = host == cluster.identity().host;
  const Report* report = known.of(host);
  if (report != nullptr) {
    view.role = control::Role::secondary;
    fill_from(known, *report, view);
  }
  if (is_self) {
    if (report == nullptr) view.reason = "no files of it are here; `marsadm events` says why";
    if (const replication::Replica* replica = cluster.resources().find(known.record.id)) {
      view.front_end = replica->device().is_open() ? replica->device().front_end() : "";
      view.log_room_bytes = replica->log_room();
    }
    return view;
  }
  if (!view.next_step.empty()) view.next_step.insert(0, "on " + view.host + ": ");
  view.last_contact_ns = last_contact(known.node, host);
  if (!cluster.resources().is_connected(host)) mark_unreachable(view);
  return view;
}

void add_alarms(const Known& known, const std::vector<ResourceRecord>& all, ResourceView& view) {
  for (const ResourceRecord& other : all) {
    if (other.id != known.record.id && other.name == known.record.name) {
      view.alarms.push_back("two resources have the name " + other.name + ": " + to_string(known.record.id) + " and " +
                            to_string(other.id) + "; use the uuids, and delete one of them");
    }
  }
  size_t primaries = 0;
  for (const ReplicaView& replica : view.replicas) {
    if (replica.role == control::Role::primary && replica.state != control::State::unreachable) ++primaries;
    if (replica.state == control::State::fork) {
      view.alarms.push_back("fork (split brain): " + replica.host +
                            " has a history of its own; both sides are kept until " + "`marsadm invalidate " +
                            known.record.name + "` is run on the one that is given up");
    }
  }
  if (primaries > 1) view.alarms.push_back("more than one host is primary");
}

ResourceView resource_view(Node& node, const ResourceRecord& record, const std::vector<ResourceRecord>& all) {
  Cluster& cluster = *node.cluster();
  const std::optional<Report> own = cluster.resources().local_report(record.id);
  Known known{node, record, own ? &*own : nullptr};
  const std::vector<Uuid> hosts = cluster.resources().members(record.id);
  const Uuid designated = cluster.resources().registers().designated(record.id).host;
  // What an unreachable host said last counts less than what one says that answers.
  std::tuple<bool, bool, bool> least;
  for (const Uuid& host : hosts) {
    const Report* report = known.of(host);
    if (report == nullptr || !report->is_holder) continue;
    const bool is_here = host == node.cluster()->identity().host || cluster.resources().is_connected(host);
    const std::tuple rank(!is_here, host != designated, !report->is_primary);
    if (known.primary != nullptr && !(rank < least)) continue;
    known.primary = report;
    least = rank;
  }
  ResourceView view;
  view.name = record.name;
  view.uuid = to_string(record.id);
  view.size_bytes = record.bytes;
  view.block_bytes = record.block_bytes;
  if (!designated.is_nil()) view.designated = cluster.resources().host_name(designated);
  for (const Uuid& host : hosts) view.replicas.push_back(replica_view(known, host, designated));
  std::sort(view.replicas.begin(), view.replicas.end(),
            [](const ReplicaView& a, const ReplicaView& b) { return a.host < b.host; });
  add_alarms(known, all, view);
  return view;
}

std::string problem(Node& node, const Uuid& host) {
  for (const net::PeerView& peer : node.cluster()->net().peers()) {
    const bool has_tried = peer.problem.status != Status::ok;
    if (peer.host == host && !peer.is_connected && has_tried) return printable(peer.problem.text);
  }
  return "connecting";
}

std::vector<HostView> host_views(Node& node) {
  Cluster& cluster = *node.cluster();
  std::vector<HostView> hosts;
  for (const Member& member : cluster.resources().registers().members()) {
    HostView host;
    host.name = member.name;
    host.uuid = to_string(member.host);
    host.addresses = member.addresses;
    host.is_self = member.host == cluster.identity().host;
    host.is_connected = host.is_self || cluster.resources().is_connected(member.host);
    if (!host.is_self) host.last_contact_ns = last_contact(node, member.host);
    if (!host.is_connected) host.problem = problem(node, member.host);
    host.version = host.is_self ? node.options().version : cluster.version_of(member.host);
    hosts.push_back(std::move(host));
  }
  std::sort(hosts.begin(), hosts.end(), [](const HostView& a, const HostView& b) { return a.name < b.name; });
  return hosts;
}

}  // namespace

ClusterView status_of(Node& node) {
  ClusterView view;
  view.time_ns = static_cast<uint64_t>(node.machine().wall_now().count());
  view.version = node.options().version;
  view.warnings = node.options().warnings;
  view.host = node.options().name;
  if (const bricks::Pool* pool = node.pool(); pool != nullptr) {
    view.memory_bytes = (pool->pages() - pool->free_pages()) * bricks::Pool::page_bytes;
    view.memory_bytes_max = pool->pages() * bricks::Pool::page_bytes;
  }
  if (const bricks::Pool* pool = node.pool(); pool != nullptr && !pool->is_persistent()) {
    view.warnings.push_back("no write is acknowledged from memory, as with write-cache = off: " + pool->why_not());
  }
  view.problem = node.open_problem();
  if (node.cluster() == nullptr) return view;
  Cluster& cluster = *node.cluster();
  view.cluster = to_string(cluster.identity().cluster);
  view.host = cluster.identity().name;
  if (const std::string& why = cluster.resources().log_problem(); !why.empty()) view.warnings.push_back(why);
  for (std::string& warning : cluster.resources().warnings()) view.warnings.push_back(std::move(warning));
  if (!cluster.store_problem().empty()) view.warnings.push_back(cluster.store_problem());
  if (cluster.registers().is_rolled_back()) {
    const std::string witness = cluster.resources().host_name(cluster.registers().witness());
    view.warnings.push_back("the registers of this host are older than what it has shown to " + witness +
                            ", so it tells the others nothing: it goes on by itself when " + witness +
                            ", or without it any other member, has been connected for a minute; if there is none any "
                            "more, restart marsd");
  }
  for (const std::string& alarm : cluster.alarms()) view.warnings.push_back(alarm);
  view.hosts = host_views(node);
  for (size_t i = 1; i < view.hosts.size(); ++i) {
    if (view.hosts[i].name != view.hosts[i - 1].name) continue;
    view.warnings.push_back("two hosts are called " + view.hosts[i].name + ": name them by their uuids");
  }
  const std::vector<ResourceRecord>& all = cluster.resources().registers().resources();
  for (const ResourceRecord& record : all) view.resources.push_back(resource_view(node, record, all));
  std::sort(view.resources.begin(), view.resources.end(),
            [](const ResourceView& a, const ResourceView& b) { return a.name < b.name; });
  return view;
}

}  // namespace mars::node
