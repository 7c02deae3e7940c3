#include "daemon/config.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include <toml++/toml.h>

#include "base/check.h"
#include "control/value_text.h"
#include "control/words.h"

namespace mars::daemon {

namespace {

constexpr size_t file_bytes_max = 1 << 20;
constexpr const char* default_file = "/etc/mars/marsd.toml";

using Set = Error (*)(Config& config, std::string_view value);

struct Row {
  ConfigKey key;
  Set set;
};

Error bad(std::string text) { return {Status::invalid, std::move(text)}; }

template <std::string Config::* member>
Error set_directory(Config& config, std::string_view value) {
  if (!value.starts_with('/')) return bad(fmt::format("\"{}\" is no absolute path", value));
  if (value.size() > 1 && value.ends_with('/')) value.remove_suffix(1);
  config.*member = value;
  return Status::ok;
}

// "host:port" or "[v6]:port"; the port may be 0 where one listens.
bool is_address(std::string_view value) {
  size_t colon = value.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  std::string_view host = value.substr(0, colon);
  bool is_bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (!is_bracketed && host.find_first_of(":[]/ ") != std::string_view::npos) return false;
  Result<uint64_t> port = control::parse_count(value.substr(colon + 1));
  return port && *port <= 65535;
}

Error check_address(std::string_view value) {
  return is_address(value) ? Error(Status::ok)
                           : bad(fmt::format("\"{}\" is no address; write HOST:PORT or [V6]:PORT", value));
}

Error set_name(Config& config, std::string_view value) {
  if (control::check_name(value) != Status::ok) {
    return bad(fmt::format("\"{}\" is no name: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit", value));
  }
  config.name = value;
  return Status::ok;
}

Error set_listen(Config& config, std::string_view value) {
  config.listen = value;
  return check_address(value);
}

Error add_advertise(Config& config, std::string_view value) {
  if (config.advertise.size() >= 16) return bad("more than 16 addresses");
  config.advertise.emplace_back(value);
  return check_address(value);
}

Error set_nbd_listen(Config& config, std::string_view value) {
  config.nbd_listen = value;
  return value.empty() ? Error(Status::ok) : check_address(value);
}

Error set_socket_mode(Config& config, std::string_view value) {
  uint32_t mode = 0;
  auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), mode, 8);
  if (value.empty() || error != std::errc() || rest != value.data() + value.size() || mode > 0777) {
    return bad(fmt::format("\"{}\" is no mode; write for example 0660", value));
  }
  config.nbd_socket_mode = mode;
  return Status::ok;
}

template <std::string Config::* member, const char* choices>
Error set_choice(Config& config, std::string_view value) {
  if (!control::is_word_of(choices, value)) return bad(fmt::format("\"{}\" is not one of {}", value, choices));
  config.*member = value;
  return Status::ok;
}

template <uint64_t Config::* member, uint64_t min>
Error set_size(Config& config, std::string_view value) {
  Result<uint64_t> size = control::parse_size(value);
  if (!size) return size.error();
  if (*size < min) return bad(fmt::format("{} is less than {}", value, control::size_text(min)));
  config.*member = *size;
  return Status::ok;
}

Error set_stop_wait(Config& config, std::string_view value) {
  Result<uint64_t> wait = control::parse_duration_ms(value);
  if (!wait) return wait.error();
  config.stop_wait_ms = *wait;
  return Status::ok;
}

constexpr uint64_t memory_bytes_min = 64u << 20;
constexpr char front_ends[] = "auto|fuse|nbd|none";
constexpr char io_kinds[] = "auto|uring|threads";
constexpr char log_levels[] = "error|warning|info|debug";

constexpr std::array<Row, 15> table = {{
    {{"name", "NAME", "the host's name", "name of this host in the cluster"}, set_name},
    {{"state-dir", "DIR", "/var/lib/mars",
      "keys, metadata and, unless log-dir is given, the logs; not as root: ~/.local/state/mars"},
     set_directory<&Config::state_dir>},
    {{"log-dir", "DIR", "the state directory", "where the logs of the resources lie: a disk of their own is best"},
     set_directory<&Config::log_dir>},
    {{"run-dir", "DIR", "/run/mars", "control.sock, nbd.sock; not as root: $XDG_RUNTIME_DIR/mars"},
     set_directory<&Config::run_dir>},
    {{"device-dir", "DIR", "/dev/mars", "where the devices of the resources appear; not as root: dev in the run-dir"},
     set_directory<&Config::device_dir>},
    {{"listen", "ADDRESS", "[::]:7790", "where other hosts connect to"}, set_listen},
    {{"advertise", "ADDRESS", "NAME with the port of listen, or listen where that names an address",
      "where others can reach this host; may be given several times"},
     add_advertise},
    {{"nbd-listen", "ADDRESS", "off", "NBD over TCP with TLS, for clients of `marsadm issue-client`"}, set_nbd_listen},
    {{"nbd-socket-mode", "MODE", "0600", "of nbd.sock"}, set_socket_mode},
    {{"front-end", front_ends, "auto", "how devices are offered; auto takes fuse where it works, else nbd"},
     set_choice<&Config::front_end, front_ends>},
    {{"memory", "SIZE", "25 % of RAM, 64 MiB to 1 GiB",
      "limit for the whole process; each open block device takes up to 16 MiB more"},
     set_size<&Config::memory_bytes, memory_bytes_min>},
    {{"log-reserve", "SIZE", "5 % of the disk, at least 64 MiB", "kept free on the log disk"},
     set_size<&Config::log_reserve_bytes, 0>},
    {{"io", io_kinds, "auto", "how disks are accessed; auto takes uring where the kernel has it"},
     set_choice<&Config::io, io_kinds>},
    {{"log-level", log_levels, "info", "what is written to standard error"},
     set_choice<&Config::log_level, log_levels>},
    {{"stop-wait", "TIME", "20s", "how long SIGTERM waits for devices that are in use"}, set_stop_wait},
}};

