#include "net/peer_net.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "io/timer.h"

namespace mars::net {

namespace {

// Not what happens between members every day: connections that cross, hosts that stop or are cut off.
bool is_worth_telling(Status why) {
  return why == Status::permission || why == Status::invalid || why == Status::unsupported || why == Status::refused;
}

}  // namespace

// Decides in one handshake; by standing in a list it lets others end it.
class PeerNet::Door : public Doorkeeper, public ListHook {
 public:
  // `expected`: whom we dialled, null for who comes by itself.
  Door(PeerNet& net, io::Stream& stream, Peer* expected) : net_(net), stream_(stream), expected_(expected) {
    (expected != nullptr ? net_.dialled_ : net_.callers_).push_back(*this);
  }
  void shut() { stream_.close(); }

  Error proceed(const io::PeerIdentity& identity) override {
    if (net_.stop_.is_set()) return {Status::stopped, "the host is shutting down"};
    if (expected_->session != nullptr) return {Status::exists, "the host has called by itself meanwhile"};
    if (identity.uri == host_uri(net_.options_.cluster, expected_->member.host)) return Status::ok;
    return {Status::permission, "not host " + expected_->member.name + " but " + identity.uri + " answers there"};
  }

  Error admit(const io::PeerIdentity& identity, const format::Hello& hello) override {
    if (net_.stop_.is_set()) return {Status::stopped, "the host is shutting down"};
    if (hello.role == format::PeerRole::joiner) return admit_stranger();
    if (!net_.owner_.is_member(hello.host, identity.key)) {
      return {Status::permission,
              "host " + hello.host_name + " (" + to_string(hello.host) + ") with this key is no member of the cluster"};
    }
    if (expected_ != nullptr && hello.host != expected_->member.host) {
      return {Status::permission, "not host " + expected_->member.name + " but " + hello.host_name + " answers there"};
    }
    return net_.verdict(net_.peer_of(hello.host), net_.claim_of(side(), hello));
  }

  Bytes extra() override { return net_.owner_.hello_extra(); }

