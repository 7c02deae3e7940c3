// Resolver: the addresses behind names, on threads of its own, because getaddrinfo() can neither be interrupted nor be
// told to hurry: where no name server answers it takes half a minute. Who asks waits no longer than `patience`; who
// asks for a name that is being looked up gets the same answer, and one that came too late for all is kept for who asks
// next. The threads are never joined: one of them may be in the C library when the process wants to end. Belongs to one
// reactor.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/task.h"
#include "io/linux/reactor.h"
#include "io/linux/socket_address.h"
#include "io/time.h"

namespace mars::io {

class Machine;

class Resolver {
 public:
  // May block; called on any thread, also when the resolver is gone.
  using Lookup = std::function<Result<std::vector<SocketAddress>>(const Address&)>;

  Resolver(Machine& machine, Reactor& reactor, Duration patience, Lookup lookup);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();  // when nobody waits in find()

  // What the lookup says; unreachable: it has said nothing in time.
  Task<Result<std::vector<SocketAddress>>> find(Address address);

 private:
  struct Question;
  struct Threads;
  std::shared_ptr<Question> ask(const Address& address);

  Machine& machine_;
  const Duration patience_;
  std::shared_ptr<Threads> threads_;
};

}  // namespace mars::io
