#include "bricks/client.h"

#include "bricks/remote_hosts_test.h"
#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

using xio::Op;
using ClientTest = RemoteHosts;

TEST_F(ClientTest, the_info_comes_across) {
  EXPECT_EQ(client.info().bytes, 0u);
  connect_and_wait();
  EXPECT_EQ(client.info().bytes, device_bytes);
  EXPECT_EQ(client.info().block_bytes, 512u);
  EXPECT_EQ(client.info().write_zeroes, xio::Support::native);
  EXPECT_EQ(xio::stricter(check.info(), client.info()), nullptr);
}

TEST_F(ClientTest, what_is_written_lies_on_the_other_host) {
  connect_and_wait();
  EXPECT_EQ(write(8192, letters(4096, 'x')), Status::ok);
  EXPECT_EQ(content(8192, 4096), letters(4096, 'x'));
  EXPECT_EQ(read(8192, 4096), letters(4096, 'x'));
  EXPECT_EQ(flush(), Status::ok);
  EXPECT_EQ(check.counts(Op::flush, xio::Step::io).out, 1u);
}

TEST_F(ClientTest, the_longest_request_goes_in_one_piece) {
  connect_and_wait();
  const auto bytes = noise(1 << 20, 1);
  EXPECT_EQ(write(0, bytes), Status::ok);
  EXPECT_EQ(read(0, 1 << 20), bytes);
  EXPECT_EQ(check.counts(Op::write, xio::Step::io).out, 1u);
}

TEST_F(ClientTest, a_digest_crosses_instead_of_the_bytes) {
  connect_and_wait();
  const auto bytes = noise(1 << 20, 1);
  ASSERT_EQ(write(0, bytes), Status::ok);
  const uint64_t before = a->session_with(*b)->bytes_received();
  Hash128 digest;
  EXPECT_EQ(at_a(await_digest(port, 0, 1 << 20, digest)), Status::ok);
  EXPECT_EQ(digest, hash(bytes));
  EXPECT_LT(a->session_with(*b)->bytes_received() - before, 1000u);
}

TEST_F(ClientTest, zeroes_are_told_not_sent) {
  connect_and_wait();
  ASSERT_EQ(write(0, letters(4096, 'x')), Status::ok);
  EXPECT_EQ(at_a(await_zeroes(port, 0, device_bytes)), Status::ok);
  EXPECT_EQ(content(0, 4096), letters(4096, '\0'));
}

TEST_F(ClientTest, what_does_not_fit_is_answered_here) {
  connect_and_wait();
  EXPECT_EQ(write(device_bytes, letters(512, 'x')), Status::invalid);
  EXPECT_EQ(write(1, letters(512, 'x')), Status::invalid);
  EXPECT_EQ(check.counts().in, 0u);
}

TEST_F(ClientTest, thirty_two_requests_overtake_each_other_and_come_back_right) {
  connect_and_wait();
  slow_down();
  std::vector<std::vector<std::byte>> blocks;
  for (uint64_t i = 0; i < 32; ++i) {
    blocks.push_back(noise(4096, i));
    begin(await_write(port, i * 4096, blocks[i]));
  }
  ASSERT_TRUE(world.run_until([&] { return delay.holds() == 32; }));
  EXPECT_EQ(client.in_flight(), 32u);
  ASSERT_TRUE(wait_for(32));
  std::vector<std::vector<std::byte>> into(32, std::vector<std::byte>(4096));
  for (uint64_t i = 0; i < 32; ++i) begin(await_read(port, i * 4096, into[i]));
  ASSERT_TRUE(wait_for(64));
  EXPECT_EQ(into, blocks);
  EXPECT_EQ(outcomes, std::vector<Status>(64, Status::ok));
}

TEST_F(ClientTest, more_than_the_server_allows_wait_in_order) {
  server_options.in_flight_max = 4;
  connect_and_wait();
  slow_down();
  const auto block = letters(512, 'x');
  for (uint64_t i = 0; i < 20; ++i) begin(await_write(port, i * 512, block));
  ASSERT_TRUE(world.run_until([&] { return client.in_flight() == 4; }));
  EXPECT_EQ(client.waiting(), 16u);
  ASSERT_TRUE(wait_for(20));
  EXPECT_EQ(outcomes, std::vector<Status>(20, Status::ok));
}

TEST_F(ClientTest, before_the_greeting_everything_is_gone) {
  Sender sender(a->machine.ready(), client);
  EXPECT_EQ(sender.other(Op::flush), Status::gone);
  EXPECT_EQ(sender.write(0, letters(512, 'x')), Status::gone);
  EXPECT_TRUE(client.led_off());
}

