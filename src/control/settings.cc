#include "control/settings.h"

#include <fmt/core.h>

#include <array>

#include "control/value_text.h"
#include "control/words.h"

namespace mars::control {

namespace {

constexpr std::array<Setting, 6> table = {{
    {"write-cache", SettingType::choice, "on", "on|off", 0, 0,
     "on: plain writes are acknowledged from memory that survives marsd, as from a disk's volatile cache; "
     "off: each write is durable in the log before it is acknowledged"},
    {"flush-interval", SettingType::duration, "100", "", 1, 10'000,
     "a plain write is durable after at most this time, also when nobody flushes"},
    {"front-end", SettingType::choice, "auto", "auto|fuse|nbd|none", 0, 0,
     "how the device of the primary is offered; auto takes what the host's configuration says"},
    {"open-wait", SettingType::duration, "10000", "", 0, 600'000,
     "how long a primary that starts waits for other members to contradict before it opens the device"},
    {"handover-lag", SettingType::size, "8388608", "", 65'536, uint64_t{1} << 40,
     "a handover begins to close the device only when the successor has replayed to within this much"},
    {"deposed", SettingType::choice, "continue", "continue", 0, 0,
     "what an open primary does when another host was forced primary: continue serving, with an alarm"},
}};

Result<uint64_t> parse_typed(SettingType type, std::string_view value) {
  switch (type) {
    case SettingType::size:
      return parse_size(value);
    case SettingType::duration:
      return parse_duration_ms(value);
    case SettingType::count:
      return parse_count(value);
    case SettingType::choice:
      break;
  }
  return failure(Status::invalid);
}

std::string number_text(SettingType type, uint64_t value) {
  switch (type) {
    case SettingType::size:
      return exact_size(value);
    case SettingType::duration:
      return exact_duration(value);
    default:
      return fmt::format("{}", value);
  }
}

// The stored value when it is a legal one, else the default.
std::string stored_or_default(const std::map<std::string, std::string>& stored, std::string_view name) {
  const Setting* setting = find_setting(name);
  auto at = stored.find(std::string(name));
  if (at == stored.end()) return std::string(setting->default_value);
  if (setting->type == SettingType::choice) {
    return is_word_of(setting->choices, at->second) ? at->second : std::string(setting->default_value);
  }
  Result<uint64_t> number = parse_count(at->second);
  bool fits = number && *number >= setting->min && *number <= setting->max;
  return fits ? at->second : std::string(setting->default_value);
}

}  // namespace

std::span<const Setting> settings_table() { return table; }

const Setting* find_setting(std::string_view name) {
  for (const Setting& setting : table) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

Result<std::string> check_setting(std::string_view name, std::string_view value) {
  const Setting* setting = find_setting(name);
  if (setting == nullptr) {
    std::vector<std::string_view> names;
    for (const Setting& known : table) names.push_back(known.name);
    return failure(Status::not_found, fmt::format("there is no option \"{}\"{}", name, suggestion(name, names)));
  }
  if (setting->type == SettingType::choice) {
    if (is_word_of(setting->choices, value)) return std::string(value);
    return failure(Status::invalid, fmt::format("{}: \"{}\" is not one of {}", name, value, setting->choices));
  }
  Result<uint64_t> number = parse_typed(setting->type, value);
  if (!number) return failure(Status::invalid, fmt::format("{}: {}", name, number.error().text));
  if (*number < setting->min || *number > setting->max) {
    return failure(Status::invalid,
                   fmt::format("{}: {} is outside {} .. {}", name, number_text(setting->type, *number),
                               number_text(setting->type, setting->min), number_text(setting->type, setting->max)));
  }
  return fmt::format("{}", *number);
}

std::string setting_text(const Setting& setting, std::string_view stored) {
  if (setting.type == SettingType::choice) return std::string(stored);
  Result<uint64_t> number = parse_count(stored);
  return number ? number_text(setting.type, *number) : std::string(stored);
}

Settings settings_from(const std::map<std::string, std::string>& stored) {
  auto number = [&](std::string_view name) { return *parse_count(stored_or_default(stored, name)); };
  Settings settings;
  settings.write_cache = stored_or_default(stored, "write-cache") == "on";
  settings.flush_interval_ms = number("flush-interval");
  settings.front_end = stored_or_default(stored, "front-end");
  settings.open_wait_ms = number("open-wait");
  settings.handover_lag_bytes = number("handover-lag");
  settings.deposed = stored_or_default(stored, "deposed");
  return settings;
}

}  // namespace mars::control
