// Identity: who this host is in its cluster, as it lies in the state directory. host.json is written last and read
// first: without it the host is no member, and whatever else lies there is left from an attempt; but replicas are not.
#pragma once

#include <optional>
#include <string>

#include "base/task.h"
#include "format/values.h"
#include "io/machine.h"
#include "node/places.h"

namespace mars::node {

struct Identity {
  Uuid cluster;
  Uuid host;
  std::string name;
  std::string log_id;  // what stands in log-dir-id: an unmounted log disk is no empty log
  std::string key_pem;
  std::string certificate_pem;
  io::KeyPair ca;  // any member may invite

  io::TlsConfig tls() const {
    io::TlsConfig tls;
    tls.key_pem = key_pem;
    tls.certificate_pem = certificate_pem;
    tls.ca_pem = ca.certificate_pem;
    return tls;
  }
};

// Nothing: this host is in no cluster. damaged, unsupported, not_found: a file of a member is missing or not ours.
Task<Result<std::optional<Identity>>> load_identity(io::Machine& machine, Places places);

// While host.json is missing: a path that says that this host was a member all the same. An attempt to become one,
// which ended before it was, leaves none of them. Empty: there is none.
Task<Result<std::string>> find_traces_of_member(io::Machine& machine, Places places);

// Makes this host a member, durably. A crash before the end leaves no member.
Task<Result<void>> store_identity(io::Machine& machine, Places places, Identity identity);

// Removes the registers that an attempt to become a member has left.
Task<Result<void>> clear_registers(io::Machine& machine, Places places);

// ok when the log disk is the one that this host's log directory was made on; else what the operator can do.
Task<Result<void>> check_log_directory(io::Machine& machine, Places places, std::string log_id);

// A fresh key and, by the cluster's own authority, its certificate "mars:<cluster>/<role>/<name>". Role host: name is
// the host's uuid. Role client: may connect to NBD over TCP. Role nbd: what the NBD server shows, name is the host's
// name, which clients compare with the name that they called.
Result<io::KeyPair> issue_key(io::Keys& keys, const Uuid& cluster, const io::KeyPair& ca, std::string role,
                              const std::string& name);

// A host that is about to become a member: its key and uuid survive an attempt that failed, so that it may be repeated.
struct Candidate {
  Uuid cluster;
  Uuid host;
  std::string key_pem;
};
Task<Result<Candidate>> make_candidate(io::Machine& machine, Places places, Uuid cluster);

}  // namespace mars::node
