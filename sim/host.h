// Host: one computer of a World: disks that outlive everything, processes (incarnations of SimMachine) that come and
// go, a wall clock that may be wrong. One process is the daemon under test: machine(). Others, such as a client that
// survives the daemon, are had by name.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/prng.h"
#include "base/status.h"
#include "io/machine.h"
#include "sim/disk.h"

namespace mars::sim {

class SimMachine;
class World;

// What a program that is run by Machine::exec does; it takes `takes` of virtual time.
struct Execution {
  io::Finished finished = {.exit_code = 0, .output = ""};
  io::Duration takes = std::chrono::milliseconds(3);
};

class Host {
 public:
  Host(World& world, std::string name, uint32_t id, Prng prng);
  ~Host();

  const std::string& name() const { return name_; }
  uint32_t id() const { return id_; }
  World& world() { return world_; }
  Disks& disks() { return disks_; }

  // The daemon's running incarnation; it must be running.
  SimMachine& machine();
  // Another process of this host; started when it does not run.
  SimMachine& process(const std::string& name);
  bool is_up() const { return is_up_; }  // it has power
  bool is_running() const { return processes_.contains(daemon); }

  // kill -9 of the daemon. What it has in flight on a disk happens or does not, or in part.
  void kill();
  void kill(const std::string& process);
  // Everything of this host stops, its disks forget what was not flushed (Medium::power_loss).
  void power_loss();
  // Boots when there was no power; starts the daemon's next incarnation.
  void start();
  // SIGSTOP and SIGCONT of the daemon: the world goes on, its disks and sockets too.
  void pause();
  void resume();
  bool is_paused() const;
  // Happens when the n-th change of a disk (from now, 1 = the next) is about to take effect: that change is in flight.
  void kill_at_disk_op(uint64_t n);
  void power_loss_at_disk_op(uint64_t n);

  io::Duration clock_skew() const { return clock_skew_; }
  void set_clock_skew(io::Duration skew) { clock_skew_ = skew; }
  // The wall clock stands still, and goes on from there.
  void stop_clock();
  void go_on_clock();
  // Of the wall clock against the world's time.
  io::Duration clock_error() const;

  // What exec answers; exit code 0 without it. executed() are the command lines so far.
  void on_exec(std::function<Execution(const std::vector<std::string>&)> program) { program_ = std::move(program); }
  const std::vector<std::vector<std::string>>& executed() const { return executed_; }
  Execution execute(std::vector<std::string> argv);

  // Pools (D6): they belong to the host, and to the one process that maps them.
  std::array<std::byte, 16> boot_id() const { return boot_id_; }
  std::map<std::string, std::shared_ptr<AlignedBuffer>>& pools() { return pools_; }
  // false: this host has no tmpfs, map_pool answers unsupported.
  void set_tmpfs(bool there) { has_tmpfs_ = there; }
  bool has_tmpfs() const { return has_tmpfs_; }

 private:
  static constexpr const char* daemon = "marsd";
  SimMachine& spawn(const std::string& process);
  void boot();

  World& world_;
  std::string name_;
  uint32_t id_;
  Prng prng_;
  Disks disks_;
  bool is_up_ = false;
  bool has_tmpfs_ = true;
  io::Duration clock_skew_ = {};
  std::optional<io::Instant> clock_stands_;
  std::array<std::byte, 16> boot_id_ = {};
  std::map<std::string, std::shared_ptr<AlignedBuffer>> pools_;
  std::function<Execution(const std::vector<std::string>&)> program_;
  std::vector<std::vector<std::string>> executed_;
  std::vector<std::unique_ptr<SimMachine>> incarnations_;
  std::map<std::string, SimMachine*> processes_;  // those that run
};

}  // namespace mars::sim
