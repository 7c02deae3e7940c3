// The commands of marsadm as values, and the one table of what there is. The parser of marsadm, its manual, its shell
// completion and the check of what arrives at marsd are all made from the table; nothing is listed anywhere else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "control/exit_code.h"

namespace mars::control {

inline constexpr size_t command_bytes_max = 64u << 10;  // of one encoded command
inline constexpr size_t argument_bytes_max = 8u << 10;  // of one value
inline constexpr size_t argument_count_max = 32;

// What the operator wants. args holds positional arguments and options under their names; a flag is "true" or absent.
struct Command {
  std::string name;
  std::map<std::string, std::string> args;
  std::string host;  // the member that is to run it; empty: the one that is asked
  std::string by;    // who gave it, as marsadm says; empty: root

  bool has(std::string_view arg) const { return args.contains(std::string(arg)); }
  bool flag(std::string_view arg) const { return text(arg) == "true"; }
  std::string text(std::string_view arg) const;  // empty when absent
  friend bool operator==(const Command&, const Command&) = default;
};

enum class ArgumentType : uint8_t {
  text,      // anything without control characters
  token,     // "mars1-..."; "-" is replaced by marsadm with what it reads from standard input
  resource,  // name of a resource
  host,      // name of a host
  path,      // absolute path
  size,      // bytes: 4096, 64K, 2G, 1T; binary units
  duration,  // 100ms, 10s, 5m, 1h, 7d
  count,     // a non-negative number
  flag,      // an option without a value
  choice,    // one of `choices`
};

struct Argument {
  std::string_view name;  // positional: "resource"; option: "dry-run" (marsadm adds the dashes)
  ArgumentType type = ArgumentType::text;
  std::string_view help;
  bool is_required = false;        // positional only; optional ones follow the required ones
  std::string_view default_value;  // filled in by check_command; empty: the argument stays absent
  std::string_view choices;        // of type choice: separated by '|'
  bool is_new = false;             // of type resource: a name that is not there yet
};

enum class Group : uint8_t { cluster, resource, roles, switches, watching, instruments };
std::string_view title(Group group);  // heading in help and manual

struct CommandSpec {
  std::string_view name;
  Group group = Group::cluster;
  std::string_view help;       // one line, no full stop
  std::string_view long_help;  // sentences: what happens, what is refused, what to do next
  std::vector<Argument> positionals;
  std::vector<Argument> options;
  std::vector<ExitCode> exit_codes;  // those beyond done, failed, usage, not_running, which every command may give
  bool is_forwardable = false;       // another member may be asked to run it, by the option "host"
};

// Options of every command that waits: "timeout"; of every command that changes something: "dry-run". They stand in
// the table as ordinary options of these commands.
std::span<const CommandSpec> command_table();
const CommandSpec* find_command(std::string_view name);  // null: no such command

// Checks a command from outside against the table and fills in the defaults; the option "host" of a command that may be
// forwarded becomes Command::host. invalid: unknown command or argument
// (the text names the nearest), a required one is missing, a value does not fit its type.
Result<Command> check_command(Command command);

// The line that gives a checked command, for the history: without its token, which is a secret, and without what is the
// default.
std::string as_typed(const Command& command);

// One JSON object. Decoding takes garbage of any kind; it does not look at the table.
std::string encode(const Command& command);
Result<Command> decode_command(std::string_view json);

}  // namespace mars::control
