// LinuxNetwork: io::Network over TCP and Unix sockets.
#pragma once

#include "io/linux/reactor.h"
#include "io/linux/socket_address.h"
#include "io/linux/thread_pool.h"
#include "io/network.h"
#include "io/time.h"

namespace mars::io {

class Machine;

class LinuxNetwork final : public Network {
 public:
  LinuxNetwork(Machine& machine, Reactor& reactor) : machine_(machine), reactor_(reactor), resolvers_(reactor, 2) {}

  Task<Result<std::unique_ptr<Listener>>> listen(Address address, uint32_t mode) override;
  Task<Result<std::unique_ptr<Stream>>> connect(Address address) override;

 private:
  Task<Result<std::vector<SocketAddress>>> find(Address address);
  Task<Result<std::unique_ptr<Stream>>> connect_to(SocketAddress address, Instant deadline);

  Machine& machine_;
  Reactor& reactor_;
  ThreadPool resolvers_;
};

}  // namespace mars::io
