#include "node/joining.h"

#include <utility>

#include "control/value_text.h"
#include "net/handshake.h"
#include "net/joiner.h"
#include "node/members.h"
#include "node/text.h"

namespace mars::node {

// ---- the member

namespace {

constexpr size_t deltas_max = 4096;

Result<void> check_name_is_free(const meta::Registers& registers, const JoinRequest& request, const io::Sha256& key) {
  if (control::check_name(request.name) != Status::ok) {
    return failure(Status::invalid, "\"" + request.name.substr(0, 63) + "\" is no name of a host");
  }
  const auto same_name = find_member_by_name(registers, request.name);
  if (same_name && same_name->host != request.host) {
    return failure(Status::exists, "another member has the name " + request.name +
                                       " already; start marsd on the joining host with another --name");
  }
  for (const Member& member : list_members(registers)) {
    const bool is_same_host = member.host == request.host;
    if (is_same_host && member.key == key && member.name != request.name) {
      return failure(Status::exists, "this host was admitted as " + member.name +
                                         " before; start marsd there with --name " + member.name);
    }
    if (is_same_host == (member.key == key)) continue;
    return failure(Status::permission, "the uuid or the key of the joining host belongs to member " + member.name +
                                           "; clear the state directory of the joining host, which is a copy");
  }
  return {};
}

}  // namespace

Task<Result<JoinAnswer>> admit(Host host, JoinRequest request) {
  io::Keys& keys = host.machine.keys();
  Result<io::Sha256> key = keys.request_key_hash(request.request_pem);
  if (!key) co_return failure(Status::invalid, "the joining host sent no certificate request: " + key.error().text);
  if (request.host.is_nil()) co_return failure(Status::invalid, "the joining host has no uuid");
  // The secret first: who does not know it learns nothing of the members.
  Result<void> burnt = co_await host.invitations.burn(request.secret, *key);
  if (!burnt) co_return failure(burnt.error());
  Result<void> free = check_name_is_free(host.registers, request, *key);
  if (!free) co_return failure(free.error());
  const std::string uri = net::host_uri(host.identity.cluster, request.host);
  Result<std::string> certificate = keys.sign(host.identity.ca, request.request_pem, uri, "host");
  if (!certificate) co_return failure(certificate.error());
  if (const auto certified = keys.public_key_hash(*certificate); !certified || *certified != *key) {
    co_return failure(Status::permission, "the certificate would be for another key than the one that was shown");
  }
  Member member{request.host, request.name, *key, request.addresses};
  const Status status = co_await add_member(host.registers, std::move(member));
  if (status != Status::ok)
    co_return failure(status, "the new member could not be written down: " + std::string(name(status)));
  co_return JoinAnswer{*certificate, host.identity.ca.certificate_pem, host.identity.ca.key_pem};
}

Task<Error> serve_join(Host host, net::Channel& channel, net::Bytes opening, std::string& joined_name) {
  Result<JoinRequest> request = net::decode_join_request(opening);
  if (!request) co_return request.error();
  const std::string name = request->name;
  const std::string caller = channel.session() == nullptr ? "" : split(channel.session()->remote_address()).host;
  for (io::Address& address : request->addresses) {
    if (address.starts_with("*:")) address = join(caller.empty() ? name : caller, address.substr(2));
  }
  Result<JoinAnswer> answer = co_await admit(host, std::move(*request));
  if (!answer) co_return answer.error();
  joined_name = name;
  Status status = co_await channel.send(encode(*answer));
  const meta::VersionVector nothing;
  for (const format::Delta& delta : host.registers.newer_than(nothing)) {
    if (status != Status::ok) break;
    Result<std::vector<std::byte>> bytes = format::encode_delta(delta);
    if (!bytes) co_return bytes.error();
    status = co_await channel.send(std::move(*bytes));
  }
  if (status == Status::ok) status = co_await channel.send({});
  // The joiner closes when it has all; until then what was sent may still be on its way.
  if (status == Status::ok) static_cast<void>(co_await channel.receive());
  co_return Error(Status::ok);
}

// ---- the joiner

namespace {

Task<Result<Joined>> converse(net::Channel& channel) {
  Result<net::Bytes> first = co_await channel.receive();
  if (!first) co_return failure(first.error());
  Result<JoinAnswer> answer = net::decode_join_answer(*first);
  if (!answer) co_return failure(answer.error());
  Joined joined;
  joined.answer = std::move(*answer);
  for (;;) {
    Result<net::Bytes> message = co_await channel.receive();
    if (!message) co_return failure(message.error());
    if (message->empty()) break;
    Result<format::Delta> delta = format::decode_delta(*message);
    if (!delta) co_return failure(delta.error());
    if (joined.registers.size() == deltas_max)
      co_return failure(Status::invalid, "the member sends too many registers");
    joined.registers.push_back(std::move(*delta));
  }
  channel.close();
  co_return joined;
}

io::Sha256 ca_key_of(const format::JoinToken& token) {
  io::Sha256 hash;
  for (size_t i = 0; i < hash.size(); ++i) hash[i] = static_cast<std::byte>(token.ca_key_sha256[i]);
  return hash;
}

bool is_late(io::Machine& machine, const JoinOrder& order) {
  return machine.now() >= order.deadline || order.is_over();
}

// The member ends a conversation in time; who only says that it is one may not.
Task<void> end_in_time(io::Machine& machine, const JoinOrder& order, net::Joiner& joiner, Event& is_done) {
  while (!is_done.is_set()) {
    if (is_late(machine, order)) co_return joiner.give_up();
    co_await io::wait_until(machine, *order.changed, order.deadline);
  }
}

// `is_member`: with a member of the cluster that the token is for it came to a conversation.
Task<Result<Joined>> ask_at(io::Machine& machine, const JoinOrder& order, io::Address address, bool& is_member) {
  Result<std::string> request_pem =
      machine.keys().make_request(order.candidate.key_pem, net::host_uri(order.token.cluster, order.candidate.host));
  if (!request_pem) co_return failure(request_pem.error());
  net::JoinerOptions options;
  options.address = address;
  options.tls.ca_key = ca_key_of(order.token);
  options.cluster = order.token.cluster;
  options.host = order.candidate.host;
  options.name = order.name;
  options.times = order.times;
  net::Joiner joiner(machine, std::move(options));
  JoinRequest request{order.token.secret, order.candidate.host, order.name, *request_pem,
                      own_addresses(order.advertise, order.listen, order.name)};
  // The member knows best from where we called.
  const HostPort at = split(order.listen);
  const bool is_anywhere = order.advertise.empty() && is_wildcard(at.host) && !at.port.empty();
  if (is_anywhere) request.addresses.insert(request.addresses.begin(), "*:" + at.port);
  Event is_done(machine.ready());
  Scope watch(machine.ready());
  watch.spawn(end_in_time(machine, order, joiner, is_done));
  Result<std::unique_ptr<net::Channel>> channel = co_await joiner.call(encode(request));
  is_member = channel.has_value();
  Result<Joined> joined = failure(Status::gone);
  if (is_late(machine, order)) {
    joined = failure(Status::timed_out, "the time is over");
  } else if (channel) {
    joined = co_await converse(**channel);
  } else {
    joined = failure(channel.error());
  }
  is_done.set();
  order.changed->notify();
  co_await watch.join();
  co_await joiner.stop();
  if (channel) channel->reset();
  if (!joined && is_late(machine, order)) joined = failure(Status::timed_out, "the time is over");
  co_return joined;
}

bool is_answer(Status status) {
  return status != Status::unreachable && status != Status::timed_out && status != Status::gone &&
         status != Status::end;
}

}  // namespace

Task<Result<Joined>> ask_to_join(io::Machine& machine, JoinOrder order) {
  Error last(Status::unreachable, "the token carries no address");
  for (const std::string& address : order.token.addresses) {
    bool is_member = false;
    Result<Joined> joined = co_await ask_at(machine, order, address, is_member);
    if (joined) co_return joined;
    Error problem(joined.error().status, address + ": " + joined.error().text);
    if (is_late(machine, order)) co_return failure(std::move(problem));
    // A stranger who has that address in the joiner's own network says more than a silent one, but not the last word.
    if (is_member || is_answer(problem.status) || !is_answer(last.status)) last = std::move(problem);
    if (is_member && is_answer(last.status)) break;
  }
  if (!is_answer(last.status)) last.status = Status::unreachable;
  co_return failure(std::move(last));
}

std::vector<io::Address> own_addresses(const std::vector<io::Address>& advertise, const io::Address& listen,
                                       const std::string& name) {
  if (!advertise.empty()) return advertise;
  const HostPort at = split(listen);
  if (at.port.empty()) return {};
  return {join(is_wildcard(at.host) ? name : at.host, at.port)};
}

}  // namespace mars::node
