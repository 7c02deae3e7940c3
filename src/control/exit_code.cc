#include "control/exit_code.h"

#include <fmt/core.h>

#include <array>

#include "base/check.h"

namespace mars::control {

namespace {

constexpr std::array<ExitCodeRow, 9> table = {{
    {ExitCode::done, "done", "the command has done what it says"},
    {ExitCode::failed, "failed", "something went wrong; the message says what, and what to do next"},
    {ExitCode::usage, "usage", "the command line is wrong: unknown word, missing or malformed value"},
    {ExitCode::refused, "refused", "a safety check said no and nothing was changed; the message says which and why"},
    {ExitCode::timed_out, "timed-out", "not finished within --timeout; what was begun may still go on"},
    {ExitCode::unreachable, "unreachable", "a host that is needed for this does not answer"},
    {ExitCode::fork, "fork", "two histories exist of which neither continues the other (split brain)"},
    {ExitCode::not_found, "not-found",
     "there is no resource, host, option, edge or instrument of this name, or no replica of it on this host"},
    {ExitCode::not_running, "not-running", "marsd is not running on this host, or not behind this socket"},
}};

}  // namespace

std::span<const ExitCodeRow> exit_codes() { return table; }

std::string_view name(ExitCode code) {
  CHECK(static_cast<size_t>(code) < table.size());
  return table[static_cast<size_t>(code)].name;
}

ExitCode exit_code_of(Status status) {
  switch (status) {
    case Status::ok:
      return ExitCode::done;
    case Status::invalid:
      return ExitCode::usage;
    case Status::not_found:
      return ExitCode::not_found;
    case Status::exists:
    case Status::busy:
    case Status::refused:
      return ExitCode::refused;
    case Status::timed_out:
      return ExitCode::timed_out;
    case Status::unreachable:
      return ExitCode::unreachable;
    case Status::forked:
      return ExitCode::fork;
    case Status::gone:
    case Status::io_error:
    case Status::no_space:
    case Status::damaged:
    case Status::unsupported:
    case Status::permission:
    case Status::end:
    case Status::stopped:
      return ExitCode::failed;
  }
  return ExitCode::failed;
}

Result<ExitCode> exit_code_from_number(int64_t number) {
  if (number < 0 || number >= static_cast<int64_t>(table.size())) {
    return failure(Status::invalid, fmt::format("{} is no exit code", number));
  }
  return static_cast<ExitCode>(number);
}

}  // namespace mars::control
