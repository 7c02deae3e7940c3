// Forwarding: a command that another member is to run (`--host B`) goes there over the session that is up, and what it
// says comes back: the command as the opening of a channel, then progress and the answer as lines of JSON, a message
// each (control/answer.h). Which commands may be forwarded stands in their table: none that names a path or carries a
// secret (P12). Any member may ask: each holds the cluster's authority (doc/decisions/007).
#pragma once

#include <memory>

#include "net/channel.h"
#include "node/call.h"
#include "node/members.h"

namespace mars::node {

inline constexpr net::ServiceId command_service = 7;

// Runs the call's command on another member. unreachable: it is not connected, or the connection broke before it
// answered. Ends early when nobody listens any more; then the other end hears of it.
Task<Answer> forward(Call& call, Member member);

// The same, and whether the answer is one of that member.
struct Reply {
  Answer answer;
  bool is_from_there = false;  // false: it was not reached, or nobody waits any more
  bool was_cut_off = false;    // the connection ended first
};
Task<Reply> ask(Call& call, Uuid host);

// The other end, for one channel; until the command has ended. A command that only waits ends with the channel.
Task<void> serve_command(Node& node, std::unique_ptr<net::Channel> channel, net::Bytes opening);

}  // namespace mars::node
