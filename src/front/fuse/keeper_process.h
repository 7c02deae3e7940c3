// KeeperProcess: marsd's end of one mars-keeper (keeper/keeper.h): starts it, asks it line by line, hears when it
// dies. A socket pair carries both directions; nothing else of marsd's is inherited. When this end closes, by
// hang_up() or by the death of marsd, the keeper gives its device up and ends.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/sync.h"
#include "io/linux/watch.h"
#include "io/machine.h"

namespace mars::fuse {

class KeeperProcess {
 public:
  // `changed` is notified when it said something or ended; it outlives this object.
  KeeperProcess(io::Machine& machine, Notifier& changed);
  KeeperProcess(const KeeperProcess&) = delete;
  KeeperProcess& operator=(const KeeperProcess&) = delete;
  ~KeeperProcess();  // after join(), or never started

  // not_found: there is no such program; permission: it cannot be executed; busy: for want of something. Once only.
  Task<Result<void>> start(std::vector<std::string> argv);

  // The next line that it says. timed_out: it may still come; gone: it has ended or was hung up.
  Task<Result<std::string>> answer(io::Duration limit);
  // Says a line. What it answers is fetched by answer(), one for one.
  Status say(std::string_view command);

  void hang_up();
  void kill();  // SIGKILL
  bool is_running() const { return child_ != nullptr && !child_->has_ended(); }
  pid_t pid() const { return pid_; }
  // Waits until the process is gone, with everything that it held open; false when it is still there at the limit.
  Task<bool> join(io::Duration limit);

 private:
  struct Spawned {
    int error = 0;  // errno
    int socket = -1;
    int descriptor = -1;  // of io::open_child()
    pid_t pid = -1;
  };
  static Spawned spawn(const std::vector<std::string>& argv);
  void on_readable();
  void on_exit();

  io::Machine& machine_;
  Notifier& changed_;
  int socket_ = -1;
  pid_t pid_ = -1;
  bool is_hung_up_ = false;
  std::string received_;
  std::unique_ptr<io::Watch> readable_;
  std::unique_ptr<io::ChildWatch> child_;
};

}  // namespace mars::fuse