const Row* find_row(std::string_view name) {
  for (const Row& row : table) {
    if (row.key.name == name) return &row;
  }
  return nullptr;
}

std::string unknown(std::string_view what, std::string_view name) {
  std::vector<std::string_view> names;
  for (const Row& row : table) names.push_back(row.key.name);
  return fmt::format("there is no {} \"{}\"{}", what, name.substr(0, 64), control::suggestion(name, names));
}

// A hostname as the system has it may be longer and have capitals: what is before the first dot, in our letters.
std::string name_from(std::string_view host_name) {
  std::string name;
  for (char c : host_name.substr(0, host_name.find('.'))) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    name += is_plain ? c : '-';
  }
  while (name.starts_with('-') || name.starts_with('_')) name.erase(0, 1);
  if (name.size() > 63) name.resize(63);
  return control::check_name(name) == Status::ok ? name : "localhost";
}

Config defaults(const Surroundings& around) {
  Config config;
  config.name = name_from(around.host_name);
  config.memory_bytes = std::clamp(around.ram_bytes / 4, memory_bytes_min, uint64_t{1} << 30);
  config.listen = "[::]:7790";
  config.state_dir = "/var/lib/mars";
  config.run_dir = "/run/mars";
  config.device_dir = "/dev/mars";
  if (around.is_root) return config;
  std::string state_home = around.state_home.empty() ? around.home + "/.local/state" : around.state_home;
  config.state_dir = state_home + "/mars";
  config.run_dir = around.runtime_directory.empty() ? config.state_dir + "/run" : around.runtime_directory + "/mars";
  config.device_dir = config.run_dir + "/dev";
  return config;
}

Result<std::string> read_text(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    return failure(
        errno == ENOENT ? Status::not_found : Status::io_error,
        fmt::format("cannot read {}: {}; make it readable, or give another with --config", file, std::strerror(errno)));
  }
  std::string text(file_bytes_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(stream.gcount()));
  if (stream.bad()) return failure(Status::io_error, fmt::format("cannot read {}", file));
  if (text.size() > file_bytes_max) return failure(Status::invalid, fmt::format("{} is longer than 1 MiB", file));
  return text;
}

// The value of a TOML node as the text that a flag would have. A mode is octal whatever stands in front of it; in
// another base it is none.
std::optional<std::string> text_of_node(const toml::node& node, bool is_mode) {
  if (const auto* text = node.as_string()) return text->get();
  const auto* number = node.as_integer();
  if (number == nullptr) return std::nullopt;
  if (!is_mode || number->flags() == toml::value_flags::none) return fmt::format("{}", number->get());
  const bool is_octal = number->flags() == toml::value_flags::format_as_octal;
  return is_octal ? fmt::format("{:o}", number->get()) : fmt::format("{:#x}", number->get());
}

Error read_key(std::string_view name, const toml::node& node, Config& config) {
  const Row* row = find_row(name);
  if (row == nullptr) return bad(unknown("key", name));
  if (const toml::array* list = node.as_array(); list != nullptr && name == "advertise") {
    config.advertise.clear();
    for (const toml::node& item : *list) {
      std::optional<std::string> text = text_of_node(item, false);
      Error error = text ? row->set(config, *text) : bad("not a text");
      if (error.status != Status::ok) return bad(fmt::format("{}: {}", name, error.text));
    }
    return Status::ok;
  }
  std::optional<std::string> text = text_of_node(node, name == "nbd-socket-mode");
  Error error = text ? row->set(config, *text) : bad("neither a text nor a number");
  return error.status == Status::ok ? error : bad(fmt::format("{}: {}", name, error.text));
}

struct Flag {
  std::string name;
  std::optional<std::string> value;
};

