// Config: what is local to one marsd: names, places, addresses, memory. From a TOML file, then from flags of the same
// names; one table of all keys. Whatever concerns a resource is a register instead (control/settings.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace mars::daemon {

struct Config {
  std::string name;  // of this host
  std::string state_dir;
  std::string log_dir;  // as state_dir when not given
  std::string run_dir;
  std::string device_dir;
  std::string listen;                  // "[::]:7790"
  std::vector<std::string> advertise;  // what is told to the others; empty: made of name and listen
  std::string nbd_listen;              // empty: no NBD over TCP
  uint32_t nbd_socket_mode = 0600;
  std::string front_end = "auto";    // auto, fuse, nbd, none
  uint64_t memory_bytes = 64 << 20;  // for the process
  static constexpr uint64_t by_rule = UINT64_MAX;
  uint64_t log_reserve_bytes = by_rule;  // kept free on the log disk; by rule: 5 % of it, at least 64 MiB
  std::string io = "auto";               // auto, uring, threads
  std::string log_level = "info";        // error, warning, info, debug
  uint64_t stop_wait_ms = 20'000;        // how long SIGTERM waits for devices that are in use
  friend bool operator==(const Config&, const Config&) = default;
};

// What the defaults depend on.
struct Surroundings {
  bool is_root = true;
  std::string host_name;          // as the system has it
  std::string home;               // $HOME
  std::string state_home;         // $XDG_STATE_HOME
  std::string runtime_directory;  // $XDG_RUNTIME_DIR
  uint64_t ram_bytes = 0;         // of this machine
};
Surroundings surroundings();  // of this process

struct ConfigKey {
  std::string_view name;   // in the file and, after "--", as a flag
  std::string_view value;  // what help shows for it: "DIR", "SIZE", "auto|fuse|nbd|none"
  std::string_view default_text;
  std::string_view help;
};
std::span<const ConfigKey> config_keys();

struct Invocation {
  enum class Action : uint8_t { run, show_help, show_version };
  Action action = Action::run;
  Config config;
};

// Reads `--config FILE` (or /etc/mars/marsd.toml when that exists), then the flags, each "--key value" or
// "--key=value"; `advertise` may be given several times. `arguments` without the program's name. invalid: unknown key
// (names the nearest), a value that does not fit; not_found: the file; texts name file, line and key.
Result<Invocation> read_config(std::span<const std::string> arguments, const Surroundings& around);
// The same for the text of a file.
Error read_toml(std::string_view text, const std::string& file, Config& config);

std::string help_text();

}  // namespace mars::daemon
