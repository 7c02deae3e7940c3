#include "cli/marsadm.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <sstream>
#include <thread>

#include "control/version.h"

namespace mars::cli {
namespace {

// A socket behind which somebody says given bytes to everybody, whatever they ask.
class Speaker {
 public:
  explicit Speaker(std::string bytes) : bytes_(std::move(bytes)) {
    std::string pattern = testing::TempDir() + "marsadm-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    thread_ = std::thread([this] { speak(); });
  }
  Speaker(const Speaker&) = delete;
  Speaker& operator=(const Speaker&) = delete;
  ~Speaker() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    ::unlink(path().c_str());
    ::rmdir(directory_.c_str());
  }
  std::string path() const { return directory_ + "/s"; }
  // Of the last client that has its answer.
  std::string heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  void speak() {
    for (;;) {
      int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      char buffer[65536];
      // A request of these tests comes in one piece, or the body follows the head.
      ssize_t count = ::recv(fd, buffer, sizeof(buffer), 0);
      std::string heard(buffer, static_cast<size_t>(std::max<ssize_t>(count, 0)));
      if (heard.starts_with("POST") && heard.ends_with("\r\n\r\n")) {
        count = ::recv(fd, buffer, sizeof(buffer), 0);
        heard.append(buffer, static_cast<size_t>(std::max<ssize_t>(count, 0)));
      }
      {
        const std::lock_guard lock(mutex_);
        heard_ = std::move(heard);
      }
      static_cast<void>(::send(fd, bytes_.data(), bytes_.size(), MSG_NOSIGNAL));
      ::close(fd);
    }
  }

