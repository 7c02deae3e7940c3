// What a command ends with, as marsadm returns it to the shell. The numbers are part of the interface: scripts test
// them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"

namespace mars::control {

enum class ExitCode : uint8_t {
  done = 0,
  failed = 1,
  usage = 2,
  refused = 3,      // by a safety check; nothing was changed
  timed_out = 4,    // what was begun may still go on
  unreachable = 5,  // a peer that is needed does not answer
  fork = 6,         // two histories; the operator has to decide
  not_found = 7,
  not_running = 8,  // no marsd behind the socket
};

struct ExitCodeRow {
  ExitCode code;
  std::string_view name;  // "done", "timed-out" ...
  std::string_view help;
};

// All of them in the order of their numbers.
std::span<const ExitCodeRow> exit_codes();
std::string_view name(ExitCode code);

// Of an outcome inside marsd.
ExitCode exit_code_of(Status status);

// invalid: no such number.
Result<ExitCode> exit_code_from_number(int64_t number);

}  // namespace mars::control
