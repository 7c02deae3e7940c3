// What marsadm does with its command line. Everything that it touches is given, so that tests see what people see.
#pragma once

#include <functional>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace mars::cli {

struct Terminal {
  std::function<void(std::string_view)> out;
  std::function<void(std::string_view)> err;
  std::istream* in = nullptr;
  bool is_tty = false;                // of err: progress is one line that is written again and again
  std::string environment_socket;     // $MARS_SOCKET
  std::function<std::string()> user;  // who is at it, when that is not root: for the history of events
  std::function<uint64_t()> wall_ns;  // the clock of this host, which is marsd's
};

inline constexpr std::string_view default_socket = "/run/mars/control.sock";

// Returns the exit code.
int run_marsadm(std::vector<std::string> arguments, const Terminal& terminal);

}  // namespace mars::cli
