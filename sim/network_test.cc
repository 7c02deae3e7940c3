#include "sim/network.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> text_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Hosts "a" and "b"; b listens on port 7790 and a is connected to it.
class NetworkTest : public testing::Test {
 protected:
  explicit NetworkTest(uint64_t seed = 11) { boot(seed); }
  ~NetworkTest() override { drop(); }
  void drop() {
    client_.reset();
    server_.reset();
    listener_.reset();
  }
  void boot(uint64_t seed) {
    drop();
    world_.emplace(seed);
    listener_ = world().run(b(), b().network().listen("[::]:7790", 0600)).value();
    join();
  }
  void join() {
    client_ = world().run(a(), a().network().connect("b:7790")).value();
    server_ = world().run(b(), listener_->accept()).value();
  }
  World& world() { return *world_; }
  Fabric& net() { return world().network(); }
  SimMachine& a() { return world().host("a").machine(); }
  SimMachine& b() { return world().host("b").machine(); }
  Status send(SimMachine& machine, io::Stream& stream, const std::string& text) {
    return world().run(machine, io::write_all(stream, text_bytes(text)));
  }
  Result<std::string> receive(SimMachine& machine, io::Stream& stream, size_t bytes) {
    std::string text(bytes, '\0');
    const Status status = world().run(machine, io::read_all(stream, std::as_writable_bytes(std::span(text))));
    if (status != Status::ok) return failure(status);
    return text;
  }
  // Connecting, seen from a.
  Status connecting(const io::Address& address) { return status_of(world().run(a(), a().network().connect(address))); }

  std::optional<World> world_;
  std::unique_ptr<io::Listener> listener_;
  std::unique_ptr<io::Stream> client_;
  std::unique_ptr<io::Stream> server_;
};

