// Peers that ask for new keys: rarely, as TLS 1.3 lets them, or without end.
#include <csignal>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/linux/keys.h"
#include "io/linux/test_host.h"

namespace mars::io {
namespace {

// A client that speaks OpenSSL itself, on a thread of its own.
class Asker {
 public:
  // `rounds` times: so many questions for new keys, then one byte.
  Asker(uint16_t port, int rounds, int questions)
      : thread_([this, port, rounds, questions] { run(port, rounds, questions); }) {}
  bool has_finished() const { return has_finished_; }
  void join() { thread_.join(); }

 private:
  void run(uint16_t port, int rounds, int questions) {
    // It may write to a connection that the other side has closed.
    sigset_t pipe = {};
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL* ssl = SSL_new(context);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 && SSL_set_fd(ssl, fd) == 1 &&
        SSL_connect(ssl) == 1) {
      has_finished_ = ask(ssl, rounds, questions);
      SSL_shutdown(ssl);
      // Closed with answers unread, the connection would be reset, and what was sent last might never be read.
      char byte = 0;
      while (SSL_read(ssl, &byte, 1) > 0) continue;
      while (::read(fd, &byte, 1) > 0) continue;
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    ::close(fd);
  }
  static bool ask(SSL* ssl, int rounds, int questions) {
    for (int round = 0; round < rounds; ++round) {
      for (int i = 0; i < questions; ++i) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1) return false;
      }
      if (SSL_write(ssl, "x", 1) != 1) return false;
    }
    return true;
  }

  bool has_finished_ = false;
  std::thread thread_;
};

class KeyUpdateTest : public testing::Test {
 protected:
  KeyUpdateTest() {
    const KeyPair ca = must(keys_.make_ca("cluster"));
    server_.key_pem = must(keys_.make_key());
    const std::string request = must(keys_.make_request(server_.key_pem, "mars:cluster/host/a"));
    server_.certificate_pem = must(keys_.sign(ca, request, "mars:cluster/host/a", "host"));
    server_.ca_pem = ca.certificate_pem;
    server_.needs_peer_certificate = false;
  }
  // How the reading ends, and how many bytes came before.
  Status serve(int rounds, int questions, size_t& got) {
    Status status = Status::ok;
    host_.run([&]() -> Task<void> {
      auto listening = host_.network().listen("127.0.0.1:0");
      auto listener = must(co_await listening);
      const std::string address = listener->address();
      Asker asker(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))), rounds, questions);
      auto accepting = listener->accept();
      auto stream = must(co_await accepting);
      auto securing = stream->secure(server_, Side::server);
      EXPECT_TRUE((co_await securing).has_value());
      std::array<std::byte, 100> into;
      for (;;) {
        auto reading = stream->read_some(into);
        const Result<size_t> count = co_await reading;
        status = status_of(count);
        if (!count) break;
        got += *count;
      }
      stream->close();
      asker.join();
    });
    return status;
  }

  OpensslKeys keys_;
  TlsConfig server_;
  TestHost host_;
};

TEST_F(KeyUpdateTest, some_between_the_data_are_answered) {
  size_t got = 0;
  EXPECT_EQ(serve(10, 20, got), Status::end);
  EXPECT_EQ(got, 10u);
}

TEST_F(KeyUpdateTest, a_peer_that_asks_for_nothing_else_is_left) {
  size_t got = 0;
  EXPECT_EQ(serve(1, 1000, got), Status::gone);
  EXPECT_EQ(got, 0u);
}

}  // namespace
}  // namespace mars::io
