// LinuxNetwork: io::Network over TCP and Unix sockets.
#pragma once

#include "io/linux/reactor.h"
#include "io/linux/resolver.h"
#include "io/linux/socket_address.h"
#include "io/network.h"
#include "io/time.h"

namespace mars::io {

class Machine;

class LinuxNetwork final : public Network {
 public:
  LinuxNetwork(Machine& machine, Reactor& reactor);

  Task<Result<std::unique_ptr<Listener>>> listen(Address address, uint32_t mode) override;
  Task<Result<std::unique_ptr<Stream>>> connect(Address address) override;

 private:
  Task<Result<std::vector<SocketAddress>>> find(Address address);
  Task<Result<std::unique_ptr<Stream>>> connect_to(SocketAddress address, Instant deadline);

  Machine& machine_;
  Reactor& reactor_;
  Resolver resolver_;
};

}  // namespace mars::io
