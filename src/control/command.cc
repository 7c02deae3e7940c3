#include "control/command.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/json_fields.h"
#include "control/value_text.h"
#include "control/words.h"

namespace mars::control {

namespace {

constexpr uint64_t deadline_ms_max = 60'000;  // requests of users wait so long at most

bool has_control_characters(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Empty: the value fits. Otherwise what is wrong with it.
std::string complaint(const Argument& argument, std::string_view value) {
  if (value.size() > argument_bytes_max) return "is too long";
  if (has_control_characters(value)) return "has control characters";
  switch (argument.type) {
    case ArgumentType::resource:
    case ArgumentType::host:
      if (check_name(value) == Status::ok) return {};
      return fmt::format(
          "\"{}\" is no name: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit, not \"all\", "
          "not \"none\"",
          value);
    case ArgumentType::path:
      return value.starts_with('/') ? "" : fmt::format("\"{}\" is no absolute path", value);
    case ArgumentType::token:
      return value.empty() ? "is empty" : "";
    case ArgumentType::text:
      return {};
    case ArgumentType::size: {
      Result<uint64_t> size = parse_size(value);
      return size ? "" : size.error().text;
    }
    case ArgumentType::duration: {
      Result<uint64_t> duration = parse_duration_ms(value);
      return duration ? "" : duration.error().text;
    }
    case ArgumentType::count: {
      Result<uint64_t> count = parse_count(value);
      return count ? "" : count.error().text;
    }
    case ArgumentType::flag:
      return value == "true" ? "" : "takes no value";
    case ArgumentType::choice:
      return is_word_of(argument.choices, value) ? "" : fmt::format("\"{}\" is not one of {}", value, argument.choices);
  }
  return "has an unknown type";
}

const Argument* find_argument(const CommandSpec& spec, std::string_view name) {
  for (const std::vector<Argument>* arguments : {&spec.positionals, &spec.options}) {
    auto at = std::ranges::find(*arguments, name, &Argument::name);
    if (at != arguments->end()) return &*at;
  }
  return nullptr;
}

std::string shown(const CommandSpec& spec, const Argument& argument) {
  bool is_option = &argument >= spec.options.data() && &argument < spec.options.data() + spec.options.size();
  return fmt::format("{}{}", is_option ? "--" : "", argument.name);
}

Error unknown_command(std::string_view name) {
  std::vector<std::string_view> names;
  for (const CommandSpec& spec : command_table()) names.push_back(spec.name);
  return {Status::invalid, fmt::format("there is no command \"{}\"{}", name.substr(0, 64), suggestion(name, names))};
}

Error unknown_argument(const CommandSpec& spec, std::string_view name) {
  std::vector<std::string_view> names;
  for (const Argument& argument : spec.positionals) names.push_back(argument.name);
  for (const Argument& argument : spec.options) names.push_back(argument.name);
  return {Status::invalid,
          fmt::format("{}: there is no argument \"{}\"{}", spec.name, name.substr(0, 64), suggestion(name, names))};
}

// What the table cannot say: which arguments of one command exclude or demand each other.
Status check_combination(const Command& command, std::string& text) {
  if (command.name == "primary" && command.flag("now") && !command.flag("force")) {
    text = "primary: --now is for --force only";
    return Status::invalid;
  }
  if (command.name == "attach" && command.flag("force") && !command.flag("accept-disk")) {
    text = "attach: --force is for --accept-disk only";
    return Status::invalid;
  }
  if (command.name == "create-resource" && command.flag("create-file") && !command.has("size")) {
    text = "create-resource: --create-file needs --size";
    return Status::invalid;
  }
  const bool is_instrument = command.name == "insert" || command.name == "remove";
  if (is_instrument && parse_duration_ms(command.text("deadline")).value_or(0) > deadline_ms_max) {
    text = fmt::format("{} --deadline: {} is more than 60s", command.name, command.text("deadline"));
    return Status::invalid;
  }
  return Status::ok;
}

// It stands in events, and decides nothing.
bool is_user(std::string_view name) {
  constexpr size_t name_bytes_max = 64;
  return name.size() <= name_bytes_max && std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

std::string Command::text(std::string_view arg) const {
  auto at = args.find(std::string(arg));
  return at == args.end() ? std::string() : at->second;
}

const CommandSpec* find_command(std::string_view name) {
  for (const CommandSpec& spec : command_table()) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

Result<Command> check_command(Command command) {
  if (!is_user(command.by)) command.by.clear();
  const CommandSpec* spec = find_command(command.name);
  if (spec == nullptr) return failure(unknown_command(command.name));
  if (const auto option = command.args.find("host"); spec->is_forwardable && option != command.args.end()) {
    command.host = option->second;
    command.args.erase(option);
  }
  if (!command.host.empty() && check_name(command.host) != Status::ok) {
    return failure(Status::invalid, fmt::format("\"{}\" is no name of a host", command.host.substr(0, 64)));
  }
  if (!command.host.empty() && !spec->is_forwardable) {
    return failure(Status::invalid,
                   fmt::format("{} is run by the host that is asked; run it on {}", spec->name, command.host));
  }
  for (const auto& [name, value] : command.args) {
    const Argument* argument = find_argument(*spec, name);
    if (argument == nullptr) return failure(unknown_argument(*spec, name));
    if (std::string wrong = complaint(*argument, value); !wrong.empty()) {
      return failure(Status::invalid, fmt::format("{} {}: {}", spec->name, shown(*spec, *argument), wrong));
    }
  }
  for (const std::vector<Argument>* arguments : {&spec->positionals, &spec->options}) {
    for (const Argument& argument : *arguments) {
      if (command.has(argument.name)) continue;
      if (argument.is_required) {
        return failure(Status::invalid, fmt::format("{}: {} is missing", spec->name, shown(*spec, argument)));
      }
      if (!argument.default_value.empty()) command.args.emplace(argument.name, argument.default_value);
    }
  }
  std::string text;
  if (Status status = check_combination(command, text); status != Status::ok) return failure(status, text);
  return command;
}

std::string as_typed(const Command& command) {
  const auto word = [](const std::string& value) {
    const bool is_plain = !value.empty() && value.find_first_of(" '\"\\") == std::string::npos;
    return is_plain ? " " + value : fmt::format(" \"{}\"", value);
  };
  const CommandSpec* spec = find_command(command.name);
  std::string text = command.name;
  for (const Argument& argument : spec->positionals) {
    const bool is_told = command.has(argument.name) && argument.type != ArgumentType::token;
    if (is_told) text += word(command.text(argument.name));
  }
  for (const Argument& argument : spec->options) {
    const std::string value = command.text(argument.name);
    if (!command.has(argument.name) || value == argument.default_value) continue;
    text += fmt::format(" --{}", argument.name);
    if (argument.type != ArgumentType::flag) text += word(value);
  }
  return command.host.empty() ? text : text + " --host " + command.host;
}

std::string encode(const Command& command) {
  Json json = {{"name", command.name}, {"args", command.args}};
  if (!command.host.empty()) json["host"] = command.host;
  if (!command.by.empty()) json["by"] = command.by;
  return write_json(json);
}

Result<Command> decode_command(std::string_view text) {
  Result<Json> json = parse_object(text, command_bytes_max);
  if (!json) return failure(Status::invalid, "the command is " + json.error().text);
  Fields fields(*json);
  Command command;
  fields.get("name", command.name);
  fields.get("host", command.host);
  fields.get("by", command.by);
  if (const Json* args = fields.find("args")) {
    if (!args->is_object() || args->size() > argument_count_max) fields.fail();
    for (const auto& [name, value] : args->items()) {
      if (!fields.ok()) break;
      if (!value.is_string())
        fields.fail();
      else
        command.args.emplace(name, value.get<std::string>());
    }
  }
  if (!fields.ok() || command.name.empty()) {
    return failure(Status::invalid, "a command is {\"name\": text, \"args\": {name: text}}");
  }
  return command;
}

}  // namespace mars::control
