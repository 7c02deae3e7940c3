#include "cli/manual.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "control/command.h"
#include "control/settings.h"
#include "control/state.h"
#include "control/version.h"
#include "control/words.h"

namespace mars::cli {

namespace {

using control::Argument;
using control::ArgumentType;
using control::CommandSpec;
using control::Group;

constexpr Group groups[] = {Group::cluster,  Group::resource, Group::roles,
                            Group::switches, Group::watching, Group::instruments};

// Text for troff: backslashes and hyphens are special, and so is a dot or quote at the beginning of a line;
// `code` becomes bold.
std::string troff(std::string_view text) {
  std::string out;
  bool is_bold = false;
  for (char c : text) {
    if (c == '`') {
      is_bold = !is_bold;
      out += is_bold ? "\\fB" : "\\fR";
    } else if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::string capitals(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

std::string value_name(const Argument& argument) {
  switch (argument.type) {
    case ArgumentType::size:
      return "SIZE";
    case ArgumentType::duration:
      return "TIME";
    case ArgumentType::count:
      return "NUMBER";
    case ArgumentType::host:
      return "HOST";
    default:
      return capitals(argument.name);
  }
}

std::string synopsis(const CommandSpec& spec) {
  std::string text = fmt::format("\\fB{}\\fR", troff(spec.name));
  for (const Argument& argument : spec.positionals) {
    std::string name = fmt::format("\\fI{}\\fR", capitals(argument.name));
    text += argument.is_required ? " " + name : " [" + name + "]";
  }
  for (const Argument& argument : spec.options) {
    text += fmt::format(" [\\fB\\-\\-{}\\fR", troff(argument.name));
    if (argument.type != ArgumentType::flag) text += fmt::format(" \\fI{}\\fR", value_name(argument));
    text += "]";
  }
  return text;
}

std::string argument_text(const Argument& argument, bool is_option) {
  std::string text = ".TP\n";
  if (is_option) {
    text += fmt::format("\\fB\\-\\-{}\\fR", troff(argument.name));
    if (argument.type != ArgumentType::flag) text += fmt::format(" \\fI{}\\fR", value_name(argument));
  } else {
    text += fmt::format("\\fI{}\\fR", capitals(argument.name));
  }
  text += "\n" + troff(argument.help);
  if (!argument.choices.empty()) {
    text += ": ";
    for (std::string_view word : control::words_of(argument.choices)) {
      text += fmt::format("{}{}", text.ends_with(": ") ? "" : ", ", troff(word));
    }
  }
  if (!argument.default_value.empty()) text += fmt::format(" (default: {})", troff(argument.default_value));
  return text + "\n";
}

std::string command_text(const CommandSpec& spec) {
  std::string text = fmt::format(".SS {}\n{}.\n{}\n", synopsis(spec), troff(spec.help), troff(spec.long_help));
  for (const Argument& argument : spec.positionals) text += argument_text(argument, false);
  for (const Argument& argument : spec.options) text += argument_text(argument, true);
  return text;
}

std::string settings_text() {
  std::string text = ".SH OPTIONS OF A RESOURCE\nSet with \\fBmarsadm set\\fR, on all hosts at once.\n";
  for (const control::Setting& setting : control::settings_table()) {
    text += fmt::format(".TP\n\\fB{}\\fR", troff(setting.name));
    if (!setting.choices.empty()) text += fmt::format(" ({})", troff(setting.choices));
    text += fmt::format("\n{} (default: {})\n", troff(setting.help),
                        troff(control::setting_text(setting, setting.default_value)));
  }
  return text;
}

std::string states_text() {
  std::string text = ".SH STATES OF A REPLICA\n";
  for (const control::StateRow& row : control::states()) {
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", troff(row.name), troff(row.help));
  }
  return text;
}

std::string exit_codes_text() {
  std::string text = ".SH EXIT STATUS\n";
  for (const control::ExitCodeRow& row : control::exit_codes()) {
    text += fmt::format(".TP\n{}\n{}\n", static_cast<int>(row.code), troff(row.help));
  }
  return text;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// The words that may stand behind a command, as bash code that fills `words`.
std::string completion_of(const CommandSpec& spec) {
  std::vector<std::string> options;
  for (const Argument& argument : spec.options) options.push_back("--" + std::string(argument.name));
  options.push_back("--json");
  std::string text = fmt::format("    {})\n      options=\"{}\"\n", spec.name, joined(options));
  std::vector<std::string> cases;
  for (size_t i = 0; i < spec.positionals.size(); ++i) {
    const Argument& argument = spec.positionals[i];
    std::string words;
    const bool is_old = argument.type == ArgumentType::resource && !argument.is_new;
    if (is_old) words = R"($(marsadm "${socket[@]}" completion resources 2>/dev/null))";
    if (argument.type == ArgumentType::choice) words = argument.choices;
    std::ranges::replace(words, '|', ' ');
    if (argument.name == "key") {
      for (const control::Setting& setting : control::settings_table()) words += std::string(setting.name) + " ";
    }
    if (argument.type == ArgumentType::path) words = "FILES";
    if (!words.empty()) cases.push_back(fmt::format("        {}) positional=\"{}\" ;;\n", i, words));
  }
  if (!cases.empty()) {
    text += "      case $place in\n";
    for (const std::string& row : cases) text += row;
    text += "      esac\n";
  }
  return text + "      ;;\n";
}

constexpr std::string_view manual_head = R"(.SH NAME
marsadm \- steer the replication of block devices
.SH SYNOPSIS
\fBmarsadm\fR [\fB\-\-socket\fR \fIPATH\fR] [\fB\-\-json\fR] \fICOMMAND\fR [\fIARGUMENT\fR ...]
.br
\fBmarsadm\fR \fB\-\-version\fR | \fB\-\-help\fR
.SH DESCRIPTION
MARS replicates block devices, asynchronously, to any number of other hosts. The daemon \fBmarsd\fR runs on every host;
\fBmarsadm\fR tells the one on its own host what is wanted, waits until it is so, and shows what is.
A command that is refused changes nothing, says why, and what to do next.
.SH OPTIONS
.TP
\fB\-\-socket\fR \fIPATH\fR
control socket of marsd (default: $MARS_SOCKET, else /run/mars/control.sock)
.TP
\fB\-\-json\fR
print one JSON document for programs: bytes are integers, times RFC 3339 (\fBget\fR gives values as \fBset\fR takes
them); no progress is shown
.TP
\fB\-\-version\fR
print the version of marsadm; works without marsd
.TP
\fB\-\-help\fR
also after a command
)";

constexpr std::string_view manual_tail = R"(.SH ENVIRONMENT
.TP
\fBMARS_SOCKET\fR
control socket of marsd, unless \fB\-\-socket\fR is given
.SH FILES
.TP
/etc/mars/marsd.toml
settings of this host, read by marsd when it starts; \fBmarsd \-\-help\fR lists them
.TP
/var/lib/mars
state directory: keys, metadata and, unless log\-dir names another place, the logs
.TP
/run/mars/control.sock
where marsd listens for marsadm
.TP
/run/mars/nbd.sock
where marsd listens for NBD clients on this host
.TP
/dev/mars/\fIRESOURCE\fR
the device, on the primary
)";

constexpr std::string_view completion_head = R"bash(# Completion of marsadm for bash. Made by `marsadm completion bash`.
_marsadm() {
  local current=${COMP_WORDS[COMP_CWORD]} command="" place=0 options="" positional="" word valued="" i
  local socket=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    [[ $word != = ]] || continue  # bash takes --host=b for three words
    if [[ -n $valued ]]; then
      [[ $valued != --socket ]] || socket=(--socket "$word")
      valued=""
      continue
    fi
    case $word in
      VALUED_OPTIONS) valued=$word ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=$word; else ((place++)); fi ;;
    esac
  done
  [[ -z $valued ]] || command=$valued
  [[ $current != = ]] || current=""
  case $command in
    --host) positional="$(marsadm "${socket[@]}" completion hosts 2>/dev/null)" ;;
    --socket) positional=FILES ;;
    "")
      options="--socket --json --version --help"
      positional="COMMANDS"
      ;;
)bash";

