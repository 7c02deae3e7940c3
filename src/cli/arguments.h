// The command line of marsadm, made from the table of commands (control/command.h).
#pragma once

#include <string>
#include <vector>

#include "control/command.h"
#include "control/exit_code.h"

namespace mars::cli {

enum class Action : uint8_t {
  command,         // send `command` to marsd
  print,           // print `text` and end with `code`: help, version, or what is wrong with the line (to stderr)
  manual,          // print the manual page
  completion,      // print the completion for bash
  resource_names,  // print the names of resources, for the completion
};

struct Invocation {
  Action action = Action::command;
  control::Command command;  // checked, defaults filled in
  std::string socket;        // empty: not given
  bool is_json = false;
  std::string text;
  control::ExitCode code = control::ExitCode::done;
};

// `arguments` without the program's name.
Invocation parse_arguments(std::vector<std::string> arguments);

}  // namespace mars::cli
