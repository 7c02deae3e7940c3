#include "sim/cluster/cluster.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "base/aligned.h"

namespace mars::sim {

using namespace std::chrono_literals;
using control::Answer;
using control::ReplicaView;
using control::State;

std::unique_ptr<replication::Device> SimDeviceMaker::make(node::DeviceOrder order) {
  SimDevice** slot = &devices[order.name];
  return std::make_unique<SimDevice>(*machine, order.name, slot);
}

control::Command parse_line(const std::string& line) {
  std::istringstream words(line);
  control::Command command;
  words >> command.name;
  const control::CommandSpec* spec = control::find_command(command.name);
  CHECK(spec != nullptr);
  size_t position = 0;
  for (std::string word; words >> word;) {
    if (!word.starts_with("--")) {
      CHECK(position < spec->positionals.size());
      command.args.emplace(spec->positionals[position++].name, word);
      continue;
    }
    const std::string name = word.substr(2);
    std::string value = "true";
    for (const control::Argument& option : spec->options) {
      if (option.name == name && option.type != control::ArgumentType::flag) words >> value;
    }
    command.args.emplace(name, value);
  }
  return command;
}

Cluster::Cluster(uint64_t seed, std::vector<std::string> hosts, const Prepare& prepare)
    : world_(seed), names_(std::move(hosts)) {
  for (const std::string& name : names_) {
    auto part = std::make_unique<Part>();
    part->options.name = name;
    part->options.state_directory = "/var/lib/mars";
    part->options.device_directory = "/dev/mars";
    part->options.pool_bytes = 4u << 20;
    part->options.segment_bytes = 1u << 20;
    part->options.version = "0.1.0";
    disk_paths_[name] = "/dev/sdb";
    world_.host(name).disks().add_device("/dev/sdb", disk_bytes);
    if (prepare) prepare(world_.host(name), part->options);
    parts_.emplace(name, std::move(part));
    CHECK(start(name).has_value());
  }
}

Cluster::~Cluster() {
  for (const std::string& name : names_) {
    if (is_up(name)) destroy(*parts_.at(name));
  }
}

// ---- the life of a host

Result<void> Cluster::start(const std::string& name) {
  Part& part = *parts_.at(name);
  CHECK(part.node == nullptr);
  if (!host(name).is_running()) host(name).start();
  part.machine = &host(name).machine();
  part.maker.machine = part.machine;
  part.node = std::make_unique<node::Node>(*part.machine, part.options, part.maker);
  Result<void> started = world_.run(*part.machine, part.node->start());
  if (!started) destroy(part);
  return started;
}

// On a machine that is dead everything answers gone, and the node unwinds in the same way.
void Cluster::destroy(Part& part) {
  world_.run(*part.machine, part.node->stop());
  CHECK(world_.run_until([&] { return part.machine->scope().count() == 0; }));
  part.node.reset();
}

void Cluster::stop(const std::string& name) { destroy(*parts_.at(name)); }
void Cluster::bury(const std::string& name) { destroy(*parts_.at(name)); }

void Cluster::kill(const std::string& name) {
  host(name).kill();
  destroy(*parts_.at(name));
}

void Cluster::power_loss(const std::string& name) {
  host(name).power_loss();
  destroy(*parts_.at(name));
}

// ---- commands

namespace {

Task<void> run_to(node::Node& node, control::Command command, std::shared_ptr<Running> running) {
  node::Node::Listener listener = [running](const control::Progress& progress) {
    running->progress.push_back(progress);
  };
  Answer answer = co_await node.run(std::move(command), std::move(listener));
  running->answer = std::move(answer);
}

}  // namespace

std::shared_ptr<Running> Cluster::begin(const std::string& name, const std::string& line) {
  auto running = std::make_shared<Running>();
  host(name).machine().scope().spawn(run_to(node(name), parse_line(line), running));
  return running;
}

Answer Cluster::finish(Running& running, io::Duration limit) {
  CHECK(world_.run_until([&] { return running.answer.has_value(); }, limit));
  return *running.answer;
}

Answer Cluster::run(const std::string& name, const std::string& line) { return finish(*begin(name, line)); }

std::string Cluster::token(const std::string& name, const std::string& more) {
  return run(name, "invite " + more).text;
}

void Cluster::form() {
  CHECK(run(names_.front(), "create-cluster").code == control::ExitCode::done);
  for (size_t i = 1; i < names_.size(); ++i) {
    const Answer joined = run(names_[i], "join-cluster " + token(names_.front()));
    CHECK(joined.code == control::ExitCode::done);
  }
  CHECK(all_connected());
}

void Cluster::make_resource(const std::string& resource) {
  CHECK(run(names_.front(), "create-resource " + resource + " /dev/sdb").code == control::ExitCode::done);
  for (size_t i = 1; i < names_.size(); ++i) {
    const std::string& name = names_[i];
    CHECK(wait([&] { return status(name).resources.size() == 1; }));
    CHECK(run(name, "join-resource " + resource + " /dev/sdb").code == control::ExitCode::done);
  }
  CHECK(all_up_to_date(resource));
}

// ---- the application

SimDevice* Cluster::device(const std::string& name, const std::string& resource) {
  SimDeviceMaker& maker = parts_.at(name)->maker;
  const auto found = maker.devices.find(resource);
  return found == maker.devices.end() ? nullptr : found->second;
}

Status Cluster::write(const std::string& name, const std::string& resource, uint64_t block, char value) {
  SimDevice* its = device(name, resource);
  if (its == nullptr) return Status::gone;
  AlignedBuffer buffer(block_bytes);
  std::memset(buffer.data(), value, block_bytes);
  return world_.run(host(name).machine(), its->write(block * block_bytes, buffer.span()));
}

Status Cluster::flush(const std::string& name, const std::string& resource) {
  SimDevice* its = device(name, resource);
  return its == nullptr ? Status::gone : world_.run(host(name).machine(), its->flush());
}

std::optional<char> Cluster::read(const std::string& name, const std::string& resource, uint64_t block) {
  SimDevice* its = device(name, resource);
  if (its == nullptr) return std::nullopt;
  AlignedBuffer buffer(block_bytes);
  const Status status = world_.run(host(name).machine(), its->read(block * block_bytes, buffer.span()));
  if (status != Status::ok) return std::nullopt;
  return static_cast<char>(*buffer.data());
}

void Cluster::set_in_use(const std::string& name, const std::string& resource, bool in_use) {
  SimDevice* its = device(name, resource);
  CHECK(its != nullptr);
  its->set_in_use(in_use);
}

void Cluster::keep_dirty(const std::string& name, const std::string& resource, uint64_t block, char value) {
  SimDevice* its = device(name, resource);
  CHECK(its != nullptr);
  AlignedBuffer page(block_bytes);
  std::memset(page.data(), value, block_bytes);
  its->keep_dirty(block * block_bytes, std::move(page));
}

char Cluster::on_disk(const std::string& name, uint64_t block) {
  return static_cast<char>(host(name).disks().peek(disk_path(name), block * block_bytes, 1).at(0));
}

bool Cluster::disks_equal(const std::string& x, const std::string& y) {
  return host(x).disks().content(disk_path(x)).reads_as(host(y).disks().content(disk_path(y)), disk_bytes);
}

void Cluster::move_disk(const std::string& name, const std::string& to) {
  host(name).disks().move_device(disk_path(name), to);
  disk_paths_[name] = to;
}

// ---- the network

bool Cluster::connected(const std::string& x, const std::string& y) {
  node::Cluster* cluster = node(x).cluster();
  if (cluster == nullptr) return false;
  for (const node::Member& member : cluster->resources().registers().members()) {
    if (member.name == y)
      return member.host == cluster->identity().host || cluster->resources().is_connected(member.host);
  }
  return false;
}

bool Cluster::all_connected(io::Duration limit) {
  return wait(
      [&] {
        for (const std::string& x : names_) {
          for (const std::string& y : names_) {
            if (is_up(x) && is_up(y) && !connected(x, y)) return false;
          }
        }
        return true;
      },
      limit);
}

// ---- what marsadm shows

std::optional<ReplicaView> Cluster::replica(const std::string& asked, const std::string& resource,
                                            const std::string& name) {
  for (const control::ResourceView& view : status(asked).resources) {
    if (view.name != resource) continue;
    for (const ReplicaView& replica : view.replicas) {
      if (replica.host == name) return replica;
    }
  }
  return std::nullopt;
}

bool Cluster::wait(const std::function<bool()>& predicate, io::Duration limit) {
  const io::Instant deadline = world_.now() + limit;
  while (!predicate()) {
    if (world_.now() >= deadline) return false;
    world_.run_for(5ms);
  }
  return true;
}

State Cluster::state(const std::string& name, const std::string& resource) {
  const auto view = replica(name, resource, name);
  return view ? view->state : State::unknown;
}

bool Cluster::is_primary(const std::string& name, const std::string& resource) {
  const auto view = replica(name, resource, name);
  return view && view->role == control::Role::primary;
}

bool Cluster::wait_state(const std::string& name, const std::string& resource, State wanted, io::Duration limit) {
  return wait([&] { return state(name, resource) == wanted; }, limit);
}

// By what each host says of itself: the others hear of it a little later.
bool Cluster::all_up_to_date(const std::string& resource, io::Duration limit) {
  return wait([&] { return is_up_to_date(resource); }, limit);
}

bool Cluster::is_up_to_date(const std::string& resource) {
  std::vector<ReplicaView> views;
  std::optional<uint64_t> target;
  for (const std::string& name : names_) {
    if (!is_up(name)) continue;
    auto view = replica(name, resource, name);
    if (!view) return false;
    if (view->role == control::Role::primary) target = view->durable_lsn;
    views.push_back(std::move(*view));
  }
  for (const ReplicaView& view : views) {
    const bool is_replayed = view.role == control::Role::primary || view.applied_lsn == target;
    const bool has_all = target && view.durable_lsn == target && is_replayed;
    if (view.state != State::up_to_date || !has_all) return false;
  }
  return true;
}

std::string Cluster::events(const std::string& name) { return run(name, "events --count 200").text; }

// ---- for messages

std::vector<std::string> hosts_with_device(Cluster& cluster, const std::vector<std::string>& hosts,
                                           const std::string& name) {
  std::vector<std::string> found;
  for (const std::string& host : hosts) {
    if (!cluster.is_up(host) || !cluster.host(host).is_running()) continue;
    const SimDevice* device = cluster.device(host, name);
    if (device != nullptr && device->is_open()) found.push_back(host);
  }
  return found;
}

std::string all_events(Cluster& cluster, const std::vector<std::string>& hosts) {
  std::string text;
  for (const std::string& host : hosts) {
    const bool is_alive = cluster.is_up(host) && cluster.host(host).is_running();
    text += "== " + host + (is_alive ? "\n" + cluster.events(host) : " is down") + "\n";
  }
  return text;
}

}  // namespace mars::sim
