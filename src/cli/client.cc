#include "cli/client.h"

#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <variant>

namespace mars::cli {

namespace {

using control::Answer;
using control::ExitCode;

// marsd sends an empty line at least every second while a command runs.
constexpr time_t silence_s = 30;

void prepare(httplib::Client& client) {
  client.set_address_family(AF_UNIX);
  client.set_connection_timeout(5);
  client.set_read_timeout(silence_s);
  client.set_write_timeout(silence_s);
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

Error Client::not_running() const {
  if (::access(socket_.c_str(), W_OK) != 0 && errno == EACCES) {
    return {Status::permission, fmt::format("{} is not for this user", socket_)};
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
  const auto begun = std::chrono::steady_clock::now();
  httplib::Result result = client.Get("/v1/status", {{"Host", "localhost"}});
  if (!result && result.error() == httplib::Error::Connection) return failure(not_running());
  if (!result && std::chrono::steady_clock::now() - begun < std::chrono::seconds(silence_s - 1))
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
  request.content_receiver = [&lines](const char* data, size_t length, uint64_t, uint64_t) {
    return lines.add({data, length});
  };
  httplib::Result result = client.send(request);
  if (lines.answer()) return *lines.answer();
  if (!result && result.error() == httplib::Error::Connection) return answer_of(not_running());
  return {ExitCode::failed,
          "marsd ended the connection before it answered",
          "look at its log, and at `marsadm status`",
          {}};
}

}  // namespace mars::cli
