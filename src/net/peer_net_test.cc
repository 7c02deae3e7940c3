#include "net/peer_net.h"

#include "net/hosts_test.h"
#include "net/joiner.h"

namespace mars::net::testing {
namespace {

TEST_F(TwoHosts, find_each_other_once) {
  EXPECT_EQ(a->live, 1);
  EXPECT_EQ(b->live, 1);
  EXPECT_TRUE(a->alarms.empty());
  Session& session = *a->session_with(*b);
  EXPECT_EQ(session.hello().host_name, "b");
  EXPECT_NE(session.is_dialled_here(), b->session_with(*a)->is_dialled_here());
  ASSERT_EQ(a->net->peers().size(), 1u);
  EXPECT_TRUE(a->net->peers()[0].is_connected);
}

TEST_F(TwoHosts, keep_alive_measures_the_round_trip) {
  world.run_for(20s);
  EXPECT_EQ(a->ups, b->ups);
  EXPECT_TRUE(connected(*a, *b));
  EXPECT_GT(a->session_with(*b)->round_trip(), 100us);
  EXPECT_LT(a->session_with(*b)->round_trip(), 10ms);
}

TEST_F(TwoHosts, a_cut_ends_the_session_and_it_comes_back) {
  const int ups = a->ups;
  world.network().cut("a", "b");
  world.run_for(8500ms);
  EXPECT_EQ(a->live, 0);
  EXPECT_EQ(b->live, 0);
  ASSERT_FALSE(a->downs.empty());
  EXPECT_EQ(a->downs.back().status, Status::timed_out);
  world.run_for(60s);
  EXPECT_FALSE(a->net->peers()[0].is_connected);
  EXPECT_NE(a->net->peers()[0].problem.status, Status::ok);
  world.network().heal("a", "b");
  EXPECT_TRUE(connects(*a, *b, 15s));
  world.run_for(10s);
  EXPECT_GT(a->ups, ups);
  EXPECT_TRUE(connected(*a, *b));
}

TEST_F(TwoHosts, a_short_cut_is_survived) {
  const int ups = a->ups;
  world.network().cut("a", "b");
  world.run_for(2s);
  world.network().heal("a", "b");
  world.run_for(10s);
  EXPECT_EQ(a->ups, ups);
  EXPECT_TRUE(connected(*a, *b));
}

TEST_F(TwoHosts, a_reset_is_noticed_at_once) {
  world.network().reset("a", "b");
  EXPECT_TRUE(world.run_until([&] { return !a->downs.empty() && !b->downs.empty(); }, 1s));
  EXPECT_TRUE(connects(*a, *b, 2s));
}

TEST_F(TwoHosts, a_killed_peer_that_starts_again_is_welcome) {
  world.host("b").kill();
  EXPECT_TRUE(world.run_until([&] { return a->live == 0; }, 10s));
  b->stop();
  world.host("b").start();
  auto again = make(2, "b");
  again->known = b->known;
  start(*again, 2);
  EXPECT_TRUE(connects(*a, *again, 10s));
  EXPECT_EQ(a->session_with(*again)->hello().incarnation.value, 2u);
  EXPECT_TRUE(a->alarms.empty());
}

TEST_F(TwoHosts, after_a_power_loss_the_silent_session_gives_way) {
  world.host("b").power_loss();
  b->stop();
  world.host("b").start();
  auto again = make(2, "b");
  again->known = b->known;
  start(*again, 2);
  EXPECT_TRUE(connects(*a, *again, 12s));
  EXPECT_TRUE(a->alarms.empty());
}

TEST_F(TwoHosts, a_second_live_host_of_one_id_is_refused_and_said) {
  TestHost copy(world, world.host("c").machine(), 2, "b");
  copy.known = b->known;
  Uuid b_id = b->id;
  start(copy, 9);
  world.run_for(20s);
  ASSERT_FALSE(a->alarms.empty());
  ASSERT_NE(a->net->find(b_id), nullptr);
  EXPECT_EQ(a->net->find(b_id)->hello().incarnation.value, 1u);
  EXPECT_EQ(copy.live, 0);
}

TEST_F(TwoHosts, who_is_no_member_any_more_is_put_out) {
  a->known.clear();
  a->net->members_changed();
  world.run_for(20s);
  EXPECT_EQ(a->live, 0);
  EXPECT_EQ(b->live, 0);
  EXPECT_NE(b->net->peers()[0].problem.text.find("no member"), std::string::npos) << b->net->peers()[0].problem.text;
  a->known.push_back({b->id, "b", {"b:7790"}});
  a->net->members_changed();
  EXPECT_TRUE(connects(*a, *b, 5s));
}

TEST_F(TwoHosts, stop_ends_handlers_and_tells_the_peer) {
  auto channel = open(echo_service);
  ASSERT_TRUE(ask(*channel, bytes_of_size(1)).has_value());
  b->stop();
  EXPECT_TRUE(world.run_until([&] { return a->live == 0; }, 2s));
  EXPECT_NE(a->downs.back().text.find("shutting down"), std::string::npos);
  EXPECT_EQ(world.run(a->machine, channel->receive()).error().status, Status::gone);
}

TEST_F(TwoHosts, a_dead_machine_unwinds) {
  auto channel = b->session_with(*a)->open(echo_service, {});
  world.host("b").kill();
  b->stop();
  EXPECT_EQ(b->live, 0);
  EXPECT_FALSE(channel->is_open());
}

TEST_F(PeerNetTest, what_the_owners_say_in_their_hello_arrives) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  a->extra = bytes_of_size(200'000);
  start(*a);
  start(*b);
  ASSERT_TRUE(connects(*a, *b));
  EXPECT_EQ(b->session_with(*a)->hello_extra(), a->extra);
  EXPECT_TRUE(a->session_with(*b)->hello_extra().empty());
}

TEST_F(PeerNetTest, all_addresses_are_tried) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  b->known.clear();
  b->known.push_back({a->id, "a", {}});
  a->known[0].addresses = {"nowhere:7790", "b:1", "b:7790"};
  start(*a);
  start(*b);
  EXPECT_TRUE(connects(*a, *b));
  EXPECT_EQ(a->net->peers()[0].address, "b:7790");
}

TEST_F(PeerNetTest, an_address_in_use_is_an_error) {
  auto a = make(1, "a");
  start(*a);
  TestHost second(world, a->machine, 1, "a");
  PeerNet net(a->machine, options_for(second), second.services, second);
  const Error error = world.run(a->machine, net.start());
  EXPECT_NE(error.status, Status::ok);
  world.run(a->machine, net.stop());
}

TEST_F(PeerNetTest, a_foreign_certificate_is_refused) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  start(*a);
  ca = *b->machine.keys().make_ca(to_string(cluster_id));
  start(*b);
  world.run_for(20s);
  EXPECT_EQ(a->ups + b->ups, 0);
  EXPECT_EQ(a->net->peers()[0].problem.status, Status::permission) << a->net->peers()[0].problem.text;
  EXPECT_FALSE(a->refused.empty());
}