  const std::string bytes_;
  std::string directory_;
  int listener_ = -1;
  std::mutex mutex_;
  std::string heard_;
  std::thread thread_;
};

std::string http(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

Outcome run(const std::string& socket, std::vector<std::string> arguments, bool is_tty = false,
            const std::string& input = {}, uint64_t wall_ns = 0) {
  Outcome outcome;
  std::istringstream in(input);
  Terminal terminal;
  terminal.out = [&](std::string_view text) { outcome.out += text; };
  terminal.err = [&](std::string_view text) { outcome.err += text; };
  terminal.in = &in;
  terminal.is_tty = is_tty;
  terminal.environment_socket = socket;
  terminal.wall_ns = [=] { return wall_ns; };
  outcome.code = run_marsadm(std::move(arguments), terminal);
  return outcome;
}

constexpr std::string_view lines =
    "{\"progress\":{\"text\":\"closing\",\"done\":1,\"total\":2}}\n\n"
    "{\"answer\":{\"exit_code\":3,\"text\":\"the device is in use\",\"next_step\":\"unmount "
    "it\",\"data\":{\"x\":1}}}\n";
constexpr std::string_view snapshot =
    R"({"version":1,"host":"alpha","marsd":"9.9","cluster":"c","resources":[{"name":"mydata"}]})";

TEST(marsadm, says_when_marsd_is_not_running) {
  Outcome outcome = run("/nowhere/control.sock", {"status"});
  EXPECT_EQ(outcome.code, 8);
  EXPECT_NE(outcome.err.find("marsd is not running"), std::string::npos);
  EXPECT_NE(outcome.err.find("start it with"), std::string::npos);
  EXPECT_EQ(run("/nowhere/control.sock", {"detach", "mydata"}).code, 8);
}

TEST(marsadm, what_marsd_has_not_renewed_for_a_while_is_said_to_be_old) {
  Speaker marsd(
      http(R"({"version":1,"host":"alpha","marsd":"9.9","cluster":"c","time":"1970-01-01T00:00:05.000000000Z"})"));
  EXPECT_EQ(run(marsd.path(), {"status"}, false, {}, 14'000'000'000).out.find("note:"), std::string::npos);
  const Outcome old = run(marsd.path(), {"status"}, false, {}, 40'000'000'000);
  EXPECT_NE(old.out.find("note: this is 35 s old: marsd does not get on"), std::string::npos) << old.out;
  EXPECT_NE(run(marsd.path(), {"status", "--json"}, false, {}, 40'000'000'000).out.find("does not get on"),
            std::string::npos);
}

TEST(marsadm, shows_progress_answer_and_next_step) {
  Speaker marsd(http(lines));
  Outcome outcome = run(marsd.path(), {"detach", "mydata"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err,
            "[############------------]  50 %  1 of 2  closing\n"
            "marsadm detach: refused: the device is in use\n"
            "  what to do: unmount it\n");
  EXPECT_NE(marsd.heard().find(R"({"args":{"resource":"mydata","timeout":"60s"},"name":"detach"})"), std::string::npos)
      << marsd.heard();
}

TEST(marsadm, progress_on_a_terminal_is_one_line) {
  Speaker marsd(http(lines));
  Outcome outcome = run(marsd.path(), {"detach", "mydata"}, true);
  EXPECT_TRUE(outcome.err.starts_with("\r\033[K[####")) << outcome.err;
  EXPECT_NE(outcome.err.find("closing\r\033[Kmarsadm detach"), std::string::npos) << outcome.err;
}

TEST(marsadm, json_is_one_document) {
  Speaker marsd(http(lines));
  Outcome outcome = run(marsd.path(), {"detach", "mydata", "--json"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(
      outcome.out,
      R"({"data":{"x":1},"exit_code":3,"next_step":"unmount it","outcome":"refused","text":"the device is in use"})"
      "\n");
}

TEST(marsadm, status_and_version_come_from_the_snapshot) {
  Speaker marsd(http(snapshot));
  EXPECT_EQ(run(marsd.path(), {"status"}).code, 0);
  EXPECT_EQ(run(marsd.path(), {"version"}).out, "marsadm " + std::string(control::version) + "\nmarsd 9.9\n");
  EXPECT_NE(run(marsd.path(), {"status", "--json"}).out.find(R"("version":1)"), std::string::npos);
  EXPECT_EQ(run(marsd.path(), {"completion", "resources"}).out, "mydata\n");
  Outcome missing = run(marsd.path(), {"view", "mydta"});
  EXPECT_EQ(missing.code, 7);
  EXPECT_NE(missing.err.find("did you mean \"mydata\"?"), std::string::npos);
}

TEST(marsadm, reads_a_token_from_standard_input) {
  Speaker marsd(http(lines));
  run(marsd.path(), {"join-cluster", "-"}, false, "mars1-secret\n");
  EXPECT_NE(marsd.heard().find(R"("token":"mars1-secret")"), std::string::npos);
  EXPECT_EQ(run(marsd.path(), {"join-cluster", "-"}, false, " \n").code, 2);
}

TEST(marsadm, rubbish_from_the_socket_is_an_error) {
  for (const std::string& bytes :
       {std::string(), std::string("SSH-2.0-OpenSSH\r\n"), http(""), http("{}"), http("garbage\n"), http("[1,2]\n"),
        http(R"({"answer":{}})"
             "\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        std::string("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")}) {
    Speaker marsd(bytes);
    EXPECT_EQ(run(marsd.path(), {"detach", "mydata"}).code, 1) << bytes;
    Outcome status = run(marsd.path(), {"status"});
    EXPECT_NE(status.code, 0) << bytes;
    EXPECT_FALSE(status.err.empty());
  }
}

TEST(marsadm, mistakes_are_json_too) {
  for (std::vector<std::string> line : std::vector<std::vector<std::string>>{{"--json", "frob"},
                                                                             {"frob", "--json"},
                                                                             {"--json", "create-resource"},
                                                                             {"--json", "status", "--frob"},
                                                                             {"attach", "NO", "--json"}}) {
    Outcome outcome = run("/nowhere", line);
    EXPECT_EQ(outcome.code, 2) << line[0];
    EXPECT_EQ(outcome.err, "");
    EXPECT_TRUE(outcome.out.starts_with(R"({"exit_code":2,"next_step":"see `marsadm )")) << outcome.out;
    EXPECT_NE(outcome.out.find(R"("outcome":"usage","text":")"), std::string::npos) << outcome.out;
  }
}

TEST(marsadm, mistakes_need_no_marsd) {
  EXPECT_EQ(run("/nowhere", {"statsu"}).code, 2);
  Outcome plain = run("/nowhere", {"create-resource"});
  EXPECT_EQ(plain.code, 2);
  EXPECT_TRUE(plain.err.ends_with("\n  see `marsadm create-resource --help`\n")) << plain.err;
  EXPECT_EQ(run("/nowhere", {"--help"}).code, 0);
  EXPECT_EQ(run("/nowhere", {"man"}).code, 0);
  EXPECT_EQ(run("/nowhere", {"completion", "bash"}).code, 0);
}

}  // namespace
}  // namespace mars::cli
