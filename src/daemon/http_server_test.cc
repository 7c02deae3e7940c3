#include "daemon/http_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "control/view.h"

namespace mars::daemon {
namespace {

using control::Answer;

// A client that sends whatever bytes it is told to.
class RawClient {
 public:
  explicit RawClient(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    is_connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { close(); }
  bool is_connected() const { return is_connected_; }
  void send(std::string_view text) {
    while (!text.empty()) {
      ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void finish() { ::shutdown(fd_, SHUT_WR); }
  // Until the text is there; all of it when there is no such text. A server that says nothing for 20 s has failed.
  std::string receive(std::string_view until = {}) {
    timeval limit{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    char buffer[4096];
    while (until.empty() || received_.find(until) == std::string::npos) {
      ssize_t count = ::recv(fd_, buffer, sizeof(buffer), 0);
      if (count <= 0) break;
      received_.append(buffer, static_cast<size_t>(count));
    }
    return received_;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
  bool is_connected_ = false;
  std::string received_;
};

std::string post(std::string_view body) {
  return "POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    std::string pattern = testing::TempDir() + "mars-http-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    server_ = std::make_unique<HttpServer>(options());
    EXPECT_EQ(server_->start().status, Status::ok);
  }
  ~HttpServerTest() override {
    server_.reset();
    ::rmdir(directory_.c_str());
  }
  std::string path() const { return directory_ + "/control.sock"; }
  HttpServer::Options options() {
    return {path(), [this](Submission submission) { on_submit(std::move(submission)); },
            [] {
              return std::make_shared<const std::string>(
                  R"({"version":1,"host":"alpha","cluster":"c","resources":[{"name":"mydata"}]})");
            },
            std::chrono::seconds(30)};
  }
  std::string exchange(std::string_view bytes) {
    RawClient client(path());
    client.send(bytes);
    return client.receive();
  }
  // The submission with this number, once it has come.
  Submission& submission(size_t index) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, std::chrono::seconds(20), [&] { return submissions_.size() > index; }));
    return submissions_[index];
  }

  std::string directory_;
  std::unique_ptr<HttpServer> server_;

 private:
  void on_submit(Submission submission) {
    if (submission.command.name == "version") return submission.on_answer(Answer::done("0.1.0"));
    std::lock_guard lock(mutex_);
    submissions_.push_back(std::move(submission));
    came_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Submission> submissions_;
};

TEST_F(HttpServerTest, a_command_is_answered) {
  std::string answer = exchange(post(R"({"name":"version","args":{}})"));
  EXPECT_NE(answer.find("200 OK"), std::string::npos) << answer;
  EXPECT_NE(answer.find(R"("text":"0.1.0")"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, progress_streams_while_the_command_runs) {
  RawClient client(path());
  client.send(post(R"({"name":"detach","args":{"resource":"mydata"}})"));
  Submission& running = submission(0);
  EXPECT_EQ(running.command.text("timeout"), "60s");
  running.on_progress({"closing", 1, 2});
  EXPECT_NE(client.receive("closing").find(R"("total":2)"), std::string::npos);
  running.on_answer(Answer::done("detached"));
  running.on_answer(Answer::done("twice"));
  std::string all = client.receive();
  EXPECT_NE(all.find("detached"), std::string::npos);
  EXPECT_EQ(all.find("twice"), std::string::npos);
}

TEST_F(HttpServerTest, a_client_that_goes_away_is_noticed) {
  RawClient client(path());
  client.send(post(R"({"name":"wait-resource","args":{"resource":"mydata"}})"));
  Submission& running = submission(0);
  std::atomic<bool> is_abandoned = false;
  std::condition_variable changed;
  std::mutex mutex;
  std::stop_callback on_stop(running.abandoned, [&] {
    std::lock_guard lock(mutex);
    is_abandoned = true;
    changed.notify_all();
  });
  client.close();
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return is_abandoned.load(); }));
  running.on_answer(Answer::done("nobody listens"));
}

TEST_F(HttpServerTest, status_comes_from_the_snapshot) {
  std::string answer = exchange("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(answer.find(R"({"version":1,"host":"alpha")"), std::string::npos) << answer;
  EXPECT_NE(exchange(post(R"({"name":"view","args":{"resource":"mydata"}})")).find("mydata"), std::string::npos);
  answer = exchange(post(R"({"name":"view","args":{"resource":"mydta"}})"));
  EXPECT_NE(answer.find(R"("exit_code":7)"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, commands_at_once_are_bounded_and_status_still_answers) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < HttpServer::commands_max; ++i) {
    clients.push_back(std::make_unique<RawClient>(path()));
    clients.back()->send(post(R"({"name":"wait-resource","args":{"resource":"mydata"}})"));
    submission(i);
  }
  EXPECT_NE(exchange(post(R"({"name":"version"})")).find("503"), std::string::npos);
  EXPECT_NE(exchange("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").find("200 OK"), std::string::npos);
  for (size_t i = 0; i < HttpServer::commands_max; ++i) submission(i).on_answer(Answer::done());
  for (auto& client : clients) client->receive();
  EXPECT_NE(exchange(post(R"({"name":"version"})")).find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, commands_outside_the_table_never_reach_the_node) {
  for (std::string_view body : {"", "{", "[]", "null", R"({"name":"rm"})", R"({"name":"view","args":{}})",
                                R"({"name":"view","args":{"resource":"../x"}})", "\xff\xff\xff",
                                R"({"name":"detach","args":{"resource":"a","extra":"b"}})"}) {
    std::string answer = exchange(post(body));
    EXPECT_NE(answer.find("400"), std::string::npos) << body << answer;
    EXPECT_NE(answer.find(R"("exit_code":2)"), std::string::npos) << body << answer;
  }
}

TEST_F(HttpServerTest, oversized_bodies_are_refused) {
  std::string large = post(std::string(control::command_bytes_max + 1, ' '));
  EXPECT_NE(exchange(large).find("413"), std::string::npos);
  EXPECT_NE(exchange("POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n").find("413"),
            std::string::npos);
}

TEST_F(HttpServerTest, bodies_without_a_bound_are_refused) {
  EXPECT_NE(exchange("POST /v1/command HTTP/1.1\r\nHost: x\r\n\r\n{}").find("411"), std::string::npos);
  EXPECT_NE(exchange("POST /v1/command HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").find("411"),
            std::string::npos);
  EXPECT_NE(
      exchange("POST /v1/command HTTP/1.1\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\n123456789").find("415"),
      std::string::npos);
  EXPECT_NE(exchange("DELETE /v1/command HTTP/1.1\r\n\r\n").find("HTTP/1.1 4"), std::string::npos);
}

TEST_F(HttpServerTest, rubbish_does_no_harm) {
  for (const std::string& bytes :
       {std::string("\0\0\0\0", 4), std::string("GET"), std::string("\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"),
        std::string("GET /v1/status HTTP/1.1\r\n") + std::string(200'000, 'a'), std::string(100'000, '\n'),
        std::string("GET /") + std::string(20'000, 'a') + " HTTP/1.1\r\n\r\n",
        std::string("POST /v1/command HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("POST /v1/command HTTP/1.1\r\nContent-Length: 50\r\n\r\n{")}) {
    RawClient client(path());
    client.send(bytes);
    client.finish();
    client.receive();
  }
  EXPECT_NE(exchange(post(R"({"name":"version"})")).find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, stopping_answers_those_who_wait) {
  RawClient client(path());
  client.send(post(R"({"name":"wait-resource","args":{"resource":"mydata"}})"));
  submission(0);
  server_->stop();
  EXPECT_NE(client.receive().find("marsd is stopping"), std::string::npos);
  EXPECT_FALSE(RawClient(path()).is_connected());
  EXPECT_NE(::access(path().c_str(), F_OK), 0);
}

TEST_F(HttpServerTest, a_second_server_does_not_take_the_socket) {
  HttpServer second(options());
  Error error = second.start();
  EXPECT_EQ(error.status, Status::busy);
  EXPECT_NE(error.text.find("--run-dir"), std::string::npos);
  EXPECT_NE(exchange(post(R"({"name":"version"})")).find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, a_stale_socket_is_replaced) {
  server_->stop();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path().copy(address.sun_path, sizeof(address.sun_path) - 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);
  server_ = std::make_unique<HttpServer>(options());
  EXPECT_EQ(server_->start().status, Status::ok);
  struct stat info{};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(HttpServerTest, places_where_no_socket_can_be_are_clear_errors) {
  HttpServer::Options bad = options();
  bad.socket_path = directory_ + "/" + std::string(200, 'x');
  EXPECT_EQ(HttpServer(bad).start().status, Status::invalid);
  bad.socket_path = directory_ + "/missing/control.sock";
  EXPECT_EQ(HttpServer(bad).start().status, Status::permission);
}

}  // namespace
}  // namespace mars::daemon
