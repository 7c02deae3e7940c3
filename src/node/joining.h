// Joining: what a host that wants to become a member and the member that invited it say to each other on the join
// service. The joiner's request is the opening; then the answer, then the registers of the cluster as deltas, then an
// empty message. The joiner trusts the other side by the hash in its token before it sends the secret.
#pragma once

#include <string>
#include <vector>

#include "base/task.h"
#include "format/token.h"
#include "io/machine.h"
#include "meta/registers.h"
#include "net/channel.h"
#include "net/join_messages.h"
#include "net/session.h"
#include "node/identity.h"
#include "node/invitations.h"

namespace mars::node {

using net::JoinAnswer;
using net::JoinRequest;

// The member's side: one conversation, until the channel is closed. `joined` is called with the name when there is a
// new member.
struct Host {
  io::Machine& machine;
  const Identity& identity;
  meta::Registers& registers;
  Invitations& invitations;
};
// permission, refused, exists: nothing was changed, or the token is burnt for this key alone.
Task<Result<JoinAnswer>> admit(Host host, JoinRequest request);
Task<Error> serve_join(Host host, net::Channel& channel, net::Bytes opening, std::string& joined_name);

// The joiner's side.
struct JoinOrder {
  format::JoinToken token;
  Candidate candidate;
  std::string name;
  std::vector<io::Address> advertise;
  io::Address listen;
  net::SessionTimes times;
  io::Instant deadline;
  std::function<bool()> is_over;  // nobody waits for it any more; `changed` is notified then
  Notifier* changed = nullptr;
};
struct Joined {
  JoinAnswer answer;
  std::vector<format::Delta> registers;
};
// Tries each address of the token. unreachable: none answers; timed_out: the deadline, or it is over; else what the
// member said.
Task<Result<Joined>> ask_to_join(io::Machine& machine, JoinOrder order);

// What others are to dial: `advertise`, or what follows from `listen`, or this host's name where `listen` is anywhere.
std::vector<io::Address> own_addresses(const std::vector<io::Address>& advertise, const io::Address& listen,
                                       const std::string& name);

}  // namespace mars::node