TEST_F(ClientTest, a_cut_ends_everything_with_gone) {
  connect_and_wait();
  slow_down();
  const auto block = letters(512, 'x');
  for (uint64_t i = 0; i < 100; ++i) begin(await_write(port, i * 512, block));
  ASSERT_TRUE(world.run_until([&] { return client.in_flight() == 64 && delay.holds() > 0; }));
  world.network().cut("a", "b");
  ASSERT_TRUE(wait_for(100));
  EXPECT_EQ(outcomes, std::vector<Status>(100, Status::gone));
  EXPECT_FALSE(client.led_on());
  EXPECT_FALSE(client.led_off());
  EXPECT_NE(client.ended().text.find("does not answer"), std::string::npos) << client.ended().text;
  EXPECT_EQ(write(0, block), Status::gone);
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; })) << "the other side gives up too";
}

TEST_F(ClientTest, with_another_channel_it_goes_on) {
  connect_and_wait();
  ASSERT_EQ(write(0, letters(512, 'x')), Status::ok);
  world.network().cut("a", "b");
  ASSERT_TRUE(world.run_until([&] { return !client.led_on(); }));
  world.network().heal("a", "b");
  ASSERT_TRUE(connects(*a, *b));
  connect_and_wait();
  EXPECT_EQ(read(0, 512), letters(512, 'x'));
}

TEST_F(ClientTest, a_new_channel_replaces_a_living_one) {
  connect_and_wait();
  client.use(dial());
  ASSERT_TRUE(world.run_until([&] { return !client.led_on(); }));
  ASSERT_TRUE(world.run_until([&] { return client.led_on(); }));
  EXPECT_EQ(flush(), Status::ok);
}

TEST_F(ClientTest, a_device_that_keeps_less_than_before_is_refused) {
  Memory smaller(at_b(), {.bytes = device_bytes / 2, .block_bytes = 512});
  connect_and_wait();
  served = &smaller;
  client.use(dial());
  ASSERT_TRUE(world.run_until([&] { return client.ended().status == Status::refused; }));
  EXPECT_NE(client.ended().text.find("size"), std::string::npos) << client.ended().text;
  EXPECT_EQ(flush(), Status::gone);
  ASSERT_TRUE(world.run_until([&] { return server == nullptr; }));
}

TEST_F(ClientTest, a_host_without_the_service_is_named_as_the_reason) {
  connect(99);
  ASSERT_TRUE(world.run_until([&] { return client.ended().status == Status::unsupported; }));
  EXPECT_FALSE(client.led_on());
}

Task<void> reconnect(Client& client, std::function<std::unique_ptr<net::Channel>()> dial, int& dialled) {
  while (!client.led_on()) {
    if (client.needs_channel()) {
      ++dialled;
      client.use(dial());
    }
    co_await client.changed().wait();
  }
}

TEST_F(ClientTest, its_owner_hears_of_each_channel_that_fails) {
  client.press(true);
  int dialled = 0;
  a->machine.scope().spawn(reconnect(client, [&] { return dial(dialled < 3 ? 99 : xio_service); }, dialled));
  ASSERT_TRUE(world.run_until([&] { return client.led_on(); }));
  EXPECT_EQ(dialled, 3);
  world.run_for(1ms);
}

Task<void> exercise(xio::Port& top, Prng& prng, int rounds, int& ok, int& gone) {
  std::vector<std::byte> buffer(64 << 10);
  for (int i = 0; i < rounds; ++i) {
    const uint64_t bytes = 512 * (1 + prng.below(128));
    const uint64_t offset = 512 * prng.below(512);
    const ByteSpan part = ByteSpan(buffer).first(bytes);
    Hash128 digest;
    Status status = Status::ok;
    const uint64_t choice = prng.below(10);
    if (choice < 4) {
      std::ranges::copy(noise(bytes, prng.next()), part.begin());
      status = co_await top.write(offset, part, choice == 0);
    } else if (choice < 7) {
      status = co_await top.read(offset, part);
    } else if (choice == 7) {
      status = co_await top.digest(offset, bytes, digest);
    } else if (choice == 8) {
      status = co_await top.write_zeroes(offset, bytes);
    } else {
      status = co_await top.flush();
    }
    ++(status == Status::ok ? ok : gone);
  }
}

