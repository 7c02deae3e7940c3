#include "io/linux/child.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>

#include "base/sync.h"
#include "io/linux/descriptor.h"
#include "io/linux/errno_status.h"
#include "io/linux/watch.h"

namespace mars::io {
namespace {

constexpr size_t output_bytes_max = size_t{64} * 1024;
constexpr Duration kill_patience = 2s;  // a killed child that is still there hangs inside the kernel

struct Spawned {
  pid_t child = -1;
  int descriptor = -1;  // of open_child()
  Descriptor output;
};

// Signals as a fresh program expects them: what marsd ignores or blocks is not inherited.
int set_attributes(posix_spawnattr_t& attributes) {
  sigset_t all;
  sigset_t none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  return ::posix_spawnattr_setflags(&attributes,
                                    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

// Blocks until the program is executed: on a helper thread.
Result<Spawned> spawn(const std::vector<std::string>& argv) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_failure(errno, "cannot make a pipe");
  Spawned spawned;
  spawned.output = Descriptor(ends[0]);
  const Descriptor write_end(ends[1]);
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  set_attributes(attributes);
  const int result = ::posix_spawnp(&spawned.child, arguments[0], &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (result != 0) return errno_failure(result, "cannot run " + argv[0]);
  spawned.descriptor = open_child(spawned.child);
  if (spawned.descriptor < 0) return errno_failure(errno, "cannot watch " + argv[0]);
  return spawned;
}

// Collects output until the child has ended or the time is over.
class Collector {
 public:
  Collector(Machine& machine, Spawned spawned)
      : changed_(machine.ready()),
        spawned_(std::move(spawned)),
        output_(machine, spawned_.output.get(), &Collector::on_output, this),
        child_(machine, spawned_.child, spawned_.descriptor, &Collector::on_exit, this) {
    output_.arm();
  }

  Task<bool> wait_until(Machine& machine, Instant when) {
    while (!has_ended() && machine.now() < when) (void)co_await io::wait_until(machine, changed_, when);
    co_return has_ended();
  }
  bool has_ended() const { return child_.has_ended(); }
  void kill() {
    if (!has_ended()) ::kill(-spawned_.child, SIGKILL);
  }
  // A grandchild may hold the pipe open for ever; what the child itself wrote is in it by now.
  Finished take() {
    drain();
    return std::move(finished_);
  }

 private:
  static void on_output(void* self) {
    Collector& collector = *static_cast<Collector*>(self);
    if (collector.drain()) collector.output_.arm();
  }
  static void on_exit(void* self, int exit_code) {
    Collector& collector = *static_cast<Collector*>(self);
    collector.finished_.exit_code = exit_code;
    collector.changed_.notify();
  }
  // False at the end. What exceeds the bound is read and thrown away, so that the child does not block. Not all at
  // once: a child may write faster than this reads.
  bool drain() {
    char buffer[4096];
    for (size_t read = 0; read < output_bytes_max; read += sizeof buffer) {
      const ssize_t count = ::read(spawned_.output.get(), buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return count < 0 && errno == EAGAIN;
      const size_t room = output_bytes_max - finished_.output.size();
      finished_.output.append(buffer, std::min(room, static_cast<size_t>(count)));
    }
    return true;
  }

  Notifier changed_;
  Spawned spawned_;
  Finished finished_;
  Watch output_;
  ChildWatch child_;
};

}  // namespace

Task<Result<Finished>> run_child(Machine& machine, ThreadPool& pool, std::vector<std::string> argv, Duration limit) {
  if (argv.empty()) co_return failure(Status::invalid, "no program to run");
  std::optional<Result<Spawned>> spawned;
  std::move_only_function<void()> work = [&] { spawned.emplace(spawn(argv)); };
  co_await pool.off_load(std::move(work));
  if (!*spawned) co_return failure(spawned->error());
  Collector collector(machine, std::move(**spawned));
  if (co_await collector.wait_until(machine, machine.now() + limit)) co_return collector.take();
  collector.kill();
  (void)co_await collector.wait_until(machine, machine.now() + kill_patience);
  const auto seconds = std::chrono::duration<double>(limit).count();
  co_return failure(Status::timed_out, fmt::format("{} did not end within {} s and was killed", argv[0], seconds));
}

}  // namespace mars::io
