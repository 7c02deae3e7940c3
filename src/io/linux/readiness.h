// Readiness: calls back once when a descriptor can be read or written. Wraps Asio's wait on a descriptor that is
// borrowed. Where the kernel has no watch left for it, we look fifty times a second.
#pragma once

#include "io/linux/reactor.h"

namespace mars::io {

class Readiness {
 public:
  enum class Direction : uint8_t { read, write };

  // The descriptor is switched to non-blocking by the first wait.
  Readiness(Reactor& reactor, int descriptor);
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;
  // No call comes afterwards. The descriptor must still be open: it is taken out of epoll here.
  ~Readiness();

  // One wait per direction. `call` runs in the reactor, never inside wait(); it may destroy this object.
  void wait(Direction direction, void (*call)(void* context), void* context);
  bool is_waiting(Direction direction) const;
  // Calls what waits at once; it has to look why.
  void cancel();
  // Forgets what waits.
  void abandon();

 private:
  struct Impl;
  Impl* impl_;  // owned here until destroyed, then by Asio's last handler
};

}  // namespace mars::io
