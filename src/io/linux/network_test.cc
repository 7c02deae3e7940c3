// Plain and secured streams over the real loopback.
#include <algorithm>
#include <cstring>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/prng.h"
#include "io/linux/descriptor.h"
#include "io/linux/keys.h"
#include "io/linux/test_host.h"

namespace mars::io {
namespace {

using StreamPtr = std::unique_ptr<Stream>;
using ListenerPtr = std::unique_ptr<Listener>;

Bytes noise(size_t bytes, uint64_t seed) {
  Prng prng(seed);
  Bytes result(bytes);
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    const uint64_t word = prng.next();
    std::memcpy(result.data() + at, &word, std::min(sizeof word, bytes - at));
  }
  return result;
}

class NetworkTest : public testing::Test {
 protected:
  struct Pair {
    StreamPtr client;
    StreamPtr server;
  };
  Task<Pair> connected(Address address = "127.0.0.1:0") {
    auto listener = must(co_await host_.network().listen(address));
    auto client = must(co_await host_.network().connect(listener->address()));
    auto server = must(co_await listener->accept());
    Pair pair;
    pair.client = std::move(client);
    pair.server = std::move(server);
    co_return pair;
  }
  Task<void> accept_one(Listener& listener, StreamPtr& into, Status& status) {
    auto stream = co_await listener.accept();
    status = status_of(stream);
    if (stream) into = std::move(*stream);
  }
  Task<void> send(Stream& stream, const Bytes& bytes, Status& status) { status = co_await write_all(stream, bytes); }
  Task<void> receive(Stream& stream, Bytes& into, Status& status) { status = co_await read_all(stream, into); }
  Task<void> exchange(Stream& one, Stream& two, size_t bytes) {
    const Bytes there = noise(bytes, 1), back = noise(bytes, 2);
    Bytes got_there(bytes), got_back(bytes);
    std::array<Status, 4> status = {Status::gone, Status::gone, Status::gone, Status::gone};
    Scope scope(host_.machine().ready());
    scope.spawn(send(one, there, status[0]));
    scope.spawn(receive(one, got_back, status[1]));
    scope.spawn(send(two, back, status[2]));
    scope.spawn(receive(two, got_there, status[3]));
    co_await scope.join();
    for (const Status s : status) EXPECT_EQ(s, Status::ok);
    EXPECT_TRUE(got_there == there);
    EXPECT_TRUE(got_back == back);
  }