TEST_F(PeerNetTest, the_certificate_of_another_host_is_refused) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  start(*a);
  PeerNetOptions options = options_for(*b);
  options.tls = tls_for(b->machine, uuid_of(3));
  start(*b, options);
  world.run_for(10s);
  EXPECT_EQ(a->ups + b->ups, 0);
}

TEST_F(PeerNetTest, another_cluster_is_refused) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  start(*a);
  PeerNetOptions options = options_for(*b);
  options.cluster = uuid_of(201);
  start(*b, options);
  world.run_for(10s);
  EXPECT_EQ(a->ups + b->ups, 0);
}

TEST_F(PeerNetTest, an_unknown_key_is_refused) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  a->known.clear();
  start(*a);
  start(*b);
  world.run_for(10s);
  EXPECT_EQ(a->ups + b->ups, 0);
  EXPECT_EQ(b->net->peers()[0].problem.status, Status::permission);
  ASSERT_FALSE(a->refused.empty());
  EXPECT_NE(a->refused[0].text.find("no member"), std::string::npos) << a->refused[0].text;
}

// Both dial at the same instant, again and again: in the end there is one session, the same at both ends.
TEST(crossing, dials_keep_exactly_one_session) {
  class Crossing : public TwoHosts {
   public:
    explicit Crossing(uint64_t seed) : TwoHosts(seed) {}
    void TestBody() override {}
    uint64_t run() {
      start(*a);
      start(*b);
      EXPECT_TRUE(connects(*a, *b));
      for (int i = 0; i < 5; ++i) {
        world.network().reset("a", "b");
        world.run_for(3s);
        EXPECT_TRUE(connected(*a, *b));
        EXPECT_EQ(a->live, 1);
        EXPECT_EQ(b->live, 1);
        if (!connected(*a, *b)) break;
        auto channel = open(echo_service);
        EXPECT_TRUE(ask(*channel, bytes_of_size(9)).has_value());
      }
      EXPECT_EQ(world.network().connection_count(), 1u);
      return world.trace_hash();
    }
  };
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const uint64_t first = Crossing(seed).run();
    EXPECT_EQ(first, Crossing(seed).run());
  }
}

