#include "daemon/log.h"

#include <sys/time.h>
#include <unistd.h>

#include <atomic>
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
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

void set_log_level(std::string_view name) {
  for (size_t i = 0; i < std::size(level_names); ++i) {
    if (level_names[i] == name) level_shown = static_cast<LogLevel>(i);
  }
}

void log_line(LogLevel level, std::string_view text) {
  if (level > level_shown.load()) return;
  timeval now{};
  gettimeofday(&now, nullptr);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  const std::string line =
      fmt::format("time={:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z level={} text=\"{}\"\n", utc.tm_year + 1900,
                  utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_usec / 1000,
                  level_names[static_cast<size_t>(level)], escaped(text));
  // One write per line; a log that cannot be written must not stop anybody.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace mars::daemon
