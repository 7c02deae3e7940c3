// A proven member that does not keep to the protocol: the session ends with a reason, nothing else happens.
#include "net/session.h"

#include "net/hosts_test.h"

namespace mars::net::testing {
namespace {

using format::FrameHeader;
using format::FrameType;

// Host b by hand: frames as the test wants them.
class SessionTest : public PeerNetTest {
 protected:
  SessionTest() : a(make(1, "a")) {
    a->known.push_back({uuid_of(2), "b", {}});
    start(*a);
    hello.cluster = cluster_id;
    hello.host = uuid_of(2);
    hello.incarnation = {1};
    hello.host_name = "b";
  }
  void connect() {
    stream = std::move(*world.run(machine, machine.network().connect("a:7790")));
    auto identity = world.run(machine, stream->secure(tls_for(machine, uuid_of(2)), io::Side::client));
    ASSERT_TRUE(identity.has_value());
  }
  void greet() {
    connect();
    send({.type = FrameType::hello}, encode(hello));
    send({.type = FrameType::data}, {});
    ASSERT_EQ(receive().type, FrameType::hello);
    ASSERT_EQ(receive().type, FrameType::data);
    ASSERT_TRUE(world.run_until([&] { return a->live == 1; }, 1s));
  }
  void send_raw(const Bytes& bytes) {
    static_cast<void>(world.run(machine, io::write_all(*stream, bytes)));  // may be closed already
  }
  void send(FrameHeader header, const Bytes& payload) {
    header.length = static_cast<uint32_t>(payload.size());
    const auto head = format::encode_frame_header(header);
    Bytes frame(head.begin(), head.end());
    frame.insert(frame.end(), payload.begin(), payload.end());
    send_raw(frame);
  }
  // The next frame; its payload is in `payload`.
  FrameHeader receive() {
    Bytes head(format::frame_header_bytes);
    if (world.run(machine, io::read_all(*stream, head)) != Status::ok) return {.type = FrameType{0}};
    FrameHeader header = *format::decode_frame_header(head);
    payload.resize(header.length);
    EXPECT_EQ(world.run(machine, io::read_all(*stream, payload)), Status::ok);
    return header;
  }
  // What a says in its refusal before it closes the connection.
  std::string last_words() {
    std::string text = "(nothing)";
    for (FrameHeader header = receive(); header.type != FrameType{0}; header = receive()) {
      if (header.type == FrameType::refusal) text = format::decode_farewell(payload)->text;
    }
    return text;
  }
  void expect_end(const std::string& part_of_reason) {
    const std::string text = last_words();
    EXPECT_NE(text.find(part_of_reason), std::string::npos) << text;
    EXPECT_EQ(a->live, 0);
  }
  static Bytes opening(uint16_t service, uint32_t window) {
    Bytes bytes;
    Writer writer(bytes);
    writer.u16(service);
    writer.u16(0);
    writer.u32(window);
    return bytes;
  }