// "--key=value", "--key value" (at and the one behind it), "--help", "-h".
Result<Flag> read_flag(std::span<const std::string> arguments, size_t& at) {
  std::string_view word = arguments[at++];
  if (word == "-h") return Flag{"help", {}};
  if (!word.starts_with("--") || word.size() < 3) {
    return failure(Status::invalid, fmt::format("marsd takes only flags, not \"{}\"; see marsd --help", word));
  }
  word.remove_prefix(2);
  size_t equal = word.find('=');
  Flag flag{std::string(word.substr(0, equal)), {}};
  if (equal != std::string_view::npos) {
    flag.value = word.substr(equal + 1);
  } else if (flag.name != "help" && flag.name != "version" && at < arguments.size()) {
    flag.value = arguments[at++];
  }
  return flag;
}

Error apply_flag(const Flag& flag, Config& config, bool& has_advertise) {
  const Row* row = find_row(flag.name);
  if (row == nullptr) return bad(unknown("flag", flag.name));
  if (!flag.value) return bad(fmt::format("--{} needs a value: {}", flag.name, row->key.value));
  // Flags take the place of what the file says, also where there may be several.
  if (flag.name == "advertise" && !std::exchange(has_advertise, true)) config.advertise.clear();
  Error error = row->set(config, *flag.value);
  return error.status == Status::ok ? error : bad(fmt::format("--{}: {}", flag.name, error.text));
}

}  // namespace

std::span<const ConfigKey> config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    for (const Row& row : table) all.push_back(row.key);
    return all;
  }();
  return keys;
}

namespace {
uint64_t ram_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page_bytes = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) : 0;
}
}  // namespace

Surroundings surroundings() {
  auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return {
      ::geteuid() == 0, host.data(), environment("HOME"), environment("XDG_STATE_HOME"), environment("XDG_RUNTIME_DIR"),
      ram_bytes()};
}

Error read_toml(std::string_view text, const std::string& file, Config& config) {
  try {
    toml::table content = toml::parse(text, file);
    for (const auto& [name, node] : content) {
      Error error = read_key(name.str(), node, config);
      if (error.status == Status::ok) continue;
      return bad(fmt::format("{}, line {}: {}", file, node.source().begin.line, error.text));
    }
    return Status::ok;
  } catch (const toml::parse_error& error) {
    return bad(fmt::format("{}, line {}: {}", file, error.source().begin.line, error.description()));
  }
}

namespace {
// The pool is mapped and locked: what the machine does not have would end marsd in the middle of its start. The kernel
// keeps a part of what a machine is said to have.
Error check_memory(const Config& config, const Surroundings& around) {
  if (around.ram_bytes == 0 || config.memory_bytes <= around.ram_bytes / 8 * 9) return Status::ok;
  return bad(fmt::format("--memory {}: this machine has only {}; give less, or leave it out",
                         control::size_text(config.memory_bytes), control::size_text(around.ram_bytes)));
}
}  // namespace

Result<Invocation> read_config(std::span<const std::string> arguments, const Surroundings& around) {
  Invocation invocation;
  std::vector<Flag> flags;
  std::optional<std::string> file;
  for (size_t at = 0; at < arguments.size();) {
    Result<Flag> flag = read_flag(arguments, at);
    if (!flag) return failure(flag.error());
    if (flag->name == "help") invocation.action = Invocation::Action::show_help;
    if (flag->name == "version") invocation.action = Invocation::Action::show_version;
    if (invocation.action != Invocation::Action::run) return invocation;
    if (flag->name != "config") {
      flags.push_back(std::move(*flag));
    } else if (!flag->value) {
      return failure(Status::invalid, "--config needs a value: FILE");
    } else {
      file = *flag->value;
    }
  }
  Config& config = invocation.config;
  config = defaults(around);
  Result<std::string> text = read_text(file.value_or(default_file));
  if (!text && (file || text.error().status != Status::not_found)) return failure(text.error());
  if (text) {
    Error error = read_toml(*text, file.value_or(default_file), config);
    if (error.status != Status::ok) return failure(error);
  }
  bool has_advertise = false;
  for (const Flag& flag : flags) {
    Error error = apply_flag(flag, config, has_advertise);
    if (error.status != Status::ok) return failure(error);
  }
  if (Error error = check_memory(config, around); error.status != Status::ok) return failure(error);
  if (config.log_dir.empty()) config.log_dir = config.state_dir;
  return invocation;
}

std::string help_text() {
  std::string text =
      "marsd: replicates block devices of this host to others. It stays in the foreground and is steered by "
      "marsadm.\n\n"
      "Usage: marsd [--config FILE] [--KEY VALUE ...]\n\n"
      "Each key stands in the file (TOML; /etc/mars/marsd.toml when --config is not given) or is a flag here:\n";
  for (const Row& row : table) {
    text += fmt::format("  --{} {}\n        {} (default: {})\n", row.key.name, row.key.value, row.key.help,
                        row.key.default_text);
  }
  return text + "  --help, --version\n";
}

}  // namespace mars::daemon
