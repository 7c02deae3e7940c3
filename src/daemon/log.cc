#include "daemon/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>
#include <string>

#include <fmt/format.h>

namespace mars::daemon {

namespace {

std::atomic<LogLevel> level_shown{LogLevel::info};
constexpr std::string_view level_names[] = {"error", "warning", "info", "debug"};

// What is inside the quotes stays one line.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

// One write per line. A log that is not read (a pipe that is full, a terminal that is stopped) must not stop anybody.
bool write_without_waiting(const std::string& line) {
  const ssize_t sent = ::send(STDERR_FILENO, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent == static_cast<ssize_t>(line.size());
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) <= 0 || (ready.revents & POLLOUT) == 0) return false;
  struct stat file{};
  const bool is_pipe = ::fstat(STDERR_FILENO, &file) == 0 && S_ISFIFO(file.st_mode);
  // So much a pipe that is ready takes at once.
  const size_t bytes = is_pipe ? std::min<size_t>(line.size(), PIPE_BUF) : line.size();
  return ::write(STDERR_FILENO, line.data(), bytes) == static_cast<ssize_t>(bytes);
}

}  // namespace

void set_log_level(std::string_view name) {
  for (size_t i = 0; i < std::size(level_names); ++i) {
    if (level_names[i] == name) level_shown = static_cast<LogLevel>(i);
  }
}

void log_line(LogLevel level, std::string_view text, std::string_view resource) {
  if (level > level_shown.load()) return;
  timeval now{};
  gettimeofday(&now, nullptr);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  const std::string line =
      fmt::format("time={:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z level={} {}{}{}text=\"{}\"\n", utc.tm_year + 1900,
                  utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_usec / 1000,
                  level_names[static_cast<size_t>(level)], resource.empty() ? "" : "resource=", resource,
                  resource.empty() ? "" : " ", escaped(text));
  static std::atomic<uint64_t> lost = 0;
  const uint64_t missing = lost.exchange(0);
  const std::string note = missing == 0 ? "" : fmt::format("level=warning text=\"{} lines were lost\"\n", missing);
  if (!write_without_waiting(note + line)) lost += missing + 1;
}

}  // namespace mars::daemon
