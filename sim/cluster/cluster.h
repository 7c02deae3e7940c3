// Cluster: some simulated hosts, each with a Node, and the words in which a test tells what happens to them:
//
//   Cluster cluster(seed, {"a", "b", "c"});
//   cluster.form();                                         // a makes the cluster, the others join by token
//   cluster.run("a", "create-resource mydata /dev/sdb");
//   cluster.run("b", "join-resource mydata /dev/sdb");
//   EXPECT_TRUE(cluster.all_up_to_date("mydata"));
//   cluster.write("a", "mydata", 0, 'x');  cluster.flush("a", "mydata");
//   cluster.cut("a", "b");  cluster.heal("a", "b");
//   cluster.kill("a");  cluster.power_loss("a");  cluster.start("a");
//
// Every host has a device /dev/sdb of disk_bytes (disk_path(), once it was moved). Values of time are virtual.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/answer.h"
#include "control/view.h"
#include "node/node.h"
#include "sim/cluster/sim_device.h"
#include "sim/world.h"

namespace mars::sim {

// A command that runs while the film goes on.
struct Running {
  std::optional<control::Answer> answer;
  std::vector<control::Progress> progress;
};

// "create-resource mydata /dev/sdb --size 1M" as marsadm would send it.
control::Command parse_line(const std::string& line);

// Keeps the devices of one host where the test finds them.
struct SimDeviceMaker final : node::DeviceMaker {
  SimMachine* machine = nullptr;
  std::map<std::string, SimDevice*> devices;
  std::unique_ptr<replication::Device> make(node::DeviceOrder order) override;
};

class Cluster {
  struct Part {
    node::Options options;
    SimDeviceMaker maker;
    SimMachine* machine = nullptr;  // that the node runs on
    std::unique_ptr<node::Node> node;
  };

 public:
  static constexpr uint64_t disk_bytes = 4u << 20;
  static constexpr size_t block_bytes = 4096;

  // `prepare` sees each host and its options before its first start.
  using Prepare = std::function<void(Host& host, node::Options& options)>;
  Cluster(uint64_t seed, std::vector<std::string> hosts, const Prepare& prepare = {});
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  ~Cluster();

  World& world() { return world_; }
  sim::Host& host(const std::string& name) { return world_.host(name); }
  node::Node& node(const std::string& name) { return *parts_.at(name)->node; }

  // ---- the life of a host. start: what Node::start() said.
  Result<void> start(const std::string& host);
  void stop(const std::string& host);  // as SIGTERM
  void kill(const std::string& host);
  void power_loss(const std::string& host);
  // The host died by itself (Host::power_loss_at_disk_op): what is left of its node goes.
  void bury(const std::string& host);
  bool is_up(const std::string& host) const { return parts_.at(host)->node != nullptr; }
  // Changes what a host is told at its next start.
  node::Options& options(const std::string& host) { return parts_.at(host)->options; }

  // ---- commands
  control::Answer run(const std::string& host, const std::string& line);
  std::shared_ptr<Running> begin(const std::string& host, const std::string& line);
  control::Answer finish(Running& running, io::Duration limit = std::chrono::seconds(120));
  std::string token(const std::string& host, const std::string& more = "");
  void form();                                      // one cluster of all hosts
  void make_resource(const std::string& resource);  // on all hosts, the first is primary; all up to date

  // ---- the application
  SimDevice* device(const std::string& host, const std::string& resource);
  Status write(const std::string& host, const std::string& resource, uint64_t block, char value);
  Status flush(const std::string& host, const std::string& resource);
  std::optional<char> read(const std::string& host, const std::string& resource, uint64_t block);
  void set_in_use(const std::string& host, const std::string& resource, bool in_use);
  void keep_dirty(const std::string& host, const std::string& resource, uint64_t block, char value);
  // What stands on the data disk.
  const std::string& disk_path(const std::string& host) { return disk_paths_.at(host); }
  void move_disk(const std::string& host, const std::string& to);  // of a host that does not run
  char on_disk(const std::string& host, uint64_t block);
  bool disks_equal(const std::string& x, const std::string& y);

  // ---- the network
  void cut(const std::string& x, const std::string& y) { world_.network().cut(x, y); }
  void heal(const std::string& x, const std::string& y) { world_.network().heal(x, y); }
  void isolate(const std::string& name) { world_.network().isolate(name); }
  void rejoin(const std::string& name) { world_.network().rejoin(name); }
  bool connected(const std::string& x, const std::string& y);
  bool all_connected(io::Duration limit = std::chrono::seconds(60));

  // ---- what marsadm shows
  control::ClusterView status(const std::string& host) { return node(host).status(); }
  // As `asked` sees `host`.
  std::optional<control::ReplicaView> replica(const std::string& asked, const std::string& resource,
                                              const std::string& host);
  control::State state(const std::string& host, const std::string& resource);
  bool is_primary(const std::string& host, const std::string& resource);
  // Asked every few milliseconds: a look at a whole cluster is too dear for every event.
  bool wait(const std::function<bool()>& predicate, io::Duration limit = std::chrono::seconds(60));
  bool wait_state(const std::string& host, const std::string& resource, control::State wanted,
                  io::Duration limit = std::chrono::seconds(60));
  bool is_up_to_date(const std::string& resource);
  bool all_up_to_date(const std::string& resource, io::Duration limit = std::chrono::seconds(120));
  std::string events(const std::string& host);
  void run_for(io::Duration time) { world_.run_for(time); }

 private:
  void destroy(Part& part);

  World world_;
  std::vector<std::string> names_;
  std::map<std::string, std::unique_ptr<Part>> parts_;
  std::map<std::string, std::string> disk_paths_;  // by host
};

// Hosts of which the device of this resource is open; at most one unless somebody was forced, or P4 is broken.
std::vector<std::string> hosts_with_device(Cluster& cluster, const std::vector<std::string>& hosts,
                                           const std::string& resource);
// What the hosts tell of their past, for the message of a test that fails.
std::string all_events(Cluster& cluster, const std::vector<std::string>& hosts);

}  // namespace mars::sim
