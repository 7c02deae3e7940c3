// marsadm.
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string_view>

#include "cli/marsadm.h"

namespace {

void print(FILE* to, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

// The one who has logged in, whatever came in between; empty: root, or not known.
std::string user() {
  const char* sudo = std::getenv("SUDO_USER");
  if (sudo != nullptr && *sudo != '\0') return sudo == std::string_view("root") ? "" : sudo;
  uid_t login = ::getuid();
  if (std::ifstream file("/proc/self/loginuid"); file) {
    unsigned long number = 0;
    if (file >> number && number < UINT32_MAX) login = static_cast<uid_t>(number);
  }
  if (login == 0) return "";
  const passwd* entry = ::getpwuid(login);
  return entry != nullptr ? entry->pw_name : "uid:" + std::to_string(login);
}

uint64_t wall_ns() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch).count());
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
  terminal.user = user;
  terminal.wall_ns = wall_ns;
  const int code = mars::cli::run_marsadm({values + 1, values + count}, terminal);
  if (code != 0 || std::ferror(stdout) == 0) return code;
  print(stderr, "marsadm: what it says cannot be written where it shall go; the command itself is done\n");
  return 1;
}
