// HttpServer: the control API on a Unix socket: POST /v1/command answers with JSON lines (progress ..., answer) while
// the command runs, GET /v1/status with the newest snapshot. It has its own threads and shares nothing with the
// reactor: it only hands commands over and reads immutable snapshots, so it cannot hold up I/O. Whoever may open the
// socket may do everything: it is 0600.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "control/answer.h"
#include "control/command.h"

namespace mars::daemon {

// One command on its way to the reactor. The functions may be called from any thread, also after the client has gone.
struct Submission {
  control::Command command;  // checked against the table, defaults filled in
  std::function<void(const control::Progress&)> on_progress;
  std::function<void(const control::Answer&)> on_answer;  // once; later calls do nothing
  std::stop_token abandoned;  // the client has gone: a command that only waits ends, one that acts goes on
};

class HttpServer {
 public:
  // At once: a host may have a mount unit for each of its resources, and each waits for its device at the boot.
  static constexpr size_t commands_max = 256;
  static constexpr size_t threads_max = 264;  // so that the status can be read while all commands wait

  struct Options {
    std::string socket_path;
    // Called from threads of the server; returns at once.
    std::function<void(Submission)> submit;
    // The newest status as JSON (control/view.h); never null. Called from threads of the server.
    std::function<std::shared_ptr<const std::string>()> snapshot;
    std::chrono::milliseconds farewell = std::chrono::seconds(2);  // at most, for clients to read why we stop
  };

  explicit HttpServer(Options options);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  // stops

  // busy: another marsd listens there. A socket that nobody listens on is replaced.
  Error start();
  // Commands that are still running get the answer "marsd is stopping"; then everything of the server has ended.
  void stop();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mars::daemon
