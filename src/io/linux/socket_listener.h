// SocketListener: io::Listener on a TCP or Unix socket.
#pragma once

#include <memory>

#include "io/linux/descriptor.h"
#include "io/linux/readiness.h"
#include "io/linux/socket_address.h"
#include "io/network.h"

namespace mars::io {

class Machine;

class SocketListener final : public Listener {
 public:
  // busy: another process listens there. A Unix socket file that nobody listens on is replaced.
  static Result<std::unique_ptr<Listener>> make(Machine& machine, Reactor& reactor, SocketAddress address,
                                                uint32_t mode);
  SocketListener(Machine& machine, Reactor& reactor, Descriptor descriptor, int family);
  ~SocketListener() override { close(); }

  Task<Result<std::unique_ptr<Stream>>> accept() override;
  Address address() const override { return address_; }
  void close() override;

 private:
  Machine& machine_;
  Reactor& reactor_;
  Descriptor descriptor_;
  const int family_;
  const Address address_;
  const uint64_t inode_;  // of the Unix socket file, 0 without one
  std::unique_ptr<Readiness> readiness_;
  bool is_closed_ = false;
};

// Wraps a connected non-blocking socket.
std::unique_ptr<Stream> make_stream(Reactor& reactor, Descriptor descriptor, int family, Address remote);

}  // namespace mars::io
