// SimMachine: one process of a simulated host, as an io::Machine. It lives until it is killed, the host loses power or
// the world ends; then it is dead (see world.h). Its ready queue is run by the world, one job per event, each costing
// some hundred nanoseconds of virtual time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/list.h"
#include "base/prng.h"
#include "base/ready.h"
#include "base/task.h"
#include "io/machine.h"
#include "sim/disk.h"

namespace mars::sim {

class Host;
class SqliteVfs;
class World;

// Something that must hear of the death of its process: pending calls answer gone.
class Mortal : public ListHook {
 public:
  virtual ~Mortal() = default;
  virtual void on_death() = 0;
};

// How an effect takes place: as asked, or in part because the process died under it.
enum class Fate : uint8_t { whole, torn };
using Effect = std::move_only_function<Status(Fate)>;

class SimMachine : public io::Machine {
 public:
  SimMachine(World& world, Host& host, std::string process, Prng prng);
  ~SimMachine() override;

  bool is_alive() const { return is_alive_; }
  const std::string& process() const { return process_; }
  Host& host() { return host_; }
  World& world() { return world_; }
  Prng& prng() { return prng_; }
  // Activities of tests; World::run uses it.
  Scope& scope() { return scope_; }

  Ready& ready() override { return ready_; }
  io::Instant now() override;
  io::WallTime wall_now() override;
  io::TimerQueue& timers() override { return timers_; }
  void timers_changed() override;
  void random_bytes(std::span<std::byte> into) override;
  io::Storage& storage() override { return *storage_; }
  io::Network& network() override { return *network_; }
  io::Keys& keys() override { return *keys_; }
  std::array<std::byte, 16> boot_id() override { return boot_id_; }
  Result<std::unique_ptr<io::PoolMemory>> map_pool(std::string name, uint64_t bytes) override;
  Status remove_pool(std::string name) override;
  Task<void> off_load(std::move_only_function<void()> work) override;
  Task<Result<io::Finished>> exec(std::vector<std::string> argv, io::Duration limit) override;
  const char* sqlite_vfs() override;

  // For the other parts of sim/.
  void mourn(Mortal& mortal);  // registers it for on_death()
  void die();
  void set_paused(bool paused);
  bool is_paused() const { return is_paused_; }
  // After `delay` the effect takes place and `done` is called with its status (in an event, not in node code; done
  // pushes to ready). Should the process die before: it takes place whole, torn or not at all, and `done` gets gone.
  // `change` counts it as a change of a disk (Host::kill_at_disk_op), `drive` may be stuck.
  struct Operation {
    io::Duration delay = {};
    Effect effect;
    std::move_only_function<void(Status)> done;
    Drive* drive = nullptr;
    bool is_change = false;
    std::string_view path = {};  // of a change, and how; it outlives the operation
    std::string_view how = {};
    bool is_helper = false;  // the effect is work of a helper thread
  };
  void start(Operation operation);
  // The same for activities.
  Task<Status> operate(io::Duration delay, Effect effect, Drive* drive = nullptr, std::string_view change = {});
  // Returns at a later turn, so that a loop over calls that fail at once cannot stop the world.
  Task<void> next_turn();
  // Whether one more change by SQLite takes effect: while the process lives, and for a seeded number of changes when
  // it dies under a helper's work.
  bool may_change();

 private:
  class Pending;
  void schedule_turn();
  void turn();
  void fire_timers();

  World& world_;
  Host& host_;
  std::string process_;
  Prng prng_;
  bool is_alive_ = true;
  bool is_paused_ = false;
  bool is_turn_scheduled_ = false;
  bool is_helping_ = false;
  uint64_t last_changes_ = 0;
  std::optional<io::Instant> timer_event_;
  std::array<std::byte, 16> boot_id_;
  Ready ready_;
  io::TimerQueue timers_;
  Scope scope_;
  List<Mortal> mortals_;
  std::unique_ptr<io::Storage> storage_;
  std::unique_ptr<io::Network> network_;
  std::unique_ptr<io::Keys> keys_;
  std::unique_ptr<SqliteVfs> vfs_;
};

}  // namespace mars::sim
