#include "net/channel.h"

#include <array>

#include "net/hosts_test.h"

namespace mars::net::testing {
namespace {

using ChannelTest = TwoHosts;

Task<void> pump(Channel& channel, int count, size_t bytes, int& sent, Status& last) {
  for (int i = 0; i < count; ++i) {
    last = co_await channel.send(bytes_of_size(bytes, static_cast<uint8_t>(i)));
    if (last != Status::ok) break;
    ++sent;
  }
}

Task<void> converse(Channel& channel, int rounds, size_t bytes, int& right) {
  for (int i = 0; i < rounds; ++i) {
    const Bytes message = bytes_of_size(bytes + static_cast<size_t>(i), static_cast<uint8_t>(i));
    if (co_await channel.send(message) != Status::ok) co_return;
    Result<Bytes> answer = co_await channel.receive();
    if (!answer) co_return;
    right += *answer == message;
  }
}

TEST_F(ChannelTest, messages_of_all_sizes_come_back) {
  auto channel = open(echo_service);
  for (const size_t size : {0, 1, 4096, 262'140, 262'141, 700'000, 1'048'512}) {
    auto answer = ask(*channel, bytes_of_size(size));
    ASSERT_TRUE(answer.has_value()) << size;
    EXPECT_EQ(*answer, bytes_of_size(size));
  }
}

TEST_F(ChannelTest, the_opening_travels_with_it) {
  auto channel = open(echo_service, bytes_of_size(100));
  EXPECT_EQ(*world.run(a->machine, channel->receive()), bytes_of_size(100));
}

TEST_F(ChannelTest, many_channels_talk_at_once) {
  std::vector<std::unique_ptr<Channel>> channels;
  int right = 0;
  for (size_t i = 0; i < 60; ++i) {
    channels.push_back((i % 2 == 0 ? *a->session_with(*b) : *b->session_with(*a)).open(echo_service, {}));
    TestHost& host = i % 2 == 0 ? *a : *b;
    host.machine.scope().spawn(converse(*channels.back(), 20, i * i * 10, right));
  }
  EXPECT_TRUE(world.run_until([&] { return right == 60 * 20; }, 60s));
  EXPECT_EQ(a->session_with(*b)->channel_count(), 60u);
  channels.clear();
  world.run_for(1s);
  EXPECT_EQ(a->session_with(*b)->channel_count(), 0u);
  EXPECT_EQ(b->session_with(*a)->channel_count(), 0u);
}

TEST_F(ChannelTest, credit_bounds_what_a_slow_reader_holds) {
  auto channel = open(silent_service);
  int sent = 0;
  Status last = Status::ok;
  a->machine.scope().spawn(pump(*channel, 1000, 10'000, sent, last));
  world.run_for(10s);
  const int most = static_cast<int>(window_default / message_cost(10'000));
  EXPECT_EQ(sent, most);
  ASSERT_EQ(b->kept.size(), 1u);
  EXPECT_EQ(b->kept[0]->held_cost(), static_cast<uint64_t>(most) * message_cost(10'000));

  for (int i = 0; i < 1000; ++i) {
    Result<Bytes> message = world.run(b->machine, b->kept[0]->receive());
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(*message, bytes_of_size(10'000, static_cast<uint8_t>(i)));
  }
  EXPECT_EQ(sent, 1000);
}

TEST_F(ChannelTest, a_slow_reader_does_not_hold_up_others) {
  auto slow = open(silent_service);
  int sent = 0;
  Status last = Status::ok;
  a->machine.scope().spawn(pump(*slow, 1000, 100'000, sent, last));
  world.run_for(5s);
  auto quick = open(echo_service);
  EXPECT_TRUE(ask(*quick, bytes_of_size(500'000)).has_value());
  slow->close();
  world.run_for(1s);
  EXPECT_EQ(last, Status::gone);
}

TEST_F(ChannelTest, bulk_does_not_delay_small_messages_for_long) {
  world.network().set_link("a", "b", {.bytes_per_second = 10'000'000});
  auto bulk = open(silent_service, {}, window_default);
  auto small = open(echo_service);
  ASSERT_TRUE(ask(*small, bytes_of_size(1)).has_value());
  int sent = 0;
  Status last = Status::ok;
  a->machine.scope().spawn(pump(*bulk, 100, 500'000, sent, last));
  world.run_for(1ms);
  const io::Instant begun = world.now();
  ASSERT_TRUE(ask(*small, bytes_of_size(1)).has_value());
  EXPECT_LT(world.now() - begun, 150ms);  // behind what the connection had taken, not behind all of it
  bulk->close();
  world.run_for(1s);
}

TEST_F(ChannelTest, a_message_larger_than_the_window_is_invalid) {
  auto channel = open(echo_service);
  ASSERT_TRUE(ask(*channel, {}).has_value());
  EXPECT_EQ(channel->message_bytes_max(), window_default - message_cost(0));
  EXPECT_EQ(world.run(a->machine, channel->send(Bytes(window_default))), Status::invalid);
  EXPECT_TRUE(ask(*channel, bytes_of_size(10)).has_value());
}

TEST_F(ChannelTest, queued_messages_are_read_before_the_end) {
  auto channel = open(silent_service);
  EXPECT_EQ(world.run(a->machine, channel->send(bytes_of_size(300'000))), Status::ok);
  EXPECT_EQ(world.run(a->machine, channel->send(bytes_of_size(2))), Status::ok);
  channel->close();
  world.run_for(1s);
  Channel& peer = *b->kept.at(0);
  EXPECT_FALSE(peer.is_open());
  EXPECT_EQ(world.run(b->machine, peer.receive())->size(), 300'000u);
  EXPECT_EQ(world.run(b->machine, peer.receive())->size(), 2u);
  EXPECT_EQ(world.run(b->machine, peer.receive()).error().status, Status::end);
  EXPECT_EQ(world.run(b->machine, peer.send({})), Status::gone);
}

TEST_F(ChannelTest, the_reason_of_a_close_arrives) {
  auto channel = open(silent_service);
  world.run_for(1s);
  b->kept.at(0)->close({Status::not_found, "no such resource"});
  auto answer = world.run(a->machine, channel->receive());
  EXPECT_EQ(answer.error().status, Status::not_found);
  EXPECT_EQ(answer.error().text, "no such resource");
}

TEST_F(ChannelTest, an_unknown_service_is_refused) {
  auto channel = open(77);
  auto answer = world.run(a->machine, channel->receive());
  EXPECT_EQ(answer.error().status, Status::unsupported);
  EXPECT_EQ(world.run(a->machine, channel->send({})), Status::gone);
  EXPECT_TRUE(connected(*a, *b));
}

TEST_F(ChannelTest, closing_both_sides_at_once_is_fine) {
  auto channel = open(silent_service);
  world.run_for(1s);
  channel->close();
  b->kept.at(0)->close();
  world.run_for(1s);
  EXPECT_EQ(a->session_with(*b)->channel_count(), 0u);
  EXPECT_EQ(b->session_with(*a)->channel_count(), 0u);
}

TEST_F(ChannelTest, several_senders_keep_their_order) {
  auto channel = open(silent_service, {}, window_min);
  int sent = 0;
  Status last = Status::ok;
  for (uint8_t i = 0; i < 40; ++i) {
    a->machine.scope().spawn(pump(*channel, 1, 60'000u + i, sent, last));
  }
  world.run_for(1s);
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(world.run(b->machine, b->kept.at(0)->receive())->size(), 60'000 + i);
  }
}

TEST_F(ChannelTest, try_send_takes_only_what_credit_allows) {
  auto channel = open(silent_service);
  Bytes message = bytes_of_size(500'000);
  EXPECT_FALSE(channel->try_send(message));  // not accepted yet
  world.run_for(1s);
  EXPECT_TRUE(channel->try_send(message));
  message = bytes_of_size(600'000);
  EXPECT_FALSE(channel->try_send(message));
  EXPECT_EQ(message.size(), 600'000u);
  world.run_for(1s);
  EXPECT_EQ(b->kept.at(0)->try_receive()->size(), 500'000u);
  EXPECT_FALSE(b->kept.at(0)->try_receive().has_value());
}

TEST_F(ChannelTest, a_channel_survives_its_session_closed) {
  auto channel = open(echo_service);
  ASSERT_TRUE(ask(*channel, bytes_of_size(3)).has_value());
  a->session_with(*b)->close({Status::stopped, "test"});
  EXPECT_FALSE(channel->is_open());
  EXPECT_EQ(world.run(a->machine, channel->receive()).error().status, Status::gone);
  EXPECT_EQ(world.run(a->machine, channel->send({})), Status::gone);
}

TEST_F(ChannelTest, what_was_read_or_ended_is_no_longer_under_way) {
  auto channel = open(echo_service);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(ask(*channel, bytes_of_size(1'000'000)).has_value());
  for (int i = 0; i < 20; ++i) {
    auto unread = open(silent_service);
    ASSERT_EQ(world.run(a->machine, unread->send(bytes_of_size(1'000'000))), Status::ok);
    unread->close();
    world.run_for(100ms);
  }
  EXPECT_TRUE(channel->is_open());
}

// b sends on channels whose windows are as large as a wants, and nothing gets through.
class CrowdedOutbox : public TwoHosts {
 protected:
  static constexpr size_t bulk = 1'000'000;
  struct Flow {
    std::unique_ptr<Channel> channel;  // a's
    int sent = 0;
    Status last = Status::ok;
  };
  void SetUp() override {
    TwoHosts::SetUp();
    for (Flow& flow : flows) flow.channel = open(silent_service, {}, window_max);
    idle.channel = open(silent_service, {}, window_max);
    world.run_for(1s);
    ASSERT_EQ(b->kept.size(), flows.size() + 1);
    world.network().cut("a", "b");
    for (size_t i = 0; i < flows.size(); ++i) {
      b->machine.scope().spawn(pump(*b->kept[i], 20, bulk, flows[i].sent, flows[i].last));
    }
    world.run_for(1s);
  }
  void TearDown() override {
    for (auto& channel : b->kept) channel->close();
    world.run_for(10ms);
  }
  Session& session() { return *b->session_with(*a); }
  int sent() const {
    int sum = 0;
    for (const Flow& flow : flows) sum += flow.sent;
    return sum;
  }
  std::array<Flow, 6> flows;
  Flow idle;
};

TEST_F(CrowdedOutbox, holds_a_bounded_amount_whatever_the_peer_grants) {
  EXPECT_GE(sent(), 16);
  EXPECT_LE(sent(), 18);
  EXPECT_LE(session().waiting_bytes(), outbox_bytes_max + message_cost(bulk));
  Bytes message(bulk);
  EXPECT_FALSE(b->kept[0]->try_send(message));
}

TEST_F(CrowdedOutbox, sends_everything_once_the_peer_reads) {
  world.network().heal("a", "b");
  EXPECT_TRUE(world.run_until([&] { return sent() == 120; }, 10s));
  world.run_for(1s);
  EXPECT_EQ(session().waiting_bytes(), 0u);
  for (Flow& flow : flows) {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(flow.channel->try_receive()->size(), bulk);
  }
}

TEST_F(CrowdedOutbox, gives_every_channel_its_turn) {
  world.network().heal("a", "b");
  world.network().set_link("a", "b", {.bytes_per_second = 10'000'000});
  ASSERT_TRUE(world.run_until([&] { return sent() >= 60; }, 20s));
  for (const Flow& flow : flows) EXPECT_GE(flow.sent, 5);
}

TEST_F(CrowdedOutbox, lets_small_messages_overtake) {
  Bytes message(4096);
  EXPECT_TRUE(b->kept.back()->try_send(message));
}

TEST_F(CrowdedOutbox, bounds_small_messages_too) {
  b->machine.scope().spawn(pump(*b->kept.back(), 15'000, 4096, idle.sent, idle.last));
  world.run_for(1s);
  EXPECT_GE(idle.sent, 3000);
  EXPECT_LE(session().waiting_bytes(), 2 * outbox_bytes_max + message_cost(bulk) + message_cost(4096));
}

TEST_F(CrowdedOutbox, who_waits_for_room_learns_of_the_end_of_its_channel) {
  const int before = sent();
  for (size_t i = 0; i < 3; ++i) b->kept[i]->close();
  world.run_for(10ms);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(flows[i].last, Status::gone);
  EXPECT_EQ(sent(), before);  // what it had sent stays
  session().close({Status::stopped, "test"});
  world.run_for(10ms);
  for (const Flow& flow : flows) EXPECT_EQ(flow.last, Status::gone);
}

TEST_F(CrowdedOutbox, what_the_peer_closes_makes_room_for_others) {
  for (size_t i = 0; i < 4; ++i) flows[i].channel->close();
  world.network().heal_one_way("a", "b");
  world.run_for(2s);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(flows[i].last, Status::gone);
  EXPECT_GE(flows[4].sent + flows[5].sent, 15);
}

}  // namespace
}  // namespace mars::net::testing
