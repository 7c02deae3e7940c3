// World: some hosts on one virtual clock, in one process, deterministic from one seed. Nothing happens but in step():
// one event, which is one job of one host's ready queue, one timer, one completion of a disk, one delivery of a
// network.
//
//   World world(seed);
//   Host& a = world.host("a");                            // made and started at first use
//   a.disks().add_device("/dev/sdb", 64 << 20);           // beside "/" (a file system) and "/run" (lost with power)
//   SimMachine& m = a.machine();                          // io::Machine of the running process
//   auto file = world.run(m, m.storage().open("/dev/sdb", {})).value();   // runs one Task to its end
//   Status s = world.run(m, io::write(*file, 0, bytes));
//   world.run_until([&] { return log.durable_end() > 0; }, 5s);
//   a.kill();  a.start();                                 // kill -9: completed writes and the pool survive
//   a.power_loss();  a.start();                           // any subset of what was not flushed survives
//   SimMachine& again = a.machine();                      // a new incarnation on the same disks
//   a.power_loss_at_disk_op(17);                          // the crash of every step, one after the other
//   world.network().cut("a", "b");  world.network().heal("a", "b");
//   a.disks().fail({.path = "/dev/sdb", .op = DiskOp::flush});
//
// A machine that died answers every pending and later call with Status::gone, from its ready queue, which goes on being
// run; its timers go on firing. So whatever ran on it unwinds by itself and can then be destroyed; it has no effect on
// anything any more. What such a leftover acknowledges does not count: checkers ask SimMachine::is_alive().
// Incarnations live as long as the world: whatever refers to a machine is destroyed before the world.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/prng.h"
#include "base/task.h"
#include "io/time.h"
#include "sim/disk.h"
#include "sim/host.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/trace.h"

namespace mars::sim {

class World {
 public:
  explicit World(uint64_t seed);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  Host& host(const std::string& name);
  Fabric& network() { return *network_; }
  io::Instant now() const { return now_; }
  Prng& prng() { return prng_; }
  Trace& trace() { return trace_; }
  uint64_t trace_hash() const { return trace_.hash(); }
  uint64_t event_count() const { return trace_.count(); }

  // One event; false when nothing is left to happen.
  bool step();
  // Steps until the predicate holds, at most `limit` of virtual time; says whether it holds. Asked after every event.
  bool run_until(const std::function<bool()>& predicate, io::Duration limit = std::chrono::seconds(60));
  void run_for(io::Duration duration);
  // Until nothing is left to happen (no timer either); false when that does not come within `limit`.
  bool run_idle(io::Duration limit = std::chrono::seconds(60));
  // Runs the task on the machine to its end and returns its value. It must end within `limit`.
  template <class T>
  T run(SimMachine& machine, Task<T> task, io::Duration limit = std::chrono::seconds(600));
  void run(SimMachine& machine, Task<void> task, io::Duration limit = std::chrono::seconds(600));

  // Calls `what` at that instant, in the order of the calls among equal instants.
  void at(io::Instant when, std::move_only_function<void()> what);
  void after(io::Duration delay, std::move_only_function<void()> what) { at(now_ + delay, std::move(what)); }
  // Adds to the trace, at the present.
  void note(TraceKind kind, uint32_t host, uint64_t a = 0, uint64_t b = 0);

 private:
  struct Event {
    io::Instant when;
    uint64_t sequence;
    std::move_only_function<void()> what;
  };
  static bool is_later(const Event& x, const Event& y) {
    return x.when != y.when ? x.when > y.when : x.sequence > y.sequence;
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await task);
  }
  static Task<void> finish(Task<void> task, bool& done);

  Prng prng_;
  Trace trace_;
  io::Instant now_ = {};
  uint64_t sequence_ = 0;
  std::vector<Event> events_;  // a heap, the earliest first
  std::map<std::string, std::unique_ptr<Host>> hosts_;
  std::unique_ptr<Fabric> network_;
};

template <class T>
T World::run(SimMachine& machine, Task<T> task, io::Duration limit) {
  std::optional<T> value;
  machine.scope().spawn(keep(std::move(task), value));
  CHECK(run_until([&] { return value.has_value(); }, limit));
  return std::move(*value);
}

}  // namespace mars::sim