  TestHost host_;
};

TEST_F(NetworkTest, tcp_v4_and_v6_carry_bytes) {
  host_.run([&]() -> Task<void> {
    for (const char* address : {"127.0.0.1:0", "[::1]:0", "localhost:0"}) {
      Pair pair = co_await connected(address);
      EXPECT_FALSE(pair.client->is_local());
      EXPECT_FALSE(pair.client->peer().is_authenticated);
      EXPECT_EQ(pair.client->local_address(), pair.server->remote_address());
      co_await exchange(*pair.client, *pair.server, 1000);
      // Also where what came before was not read.
      EXPECT_FALSE(pair.server->has_peer_left());
      EXPECT_EQ(co_await write_all(*pair.client, std::vector<std::byte>(100)), Status::ok);
      EXPECT_FALSE(pair.server->has_peer_left());
      pair.client->close();
      Event never(host_.machine().ready());
      for (int i = 0; i < 1000 && !pair.server->has_peer_left(); ++i) {
        co_await sleep_for(host_.machine(), std::chrono::milliseconds(10), never);
      }
      EXPECT_TRUE(pair.server->has_peer_left());
      EXPECT_TRUE(pair.client->has_peer_left());
    }
  });
}

TEST_F(NetworkTest, any_address_takes_v4_and_v6) {
  host_.run([&]() -> Task<void> {
    auto listener = must(co_await host_.network().listen("[::]:0"));
    const std::string port = listener->address().substr(listener->address().rfind(':'));
    EXPECT_NE(port, ":0");
    auto client = must(co_await host_.network().connect("127.0.0.1" + port));
    auto server = must(co_await listener->accept());
    EXPECT_TRUE(server->remote_address().starts_with("127.0.0.1:")) << server->remote_address();
  });
}

TEST_F(NetworkTest, unix_socket_has_its_mode_and_goes_with_the_listener) {
  host_.run([&]() -> Task<void> {
    const std::string path = host_.path("s");
    auto listener = must(co_await host_.network().listen("unix:" + path, 0660));
    struct stat info = {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0660u);
    auto client = must(co_await host_.network().connect("unix:" + path));
    auto server = must(co_await listener->accept());
    EXPECT_TRUE(client->is_local());
    EXPECT_EQ(client->remote_address(), "unix:" + path);
    EXPECT_EQ(server->remote_address(), "unix:" + path);
    co_await exchange(*client, *server, 300'000);
    listener->close();
    EXPECT_NE(::stat(path.c_str(), &info), 0);
  });
}

TEST_F(NetworkTest, stale_socket_file_is_replaced_and_a_live_one_is_not) {
  host_.run([&]() -> Task<void> {
    const std::string path = host_.path("s");
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    {
      const Descriptor dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    }
    auto listener = must(co_await host_.network().listen("unix:" + path));
    auto second = co_await host_.network().listen("unix:" + path);
    EXPECT_EQ(status_of(second), Status::busy);
    auto client = must(co_await host_.network().connect("unix:" + path));
  });
}

TEST_F(NetworkTest, nobody_there_is_refused) {
  host_.run([&]() -> Task<void> {
    auto listener = must(co_await host_.network().listen("127.0.0.1:0"));
    const Address address = listener->address();
    listener->close();
    EXPECT_EQ(status_of(co_await host_.network().connect(address)), Status::refused);
    EXPECT_EQ(status_of(co_await host_.network().connect("unix:" + host_.path("none"))), Status::refused);
    EXPECT_EQ(status_of(co_await host_.network().connect("no-such-host.invalid:1")), Status::unreachable);
  });
}

TEST_F(NetworkTest, taken_port_is_busy) {
  host_.run([&]() -> Task<void> {
    auto listener = must(co_await host_.network().listen("127.0.0.1:0"));
    EXPECT_EQ(status_of(co_await host_.network().listen(listener->address())), Status::busy);
  });
}

TEST_F(NetworkTest, nonsense_is_no_address) {
  host_.run([&]() -> Task<void> {
    const std::string long_path = "unix:/" + std::string(200, 'x');
    for (const Address& address : {Address("host"), Address("host:"), Address("host:99999"), Address("1:2:3"),
                                   Address(":1"), Address("host:x"), Address("unix:"), long_path}) {
      EXPECT_EQ(status_of(co_await host_.network().listen(address)), Status::invalid) << address;
    }
  });
}

TEST_F(NetworkTest, close_ends_what_waits) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    Bytes into(10);
    Status status = Status::ok;
    Scope scope(host_.machine().ready());
    scope.spawn(receive(*pair.client, into, status));
    host_.machine().post([&] { pair.client->close(); });
    co_await scope.join();
    EXPECT_EQ(status, Status::gone);
    EXPECT_EQ(co_await write_all(*pair.client, into), Status::gone);
    EXPECT_EQ(status_of(co_await pair.server->read_some(into)), Status::end);
  });
}

TEST_F(NetworkTest, close_ends_a_write_that_the_peer_does_not_take) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    const Bytes bytes(32 << 20);
    Status status = Status::ok;
    Scope scope(host_.machine().ready());
    scope.spawn(send(*pair.client, bytes, status));
    Event never(host_.machine().ready());
    (void)co_await sleep_for(host_.machine(), 5ms, never);
    pair.client->close();
    co_await scope.join();
    EXPECT_EQ(status, Status::gone);
  });
}

TEST_F(NetworkTest, closed_listener_ends_accept) {
  host_.run([&]() -> Task<void> {
    auto listener = must(co_await host_.network().listen("127.0.0.1:0"));
    StreamPtr stream;
    Status status = Status::ok;
    Scope scope(host_.machine().ready());
    scope.spawn(accept_one(*listener, stream, status));
    host_.machine().post([&] { listener->close(); });
    co_await scope.join();
    EXPECT_EQ(status, Status::gone);
  });
}

TEST_F(NetworkTest, large_transfer_in_both_directions_at_once) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    co_await exchange(*pair.client, *pair.server, 16 << 20);
  });
}

TEST_F(NetworkTest, buffers_of_a_write_arrive_in_order) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    Bytes all = noise(200 * 777, 3);
    std::vector<Buffer> buffers;
    for (size_t i = 0; i < 200; ++i) buffers.push_back({all.data() + i * 777, 777});
    EXPECT_EQ(co_await pair.client->write(buffers), Status::ok);
    Bytes got(all.size());
    EXPECT_EQ(co_await read_all(*pair.server, got), Status::ok);
    EXPECT_TRUE(got == all);
  });
}