// Nobody else can call a: b has no address there.
TEST_F(PeerNetTest, callers_that_say_nothing_keep_no_member_out) {
  auto a = make(1, "a"), b = make(2, "b");
  introduce(*a, *b);
  for (Member& member : a->known) member.addresses.clear();
  start(*a);
  sim::SimMachine& stranger = world.host("c").machine();
  std::vector<std::unique_ptr<io::Stream>> calls;
  for (int i = 0; i < 100; ++i) {
    auto call = world.run(stranger, stranger.network().connect("a:7790"));
    ASSERT_TRUE(call.has_value()) << call.error().text;
    calls.push_back(std::move(*call));
  }
  start(*b);
  EXPECT_TRUE(connects(*a, *b, 3s));
}

class JoinTest : public PeerNetTest {
 protected:
  JoinTest() : a(make(1, "a")) {
    a->services.add(join_service, &echo);
    start(*a);
  }
  JoinerOptions options() {
    JoinerOptions joiner;
    joiner.address = "a:7790";
    joiner.tls.ca_key = *a->machine.keys().public_key_hash(ca.certificate_pem);
    joiner.cluster = cluster_id;
    joiner.host = uuid_of(7);
    joiner.name = "new";
    return joiner;
  }
  std::unique_ptr<TestHost> a;
  sim::SimMachine& machine = world.host("new").machine();
};

TEST_F(JoinTest, a_stranger_may_talk_to_the_join_service) {
  Joiner joiner(machine, options());
  auto channel = world.run(machine, joiner.call(bytes_of_size(20)));
  ASSERT_TRUE(channel.has_value()) << channel.error().text;
  EXPECT_EQ(*world.run(machine, (*channel)->receive()), bytes_of_size(20));
  EXPECT_EQ(joiner.identity().ca_pem, ca.certificate_pem);
  EXPECT_EQ(a->ups, 0);
  world.run(machine, joiner.stop());
  EXPECT_FALSE((*channel)->is_open());
}

TEST_F(JoinTest, a_burst_of_callers_that_say_nothing_keeps_nobody_out) {
  std::vector<std::unique_ptr<io::Stream>> streams;
  const auto call = [&]() -> Task<void> {
    auto stream = co_await machine.network().connect("a:7790");
    if (stream) streams.push_back(std::move(*stream));
  };
  Scope calls(machine.ready());
  world.host("a").pause();  // so that it finds all of them at once
  for (int i = 0; i < 60; ++i) calls.spawn(call());
  EXPECT_TRUE(world.run_until([&] { return calls.count() == 0; }));
  world.host("a").resume();
  const io::Instant before = world.now();
  Joiner joiner(machine, options());
  EXPECT_TRUE(world.run(machine, joiner.call({})).has_value());
  EXPECT_LT(world.now() - before, 5s);
  world.run(machine, joiner.stop());
}

TEST_F(JoinTest, strangers_that_stay_make_room_for_another) {
  std::vector<std::unique_ptr<Joiner>> joiners;
  std::vector<std::unique_ptr<Channel>> channels;
  const auto join = [&] {
    joiners.push_back(std::make_unique<Joiner>(machine, options()));
    auto channel = world.run(machine, joiners.back()->call({}));
    if (channel) channels.push_back(std::move(*channel));
    return status_of(channel);
  };
  for (int i = 0; i < 8; ++i) EXPECT_EQ(join(), Status::ok);
  EXPECT_EQ(join(), Status::busy);
  world.run_for(6s);
  EXPECT_EQ(join(), Status::ok);
  channels.clear();
  for (auto& joiner : joiners) world.run(machine, joiner->stop());
}

TEST_F(JoinTest, and_to_nothing_else) {
  Joiner joiner(machine, options());
  auto channel = world.run(machine, joiner.call({}));
  ASSERT_TRUE(channel.has_value());
  auto other = (*channel)->session()->open(echo_service, {});
  EXPECT_EQ(world.run(machine, other->receive()).error().status, Status::permission);
  world.run(machine, joiner.stop());
}

TEST_F(JoinTest, a_ca_that_is_not_the_tokens_is_not_believed) {
  JoinerOptions wrong = options();
  (*wrong.tls.ca_key)[0] ^= std::byte{1};
  Joiner joiner(machine, wrong);
  EXPECT_EQ(world.run(machine, joiner.call({})).error().status, Status::permission);
  world.run(machine, joiner.stop());
}

TEST_F(JoinTest, a_stranger_is_put_out_after_a_while) {
  Joiner joiner(machine, options());
  auto channel = world.run(machine, joiner.call({}));
  ASSERT_TRUE(channel.has_value());
  world.run_for(70s);
  EXPECT_FALSE((*channel)->is_open());
  world.run(machine, joiner.stop());
}

}  // namespace
}  // namespace mars::net::testing
