#include "sim/storm/stage.h"

#include "base/check.h"
#include "base/probe.h"
#include "node/places.h"

namespace mars::sim {

using namespace std::chrono_literals;

namespace {
Reached* counting = nullptr;  // a probe knows nobody; one stage at a time
constexpr io::Instant for_ever = io::Instant::max();

// "/var/lib/mars/resources/../state (flush)" -> "state block (flush)"
std::string crash_point(const std::string& change) {
  const size_t space = change.rfind(" (");
  const std::string path = change.substr(0, space);
  const std::string how = space == std::string::npos ? std::string() : change.substr(space);
  if (path.find("/log/") != std::string::npos) return "log" + how;
  if (path.find(".db") != std::string::npos) return "metadata" + how;
  if (path == "/dev/sdb") return "data disk" + how;
  if (path.ends_with("/state")) return "state block" + how;
  return "another file" + how;
}

void prepare(Host& host, node::Options& options) {
  host.disks().remove_device("/dev/sdb");
  add_disk(host);
  host.disks().file_system("/").set_capacity(log_disk_bytes);
  options.log_reserve_bytes = log_reserve_bytes;
}

}  // namespace

void add_disk(Host& host) {
  DeviceOptions options;
  if (host.name() != "a") options.punch = io::Support::none;
  if (host.name() == "c") options.can_zero = false;
  host.disks().add_device("/dev/sdb", Cluster::disk_bytes, options);
}

Stage::Stage(uint64_t seed, Reached& counter, std::function<void(const std::string&)> told)
    : cluster(seed, hosts, prepare), reached(counter), listener(std::move(told)) {
  counting = &reached;
  probe_observer = [](std::string_view place, std::string_view which) {
    std::string what(place);
    if (!which.empty()) what.append(": ").append(which);
    counting->count(what);
  };
}

Stage::~Stage() {
  probe_observer = nullptr;
  counting = nullptr;
}

void Stage::set_up() {
  cluster.form();
  cluster.make_resource(the_resource);
  for (const std::string& host : hosts) ids[host] = cluster.node(host).cluster()->identity().host;
  resource = cluster.node("a").cluster()->resources().ids().front();
}

void Stage::tell(const std::string& what) {
  if (listener) listener(std::to_string(cluster.world().now().count() / 1'000'000) + " ms: " + what);
}

void Stage::broke(const std::string& what) {
  if (!problem.empty()) return;
  problem = what;
  tell("BROKEN: " + what);
}

replication::Replica* Stage::replica(const std::string& host) {
  if (!is_alive(host) || cluster.node(host).cluster() == nullptr) return nullptr;
  return cluster.node(host).cluster()->resources().find(resource);
}

size_t Stage::members_known_by(const std::string& host) {
  return cluster.node(host).cluster()->resources().members(resource).size();
}

std::string Stage::segment_directory(const std::string& host) {
  const std::string& state = cluster.options(host).state_directory;
  return node::Places{state, state}.log_folder(resource) + "/log";
}

std::vector<std::string> Stage::alive() {
  std::vector<std::string> found;
  for (const std::string& host : hosts) {
    if (is_alive(host)) found.push_back(host);
  }
  return found;
}

std::vector<std::string> Stage::open_hosts() {
  std::vector<std::string> found;
  for (const std::string& host : alive()) {
    const SimDevice* device = cluster.device(host, the_resource);
    if (device != nullptr && device->is_open()) found.push_back(host);
  }
  return found;
}

void Stage::kill(const std::string& host) {
  frozen.erase(host);
  cluster.kill(host);
}

void Stage::power_loss(const std::string& host) {
  frozen.erase(host);
  if (cluster.is_up(host)) {
    cluster.power_loss(host);
  } else {
    cluster.host(host).power_loss();
  }
  history.forget_unflushed(id(host));
}

// Power may go in the middle of it.
void Stage::stop(const std::string& host) {
  frozen.erase(host);
  cluster.stop(host);
  if (cluster.host(host).is_up()) return;
  tell(host + " lost power while it stopped");
  history.forget_unflushed(id(host));
}

bool Stage::start(const std::string& host) {
  if (cluster.is_up(host)) return true;
  if (cluster.host(host).is_running()) cluster.host(host).kill();
  const auto started = cluster.start(host);
  if (started) maybe_left.erase(host);
  ++starts[host];
  if (!cluster.host(host).is_up()) history.forget_unflushed(id(host));
  tell("start " + host + (started ? "" : ": " + started.error().text));
  return started.has_value();
}

// Hosts that died by themselves, at a change of a disk.
void Stage::bury_the_dead() {
  for (const std::string& host : hosts) {
    if (!cluster.is_up(host) || cluster.host(host).is_running()) continue;
    const std::string at = cluster.host(host).disks().last_change();
    tell(host + " died at " + at);
    reached.count("crash at " + crash_point(at));
    frozen.erase(host);
    if (!cluster.host(host).is_up()) history.forget_unflushed(id(host));
    cluster.bury(host);
  }
}

void Stage::slow_down(const std::string& host) { late_until[host] = for_ever; }

void Stage::forgive(const std::string& host) {
  const auto late = late_until.find(host);
  if (late != late_until.end() && late->second == for_ever) late->second = cluster.world().now() + 10s;
}

bool Stage::is_late_allowed(const std::string& host, io::Instant begun) const {
  const auto late = late_until.find(host);
  return late != late_until.end() && begun < late->second;
}

}  // namespace mars::sim
