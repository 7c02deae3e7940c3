// Client: the other end of marsd's control socket (HTTP on a Unix socket). Blocking.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "control/answer.h"
#include "control/command.h"

namespace mars::cli {

class Client {
 public:
  explicit Client(std::string socket) : socket_(std::move(socket)) {}

  // gone: no marsd behind the socket. timed_out, invalid: there is one, but what it says makes no sense.
  Result<std::string> status();
  // Calls on_progress while the command runs. What goes wrong on the way is an answer too.
  control::Answer run(const control::Command& command,
                      const std::function<void(const control::Progress&)>& on_progress);

 private:
  // timed_out: somebody listens, who takes nobody for the moment.
  Error no_connection() const;

  const std::string socket_;
};

// Of an error of status(): exit code and next step.
control::Answer answer_of(const Error& error);

}  // namespace mars::cli
