// The options of a resource (`marsadm set RESOURCE KEY VALUE`, `get`): one table. Each is a register in the resource's
// scope; a resource without the register uses the default.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace mars::control {

enum class SettingType : uint8_t { choice, size, duration, count };

struct Setting {
  std::string_view name;
  SettingType type = SettingType::choice;
  std::string_view default_value;
  std::string_view choices;  // of type choice: separated by '|'
  uint64_t min = 0;          // size in bytes, duration in ms, count
  uint64_t max = 0;
  std::string_view help;
};

std::span<const Setting> settings_table();
const Setting* find_setting(std::string_view name);

// The value in its stored form: a choice as it is, everything else as decimal bytes, milliseconds or count.
// not_found: unknown key (names the nearest); invalid: says what is allowed.
Result<std::string> check_setting(std::string_view name, std::string_view value);
// In the form that check_setting() takes: "8M", "100ms".
std::string setting_text(const Setting& setting, std::string_view stored);

// All settings of one resource, typed. Made from the stored registers; what does not parse (a newer marsd wrote it) is
// the default.
struct Settings {
  bool write_cache = true;
  uint64_t flush_interval_ms = 100;
  std::string front_end = "auto";  // auto, fuse, nbd, none
  uint64_t open_wait_ms = 10'000;
  uint64_t handover_lag_bytes = 8 << 20;
  std::string deposed = "continue";
  friend bool operator==(const Settings&, const Settings&) = default;
};
Settings settings_from(const std::map<std::string, std::string>& stored);

}  // namespace mars::control
