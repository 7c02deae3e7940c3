#include "bricks/server.h"

#include "bricks/fault.h"
#include "bricks/remote_hosts_test.h"
#include "bricks/trace.h"

namespace mars::bricks {
namespace {

using xio::Op;

// A client that says what the test wants.
struct ServerTest : RemoteHosts {
  void greet() {
    channel = dial();
    say(encode(RemoteHello{}));
    ASSERT_TRUE(decode_remote_welcome(hear().value()).has_value());
  }
  void say(net::Bytes message) { ASSERT_EQ(at_a(channel->send(std::move(message))), Status::ok); }
  Result<net::Bytes> hear() { return at_a(channel->receive()); }
  static net::Bytes a_write(uint64_t id, uint64_t offset, const std::vector<std::byte>& bytes) {
    return encode(RemoteRequest{
        .id = id, .op = Op::write, .offset = offset, .bytes = static_cast<uint32_t>(bytes.size()), .data = bytes});
  }
  void expect_thrown_out(Status status, const std::string& text) {
    Result<net::Bytes> message = hear();
    while (message) message = hear();
    EXPECT_EQ(message.error().status, status);
    EXPECT_NE(message.error().text.find(text), std::string::npos) << message.error().text;
    EXPECT_TRUE(world.run_until([&] { return server == nullptr; }));
  }
  void TearDown() override {
    channel.reset();
    RemoteHosts::TearDown();
  }
  std::unique_ptr<net::Channel> channel;
};

TEST_F(ServerTest, garbage_closes_the_channel_with_the_reason) {
  greet();
  say(noise(200, 1));
  expect_thrown_out(Status::invalid, "a malformed request");
  EXPECT_EQ(check.counts().in, 0u);
}

TEST_F(ServerTest, garbage_instead_of_a_hello_closes_the_channel) {
  channel = dial();
  say(noise(16, 1));
  expect_thrown_out(Status::invalid, "a malformed hello");
}

TEST_F(ServerTest, an_unknown_version_is_refused_with_both_ranges) {
  channel = dial();
  say(encode(RemoteHello{5, 6}));
  expect_thrown_out(Status::unsupported, "5 to 6, this host 1 to 1");
}

TEST_F(ServerTest, a_window_smaller_than_a_message_is_refused) {
  channel = open(xio_service, {}, net::window_min);
  say(encode(RemoteHello{}));
  expect_thrown_out(Status::invalid, "window is smaller");
}

TEST_F(ServerTest, what_does_not_fit_the_device_is_answered_and_the_channel_stays) {
  greet();
  say(a_write(1, device_bytes, letters(512, 'x')));
  say(a_write(2, 1, letters(512, 'x')));
  say(a_write(3, 0, letters(512, 'x')));
  std::map<uint64_t, Status> answers;
  for (int i = 0; i < 3; ++i) {
    const net::Bytes message = hear().value();
    const RemoteAnswer answer = decode_remote_answer(message).value();
    answers[answer.id] = answer.status;
  }
  EXPECT_EQ(answers, (std::map<uint64_t, Status>{{1, Status::invalid}, {2, Status::invalid}, {3, Status::ok}}));
}

TEST_F(ServerTest, more_requests_than_agreed_close_the_channel) {
  server_options.in_flight_max = 4;
  slow_down();
  greet();
  for (uint64_t i = 0; i < 5; ++i) say(a_write(i, i * 512, letters(512, 'x')));
  expect_thrown_out(Status::invalid, "more than the agreed 4 requests");
}

TEST_F(ServerTest, its_memory_is_bounded_whatever_the_client_sends) {
  server_options.memory_bytes = 4u << 20;
  slow_down();
  greet();
  uint64_t most = 0;
  const auto bytes = letters(1 << 20, 'x');
  for (uint64_t i = 0; i < 24; ++i) begin(channel->send(a_write(i, i % 4 << 20, bytes)));
  int answered = 0;
  ASSERT_TRUE(world.run_until([&] {
    if (server != nullptr) most = std::max<uint64_t>(most, server->in_flight());
    while (channel->try_receive()) ++answered;
    return answered == 24;
  }));
  EXPECT_EQ(most, 3u) << "messages of a little more than 1 MiB in 4 MiB";
}

TEST_F(ServerTest, an_error_of_the_brick_below_comes_back_as_itself) {
  Fault fault(at_b(), check, 1);
  fault.add({.op = Op::write, .nth = 1, .status = Status::no_space});
  served = &fault;
  connect_and_wait();
  EXPECT_EQ(write(0, letters(512, 'x')), Status::no_space);
  EXPECT_EQ(write(0, letters(512, 'x')), Status::ok);
  client.force_off();
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; }));
}

