#include "daemon/http_server.h"

#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "control/value_text.h"
#include "control/view.h"
#include "daemon/log.h"

namespace mars::daemon {

namespace {

using control::Answer;
using control::ExitCode;

constexpr size_t lines_max = 64;                            // of progress that a slow client has not read yet
constexpr auto heartbeat = std::chrono::milliseconds(500);  // an empty line, by which a client that went away is found

// What one command has to say, between the reactor and the thread that writes to the client.
class Call {
 public:
  void on_progress(const control::Progress& progress) {
    std::lock_guard lock(mutex_);
    if (is_answered_) return;
    // The newest progress is the one of interest.
    if (lines_.size() >= lines_max) lines_.pop_back();
    lines_.push_back(control::encode(progress) + "\n");
    changed_.notify_one();
  }
  void on_answer(const Answer& answer) {
    std::lock_guard lock(mutex_);
    if (is_answered_) return;
    is_answered_ = true;
    lines_.push_back(control::encode(answer) + "\n");
    changed_.notify_one();
  }
  void abandon() { abandoned_.request_stop(); }
  std::stop_token abandoned() const { return abandoned_.get_token(); }

  // The lines that are there, an empty one after a while without any; `is_last` when there will be no more.
  std::string take(bool& is_last) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, heartbeat, [&] { return !lines_.empty() || is_answered_; });
    std::string text;
    for (const std::string& line : lines_) text += line;
    lines_.clear();
    is_last = is_answered_;
    return text.empty() && !is_last ? "\n" : text;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  bool is_answered_ = false;
  std::stop_source abandoned_;
};

// One thread for each request that runs at once, made when it is needed and kept: most hosts never need ten.
class Threads : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> job) override {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (jobs_.size() > idle_ && threads_.size() < HttpServer::threads_max) start_thread();
    has_job_.notify_one();
  }
  void shutdown() override {
    {
      std::lock_guard lock(mutex_);
      is_over_ = true;
      has_job_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  // The kernel may have no room for one: then the job waits for another one to end.
  void start_thread() {
    try {
      threads_.emplace_back([this] { loop(); });
    } catch (const std::system_error&) {
      log_line(LogLevel::warning, "no thread can be made for a command; it waits");
    }
  }
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      has_job_.wait(lock, [this] { return !jobs_.empty() || is_over_; });
      --idle_;
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable has_job_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool is_over_ = false;
};

// Nobody else may connect, not even in the moment before its mode is set.
bool bind_private(httplib::Server& server, const std::string& path) {
  const mode_t before = ::umask(0177);
  // The port is of no meaning for a Unix socket, but 0 would ask the socket for one.
  const bool is_bound = server.bind_to_port(path, 80);
  ::umask(before);
  return is_bound && ::chmod(path.c_str(), 0600) == 0;
}

int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

}  // namespace

