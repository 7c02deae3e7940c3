// Watch: tells on the reactor when a descriptor that somebody else owns becomes readable; ChildWatch: when a child
// process has ended. For front ends that talk to the kernel themselves (/dev/fuse, /dev/ublkcN, a keeper's pipe).
#pragma once

#include <memory>

#include <sys/types.h>

namespace mars::io {

class Machine;
class Readiness;

// The machine must be a LinuxMachine. The descriptor is borrowed: it must stay open while the watch lives, must not be
// a regular file, stands in one Watch at a time, and is switched to non-blocking (O_NONBLOCK) by the first arm().
class Watch {
 public:
  Watch(Machine& machine, int descriptor, void (*on_readable)(void* context), void* context);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();  // as cancel(); also inside on_readable

  // One shot: calls on_readable once, from the reactor and never inside arm(), as soon as the descriptor is readable,
  // at its end or in error; at once when it already is. Armed again while armed: nothing changes. May be called in
  // on_readable.
  void arm();
  // After it returns on_readable is not called until the next arm().
  void cancel();
  bool is_armed() const;

 private:
  static void on_ready(void* self);

  void (*on_readable_)(void*);
  void* context_;
  std::unique_ptr<Readiness> readiness_;
};

// The pidfd of a child that was just started; the caller closes it. When there is none (no descriptors left) the child
// is killed and reaped, the result is negative and errno says why.
int open_child(pid_t child);

// Reaps one child of this process when it ends and then calls on_exit once, from the reactor: 0..255, or 128 + signal.
// Nobody else may wait for that child. Destroyed earlier: the child is neither killed nor reaped.
class ChildWatch {
 public:
  // `descriptor`: of open_child(); owned from here on.
  ChildWatch(Machine& machine, pid_t child, int descriptor, void (*on_exit)(void* context, int exit_code),
             void* context);
  ChildWatch(const ChildWatch&) = delete;
  ChildWatch& operator=(const ChildWatch&) = delete;
  ~ChildWatch();

  bool has_ended() const { return child_ < 0; }
  // To the child alone; nothing when it has ended. Safe against reuse of its number: it is not reaped behind our back.
  void send_signal(int number);

 private:
  static void on_readable(void* self);

  pid_t child_;
  void (*on_exit_)(void*, int);
  void* context_;
  int descriptor_;
  std::unique_ptr<Watch> watch_;
};

}  // namespace mars::io