 private:
  io::Side side() const { return expected_ != nullptr ? io::Side::client : io::Side::server; }
  Error admit_stranger() const {
    const auto is_open = [](const Session* session) { return session->is_open(); };
    const auto count = std::ranges::count_if(net_.strangers_, is_open);
    if (static_cast<size_t>(count) < net_.options_.strangers_max) return Status::ok;
    // Whoever joins is done in a few round trips, and may try again with the same token.
    Session& oldest = **std::ranges::find_if(net_.strangers_, is_open);
    if (net_.machine_.now() < oldest.began() + net_.options_.stranger_share) {
      return {Status::busy, "too many hosts are joining right now"};
    }
    oldest.close({Status::timed_out, "joining took too long, and others wait"});
    return Status::ok;
  }
  PeerNet& net_;
  io::Stream& stream_;
  Peer* const expected_;
};

PeerNet::PeerNet(io::Machine& machine, PeerNetOptions options, Services& services, PeerOwner& owner)
    : machine_(machine),
      options_(std::move(options)),
      services_(services),
      owner_(owner),
      scope_(machine.ready()),
      stop_(machine.ready()),
      prng_(options_.seed),
      handshakes_(machine.ready(), options_.handshakes_max) {}

PeerNet::~PeerNet() = default;

Task<Error> PeerNet::start() {
  if (!options_.listen.empty()) {
    Result<std::unique_ptr<io::Listener>> listener = co_await machine_.network().listen(options_.listen);
    if (!listener)
      co_return Error(listener.error().status, "cannot listen at " + options_.listen + ": " + listener.error().text);
    listener_ = std::move(*listener);
    scope_.spawn(accept_loop());
  }
  refresh_members();
  co_return Status::ok;
}

Task<void> PeerNet::stop() {
  const Error reason(Status::stopped, "host " + options_.name + " is shutting down");
  stop_.set();
  if (listener_ != nullptr) listener_->close();
  for (List<Door>* doors : {&dialled_, &callers_}) doors->for_each([](Door& door) { door.shut(); });
  for (Session* stranger : strangers_) stranger->close(reason);
  for (auto& [id, peer] : peers_) {
    if (peer->session != nullptr) peer->session->close(reason);
    peer->changed.notify();
  }
  co_await scope_.join();
}

io::Address PeerNet::address() const { return listener_ != nullptr ? listener_->address() : io::Address(); }

Session* PeerNet::find(const Uuid& host) {
  auto found = peers_.find(host);
  if (found == peers_.end()) return nullptr;
  Session* session = found->second->announced;
  return session != nullptr && session->is_open() ? session : nullptr;
}

void PeerNet::members_changed() {
  if (stop_.is_set()) return;
  refresh_members();
  for (auto& [id, peer] : peers_) {
    Session* session = peer->session;
    if (session == nullptr || owner_.is_member(id, session->identity().key)) continue;
    session->close({Status::permission, "host " + session->hello().host_name + " is no longer a member"});
  }
}

// Who is gone from the list is no longer dialled; what is known of it stays for the case that it comes back.
void PeerNet::refresh_members() {
  std::vector<Member> members = owner_.members();
  for (auto& [id, peer] : peers_) peer->is_wanted = false;
  for (Member& member : members) {
    if (member.host == options_.host) continue;
    Peer& peer = peer_of(member.host);
    peer.member = std::move(member);
    peer.is_wanted = true;
    if (!std::exchange(peer.is_dialling, true)) scope_.spawn(dial_loop(peer));
  }
  for (auto& [id, peer] : peers_) peer->changed.notify();
}

std::vector<PeerView> PeerNet::peers() const {
  std::vector<PeerView> views;
  for (const auto& [id, peer] : peers_) {
    if (!peer->is_wanted) continue;
    const bool is_connected = peer->announced != nullptr && peer->announced->is_open();
    views.push_back({.host = id,
                     .name = peer->member.name,
                     .is_connected = is_connected,
                     .address = peer->address,
                     .last_heard = is_connected ? peer->announced->last_heard() : peer->last_heard,
                     .incarnation = peer->incarnation,
                     .problem = is_connected ? Error(Status::ok) : peer->problem});
  }
  return views;
}

PeerNet::Peer& PeerNet::peer_of(const Uuid& host) {
  std::unique_ptr<Peer>& peer = peers_[host];
  if (peer == nullptr) {
    peer = std::make_unique<Peer>(machine_.ready(), prng_.fork());
    peer->member.host = host;
  }
  return *peer;
}

Introduction PeerNet::introduction(io::Side side) const {
  Introduction mine;
  mine.tls = options_.tls;
  mine.tls.needs_peer_certificate = side == io::Side::client;  // who joins has none yet
  mine.hello.cluster = options_.cluster;
  mine.hello.host = options_.host;
  mine.hello.incarnation = options_.incarnation;
  mine.hello.host_name = options_.name;
  mine.side = side;
  return mine;
}

Claim PeerNet::claim_of(io::Side side, const format::Hello& hello) const {
  const bool are_we_smaller = options_.host < hello.host;
  return {hello.incarnation, (side == io::Side::client) == are_we_smaller};
}

Error PeerNet::verdict(Peer& peer, const Claim& candidate) {
  std::optional<Claim> existing;
  bool is_silent = false;
  if (peer.session != nullptr && peer.session->is_open()) {
    existing = peer.claim;
    is_silent = machine_.now() - peer.session->last_heard() > options_.times.keep_alive * 5 / 4;
  }
  switch (decide_admission(existing, is_silent, candidate)) {
    case Admission::take:
    case Admission::replace:
      return Status::ok;
    case Admission::refuse_crossing:
      return {Status::exists, "the connection from the other side stays"};
    case Admission::refuse_second:
      break;
  }
  if (!std::exchange(peer.is_second_watched, true)) scope_.spawn(watch_second(peer));
  return {Status::refused, "another process with the id of host " + peer.member.name + " is connected"};
}

// After a crash and a quick restart the old connection looks alive for a moment. Only who is heard on it again after
// the newer one has come proves that there are two (R6).
Task<void> PeerNet::watch_second(Peer& peer) {
  const uint64_t number = peer.session_number;
  const io::Instant since = machine_.now();
  co_await io::sleep_for(machine_, options_.times.keep_alive * 3 / 2, stop_);
  peer.is_second_watched = false;
  Session* const session = peer.session;
  if (stop_.is_set() || peer.session_number != number || session == nullptr || !session->is_open()) co_return;
  if (session->last_heard() - since < options_.times.keep_alive / 4) co_return;
  owner_.on_alarm(peer.member.host, "two live hosts have the id of host " + session->hello().host_name +
                                        ": the newer one is refused; one of them is a copy and must be stopped");
}

// Whoever calls and says nothing keeps nobody out: when all places are taken, the one that has been at it for longest
// goes. A member needs a few round trips.
Task<void> PeerNet::accept_loop() {
  while (!stop_.is_set()) {
    Result<std::unique_ptr<io::Stream>> stream = co_await listener_->accept();
    if (stop_.is_set() || (!stream && stream.error().status == Status::gone)) break;
    if (!stream) {
      co_await io::sleep_for(machine_, options_.reconnect_min, stop_);  // out of descriptors, for example
      continue;
    }
    if (!handshakes_.try_acquire(1)) {
      // Those that were accepted just now stand in the list when they have had their turn.
      Yield yield(machine_.ready());
      while (callers_.empty() && !handshakes_.try_acquire(1) && !stop_.is_set()) co_await yield;
      if (!callers_.empty()) {
        callers_.front().shut();
        co_await handshakes_.acquire();
      }
      if (stop_.is_set()) break;
    }
    scope_.spawn(receive(std::move(*stream)));
  }
}

Task<void> PeerNet::receive(std::unique_ptr<io::Stream> stream) {
  std::optional<Contact> contact;
  {
    const io::Address from = stream->remote_address();
    const Introduction mine = introduction(io::Side::server);
    Door door(*this, *stream, nullptr);
    Result<Contact> result = co_await shake_hands(machine_, std::move(stream), mine, door, options_.times.handshake);
    if (result) contact.emplace(std::move(*result));
    if (!result && is_worth_telling(result.error().status)) owner_.on_refused(from, result.error());
  }
  handshakes_.release(1);
  if (!contact) co_return;
  if (contact->hello.role == format::PeerRole::joiner) {
    co_await serve_stranger(std::move(*contact));
  } else {
    static_cast<void>(co_await serve(std::move(*contact)));
  }
}

Task<void> PeerNet::serve_stranger(Contact contact) {
  Session session(machine_, options_.times, services_, scope_, std::move(contact));
  io::Timer limit(
      machine_, [](void* self) { static_cast<Session*>(self)->close({Status::timed_out, "joining took too long"}); },
      &session);
  limit.arm_in(options_.stranger_limit);
  if (stop_.is_set()) session.close({Status::stopped, "the host is shutting down"});
  // Others may have come between its hello and this.
  if (std::ranges::count_if(strangers_, &Session::is_open) >= static_cast<ptrdiff_t>(options_.strangers_max)) {
    session.close({Status::busy, "too many hosts are joining right now"});
  }
  strangers_.push_back(&session);
  static_cast<void>(co_await session.run());
  std::erase(strangers_, &session);
  limit.cancel();
  co_await session.finish();
}

// The one that dials second leaves the first a moment, so that few connections cross.
Task<void> PeerNet::dial_loop(Peer& peer) {
  io::Duration pause = options_.reconnect_min;
  if (peer.member.host < options_.host) co_await io::wait_until(machine_, peer.changed, machine_.now() + pause);
  while (!stop_.is_set() && peer.is_wanted) {
    if (peer.session != nullptr) {
      co_await peer.changed.wait();
      continue;
    }
    const io::Instant begun = machine_.now();
    const std::vector<io::Address> addresses = peer.member.addresses;
    for (const io::Address& address : addresses) {
      if (stop_.is_set() || peer.session != nullptr) break;
      peer.problem = co_await dial(peer, address);
    }
    if (peer.session != nullptr) continue;
    if (machine_.now() - begun >= options_.times.silent_after) pause = options_.reconnect_min;
    if (stop_.is_set()) break;
    const auto half = static_cast<uint64_t>(pause.count() / 2);
    const io::Duration jitter(static_cast<int64_t>(peer.jitter.below(half + 1)));
    co_await io::wait_until(machine_, peer.changed, machine_.now() + pause / 2 + jitter);
    pause = std::min(pause * 2, options_.reconnect_max);
  }
  peer.is_dialling = false;
}

// Returns when the session is over, or why there was none.
Task<Error> PeerNet::dial(Peer& peer, io::Address address) {
  peer.address = address;
  Result<std::unique_ptr<io::Stream>> stream = co_await machine_.network().connect(address);
  if (!stream) co_return Error(stream.error().status, address + ": " + stream.error().text);
  std::optional<Contact> contact;
  {
    const Introduction mine = introduction(io::Side::client);
    Door door(*this, **stream, &peer);
    if (stop_.is_set()) door.shut();
    Result<Contact> result = co_await shake_hands(machine_, std::move(*stream), mine, door, options_.times.handshake);
    if (!result) co_return Error(result.error().status, address + ": " + result.error().text);
    contact.emplace(std::move(*result));
  }
  co_return co_await serve(std::move(*contact));
}

// Both sides have agreed; but a crossing connection may have come in between, and a member may have been removed: who
// is told of that closes the sessions that there are, and this was none.
Task<Error> PeerNet::serve(Contact contact) {
  Session session(machine_, options_.times, services_, scope_, std::move(contact));
  Peer& peer = peer_of(session.peer());
  const Claim claim = claim_of(session.is_dialled_here() ? io::Side::client : io::Side::server, session.hello());
  Error refusal(Status::permission, "host " + session.hello().host_name + " is no longer a member");
  if (owner_.is_member(session.peer(), session.identity().key)) refusal = verdict(peer, claim);
  if (stop_.is_set()) refusal = {Status::stopped, "the host is shutting down"};
  Error reason = Status::ok;
  if (refusal.status != Status::ok) {
    session.close(std::move(refusal));
    reason = co_await session.run();
  } else {
    if (peer.session != nullptr) peer.session->close({Status::exists, "a newer connection takes its place"});
    peer.session = &session;
    ++peer.session_number;
    peer.claim = claim;
    reason = co_await run_announced(peer, session);
    if (peer.session == &session) {
      peer.session = nullptr;
      peer.problem = reason;
    }
    peer.changed.notify();
  }
  co_await session.finish();
  co_return reason;
}

// The owner hears of one session after the other.
Task<Error> PeerNet::run_announced(Peer& peer, Session& session) {
  while (peer.announced != nullptr) co_await peer.changed.wait();
  const bool is_announced = session.is_open();
  if (is_announced) {
    peer.announced = &session;
    peer.incarnation = session.hello().incarnation;
    if (peer.member.name.empty()) peer.member.name = session.hello().host_name;
    if (!session.is_dialled_here()) peer.address = session.remote_address();
    owner_.on_session_up(session);
  }
  Error reason = co_await session.run();
  if (is_announced) {
    peer.last_heard = session.last_heard();
    owner_.on_session_down(session.peer(), reason);
    peer.announced = nullptr;
    peer.changed.notify();
  }
  co_return reason;
}

}  // namespace mars::net
