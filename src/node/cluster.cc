#include "node/cluster.h"

#include <algorithm>
#include <utility>

#include "meta/exchange.h"
#include "node/forwarding.h"
#include "node/joining.h"
#include "node/text.h"

namespace mars::node {

namespace {

constexpr io::Duration refusal_pause = std::chrono::minutes(10);
constexpr size_t refusals_max = 64;
constexpr io::Duration alarm_time = std::chrono::minutes(10);
constexpr size_t alarms_max = 64;
constexpr io::Duration exchange_pause = std::chrono::seconds(10);

}  // namespace

Cluster::Cluster(Parts parts, Identity identity, net::Handler commands)
    : parts_(parts),
      identity_(std::move(identity)),
      invitations_(parts.machine, parts.places.invitations()),
      stop_(parts.machine.ready()),
      scope_(parts.machine.ready()) {
  services_.add(command_service, std::move(commands));
}

Cluster::~Cluster() = default;

Task<Result<void>> prime_registers(io::Machine& machine, Places places, Uuid host, std::vector<format::Delta> deltas) {
  meta::Registers::Options options{places.registers(), host};
  auto registers = co_await meta::Registers::open(machine, std::move(options));
  if (!registers) co_return failure(registers.error());
  Status status = Status::ok;
  for (format::Delta& delta : deltas) {
    if (status == Status::ok) status = co_await (*registers)->apply(std::move(delta));
  }
  co_await (*registers)->close();
  if (status != Status::ok) co_return failure(status, "the registers of the cluster cannot be written down");
  co_return Result<void>{};
}

Task<Result<void>> may_listen(io::Machine& machine, io::Address listen) {
  if (listen.empty()) co_return Result<void>{};
  auto listener = co_await machine.network().listen(listen);
  if (!listener) {
    co_return failure(listener.error().status, "cannot listen at " + listen + ": " + listener.error().text);
  }
  (*listener)->close();
  co_return Result<void>{};
}

Task<Result<void>> Cluster::start() {
  // Before the registers: each time that they are opened is a life of this host, and the others remember a few
  // thousand.
  if (Result<void> may = co_await may_listen(parts_.machine, parts_.options.listen); !may) co_return may;
  Result<void> opened = co_await open_registers();
  if (!opened) co_return opened;
  Result<void> invitations = co_await invitations_.open();
  if (!invitations) parts_.events.add("", invitations.error().text);
  const Resources::Parts parts{parts_.machine, parts_.options, parts_.places, identity_,      *registers_,
                               parts_.pool,    parts_.devices, parts_.events, parts_.changed, is_store_new_};
  resources_ = std::make_unique<Resources>(parts);
  // The port first: a second marsd with this identity gets no further, and touches no disk.
  Result<void> net = co_await open_net();
  if (!net) co_return net;
  Result<void> resources = co_await resources_->open();
  if (!resources) co_return resources;
  co_return Result<void>{};
}

std::string Cluster::store_problem() const {
  const Error& problem = registers_->problem();
  if (problem.status == Status::ok) return {};
  return "the metadata store takes no writes since one failed (" +
         (problem.text.empty() ? std::string(name(problem.status)) : problem.text) +
         "); check the disk below it, then restart marsd";
}

Task<Result<void>> Cluster::open_registers() {
  meta::Registers::Options options{parts_.places.registers(), identity_.host};
  auto registers = co_await meta::Registers::open(parts_.machine, std::move(options));
  if (!registers) co_return failure(registers.error());
  registers_ = std::move(*registers);
  is_store_new_ = !find_member(*registers_, identity_.host);
  const Status status = co_await introduce_self();
  if (status == Status::exists) {
    co_return failure(status, "the cluster knows this host by another key or name: the files of " +
                                  parts_.places.state + " are not of one host; restore them together from a backup");
  }
  if (status != Status::ok) {
    const Error& problem = registers_->problem();
    co_return failure(status, "the registers cannot be written: " +
                                  (problem.status == Status::ok ? std::string(name(status)) : problem.text));
  }
  watch_ = std::make_unique<meta::Subscription>(*registers_, "", "", [this] {
    if (net_ != nullptr) net_->members_changed();
    if (resources_ != nullptr) resources_->on_registers();
  });
  co_return Result<void>{};
}

namespace {

std::vector<io::Address> with_port(std::vector<io::Address> addresses, const std::string& port) {
  if (port.empty() || port == "0") return {};
  for (io::Address& address : addresses) address = join(split(address).host, port);
  return addresses;
}

}  // namespace

// Nothing to do but at the first start, after the store was lost, and when the addresses have changed.
Task<Status> Cluster::introduce_self() {
  Result<io::Sha256> key = parts_.machine.keys().public_key_hash(identity_.key_pem);
  if (!key) co_return key.error().status;
  std::vector<io::Address> mine = own_addresses(parts_.options.advertise, parts_.options.listen, identity_.name);
  Member self{identity_.host, identity_.name, *key, mine};
  Status status = co_await add_member(*registers_, std::move(self));
  const bool is_specific = !parts_.options.advertise.empty() || !is_wildcard(split(parts_.options.listen).host);
  // Where the others know it by an address that they saw, that stays, with the port where it listens now.
  if (!is_specific) {
    const std::vector<Member> members = list_members(*registers_);
    const auto known = std::ranges::find(members, identity_.host, &Member::host);
    mine.clear();
    if (known != members.end()) mine = with_port(known->addresses, split(parts_.options.listen).port);
  }
  if (status == Status::ok && !mine.empty()) {
    status = co_await publish_addresses(*registers_, identity_.host, std::move(mine));
  }
  co_return status;
}

Task<Result<void>> Cluster::open_net() {
  add_services();
  net::PeerNetOptions options;
  options.cluster = identity_.cluster;
  options.host = identity_.host;
  options.name = identity_.name;
  options.incarnation = registers_->writer().incarnation;
  options.tls = identity_.tls();
  options.listen = parts_.options.listen;
  options.times = parts_.options.times;
  parts_.machine.random_bytes(std::as_writable_bytes(std::span(&options.seed, 1)));
  net_ = std::make_unique<net::PeerNet>(parts_.machine, std::move(options), services_, *this);
  Error error = co_await net_->start();
  if (error.status != Status::ok) co_return failure(std::move(error));
  resources_->connect(*net_);
  co_return Result<void>{};
}

void Cluster::add_services() {
  services_.add(net::join_service, [this](std::unique_ptr<net::Channel> channel, net::Bytes opening) {
    return join_service(std::move(channel), std::move(opening));
  });
  services_.add(registers_service, [this](std::unique_ptr<net::Channel> channel, const net::Bytes&) {
    return exchange_service(std::move(channel));
  });
  services_.add(replication::report_service, [this](std::unique_ptr<net::Channel> channel, const net::Bytes&) {
    return converse(std::move(channel));
  });
  // What comes to these is small: requests for extents and a position.
  for (const net::ServiceId id : {replication::log_service, replication::sync_service, replication::handover_service}) {
    services_.add(
        id,
        [this, id](std::unique_ptr<net::Channel> channel, net::Bytes opening) {
          return resources_->serve(id, std::move(channel), std::move(opening));
        },
        net::window_min);
  }
}

Task<void> Cluster::stop() {
  stop_.set();
  if (resources_ != nullptr) co_await resources_->stop(parts_.options.stop_wait);
  if (is_stuck()) co_return;
  if (net_ != nullptr) co_await net_->stop();
  co_await scope_.join();
  if (resources_ != nullptr) co_await resources_->finish();
  watch_.reset();
  if (registers_ != nullptr) co_await registers_->close();
}

// ---- services

Task<void> Cluster::join_service(std::unique_ptr<net::Channel> channel, net::Bytes opening) {
  const Host host{parts_.machine, identity_, *registers_, invitations_};
  std::string name;
  Error error = co_await serve_join(host, *channel, std::move(opening), name);
  if (error.status != Status::ok) tell_of_stranger("a host could not join: " + printable(error.text), "");
  if (!name.empty()) parts_.events.add("", "host " + name + " has joined the cluster");
  channel->close(std::move(error));
}

// One that ended with an error (a disk that was full for a moment) begins again while the session lasts.
Task<void> Cluster::keep_exchanging(Uuid peer) {
  const uint64_t number = ++session_numbers_[peer];
  while (!stop_.is_set() && session_numbers_[peer] == number) {
    net::Session* const session = net_->find(peer);
    if (session == nullptr) break;
    co_await exchange_service(session->open(registers_service, {}));
    co_await io::sleep_for(parts_.machine, exchange_pause, stop_);
  }
}

// Only members have sessions in which these services can be opened; a stranger's session has the join service alone,
// but nothing below says so again: hence the question.
Task<void> Cluster::exchange_service(std::unique_ptr<net::Channel> channel) {
  if (channel->peer().is_nil()) co_return channel->close({Status::permission, "not for strangers"});
  co_await meta::exchange(*registers_, std::move(channel));
}

Task<void> Cluster::converse(std::unique_ptr<net::Channel> channel) {
  if (channel->peer().is_nil()) co_return channel->close({Status::permission, "not for strangers"});
  co_await resources_->reports().converse(std::move(channel));
}

// ---- net::PeerOwner

// What goes out with every hello: which marsd this is, for status. Others may say anything.
net::Bytes Cluster::hello_extra() {
  const auto bytes = std::as_bytes(std::span(parts_.options.version));
  return {bytes.begin(), bytes.end()};
}

std::string Cluster::version_of(const Uuid& peer) const {
  const auto found = versions_.find(peer);
  return found == versions_.end() ? "" : found->second;
}

std::vector<net::Member> Cluster::members() {
  std::vector<net::Member> members;
  for (Member& member : list_members(*registers_)) {
    if (member.host == identity_.host) continue;
    members.push_back({member.host, std::move(member.name), std::move(member.addresses)});
  }
  return members;
}

bool Cluster::is_member(const Uuid& host, const io::Sha256& key) {
  const auto member = find_member(*registers_, host);
  if (member) return member->key == key;
  // Whoever has a certificate of our CA as this host was admitted by a member. That member may be lost, or this host's
  // own store: the caller brings what it knows, its own admission among it.
  return !is_removed(*registers_, host);
}

// One channel of each kind per session, opened by the side with the smaller uuid.
void Cluster::on_session_up(net::Session& session) {
  parts_.events.add("", "connected with " + session.hello().host_name);
  versions_[session.peer()] = printable(std::string(text_of(session.hello_extra()).substr(0, 64)));
  if (identity_.host < session.peer()) {
    scope_.spawn(keep_exchanging(session.peer()));
    scope_.spawn(converse(session.open(replication::report_service, {})));
  }
  resources_->on_peer_up(session.peer());
  parts_.changed.notify();
}

void Cluster::on_session_down(const Uuid& peer, const Error& reason) {
  parts_.events.add("", "connection with " + resources_->host_name(peer) + " ended: " + reason.text);
  resources_->on_peer_down(peer);
  parts_.changed.notify();
}

void Cluster::on_alarm(const Uuid&, const std::string& text) {
  parts_.events.add("", "ALARM: " + text);
  const io::Instant now = parts_.machine.now();
  std::erase_if(alarms_, [now](const auto& raised) { return now - raised.second >= alarm_time; });
  if (alarms_.contains(text) || alarms_.size() < alarms_max) alarms_[text] = now;
}

// Nobody says that its cause has gone: it is raised again as long as it has not.
std::vector<std::string> Cluster::alarms() const {
  std::vector<std::string> alarms;
  for (const auto& [text, at] : alarms_) {
    if (parts_.machine.now() - at < alarm_time) alarms.push_back(text);
  }
  return alarms;
}

// Strangers can call as often as they like: the same is said once in a while, and not much in all.
void Cluster::on_refused(const io::Address& from, const Error& why) {
  tell_of_stranger("a connection from " + from.substr(0, from.rfind(':')) + " was refused: " + printable(why.text),
                   "; if that should be a member, its own status says more; else keep it from this port");
}

void Cluster::tell_of_stranger(std::string text, const std::string& hint) {
  const io::Instant now = parts_.machine.now();
  std::erase_if(refusals_, [now](const auto& said) { return now - said.second >= refusal_pause; });
  if (refusals_.size() >= refusals_max || !refusals_.emplace(text, now).second) return;
  parts_.events.add("", text + hint);
}

}  // namespace mars::node
