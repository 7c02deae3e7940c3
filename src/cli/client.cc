#include "cli/client.h"

#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>
#include <variant>

#include "control/value_text.h"

namespace mars::cli {

namespace {

using control::Answer;
using control::ExitCode;

// marsd sends an empty line at least every second while a command runs.
constexpr time_t silence_s = 30;
// By how much a command may outlive its --timeout, which marsd keeps, before marsd counts as hanging.
constexpr auto grace = std::chrono::seconds(15);

constexpr auto queue_patience = std::chrono::seconds(10);

using Clock = std::chrono::steady_clock;

std::optional<Clock::time_point> deadline_of(const control::Command& command) {
  const uint64_t timeout_ms = control::parse_duration_ms(command.text("timeout")).value_or(0);
  if (timeout_ms == 0) return std::nullopt;
  return Clock::now() + std::chrono::milliseconds(timeout_ms) + grace;
}

void prepare(httplib::Client& client) {
  client.set_address_family(AF_UNIX);
  client.set_connection_timeout(5);
  client.set_read_timeout(silence_s);
  client.set_write_timeout(silence_s);
}

// Many commands at once fill the queue of those who want to connect, which is short, and the library neither waits for
// room nor says that this was it.
httplib::Result connected(const std::function<httplib::Result()>& ask, const std::function<bool()>& is_queue_full) {
  constexpr auto pause = std::chrono::milliseconds(50);  // marsd takes one in less; nothing tells when
  const Clock::time_point latest = Clock::now() + queue_patience;
  for (;;) {
    httplib::Result result = ask();
    if (result || result.error() != httplib::Error::Connection) return result;
    if (Clock::now() >= latest || !is_queue_full()) return result;
    std::this_thread::sleep_for(pause);
  }
}

// Cuts what comes into lines and keeps the answer.
class Lines {
 public:
  explicit Lines(const std::function<void(const control::Progress&)>& on_progress) : on_progress_(on_progress) {}

  bool add(std::string_view text) {
    buffer_ += text;
    for (size_t end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (!line.empty() && !on_line(line)) return false;
    }
    return buffer_.size() <= control::answer_bytes_max;
  }
  const std::optional<Answer>& answer() const { return answer_; }

 private:
  bool on_line(const std::string& line) {
    auto decoded = control::decode_line(line);
    if (!decoded) return false;
    if (const auto* progress = std::get_if<control::Progress>(&*decoded)) {
      on_progress_(*progress);
    } else {
      answer_ = std::get<Answer>(std::move(*decoded));
    }
    return true;
  }

  const std::function<void(const control::Progress&)>& on_progress_;
  std::string buffer_;
  std::optional<Answer> answer_;
};

}  // namespace

Error Client::no_connection() const {
  if (::access(socket_.c_str(), W_OK) != 0 && errno == EACCES) {
    return {Status::permission, fmt::format("{} is not for this user", socket_)};
  }
  // Who is there, and takes nobody for the moment: its queue is full, or was.
  if (const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); fd >= 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const bool is_queue_full =
        ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 || errno == EAGAIN;
    ::close(fd);
    if (is_queue_full) return {Status::timed_out, "marsd does not answer"};
  }
  return {Status::gone, fmt::format("marsd is not running (nobody listens on {})", socket_)};
}

Answer answer_of(const Error& error) {
  if (error.status == Status::permission) return Answer::of(error, "run it as root, or with sudo");
  if (error.status == Status::end) return Answer::of(error, "look at its log; when it runs again, repeat the command");
  if (error.status == Status::timed_out)
    return Answer::of(error,
                      "look at its log; if it stays so, kill it: what was "
                      "acknowledged is kept");
  if (error.status != Status::gone) return Answer::of(error);
  return {ExitCode::not_running,
          error.text,
          "start it with `systemctl start marsd` or `marsd`, or say with --socket or $MARS_SOCKET where it listens",
          {}};
}

Result<std::string> Client::status() {
  httplib::Client client(socket_);
  prepare(client);
  Clock::time_point begun;
  const auto ask = [&] {
    begun = Clock::now();
    return client.Get("/v1/status", {{"Host", "localhost"}});
  };
  const httplib::Result result = connected(ask, [this] { return no_connection().status == Status::timed_out; });
  if (!result && result.error() == httplib::Error::Connection) return failure(no_connection());
  if (!result && Clock::now() - begun < std::chrono::seconds(silence_s - 1))
    return failure(Status::end, "marsd ended the connection before it answered");
  if (!result) return failure(Status::timed_out, "marsd does not answer");
  if (result->status != 200) return failure(Status::invalid, fmt::format("marsd answers with HTTP {}", result->status));
  return result->body;
}

Answer Client::run(const control::Command& command, const std::function<void(const control::Progress&)>& on_progress) {
  httplib::Client client(socket_);
  prepare(client);
  Lines lines(on_progress);
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/command";
  request.headers = {{"Host", "localhost"}, {"Content-Type", "application/json"}};
  request.body = control::encode(command);
  const std::optional<Clock::time_point> deadline = deadline_of(command);
  const auto is_late = [&] { return deadline && Clock::now() > *deadline; };
  Clock::time_point heard;
  request.content_receiver = [&](const char* data, size_t length, uint64_t, uint64_t) {
    heard = Clock::now();
    return lines.add({data, length}) && (lines.answer() || !is_late());
  };
  const auto ask = [&] {
    heard = Clock::now();
    return client.send(request);
  };
  const httplib::Result result = connected(ask, [this] { return no_connection().status == Status::timed_out; });
  if (lines.answer()) return *lines.answer();
  if (!result && result.error() == httplib::Error::Connection) return answer_of(no_connection());
  const bool is_silent = Clock::now() - heard >= std::chrono::seconds(silence_s - 1);
  if (!result && (is_silent || is_late())) return answer_of({Status::timed_out, "marsd does not answer"});
  return {ExitCode::failed,
          "marsd ended the connection before it answered",
          "look at its log, and at `marsadm status`",
          {}};
}

}  // namespace mars::cli