  std::unique_ptr<TestHost> a;
  sim::SimMachine& machine = world.host("b").machine();
  format::Hello hello;
  std::unique_ptr<io::Stream> stream;
  Bytes payload;
};

TEST_F(SessionTest, garbage_instead_of_tls_is_dropped) {
  stream = std::move(*world.run(machine, machine.network().connect("a:7790")));
  send_raw(bytes_of_size(1000));
  EXPECT_EQ(last_words(), "(nothing)");
  EXPECT_EQ(a->ups, 0);
}

TEST_F(SessionTest, silence_in_the_handshake_ends_it) {
  connect();
  const io::Instant begun = world.now();
  EXPECT_EQ(last_words(), "(nothing)");
  EXPECT_LT(world.now() - begun, 11s);
}

TEST_F(SessionTest, garbage_instead_of_a_hello_is_refused) {
  connect();
  send_raw(bytes_of_size(100));
  expect_end("does not speak our protocol");
}

TEST_F(SessionTest, an_unknown_version_is_refused_by_name) {
  connect();
  hello.version_min = 7;
  hello.version_max = 9;
  send({.type = FrameType::hello}, encode(hello));
  expect_end("speaks protocol version 7 to 9, this host 1");
}

TEST_F(SessionTest, a_neighbouring_version_is_negotiated) {
  hello.version_max = 2;
  greet();
  EXPECT_EQ(a->last->version(), 1);
}

TEST_F(SessionTest, a_hello_of_somebody_else_is_refused) {
  connect();
  hello.host = uuid_of(3);
  send({.type = FrameType::hello}, encode(hello));
  expect_end("the certificate is that of");
}

TEST_F(SessionTest, a_hello_of_another_cluster_is_refused) {
  connect();
  hello.cluster = uuid_of(9);
  send({.type = FrameType::hello}, encode(hello));
  expect_end("of cluster");
}

TEST_F(SessionTest, a_member_that_is_removed_during_the_handshake_is_refused) {
  connect();
  send({.type = FrameType::hello}, encode(hello));
  ASSERT_EQ(receive().type, FrameType::hello);
  a->known.clear();
  a->net->members_changed();
  send({.type = FrameType::data}, {});
  expect_end("no longer a member");
  EXPECT_EQ(a->ups, 0);
}

TEST_F(SessionTest, garbage_in_a_session_ends_it) {
  greet();
  send_raw(bytes_of_size(100));
  expect_end("broke the protocol");
}

TEST_F(SessionTest, an_oversized_frame_ends_it) {
  greet();
  send({.type = FrameType::open, .channel = 1}, opening(silent_service, window_default));
  send({.type = FrameType::data, .channel = 1}, Bytes(300'000));
  expect_end("300000 bytes");
}

TEST_F(SessionTest, a_second_hello_ends_it) {
  greet();
  send({.type = FrameType::hello}, encode(hello));
  expect_end("unexpected frame of type hello");
}

TEST_F(SessionTest, data_beyond_the_credit_ends_it) {
  greet();
  send({.type = FrameType::open, .channel = 1}, opening(silent_service, window_default));
  Bytes message(200'004);
  store_u32(message.data(), 200'000);
  for (int i = 0; i < 6; ++i) send({.type = FrameType::data, .channel = 1}, message);
  expect_end("beyond its credit");
}

TEST_F(SessionTest, a_message_that_claims_too_much_ends_it) {
  greet();
  send({.type = FrameType::open, .channel = 1}, opening(silent_service, window_default));
  Bytes message(8);
  store_u32(message.data(), UINT32_MAX);
  send({.type = FrameType::data, .channel = 1}, message);
  expect_end("beyond its credit");
}

TEST_F(SessionTest, data_that_nobody_reads_on_many_channels_ends_it) {
  greet();
  Bytes message(8);
  store_u32(message.data(), 1'000'000);
  for (uint32_t id = 1; id < 2 * 16; id += 2) {
    send({.type = FrameType::open, .channel = id}, opening(silent_service, window_default));
    send({.type = FrameType::data, .channel = id}, message);
  }
  world.run_for(1s);
  ASSERT_EQ(a->live, 1);
  a->kept[3]->close();  // makes room for one more
  for (uint32_t id = 2 * 16 + 1; id < 2 * 18; id += 2) {
    send({.type = FrameType::open, .channel = id}, opening(silent_service, window_default));
    world.run_for(10ms);
    ASSERT_EQ(a->live, 1);
    send({.type = FrameType::data, .channel = id}, message);
  }
  expect_end("more data than anybody reads");
}

TEST_F(SessionTest, credit_beyond_the_window_ends_it) {
  greet();
  send({.type = FrameType::open, .channel = 1}, opening(silent_service, window_default));
  Bytes credit(4);
  store_u32(credit.data(), 1);
  send({.type = FrameType::credit, .channel = 1}, credit);
  expect_end("credit beyond its window");
}

TEST_F(SessionTest, a_frame_for_no_channel_ends_it) {
  greet();
  send({.type = FrameType::data, .channel = 5}, Bytes(10));
  expect_end("not open");
}

TEST_F(SessionTest, a_channel_number_of_the_wrong_side_ends_it) {
  greet();
  send({.type = FrameType::open, .channel = 2}, opening(silent_service, window_default));
  expect_end("out of order");
}

TEST_F(SessionTest, a_malformed_opening_ends_it) {
  greet();
  send({.type = FrameType::open, .channel = 1}, opening(silent_service, 1));
  expect_end("malformed opening");
}

TEST_F(SessionTest, too_many_channels_end_it) {
  greet();
  for (uint32_t id = 0; id <= channels_max; ++id) {
    send({.type = FrameType::open, .channel = 2 * id + 1}, opening(77, window_default));
  }
  expect_end("too many channels");
}

TEST_F(SessionTest, an_end_of_the_connection_ends_it) {
  greet();
  stream->close();
  EXPECT_TRUE(world.run_until([&] { return a->live == 0; }, 1s));
  EXPECT_EQ(a->downs.at(0).text, "the peer closed the connection");
}

TEST_F(SessionTest, a_peer_that_is_silent_is_given_up) {
  greet();
  const io::Instant begun = world.now();
  EXPECT_TRUE(world.run_until([&] { return a->live == 0; }, 20s));
  EXPECT_GE(world.now() - begun, 5900ms);
  EXPECT_LE(world.now() - begun, 6100ms);
  EXPECT_EQ(a->downs.at(0).status, Status::timed_out);
}

TEST_F(SessionTest, random_frames_never_do_more_than_end_it) {
  Prng prng(3);
  for (int round = 0; round < 200; ++round) {
    greet();
    for (int i = 0; i < 20 && a->live == 1; ++i) {
      Bytes bytes(prng.below(40));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.below(prng.chance(1, 2) ? 256 : 3));
      const auto type = static_cast<FrameType>(prng.between(1, 8));
      if (type == FrameType::credit) bytes.resize(4);
      if (type == FrameType::ping || type == FrameType::pong) bytes.resize(8);
      send({.type = type, .channel = static_cast<uint32_t>(prng.below(6))}, bytes);
      world.run_for(1ms);
    }
    stream->close();
    stream.reset();
    a->kept.clear();
    EXPECT_TRUE(world.run_until([&] { return a->live == 0; }, 10s));
  }
}

}  // namespace
}  // namespace mars::net::testing