TEST_F(ClientTest, checked_from_above_every_byte_is_right_through_a_cut) {
  connect_and_wait();
  slow_down();
  Check top(a->machine.ready(), client, {.compare = true});
  xio::Port above(top);
  Prng prng(11);
  int ok = 0;
  int gone = 0;
  for (int i = 0; i < 16; ++i) a->machine.scope().spawn(exercise(above, prng, 20, ok, gone));
  ASSERT_TRUE(world.run_until([&] { return ok == 150; }));
  world.network().cut("a", "b");
  ASSERT_TRUE(world.run_until([&] { return ok + gone == 16 * 20; }));
  EXPECT_GT(gone, 0);
  world.network().heal("a", "b");
  ASSERT_TRUE(connects(*a, *b));
  connect_and_wait();
  for (int i = 0; i < 16; ++i) a->machine.scope().spawn(exercise(above, prng, 20, ok, gone));
  ASSERT_TRUE(world.run_until([&] { return ok + gone == 2 * 16 * 20; }));
  EXPECT_EQ(top.in_flight(), 0u);
  EXPECT_EQ(top.faults(), 0u) << top.report();
  EXPECT_GT(top.bytes_compared(), 100u << 10);
}

TEST_F(ClientTest, switched_off_it_finishes_what_is_under_way) {
  connect_and_wait();
  slow_down();
  const auto block = letters(512, 'x');
  for (uint64_t i = 0; i < 8; ++i) begin(await_write(port, i * 512, block));
  ASSERT_TRUE(world.run_until([&] { return client.in_flight() == 8; }));
  client.press(false);
  ASSERT_TRUE(world.run_until([&] { return client.led_off(); }));
  EXPECT_EQ(outcomes, std::vector<Status>(8, Status::ok));
  EXPECT_EQ(write(0, block), Status::gone);
}

TEST_F(ClientTest, forced_off_everything_is_gone_at_once) {
  connect_and_wait();
  slow_down();
  const auto block = letters(512, 'x');
  for (uint64_t i = 0; i < 8; ++i) begin(await_write(port, i * 512, block));
  ASSERT_TRUE(world.run_until([&] { return delay.holds() == 8; }));
  const io::Instant start = world.now();
  client.force_off();
  ASSERT_TRUE(world.run_until([&] { return client.led_off(); }));
  EXPECT_LT(world.now() - start, 1ms);
  EXPECT_EQ(outcomes, std::vector<Status>(8, Status::gone));
}

// What the other side says, instead of a server.
struct LiarTest : RemoteHosts {
  void connect_to_liar() {
    connect(liar_service);
    ASSERT_TRUE(world.run_until([&] { return liar != nullptr; }));
    ASSERT_TRUE(hear().has_value());
  }
  void welcome() {
    say(encode(RemoteWelcome{.info = memory.info(), .in_flight_max = 8}));
    ASSERT_TRUE(world.run_until([&] { return client.led_on(); }));
  }
  void say(net::Bytes message) { ASSERT_EQ(world.run(b->machine, liar->send(std::move(message))), Status::ok); }
  Result<net::Bytes> hear() { return world.run(b->machine, liar->receive()); }
  // The channel was closed and the reason came across.
  void expect_thrown_out(const std::string& text) {
    Result<net::Bytes> message = hear();
    while (message) message = hear();
    EXPECT_EQ(message.error().status, Status::invalid);
    EXPECT_NE(message.error().text.find(text), std::string::npos) << message.error().text;
    EXPECT_EQ(client.ended().status, Status::invalid);
  }
};

TEST_F(LiarTest, garbage_instead_of_a_welcome_closes_the_channel) {
  connect_to_liar();
  say(noise(48, 1));
  expect_thrown_out("a malformed welcome");
}

TEST_F(LiarTest, garbage_instead_of_an_answer_closes_the_channel) {
  connect_to_liar();
  welcome();
  begin(await_flush(port));
  say(noise(100, 1));
  expect_thrown_out("a malformed answer");
  ASSERT_TRUE(wait_for(1));
  EXPECT_EQ(outcomes[0], Status::gone);
}

TEST_F(LiarTest, an_answer_to_no_request_closes_the_channel) {
  connect_to_liar();
  welcome();
  say(encode(RemoteAnswer{77, Status::ok, {}}));
  expect_thrown_out("what nobody asked");
}

TEST_F(LiarTest, an_answer_of_a_wrong_size_closes_the_channel_and_touches_no_buffer) {
  connect_to_liar();
  welcome();
  std::vector<std::byte> into(512, std::byte{'x'});
  begin(await_read(port, 0, into));
  const RemoteRequest request = decode_remote_request(hear().value()).value();
  const auto longer = letters(1024, 'y');
  say(encode(RemoteAnswer{request.id, Status::ok, longer}));
  expect_thrown_out("a wrong number of bytes");
  EXPECT_EQ(into, letters(512, 'x'));
}

}  // namespace
}  // namespace mars::bricks