TEST_F(ServerTest, each_change_is_durable_before_it_is_acknowledged) {
  Trace trace(at_b(), check);
  served = &trace;
  connect_and_wait();
  ASSERT_EQ(write(0, letters(512, 'x')), Status::ok);
  EXPECT_NE(trace.dump().find("in write 0+512 fua"), std::string::npos) << trace.dump();
  client.force_off();
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; }));
}

TEST_F(ServerTest, plain_writes_stay_plain_where_the_client_starts_again_by_itself) {
  server_options.acknowledges_durable = false;
  Trace trace(at_b(), check);
  served = &trace;
  connect_and_wait();
  ASSERT_EQ(write(0, letters(512, 'x')), Status::ok);
  EXPECT_EQ(trace.dump().find("fua"), std::string::npos) << trace.dump();
  client.force_off();
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; }));
}

TEST_F(ServerTest, nothing_is_acknowledged_before_the_brick_below_completed_it) {
  slow_down();
  connect_and_wait();
  const auto block = letters(512, 'x');
  begin(await_write(port, 0, block));
  ASSERT_TRUE(world.run_until([&] { return delay.holds() == 1; }));
  EXPECT_EQ(server->served(), 0u);
  ASSERT_TRUE(wait_for(1));
  EXPECT_EQ(content(0, 512), block);
}

TEST_F(ServerTest, switched_off_it_answers_what_is_under_way_and_closes) {
  slow_down();
  connect_and_wait();
  const auto block = letters(512, 'x');
  for (uint64_t i = 0; i < 8; ++i) begin(await_write(port, i * 512, block));
  ASSERT_TRUE(world.run_until([&] { return delay.holds() == 8; }));
  server->press(false);
  ASSERT_TRUE(wait_for(8));
  EXPECT_EQ(outcomes, std::vector<Status>(8, Status::ok));
  ASSERT_TRUE(world.run_until([&] { return !client.led_on(); }));
  EXPECT_EQ(client.ended().status, Status::stopped);
  EXPECT_EQ(server_ended.status, Status::stopped);
}

TEST_F(ServerTest, forced_off_it_closes_at_once_and_waits_for_what_is_below) {
  slow_down();
  connect_and_wait();
  const auto block = letters(512, 'x');
  for (uint64_t i = 0; i < 8; ++i) begin(await_write(port, i * 512, block));
  ASSERT_TRUE(world.run_until([&] { return delay.holds() == 8; }));
  server->force_off();
  ASSERT_TRUE(wait_for(8));
  EXPECT_EQ(outcomes, std::vector<Status>(8, Status::gone));
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; }));
  EXPECT_EQ(check.in_flight(), 0u);
}

TEST_F(ServerTest, switched_off_before_it_began_it_ends_too) {
  Server unused(at_b(), check, dial(), {});
  unused.press(false);
  ASSERT_TRUE(world.run_until([&] { return unused.led_off(); }));
  EXPECT_EQ(world.run(b->machine, unused.serve()).status, Status::stopped);
}

TEST_F(ServerTest, a_brick_can_be_put_below_it_while_it_serves) {
  connect_and_wait();
  Trace trace(at_b(), check);
  bool is_done = false;
  ASSERT_TRUE(server->below().rewire(trace, [&](Result<void> result) { is_done = result.has_value(); }));
  ASSERT_TRUE(world.run_until([&] { return is_done; }));
  EXPECT_EQ(flush(), Status::ok);
  EXPECT_EQ(trace.events(), 2u);
  client.force_off();
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; }));
}

}  // namespace
}  // namespace mars::bricks
