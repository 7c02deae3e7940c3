// marsadm.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "cli/marsadm.h"

namespace {

void print(FILE* to, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

}  // namespace

int main(int count, char** values) {
  std::signal(SIGPIPE, SIG_DFL);  // `marsadm status | head` ends quietly
  const char* socket = std::getenv("MARS_SOCKET");
  mars::cli::Terminal terminal;
  terminal.out = [](std::string_view text) { print(stdout, text); };
  terminal.err = [](std::string_view text) { print(stderr, text); };
  terminal.in = &std::cin;
  terminal.is_tty = ::isatty(STDERR_FILENO) == 1;
  terminal.environment_socket = socket == nullptr ? "" : socket;
  return mars::cli::run_marsadm({values + 1, values + count}, terminal);
}