// Two hosts of one cluster, and a stranger with a cluster of its own.
class TlsTest : public NetworkTest {
 protected:
  TlsConfig host_of(const KeyPair& ca, const std::string& uri, const std::string& role = "host") {
    TlsConfig config;
    config.key_pem = must(keys_.make_key());
    const std::string request = must(keys_.make_request(config.key_pem, uri));
    config.certificate_pem = must(keys_.sign(ca, request, uri, role));
    config.ca_pem = ca.certificate_pem;
    return config;
  }
  Task<void> secure(Stream& stream, TlsConfig config, Side side, Result<PeerIdentity>& result) {
    result = co_await stream.secure(std::move(config), side);
  }
  struct Secured {
    Pair pair;
    Result<PeerIdentity> at_client = failure(Status::gone);
    Result<PeerIdentity> at_server = failure(Status::gone);
  };
  Task<void> handshake(Secured& secured, TlsConfig client, TlsConfig server) {
    secured.pair = co_await connected();
    Scope scope(host_.machine().ready());
    scope.spawn(secure(*secured.pair.client, std::move(client), Side::client, secured.at_client));
    scope.spawn(secure(*secured.pair.server, std::move(server), Side::server, secured.at_server));
    co_await scope.join();
  }

  OpensslKeys keys_;
  const KeyPair ca_ = must(keys_.make_ca("cluster"));
  const KeyPair foreign_ca_ = must(keys_.make_ca("cluster"));
  const TlsConfig a_ = host_of(ca_, "mars:cluster/host/a");
  const TlsConfig b_ = host_of(ca_, "mars:cluster/host/b");
  const TlsConfig stranger_ = host_of(foreign_ca_, "mars:cluster/host/a");
};

TEST_F(TlsTest, hosts_of_one_cluster_know_each_other) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    co_await handshake(secured, a_, b_);
    const PeerIdentity server = must(secured.at_client);
    const PeerIdentity client = must(secured.at_server);
    EXPECT_TRUE(server.is_authenticated);
    EXPECT_EQ(server.uri, "mars:cluster/host/b");
    EXPECT_EQ(server.role, "host");
    EXPECT_EQ(client.uri, "mars:cluster/host/a");
    EXPECT_EQ(client.key, must(keys_.public_key_hash(a_.key_pem)));
    EXPECT_EQ(secured.pair.server->peer().uri, client.uri);
    co_await exchange(*secured.pair.client, *secured.pair.server, 100'000);
  });
}

TEST_F(TlsTest, large_transfer_in_both_directions_at_once) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    co_await handshake(secured, a_, b_);
    co_await exchange(*secured.pair.client, *secured.pair.server, 16 << 20);
  });
}

TEST_F(TlsTest, server_refuses_a_foreign_certificate) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    TlsConfig client = stranger_;
    client.ca_pem = ca_.certificate_pem;
    co_await handshake(secured, client, b_);
    EXPECT_EQ(status_of(secured.at_server), Status::permission);
    Bytes into(1);
    EXPECT_EQ(status_of(co_await secured.pair.client->read_some(into)), Status::permission);
  });
}

TEST_F(TlsTest, client_refuses_a_foreign_certificate) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    co_await handshake(secured, a_, stranger_);
    EXPECT_EQ(status_of(secured.at_client), Status::permission);
    EXPECT_EQ(status_of(secured.at_server), Status::permission);
  });
}

TEST_F(TlsTest, no_certificate_is_refused_where_one_is_needed) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    TlsConfig nobody;
    nobody.ca_pem = ca_.certificate_pem;
    co_await handshake(secured, nobody, b_);
    EXPECT_EQ(status_of(secured.at_server), Status::permission);
    Bytes into(1);
    EXPECT_EQ(status_of(co_await secured.pair.client->read_some(into)), Status::permission);
  });
}

TEST_F(TlsTest, joiner_trusts_the_ca_by_its_key_and_is_nobody_yet) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    TlsConfig joiner;
    joiner.ca_key = must(keys_.public_key_hash(ca_.certificate_pem));
    TlsConfig server = b_;
    server.needs_peer_certificate = false;
    co_await handshake(secured, joiner, server);
    const PeerIdentity seen = must(secured.at_client);
    EXPECT_TRUE(seen.is_authenticated);
    EXPECT_EQ(seen.uri, "mars:cluster/host/b");
    EXPECT_EQ(seen.ca_pem, ca_.certificate_pem);
    EXPECT_FALSE(must(secured.at_server).is_authenticated);
    co_await exchange(*secured.pair.client, *secured.pair.server, 1000);
  });
}

