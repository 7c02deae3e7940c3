// Machine: everything that a host of the cluster has, as interfaces: the reactor, time, disks, network, keys, threads.
// io/linux/ implements it on Linux, sim/ as a simulated machine; nothing above io/ knows which one it runs on.
// All of it belongs to one reactor and is called on it only. When a simulated machine dies, every pending and later
// call answers Status::gone and the node unwinds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ready.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "io/keys.h"
#include "io/network.h"
#include "io/storage.h"
#include "io/time.h"
#include "io/timer.h"

namespace mars::io {

// Memory that outlives the process but not the power of the host (D6): a file on tmpfs, allocated whole.
class PoolMemory {
 public:
  virtual ~PoolMemory() = default;
  virtual std::span<std::byte> bytes() = 0;
  virtual bool is_fresh() const = 0;  // it was made by this call and is all zero
};

struct Finished {
  int exit_code = -1;  // 128 + signal when killed
  std::string output;  // stdout and stderr, bounded to 64 KiB
};

class Machine {
 public:
  virtual ~Machine() = default;

  virtual Ready& ready() = 0;
  virtual Instant now() = 0;
  virtual WallTime wall_now() = 0;
  virtual TimerQueue& timers() = 0;
  virtual void timers_changed() = 0;  // called by Timer: the reactor looks at timers().next() again
  virtual void random_bytes(std::span<std::byte> into) = 0;  // fit for secrets on a real machine

  virtual Storage& storage() = 0;
  virtual Network& network() = 0;
  virtual Keys& keys() = 0;

  // Changes with every boot of the host, and only then.
  virtual std::array<std::byte, 16> boot_id() = 0;
  // A pool by name in the run directory (or /dev/shm): opened as it is, or made with `bytes` when it is not there.
  // unsupported: no tmpfs here, so write-cache = off. io_error: it is there and cannot be had now; others: it is not
  // there and cannot be made. A size that differs from the file's: the file's wins.
  virtual Result<std::unique_ptr<PoolMemory>> map_pool(std::string name, uint64_t bytes) = 0;
  virtual Status remove_pool(std::string name) = 0;

  // Runs `work` on a helper thread (in simulation: here, at a seeded later time) and returns when it has run.
  virtual Task<void> off_load(std::move_only_function<void()> work) = 0;
  // Runs a program without a shell, with no descriptor but 0, 1, 2. timed_out: killed after `limit`.
  virtual Task<Result<Finished>> exec(std::vector<std::string> argv, Duration limit) = 0;
  // Name of the SQLite VFS to open databases with; null for SQLite's default. Used only inside off_load.
  virtual const char* sqlite_vfs() = 0;
};

// Sleeps until the instant; wakes early (returns false) when `stop` is or gets set.
Task<bool> sleep_until(Machine& machine, Instant when, Event& stop);
Task<bool> sleep_for(Machine& machine, Duration delay, Event& stop);
// Waits for the next notify(), at most until `when`; true when it was notified.
Task<bool> wait_until(Machine& machine, Notifier& notifier, Instant when);

}  // namespace mars::io