class HttpServer::Implementation {
 public:
  explicit Implementation(Options options) : options_(std::move(options)) {
    server_.set_address_family(AF_UNIX);
    server_.new_task_queue = [] { return new Threads; };
    server_.set_keep_alive_max_count(1);  // a thread is for one request, not for an idle connection
    server_.set_read_timeout(5);
    server_.set_write_timeout(10);
    server_.set_payload_max_length(control::command_bytes_max);
    server_.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      return refuse_body(request, response) ? httplib::Server::HandlerResponse::Handled
                                            : httplib::Server::HandlerResponse::Unhandled;
    });
    server_.Get("/v1/status", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(*options_.snapshot(), "application/json");
    });
    server_.Post("/v1/command", [this](const httplib::Request& request, httplib::Response& response) {
      on_command(request, response);
    });
    server_.set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) refuse(response, response.status, "no such request");
    });
  }

  Error start() {
    const std::string& path = options_.socket_path;
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return {Status::invalid, fmt::format("the path of the control socket is too long: {}", path)};
    }
    if (int fd = connect_to(path); fd >= 0) {
      ::close(fd);
      return {Status::busy, fmt::format("another marsd listens on {}; give this one its own --run-dir", path)};
    }
    ::unlink(path.c_str());
    if (!bind_private(server_, path)) {
      return {Status::permission, fmt::format("cannot listen on {}; does its directory exist, and is it yours?", path)};
    }
    is_bound_ = true;
    thread_ = std::thread([this] { serve(); });
    // stop() has no effect on a server that does not run yet.
    while (!server_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return Status::ok;
  }

  // An accept() that failed for want of something ends the library's loop; marsd serves on, and so does this.
  void serve() {
    server_.listen_after_bind();
    while (!is_over_) {
      log_line(LogLevel::error, "the control socket was closed by an error; it is opened again");
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      ::unlink(options_.socket_path.c_str());
      if (is_over_ || !bind_private(server_, options_.socket_path)) continue;
      server_.listen_after_bind();
    }
    has_ended_ = true;
  }

  void stop() {
    if (!is_bound_) return;
    is_bound_ = false;
    std::unique_lock lock(mutex_);
    is_stopping_ = true;
    for (const std::shared_ptr<Call>& call : std::vector(calls_)) {
      call->abandon();
      call->on_answer({ExitCode::failed, "marsd is stopping", "repeat the command when it runs again", {}});
    }
    // The server cuts what it still writes when it stops; a client that does not read is not waited for.
    all_ended_.wait_for(lock, options_.farewell, [&] { return calls_.empty(); });
    lock.unlock();
    is_over_ = true;
    // stop() has no effect while it is being opened again.
    while (!has_ended_ && !server_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (server_.is_running()) server_.stop();
    thread_.join();
    ::unlink(options_.socket_path.c_str());
  }

 private:
  static void refuse(httplib::Response& response, int status, std::string text) {
    response.status = status;
    Answer answer{ExitCode::usage, std::move(text), {}, {}};
    response.set_content(control::encode(answer) + "\n", "application/x-ndjson");
  }

  // Bodies without a length are read to the end of the connection, compressed ones are unpacked first: neither is
  // bounded.
  static bool refuse_body(const httplib::Request& request, httplib::Response& response) {
    if (request.method == "GET" && !request.has_header("Content-Length") && !request.has_header("Transfer-Encoding")) {
      return false;
    }
    if (request.has_header("Transfer-Encoding") || !request.has_header("Content-Length")) {
      refuse(response, 411, "a command needs a Content-Length");
    } else if (Result<uint64_t> length = control::parse_count(request.get_header_value("Content-Length"));
               !length || *length > control::command_bytes_max) {
      refuse(response, 413, fmt::format("a command has at most {} bytes", control::command_bytes_max));
    } else if (request.has_header("Content-Encoding")) {
      refuse(response, 415, "a command is not compressed");
    } else {
      return false;
    }
    response.set_header("Connection", "close");
    return true;
  }

  void on_command(const httplib::Request& request, httplib::Response& response) {
    Result<control::Command> command = control::decode_command(request.body);
    if (command) command = control::check_command(std::move(*command));
    if (!command) return refuse(response, 400, command.error().text);
    if (command->name == "status" || command->name == "view") return answer_from_snapshot(*command, response);
    auto call = std::make_shared<Call>();
    if (!add(call)) {
      Answer answer{ExitCode::failed,
                    fmt::format("{} commands are running already", commands_max),
                    "repeat it when one of them has ended",
                    {}};
      response.status = 503;
      response.set_content(control::encode(answer) + "\n", "application/x-ndjson");
      return;
    }
    // Chunked content is written after this function: by then the command is on its way.
    response.set_chunked_content_provider(
        "application/x-ndjson", [call](size_t, httplib::DataSink& sink) { return write_lines(*call, sink); },
        [this, call](bool) { remove(call); });
    options_.submit({std::move(*command), [call](const control::Progress& progress) { call->on_progress(progress); },
                     [call](const Answer& answer) { call->on_answer(answer); }, call->abandoned()});
  }

  static bool write_lines(Call& call, httplib::DataSink& sink) {
    bool is_last = false;
    std::string text = call.take(is_last);
    if (!sink.write(text.data(), text.size())) return false;
    if (is_last) sink.done();
    return true;
  }

  void answer_from_snapshot(const control::Command& command, httplib::Response& response) {
    Answer answer;
    answer.data = *options_.snapshot();
    if (command.has("resource")) {
      Result<control::ClusterView> view = control::cluster_view_from_json(answer.data);
      if (view) view = control::only(std::move(*view), command.text("resource"));
      answer = view ? Answer{ExitCode::done, {}, {}, control::to_json(*view)} : Answer::of(view.error());
    }
    response.set_content(control::encode(answer) + "\n", "application/x-ndjson");
  }

  bool add(const std::shared_ptr<Call>& call) {
    std::lock_guard lock(mutex_);
    if (is_stopping_ || calls_.size() >= commands_max) return false;
    calls_.push_back(call);
    return true;
  }

  void remove(const std::shared_ptr<Call>& call) {
    call->abandon();
    std::lock_guard lock(mutex_);
    std::erase(calls_, call);
    if (calls_.empty()) all_ended_.notify_all();
  }

  const Options options_;
  httplib::Server server_;
  std::thread thread_;
  std::atomic<bool> is_over_ = false;
  std::atomic<bool> has_ended_ = false;  // serve() has
  bool is_bound_ = false;
  std::mutex mutex_;
  std::condition_variable all_ended_;
  bool is_stopping_ = false;
  std::vector<std::shared_ptr<Call>> calls_;
};

HttpServer::HttpServer(Options options) : implementation_(std::make_unique<Implementation>(std::move(options))) {}
HttpServer::~HttpServer() { stop(); }
Error HttpServer::start() { return implementation_->start(); }
void HttpServer::stop() { implementation_->stop(); }

}  // namespace mars::daemon
