// Hosts of a simulated world that talk through PeerNet: the vocabulary of this folder's tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/peer_net.h"
#include "sim/world.h"

namespace mars::net::testing {

using namespace std::chrono_literals;

inline constexpr ServiceId echo_service = 10;    // sends every message back
inline constexpr ServiceId silent_service = 11;  // keeps the channel in `kept`, reads nothing

inline Uuid uuid_of(uint8_t number) {
  Uuid uuid;
  uuid.bytes[15] = number;
  return uuid;
}
inline const Uuid cluster_id = uuid_of(200);

inline Bytes bytes_of_size(size_t size, uint8_t seed = 0) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + seed);
  return bytes;
}

inline Task<void> echo(std::unique_ptr<Channel> channel, Bytes opening) {
  if (!opening.empty()) static_cast<void>(co_await channel->send(std::move(opening)));
  while (true) {
    Result<Bytes> message = co_await channel->receive();
    if (!message) break;
    if (co_await channel->send(std::move(*message)) != Status::ok) break;
  }
}

// One process with a PeerNet.
class TestHost : public PeerOwner {
 public:
  TestHost(sim::World& the_world, sim::SimMachine& its_machine, uint8_t number, std::string its_name)
      : world(the_world), machine(its_machine), id(uuid_of(number)), name(std::move(its_name)) {
    services.add(echo_service, &echo);
    services.add(silent_service,
                 [this](std::unique_ptr<Channel> channel, const Bytes&) { return keep(std::move(channel)); });
  }
  ~TestHost() override { stop(); }

  void stop() {
    kept.clear();
    if (net != nullptr) world.run(machine, net->stop());
    net.reset();
  }

  std::vector<Member> members() override { return known; }
  bool is_member(const Uuid& host, const io::Sha256&) override {
    for (const Member& member : known) {
      if (member.host == host) return true;
    }
    return false;
  }
  Bytes hello_extra() override { return extra; }
  void on_session_up(Session& session) override {
    ++ups;
    ++live;
    EXPECT_EQ(live, 1);
    last = &session;
  }
  void on_session_down(const Uuid&, const Error& reason) override {
    --live;
    last = nullptr;
    downs.push_back(reason);
  }
  void on_alarm(const Uuid&, const std::string& text) override { alarms.push_back(text); }
  void on_refused(const io::Address&, const Error& why) override { refused.push_back(why); }

  // `live` counts the peer's sessions, so these tests give every host one peer that is watched.
  Session* session_with(const TestHost& peer) { return net->find(peer.id); }

  sim::World& world;
  sim::SimMachine& machine;
  const Uuid id;
  const std::string name;
  std::vector<Member> known;
  Bytes extra;
  Services services;
  std::unique_ptr<PeerNet> net;
  std::vector<std::unique_ptr<Channel>> kept;
  Session* last = nullptr;
  int ups = 0;
  int live = 0;
  std::vector<Error> downs;
  std::vector<std::string> alarms;
  std::vector<Error> refused;

 private:
  Task<void> keep(std::unique_ptr<Channel> channel) {
    kept.push_back(std::move(channel));
    co_return;
  }
};

class PeerNetTest : public ::testing::Test {
 protected:
  explicit PeerNetTest(uint64_t seed = 1) : world(seed) {
    ca = *world.host("a").machine().keys().make_ca(to_string(cluster_id));
  }

  io::TlsConfig tls_for(sim::SimMachine& machine, const Uuid& host, const std::string& role = "host") {
    io::Keys& keys = machine.keys();
    io::TlsConfig tls;
    tls.key_pem = *keys.make_key();
    const std::string uri = host_uri(cluster_id, host);
    tls.certificate_pem = *keys.sign(ca, *keys.make_request(tls.key_pem, uri), uri, role);
    tls.ca_pem = ca.certificate_pem;
    return tls;
  }
  PeerNetOptions options_for(TestHost& host, uint64_t incarnation = 1) {
    PeerNetOptions options;
    options.cluster = cluster_id;
    options.host = host.id;
    options.name = host.name;
    options.incarnation = {incarnation};
    options.tls = tls_for(host.machine, host.id);
    options.listen = "[::]:7790";
    options.seed = 5;
    return options;
  }
  std::unique_ptr<TestHost> make(uint8_t number, const std::string& name) {
    return std::make_unique<TestHost>(world, world.host(name).machine(), number, name);
  }
  static void introduce(TestHost& x, TestHost& y) {
    x.known.push_back({y.id, y.name, {y.name + ":7790"}});
    y.known.push_back({x.id, x.name, {x.name + ":7790"}});
  }
  void start(TestHost& host, PeerNetOptions options) {
    host.net = std::make_unique<PeerNet>(host.machine, std::move(options), host.services, host);
    const Error error = world.run(host.machine, host.net->start());
    EXPECT_EQ(error.status, Status::ok) << error.text;
  }
  void start(TestHost& host, uint64_t incarnation = 1) { start(host, options_for(host, incarnation)); }

  bool connected(TestHost& x, TestHost& y) { return x.net->find(y.id) != nullptr && y.net->find(x.id) != nullptr; }
  bool connects(TestHost& x, TestHost& y, io::Duration limit = 30s) {
    return world.run_until([&] { return connected(x, y); }, limit);
  }

  sim::World world;
  io::KeyPair ca;
};

// a and b are members of one cluster and connected.
class TwoHosts : public PeerNetTest {
 protected:
  explicit TwoHosts(uint64_t seed = 1) : PeerNetTest(seed), a(make(1, "a")), b(make(2, "b")) { introduce(*a, *b); }
  void SetUp() override {
    start(*a);
    start(*b);
    ASSERT_TRUE(connects(*a, *b));
    world.run_for(1s);
  }
  std::unique_ptr<Channel> open(ServiceId service, Bytes opening = {}, uint32_t window = window_default) {
    return a->session_with(*b)->open(service, std::move(opening), window);
  }
  // The answer of the peer's echo.
  Result<Bytes> ask(Channel& channel, Bytes message) {
    const Status status = world.run(a->machine, channel.send(std::move(message)));
    if (status != Status::ok) return failure(status);
    return world.run(a->machine, channel.receive());
  }

  std::unique_ptr<TestHost> a;
  std::unique_ptr<TestHost> b;
};

}  // namespace mars::net::testing
