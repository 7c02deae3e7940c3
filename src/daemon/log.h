// The log of marsd: one line per event, logfmt, on stderr. From any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace mars::daemon {

enum class LogLevel : uint8_t { error, warning, info, debug };

void set_log_level(std::string_view name);  // of decisions.md: error, warning, info, debug
// time=2026-01-02T03:04:05.678Z level=info resource=mydata text="..."; without a resource where none is concerned.
void log_line(LogLevel level, std::string_view text, std::string_view resource = {});

}  // namespace mars::daemon
