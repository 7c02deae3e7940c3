#include "io/linux/watch.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
extern "C" {  // glibc 2.36 forgot it
#include <sys/pidfd.h>
}

#include "base/check.h"
#include "io/linux/linux_machine.h"
#include "io/linux/readiness.h"

namespace mars::io {

Watch::Watch(Machine& machine, int descriptor, void (*on_readable)(void*), void* context)
    : on_readable_(on_readable),
      context_(context),
      readiness_(std::make_unique<Readiness>(LinuxMachine::of(machine).reactor(), descriptor)) {}

Watch::~Watch() = default;

void Watch::arm() {
  if (!is_armed()) readiness_->wait(Readiness::Direction::read, &Watch::on_ready, this);
}

void Watch::cancel() { readiness_->abandon(); }

bool Watch::is_armed() const { return readiness_->is_waiting(Readiness::Direction::read); }

void Watch::on_ready(void* self) {
  const Watch& watch = *static_cast<Watch*>(self);
  watch.on_readable_(watch.context_);
}

int open_child(pid_t child) {
  const int descriptor = ::pidfd_open(child, 0);
  if (descriptor >= 0) return descriptor;
  const int error = errno;
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  errno = error;
  return descriptor;
}

ChildWatch::ChildWatch(Machine& machine, pid_t child, int descriptor, void (*on_exit)(void*, int), void* context)
    : child_(child), on_exit_(on_exit), context_(context), descriptor_(descriptor) {
  CHECK(descriptor_ >= 0);
  watch_ = std::make_unique<Watch>(machine, descriptor_, &ChildWatch::on_readable, this);
  watch_->arm();
}

ChildWatch::~ChildWatch() {
  watch_.reset();
  ::close(descriptor_);
}

void ChildWatch::send_signal(int number) {
  if (child_ >= 0) ::pidfd_send_signal(descriptor_, number, nullptr, 0);
}

void ChildWatch::on_readable(void* self) {
  ChildWatch& watch = *static_cast<ChildWatch*>(self);
  siginfo_t info = {};
  const int result = ::waitid(P_PIDFD, static_cast<id_t>(watch.descriptor_), &info, WEXITED | WNOHANG);
  const bool is_reaped = result != 0 && errno == ECHILD;  // by somebody else: how it ended is not known
  if (!is_reaped && (result != 0 || info.si_pid == 0)) {
    watch.watch_->arm();
    return;
  }
  watch.child_ = -1;
  if (is_reaped) return watch.on_exit_(watch.context_, -1);
  watch.on_exit_(watch.context_, info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
}

}  // namespace mars::io