constexpr std::string_view completion_tail = R"(  esac
  if [[ $positional == FILES && $current != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$positional" -- "$current")
  fi
}
complete -F _marsadm marsadm
)";

void replace(std::string& text, std::string_view word, const std::string& by) {
  size_t at = text.find(word);
  if (at != std::string::npos) text.replace(at, word.size(), by);
}

}  // namespace

std::string manual_page() {
  std::string text =
      fmt::format(".\\\" Made by `marsadm man` from the tables in src/control/.\n.TH MARSADM 8 \"\" \"MARS {}\"\n{}",
                  control::version, manual_head);
  for (Group group : groups) {
    text += fmt::format(".SH {}\n", capitals(title(group)));
    for (const CommandSpec& spec : control::command_table()) {
      if (spec.group == group) text += command_text(spec);
    }
  }
  return text + settings_text() + states_text() + exit_codes_text() + std::string(manual_tail);
}

std::string bash_completion() {
  std::vector<std::string> commands;
  std::vector<std::string> valued = {"--socket"};
  std::string cases;
  for (const CommandSpec& spec : control::command_table()) {
    commands.emplace_back(spec.name);
    cases += completion_of(spec);
    for (const Argument& argument : spec.options) {
      std::string option = "--" + std::string(argument.name);
      if (argument.type != ArgumentType::flag && std::ranges::count(valued, option) == 0) valued.push_back(option);
    }
  }
  std::string pattern;
  for (const std::string& option : valued) pattern += (pattern.empty() ? "" : " | ") + option;
  std::string head(completion_head);
  replace(head, "VALUED_OPTIONS", pattern);
  replace(head, "COMMANDS", joined(commands));
  return head + cases + std::string(completion_tail);
}

}  // namespace mars::cli