TEST_F(TlsTest, joiner_refuses_another_ca) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    TlsConfig joiner;
    joiner.ca_key = must(keys_.public_key_hash(ca_.certificate_pem));
    TlsConfig server = stranger_;
    server.needs_peer_certificate = false;
    co_await handshake(secured, joiner, server);
    EXPECT_EQ(status_of(secured.at_client), Status::permission);
  });
}

TEST_F(TlsTest, server_that_takes_joiners_still_refuses_a_foreign_certificate) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    TlsConfig client = stranger_;
    client.ca_pem = ca_.certificate_pem;
    TlsConfig server = b_;
    server.needs_peer_certificate = false;
    co_await handshake(secured, client, server);
    EXPECT_EQ(status_of(secured.at_server), Status::permission);
  });
}

TEST_F(TlsTest, the_ca_itself_is_no_host) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    TlsConfig client = a_;
    client.key_pem = ca_.key_pem;
    client.certificate_pem = ca_.certificate_pem;
    co_await handshake(secured, client, b_);
    EXPECT_EQ(status_of(secured.at_server), Status::permission);
  });
}

TEST_F(TlsTest, role_comes_from_the_certificate) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    const TlsConfig qemu = host_of(ca_, "mars:cluster/client/qemu", "client");
    co_await handshake(secured, qemu, b_);
    EXPECT_EQ(must(secured.at_server).role, "client");
  });
}

TEST_F(TlsTest, clean_close_is_an_end_and_a_cut_is_not) {
  host_.run([&]() -> Task<void> {
    Bytes into(1);
    Secured clean;
    co_await handshake(clean, a_, b_);
    clean.pair.client->close();
    EXPECT_EQ(status_of(co_await clean.pair.server->read_some(into)), Status::end);

    Secured cut;
    co_await handshake(cut, a_, b_);
    const Bytes much(8 << 20);
    Status status = Status::ok;
    Scope scope(host_.machine().ready());
    scope.spawn(send(*cut.pair.client, much, status));
    EXPECT_EQ(status_of(co_await cut.pair.server->read_some(into)), Status::ok);
    cut.pair.client->close();  // in the middle of the write
    Bytes rest(much.size());
    EXPECT_EQ(co_await read_all(*cut.pair.server, rest), Status::gone);
    co_await scope.join();
    EXPECT_EQ(status, Status::gone);
  });
}

TEST_F(TlsTest, close_while_reading_ends_the_read) {
  host_.run([&]() -> Task<void> {
    Secured secured;
    co_await handshake(secured, a_, b_);
    Bytes into(10);
    Status status = Status::ok;
    Scope scope(host_.machine().ready());
    scope.spawn(receive(*secured.pair.client, into, status));
    host_.machine().post([&] { secured.pair.client->close(); });
    co_await scope.join();
    EXPECT_EQ(status, Status::gone);
  });
}

TEST_F(TlsTest, plain_bytes_are_no_handshake) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    const Bytes garbage = noise(500, 4);
    EXPECT_EQ(co_await write_all(*pair.client, garbage), Status::ok);
    const auto identity = co_await pair.server->secure(b_, Side::server);
    EXPECT_EQ(status_of(identity), Status::permission);
  });
}

TEST_F(TlsTest, peer_that_leaves_in_the_handshake_is_gone) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    pair.client->close();
    EXPECT_EQ(status_of(co_await pair.server->secure(b_, Side::server)), Status::gone);
  });
}

TEST_F(TlsTest, broken_configuration_is_invalid) {
  host_.run([&]() -> Task<void> {
    Pair pair = co_await connected();
    TlsConfig mixed = a_;
    mixed.key_pem = b_.key_pem;
    TlsConfig trusting = a_;
    trusting.ca_pem.clear();
    TlsConfig nonsense = a_;
    nonsense.certificate_pem = "nonsense";
    for (const TlsConfig& config : {mixed, trusting, nonsense}) {
      EXPECT_EQ(status_of(co_await pair.client->secure(config, Side::client)), Status::invalid);
    }
    const TlsConfig nothing;
    EXPECT_EQ(status_of(co_await pair.server->secure(nothing, Side::server)), Status::invalid);
  });
}

}  // namespace
}  // namespace mars::io
