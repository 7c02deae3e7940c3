#include "front/fuse/keeper_process.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"

extern char** environ;  // NOLINT: POSIX's name

namespace mars::fuse {

namespace {

constexpr size_t line_bytes_max = 1024;  // a keeper that says more is none of ours

}  // namespace

KeeperProcess::KeeperProcess(io::Machine& machine, Notifier& changed) : machine_(machine), changed_(changed) {}

KeeperProcess::~KeeperProcess() {
  CHECK(!is_running());
  hang_up();
}

// Blocks until the program is loaded: on a helper thread. The child gets its end as standard input and output; both
// ends are close-on-exec, so neither a hook nor another keeper can hold this conversation open.
KeeperProcess::Spawned KeeperProcess::spawn(const std::vector<std::string>& argv) {
  Spawned spawned;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    spawned.error = errno;
    return spawned;
  }
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  spawned.error = posix_spawn(&spawned.pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  spawned.socket = ends[0];
  if (spawned.error != 0) return spawned;
  spawned.descriptor = io::open_child(spawned.pid);
  if (spawned.descriptor < 0) spawned.error = errno;
  return spawned;
}

Task<Result<void>> KeeperProcess::start(std::vector<std::string> argv) {
  CHECK(socket_ < 0 && !argv.empty());
  Spawned spawned;
  auto work = [&argv, &spawned] { spawned = spawn(argv); };
  co_await machine_.off_load(std::move(work));
  socket_ = spawned.socket;
  if (spawned.error != 0) {
    hang_up();
    const bool is_forbidden = spawned.error == EACCES || spawned.error == EPERM || spawned.error == ENOEXEC;
    co_return failure(spawned.error == ENOENT ? Status::not_found
                      : is_forbidden          ? Status::permission
                                              : Status::busy,
                      "cannot start " + argv[0] + ": " + strerror(spawned.error));
  }
  pid_ = spawned.pid;
  auto heard = [](void* self) { static_cast<KeeperProcess*>(self)->on_readable(); };
  auto ended = [](void* self, int) { static_cast<KeeperProcess*>(self)->on_exit(); };
  child_ = std::make_unique<io::ChildWatch>(machine_, pid_, spawned.descriptor, ended, this);
  if (is_hung_up_) {
    hang_up();  // somebody did so while it was being started
  } else {
    readable_ = std::make_unique<io::Watch>(machine_, socket_, heard, this);
    readable_->arm();
  }
  co_return Result<void>{};
}

void KeeperProcess::on_readable() {
  char piece[256];
  ssize_t got = recv(socket_, piece, sizeof piece, MSG_DONTWAIT);
  if (got > 0) received_.append(piece, static_cast<size_t>(got));
  const bool is_over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) || received_.size() > line_bytes_max;
  if (is_over) {
    hang_up();
  } else {
    readable_->arm();
  }
  changed_.notify();
}

void KeeperProcess::on_exit() { changed_.notify(); }

Task<Result<std::string>> KeeperProcess::answer(io::Duration limit) {
  const io::Instant deadline = machine_.now() + limit;
  for (;;) {
    if (size_t end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      co_return line;
    }
    if (socket_ < 0) co_return failure(Status::gone, "the keeper is gone");
    if (machine_.now() >= deadline) co_return failure(Status::timed_out, "the keeper does not answer");
    co_await io::wait_until(machine_, changed_, deadline);
  }
}

Status KeeperProcess::say(std::string_view command) {
  if (socket_ < 0) return Status::gone;
  std::string line = std::string(command) + "\n";
  ssize_t sent = send(socket_, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == static_cast<ssize_t>(line.size()) ? Status::ok : Status::gone;
}

void KeeperProcess::hang_up() {
  is_hung_up_ = true;
  readable_.reset();
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  changed_.notify();
}

void KeeperProcess::kill() {
  if (is_running()) child_->send_signal(SIGKILL);
}

Task<bool> KeeperProcess::join(io::Duration limit) {
  const io::Instant deadline = machine_.now() + limit;
  while (is_running() && machine_.now() < deadline) co_await io::wait_until(machine_, changed_, deadline);
  co_return !is_running();
}

}  // namespace mars::fuse
