// LinuxMachine: io::Machine on Linux: one reactor in one thread, with Asio for sockets, alarm and signals, and io_uring
// (or a pool of threads) for disks. A turn takes what has completed, runs the ready queue in a bounded slice, and gives
// the kernel what was submitted meanwhile in one call; only an idle turn sleeps.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/linux/patience.h"
#include "io/machine.h"

namespace mars::io {

class DiskEngine;
class Reactor;

enum class DiskEngineChoice : uint8_t { automatic, uring, threads };

struct LinuxOptions {
  std::string run_dir = "/run/mars";  // where pools lie when it is a tmpfs
  DiskEngineChoice io = DiskEngineChoice::automatic;
  size_t disk_threads = 32;      // of the thread engine
  size_t off_load_threads = 64;  // one that hangs in a file system keeps none of the others
};

class LinuxMachine final : public Machine {
 public:
  // Makes no thread yet. `io = uring` where the kernel refuses it: threads; disk_engine_note() says so.
  explicit LinuxMachine(LinuxOptions options);
  // Outside run(), when everything that was opened here is gone.
  ~LinuxMachine() override;
  static LinuxMachine& of(Machine& machine);  // CHECKs that it is one

  // Turns until stop(); the calling thread is the reactor. May be called again.
  void run();
  // From any thread and in signal callbacks: run() returns after its current turn.
  void stop();
  // From any thread: runs the function in the reactor. What is posted after the last turn runs when the machine dies.
  void post(std::move_only_function<void()> function);
  // In the reactor, for the machine's whole life.
  void on_signal(int number, std::move_only_function<void()> function);

  std::string_view disk_engine() const;                                    // "uring" or "threads"
  std::string_view disk_engine_note() const { return disk_engine_note_; }  // why not io_uring; empty when it is
  Reactor& reactor() { return *reactor_; }                                 // for the rest of io/linux

  Ready& ready() override;
  Instant now() override;
  WallTime wall_now() override;
  TimerQueue& timers() override { return timers_; }
  void timers_changed() override {}  // run() looks before it sleeps
  void random_bytes(std::span<std::byte> into) override;
  Storage& storage() override;
  Network& network() override;
  Keys& keys() override;
  std::array<std::byte, 16> boot_id() override { return boot_id_; }
  Result<std::unique_ptr<PoolMemory>> map_pool(std::string name, uint64_t bytes) override;
  Status remove_pool(std::string name) override;
  Task<void> off_load(std::move_only_function<void()> work) override;
  Task<Result<Finished>> exec(std::vector<std::string> argv, Duration limit) override;
  const char* sqlite_vfs() override { return nullptr; }

 private:
  struct Parts;
  void turn();
  bool finds_work();

  const LinuxOptions options_;
  const std::array<std::byte, 16> boot_id_;
  std::string disk_engine_note_;
  std::atomic<bool> is_stopping_ = false;
  TimerQueue timers_;
  Patience patience_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<DiskEngine> disks_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace mars::io