Task<void> read_to_end(io::Stream& stream, std::string& text, Status& outcome, std::set<size_t>& pieces) {
  outcome = Status::ok;
  std::array<std::byte, 3000> buffer;
  for (;;) {
    Result<size_t> count = co_await stream.read_some(buffer);
    outcome = status_of(count);
    if (!count) co_return;
    pieces.insert(*count);
    text.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
}

Task<void> write_text(io::Stream& stream, std::string text, Status& outcome) {
  outcome = Status::busy;
  outcome = co_await io::write_all(stream, std::as_bytes(std::span(text)));
}

std::string long_text(size_t bytes) {
  std::string text(bytes, ' ');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

TEST_F(NetworkTest, bytes_arrive_in_both_directions) {
  EXPECT_EQ(send(a(), *client_, "hello"), Status::ok);
  EXPECT_EQ(receive(b(), *server_, 5).value(), "hello");
  EXPECT_EQ(send(b(), *server_, "welcome"), Status::ok);
  EXPECT_EQ(receive(a(), *client_, 7).value(), "welcome");
}

TEST_F(NetworkTest, addresses_name_hosts_and_ports) {
  EXPECT_EQ(listener_->address(), "[::]:7790");
  EXPECT_EQ(client_->remote_address(), "b:7790");
  EXPECT_EQ(server_->local_address(), "b:7790");
  EXPECT_EQ(server_->remote_address(), client_->local_address());
  EXPECT_TRUE(client_->local_address().starts_with("a:4"));
  EXPECT_FALSE(client_->is_local());
}

TEST_F(NetworkTest, a_long_text_arrives_whole_in_pieces_of_any_size) {
  const std::string text = long_text(5 << 20);
  std::string got;
  Status sent = Status::ok, received = Status::ok;
  std::set<size_t> pieces;
  a().scope().spawn(write_text(*client_, text, sent));
  b().scope().spawn(read_to_end(*server_, got, received, pieces));
  EXPECT_TRUE(world().run_until([&] { return got.size() == text.size(); }));
  EXPECT_EQ(sent, Status::ok);
  EXPECT_EQ(got, text);
  EXPECT_GE(pieces.size(), 50u);
  client_->close();
  EXPECT_TRUE(world().run_until([&] { return received == Status::end; }, 1s));
}

TEST_F(NetworkTest, a_reader_that_does_not_read_stops_the_writer) {
  Status sent = Status::ok;
  a().scope().spawn(write_text(*client_, long_text(4 << 20), sent));
  world().run_for(60s);
  EXPECT_EQ(sent, Status::busy);
  server_->close();
  EXPECT_TRUE(world().run_until([&] { return sent == Status::gone; }, 1s));
}

TEST_F(NetworkTest, bandwidth_takes_its_time) {
  net().set_link("a", "b", {.latency = 50ms, .jitter = 0ns, .bytes_per_second = 1'000'000});
  const io::Instant start = world().now();
  EXPECT_EQ(send(a(), *client_, long_text(500'000)), Status::ok);
  EXPECT_EQ(receive(b(), *server_, 500'000)->size(), 500'000u);
  EXPECT_GE(world().now() - start, 550ms);
  EXPECT_LE(world().now() - start, 560ms);
}

TEST_F(NetworkTest, a_cut_stops_bytes_and_heal_brings_them) {
  net().cut("a", "b");
  EXPECT_EQ(send(a(), *client_, "late"), Status::ok);
  std::string got;
  Status outcome = Status::ok;
  std::set<size_t> pieces;
  b().scope().spawn(read_to_end(*server_, got, outcome, pieces));
  world().run_for(5s);
  EXPECT_EQ(got, "");
  net().heal("a", "b");
  EXPECT_TRUE(world().run_until([&] { return got == "late"; }, 1s));
  client_->close();
  EXPECT_TRUE(world().run_until([&] { return outcome == Status::end; }, 1s));
}

TEST_F(NetworkTest, a_sender_gives_up_a_silent_connection_and_the_other_end_is_half_open) {
  net().cut("a", "b");
  ASSERT_EQ(send(a(), *client_, "lost"), Status::ok);
  world().run_for(20s);
  EXPECT_EQ(send(a(), *client_, "more"), Status::gone);
  net().heal("a", "b");
  ASSERT_EQ(send(b(), *server_, "anybody?"), Status::ok);
  world().run_for(1s);
  EXPECT_EQ(send(b(), *server_, "nobody"), Status::gone);
}

TEST_F(NetworkTest, a_cut_in_one_direction_lets_the_other_pass) {
  net().cut_one_way("a", "b");
  EXPECT_EQ(send(b(), *server_, "news"), Status::ok);
  EXPECT_EQ(receive(a(), *client_, 4).value(), "news");
  EXPECT_EQ(send(a(), *client_, "answer"), Status::ok);
  world().run_for(1s);
  net().heal_one_way("a", "b");
  EXPECT_EQ(receive(b(), *server_, 6).value(), "answer");
}

TEST_F(NetworkTest, connecting_is_refused_timed_out_or_unreachable) {
  EXPECT_EQ(connecting("b:1"), Status::refused);
  EXPECT_EQ(connecting("nobody:7790"), Status::unreachable);
  net().cut("a", "b");
  EXPECT_EQ(connecting("b:7790"), Status::timed_out);
  net().heal("a", "b");
  drop();
  world().host("b").power_loss();
  EXPECT_EQ(connecting("b:7790"), Status::timed_out);
  world().host("b").start();
  EXPECT_EQ(connecting("b:7790"), Status::refused);
}

TEST_F(NetworkTest, reset_breaks_both_ends) {
  net().reset("b", "a");
  EXPECT_EQ(status_of(receive(a(), *client_, 1)), Status::gone);
  EXPECT_EQ(status_of(receive(b(), *server_, 1)), Status::gone);
}

TEST_F(NetworkTest, a_killed_process_ends_or_resets_its_connections) {
  std::set<Status> outcomes;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    boot(seed);
    world().host("b").kill();
    outcomes.insert(status_of(receive(a(), *client_, 1)));
  }
  EXPECT_EQ(outcomes, (std::set<Status>{Status::end, Status::gone}));
}

TEST_F(NetworkTest, a_host_without_power_is_silent_and_resets_when_it_is_up_again) {
  std::string got;
  Status outcome = Status::ok;
  std::set<size_t> pieces;
  a().scope().spawn(read_to_end(*client_, got, outcome, pieces));
  world().host("b").power_loss();
  world().run_for(5s);
  EXPECT_EQ(outcome, Status::ok);
  ASSERT_EQ(send(a(), *client_, "hello?"), Status::ok);
  world().host("b").start();
  EXPECT_TRUE(world().run_until([&] { return outcome == Status::gone; }, 1s));
}

TEST_F(NetworkTest, close_makes_pending_calls_gone) {
  std::string got;
  Status outcome = Status::ok;
  std::set<size_t> pieces;
  a().scope().spawn(read_to_end(*client_, got, outcome, pieces));
  world().run_for(1ms);
  client_->close();
  EXPECT_EQ(outcome, Status::ok);  // never inside the call
  EXPECT_TRUE(world().run_until([&] { return outcome == Status::gone; }, 1ms));
  listener_->close();
  EXPECT_EQ(status_of(world().run(b(), listener_->accept())), Status::gone);
}

TEST_F(NetworkTest, what_was_written_before_close_arrives) {
  ASSERT_EQ(send(a(), *client_, "last words"), Status::ok);
  client_->close();
  EXPECT_EQ(receive(b(), *server_, 10).value(), "last words");
  EXPECT_EQ(status_of(receive(b(), *server_, 1)), Status::end);
}

TEST_F(NetworkTest, a_unix_socket_stays_inside_its_host) {
  auto listener = world().run(b(), b().network().listen("unix:/run/x.sock", 0600)).value();
  EXPECT_EQ(connecting("unix:/run/x.sock"), Status::refused);
  SimMachine& client = world().host("b").process("client");
  auto stream = world().run(client, client.network().connect("unix:/run/x.sock")).value();
  auto accepted = world().run(b(), listener->accept()).value();
  EXPECT_TRUE(stream->is_local());
  world().network().isolate("b");
  EXPECT_EQ(send(client, *stream, "here"), Status::ok);
  EXPECT_EQ(receive(b(), *accepted, 4).value(), "here");
  world().host("b").kill();
  EXPECT_NE(status_of(receive(client, *stream, 1)), Status::ok);
}

TEST_F(NetworkTest, ports_are_taken_once_and_zero_takes_any) {
  EXPECT_EQ(status_of(world().run(b(), b().network().listen("[::]:7790", 0600))), Status::busy);
  auto any = world().run(b(), b().network().listen("[::]:0", 0600)).value();
  EXPECT_NE(any->address(), "[::]:0");
  EXPECT_EQ(connecting("b:" + split_address(any->address()).second), Status::ok);
}

TEST_F(NetworkTest, nothing_is_left_when_both_ends_are_gone) {
  drop();
  world().run_for(1s);
  EXPECT_EQ(net().connection_count(), 0u);
}

}  // namespace
}  // namespace mars::sim
