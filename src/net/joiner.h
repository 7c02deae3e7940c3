// Joiner: a host that is no member yet talks to one that is, over TLS whose CA it knows only by hash. One call per
// object.
#pragma once

#include <memory>

#include "base/status.h"
#include "base/task.h"
#include "io/machine.h"
#include "net/session.h"

namespace mars::net {

struct JoinerOptions {
  io::Address address;  // of the member
  io::TlsConfig tls;    // ca_key from the token; no key, no certificate
  Uuid cluster;         // from the token
  Uuid host;            // who we will be
  std::string name;
  SessionTimes times;
};

class Joiner {
 public:
  Joiner(io::Machine& machine, JoinerOptions options);
  ~Joiner();  // after stop() has returned

  // Once. Connects, shakes hands and opens the join service with this payload. Errors: those of connect and handshake.
  Task<Result<std::unique_ptr<Channel>>> call(Bytes opening);
  // The member's identity, with the CA certificate that it sent, after call().
  const io::PeerIdentity& identity() const { return identity_; }
  const io::Address& local_address() const { return local_address_; }
  void give_up();     // the channel ends soon
  Task<void> stop();  // closes the session; the channel ends

 private:
  io::Machine& machine_;
  const JoinerOptions options_;
  Services nothing_;
  Scope scope_;
  std::unique_ptr<Session> session_;
  io::PeerIdentity identity_;
  io::Address local_address_;
};

}  // namespace mars::net
