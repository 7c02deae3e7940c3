// The command line of marsadm, made from the table of commands (control/command.h).
#pragma once

#include <string>
#include <vector>

#include "control/command.h"
#include "control/exit_code.h"

namespace mars::cli {

enum class Action : uint8_t {
  command,         // send `command` to marsd
  print,           // print `text`: help or version
  mistake,         // the line is wrong: `text` says what, `next_step` what to look at; the end is usage
  manual,          // print the manual page
  completion,      // print the completion for bash
  resource_names,  // print the names of resources, for the completion
  host_names,      // and of hosts
};

struct Invocation {
  Action action = Action::command;
  control::Command command;  // checked, defaults filled in
  std::string socket;        // empty: not given
  bool is_json = false;
  std::string text;
  std::string next_step;
};

// `arguments` without the program's name.
Invocation parse_arguments(std::vector<std::string> arguments);

}  // namespace mars::cli
