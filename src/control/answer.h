// What comes back for a command: any number of Progress, then one Answer; each is one line of JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "control/exit_code.h"

namespace mars::control {

inline constexpr size_t answer_bytes_max = 16 << 20;  // of one encoded line; a longer one is refused by the decoder

struct Progress {
  std::string text;    // "replaying on beta"
  uint64_t done = 0;   // bytes, or steps
  uint64_t total = 0;  // 0: nobody knows yet
  friend bool operator==(const Progress&, const Progress&) = default;
};

// text: what happened, to what and why. next_step: what the operator can do now; empty when there is nothing to do.
struct Answer {
  ExitCode code = ExitCode::done;
  std::string text;
  std::string next_step;
  std::string data;  // a JSON object for programs; empty: none. Encoding drops what is no JSON
  friend bool operator==(const Answer&, const Answer&) = default;

  static Answer done(std::string text = {}) { return {ExitCode::done, std::move(text), {}, {}}; }
  static Answer of(const Error& error, std::string next_step = {});
};

// One line each, without the line feed.
std::string encode(const Progress& progress);
std::string encode(const Answer& answer);

// One line. invalid: no JSON, too long, neither of the two, a field of a wrong type.
Result<std::variant<Progress, Answer>> decode_line(std::string_view line);

}  // namespace mars::control
