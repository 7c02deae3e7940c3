#include "cli/arguments.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "control/version.h"
#include "control/words.h"

namespace mars::cli {

namespace {

using control::Argument;
using control::ArgumentType;
using control::CommandSpec;

// Where the parser puts what it finds: the addresses must stay.
struct Found {
  std::map<std::string, std::string> values;
  std::map<std::string, bool> flags;
  CLI::App* app = nullptr;
};

std::string described(const Argument& argument) {
  std::string text(argument.help);
  if (!argument.choices.empty()) text += fmt::format(" ({})", argument.choices);
  if (!argument.default_value.empty()) text += fmt::format(" [{}]", argument.default_value);
  return text;
}

std::string value_name(ArgumentType type) {
  switch (type) {
    case ArgumentType::size:
      return "SIZE";
    case ArgumentType::duration:
      return "TIME";
    case ArgumentType::count:
      return "NUMBER";
    case ArgumentType::host:
      return "HOST";
    case ArgumentType::path:
      return "PATH";
    default:
      return "TEXT";
  }
}

// As wide as the parser's own columns look good.
std::string wrapped(std::string_view text) {
  constexpr size_t width = 100;
  std::string out;
  size_t column = 0;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    if (column > 0 && column + 1 + end > width) {
      out += '\n';
      column = 0;
    }
    out += column > 0 ? " " : "";
    out += text.substr(0, end);
    column += end + (column > 0 ? 1 : 0);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

void add_command(CLI::App& app, const CommandSpec& spec, Found& found) {
  CLI::App* sub = app.add_subcommand(std::string(spec.name), std::string(spec.help));
  sub->group(std::string(title(spec.group)));
  sub->footer(wrapped(spec.long_help));
  sub->fallthrough();  // --json and --socket may stand behind the command
  found.app = sub;
  for (const Argument& argument : spec.positionals) {
    std::string name(argument.name);
    CLI::Option* option = sub->add_option(name, found.values[name], described(argument));
    option->type_name("");
    if (argument.is_required) option->required();
  }
  for (const Argument& argument : spec.options) {
    std::string name(argument.name);
    if (argument.type == ArgumentType::flag) {
      sub->add_flag("--" + name, found.flags[name], described(argument));
    } else {
      sub->add_option("--" + name, found.values[name], described(argument))->type_name(value_name(argument.type));
    }
  }
}

control::Command command_from(const CommandSpec& spec, const Found& found) {
  control::Command command{std::string(spec.name), {}, {}};
  for (const std::vector<Argument>* arguments : {&spec.positionals, &spec.options}) {
    for (const Argument& argument : *arguments) {
      std::string name(argument.name);
      std::string option_name = arguments == &spec.options ? "--" + name : name;
      if (found.app->get_option(option_name)->count() == 0) continue;
      bool is_flag = argument.type == ArgumentType::flag;
      command.args[name] = is_flag ? "true" : found.values.at(name);
    }
  }
  return command;
}

Invocation mistake(std::string text, std::string_view command = {}) {
  std::string help = command.empty() ? "marsadm --help" : fmt::format("marsadm {} --help", command);
  return {Action::mistake, {}, {}, false, std::move(text), fmt::format("see `{}`", help)};
}

Invocation printed(std::string text) { return {Action::print, {}, {}, false, std::move(text), {}}; }

std::string footer() {
  std::string text = "Exit codes:\n";
  for (const control::ExitCodeRow& row : control::exit_codes()) {
    text += fmt::format("  {}  {}\n", static_cast<int>(row.code), row.help);
  }
  return text + "`marsadm COMMAND --help` says more about each command.";
}

// The parser says of a mistyped command only that it did not expect it.
bool names_unknown_command(const std::vector<std::string>& arguments, std::string& word) {
  for (size_t at = 0; at < arguments.size(); ++at) {
    if (arguments[at] == "--socket") {
      ++at;
    } else if (!arguments[at].starts_with('-')) {
      word = arguments[at];
      return control::find_command(word) == nullptr;
    }
  }
  return false;
}

// Of a mistyped option the parser says no more.
std::string unknown_option(const std::vector<std::string>& arguments, const CommandSpec& spec) {
  for (const std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    std::string name = argument.substr(2, argument.find('=') - 2);
    bool is_known = name == "json" || name == "socket" || std::ranges::count(spec.options, name, &Argument::name) > 0;
    if (is_known) continue;
    std::vector<std::string_view> names = {"json", "socket"};
    for (const Argument& option : spec.options) names.push_back(option.name);
    return fmt::format("{}: there is no option --{}{}", spec.name, name, control::suggestion(name, names));
  }
  return {};
}

// The parser would take `--force=false` for a flag that was given.
std::string flag_with_value(const std::vector<std::string>& arguments, const CommandSpec* spec) {
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    const size_t sign = argument.find('=');
    if (!argument.starts_with("--") || sign == std::string::npos) continue;
    const std::string name = argument.substr(2, sign - 2);
    const auto is_it = [&](const Argument& option) { return option.name == name && option.type == ArgumentType::flag; };
    if (name == "json" || (spec != nullptr && std::ranges::any_of(spec->options, is_it))) {
      return fmt::format("--{} takes no value; give it, or leave it out", name);
    }
  }
  return {};
}

// What is made of the table for others; not part of the table because marsd does not know it.
void add_hidden(CLI::App& app, Invocation& invocation) {
  CLI::App* manual = app.add_subcommand("man", "print the manual page");
  manual->group("");
  manual->callback([&] { invocation.action = Action::manual; });
  CLI::App* completion = app.add_subcommand("completion", "print the completion for a shell");
  completion->group("");
  completion->require_subcommand(1);
  completion->fallthrough();
  completion->add_subcommand("bash", "for bash")->callback([&] { invocation.action = Action::completion; });
  completion->add_subcommand("resources", "names of resources")->callback([&] {
    invocation.action = Action::resource_names;
  });
  completion->add_subcommand("hosts", "names of hosts")->callback([&] { invocation.action = Action::host_names; });
}

Invocation parse(const std::vector<std::string>& arguments) {
  Invocation invocation;
  CLI::App app("marsadm: steers marsd, which replicates block devices of this host to others.", "marsadm");
  app.require_subcommand(1);
  app.footer(footer());
  app.set_version_flag("--version", fmt::format("marsadm {}", control::version));
  app.add_option("--socket", invocation.socket, "control socket of marsd [$MARS_SOCKET or /run/mars/control.sock]")
      ->type_name("PATH");
  app.add_flag("--json", invocation.is_json, "print one JSON document for programs, no progress");
  std::map<std::string_view, Found> found;
  for (const CommandSpec& spec : control::command_table()) add_command(app, spec, found[spec.name]);
  add_hidden(app, invocation);
  std::string word;
  bool is_unknown = names_unknown_command(arguments, word) && word != "man" && word != "completion";
  if (is_unknown) {
    Result<control::Command> checked = control::check_command({word, {}, {}});
    return mistake(checked.error().text);
  }
  if (std::string wrong = flag_with_value(arguments, control::find_command(word)); !wrong.empty()) {
    return mistake(std::move(wrong), word);
  }
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as the parser wants them
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForVersion& version) {
    return printed(std::string(version.what()) + "\n");
  } catch (const CLI::CallForHelp&) {
    return printed(app.help());
  } catch (const CLI::ParseError& error) {
    const CommandSpec* spec = control::find_command(word);
    std::string unknown = spec == nullptr ? "" : unknown_option(arguments, *spec);
    return mistake(unknown.empty() ? error.what() : unknown, word);
  }
  if (invocation.action != Action::command) return invocation;
  const CommandSpec& spec = *control::find_command(app.get_subcommands().front()->get_name());
  Result<control::Command> checked = control::check_command(command_from(spec, found[spec.name]));
  if (!checked) return mistake(checked.error().text, spec.name);
  invocation.command = std::move(*checked);
  return invocation;
}

}  // namespace

Invocation parse_arguments(std::vector<std::string> arguments) {
  Invocation invocation = parse(arguments);
  // The parser may have stopped before it.
  const auto end = std::ranges::find(arguments, "--");
  if (std::find(arguments.begin(), end, "--json") != end) invocation.is_json = true;
  return invocation;
}

}  // namespace mars::cli
