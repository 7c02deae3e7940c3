#include "sim/tls.h"

#include <gtest/gtest.h>

#include "sim/keys.h"
#include "sim/sha256.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

// A CA, and hosts "a" and "b" with certificates of it.
class TlsTest : public testing::Test {
 protected:
  SimMachine& a() { return world_.host("a").machine(); }
  SimMachine& b() { return world_.host("b").machine(); }

  TlsTest() : ca_(a().keys().make_ca("c1").value()) {}
  io::TlsConfig config(SimMachine& machine, const io::KeyPair& ca, const std::string& uri) {
    io::TlsConfig made;
    made.key_pem = machine.keys().make_key().value();
    const std::string request = machine.keys().make_request(made.key_pem, "whatever").value();
    made.certificate_pem = machine.keys().sign(ca, request, uri, "host").value();
    made.ca_pem = ca.certificate_pem;
    return made;
  }
  static Task<void> shake(io::Stream& stream, io::TlsConfig config, io::Side side, Result<io::PeerIdentity>& outcome,
                          bool& is_done) {
    outcome = co_await stream.secure(std::move(config), side);
    is_done = true;
  }
  // Both sides at once; keeps the streams.
  void handshake(io::TlsConfig client, io::TlsConfig server) {
    auto listener = world_.run(b(), b().network().listen("[::]:1", 0600)).value();
    client_ = world_.run(a(), a().network().connect("b:1")).value();
    server_ = world_.run(b(), listener->accept()).value();
    bool done_a = false, done_b = false;
    a().scope().spawn(shake(*client_, std::move(client), io::Side::client, at_client_, done_a));
    b().scope().spawn(shake(*server_, std::move(server), io::Side::server, at_server_, done_b));
    EXPECT_TRUE(world_.run_until([&] { return done_a && done_b; }));
  }

  World world_{5};
  io::KeyPair ca_;
  std::unique_ptr<io::Stream> client_;
  std::unique_ptr<io::Stream> server_;
  Result<io::PeerIdentity> at_client_ = failure(Status::stopped);
  Result<io::PeerIdentity> at_server_ = failure(Status::stopped);
};

TEST_F(TlsTest, each_side_learns_who_the_other_is) {
  const io::TlsConfig client = config(a(), ca_, "mars:c1/host/a");
  handshake(client, config(b(), ca_, "mars:c1/host/b"));
  ASSERT_TRUE(at_client_ && at_server_);
  EXPECT_EQ(at_client_->uri, "mars:c1/host/b");
  EXPECT_EQ(at_server_->uri, "mars:c1/host/a");
  EXPECT_EQ(at_server_->role, "host");
  EXPECT_EQ(at_server_->key, a().keys().public_key_hash(client.key_pem).value());
  EXPECT_TRUE(server_->peer().is_authenticated);
}

TEST_F(TlsTest, a_foreign_ca_is_refused) {
  const io::KeyPair foreign = b().keys().make_ca("c2").value();
  handshake(config(a(), ca_, "x"), config(b(), foreign, "y"));
  EXPECT_EQ(status_of(at_client_), Status::permission);
  EXPECT_FALSE(at_server_);
}

TEST_F(TlsTest, a_refused_client_hears_of_it_at_its_next_read) {
  io::TlsConfig stranger = config(a(), b().keys().make_ca("c2").value(), "x");
  stranger.ca_pem = ca_.certificate_pem;
  handshake(stranger, config(b(), ca_, "y"));
  EXPECT_EQ(status_of(at_server_), Status::permission);
  std::array<std::byte, 1> byte;
  EXPECT_EQ(status_of(world_.run(a(), client_->read_some(byte))), Status::permission);
}

TEST_F(TlsTest, a_certificate_without_its_key_is_refused) {
  io::TlsConfig thief = config(a(), ca_, "x");
  thief.key_pem = a().keys().make_key().value();
  handshake(thief, config(b(), ca_, "y"));
  EXPECT_FALSE(at_client_);
  EXPECT_FALSE(at_server_);
}

TEST_F(TlsTest, a_server_may_take_clients_without_certificate) {
  io::TlsConfig joiner;
  joiner.ca_pem = ca_.certificate_pem;
  io::TlsConfig server = config(b(), ca_, "y");
  handshake(joiner, server);
  EXPECT_EQ(status_of(at_server_), Status::permission);
  server.needs_peer_certificate = false;
  handshake(joiner, server);
  ASSERT_TRUE(at_server_);
  EXPECT_FALSE(at_server_->is_authenticated);
  EXPECT_TRUE(at_client_->is_authenticated);
}

TEST_F(TlsTest, a_joiner_trusts_the_ca_by_its_key) {
  io::TlsConfig joiner;
  joiner.ca_key = a().keys().public_key_hash(ca_.certificate_pem).value();
  io::TlsConfig server = config(b(), ca_, "y");
  server.needs_peer_certificate = false;
  handshake(joiner, server);
  ASSERT_TRUE(at_client_);
  EXPECT_EQ(at_client_->ca_pem, ca_.certificate_pem);
  joiner.ca_key = a().keys().public_key_hash(a().keys().make_ca("other")->certificate_pem).value();
  handshake(joiner, server);
  EXPECT_EQ(status_of(at_client_), Status::permission);
}

TEST_F(TlsTest, keys_refuse_what_does_not_fit) {
  io::Keys& keys = a().keys();
  const std::string key = keys.make_key().value();
  const std::string request = keys.make_request(key, "u").value();
  EXPECT_EQ(keys.public_key_hash(key).value(), keys.public_key_hash(request).value());
  EXPECT_EQ(status_of(keys.sign({key, ca_.certificate_pem}, request, "u", "host")), Status::permission);
  EXPECT_EQ(status_of(keys.sign(ca_, "nonsense", "u", "host")), Status::invalid);
  EXPECT_EQ(status_of(keys.make_request("nonsense", "u")), Status::invalid);
  EXPECT_EQ(status_of(keys.public_key_hash("nonsense")), Status::invalid);
}

TEST(Sha256, known_answers) {
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  EXPECT_EQ(hex(sha256(std::as_bytes(std::span(text)))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace mars::sim
