#include "control/value_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

namespace mars::control {

namespace {

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// A non-negative decimal with an optional fraction, and what stands behind it.
struct Quantity {
  double value = 0;
  std::string_view unit;
};

Result<Quantity> parse_quantity(std::string_view text) {
  size_t end = text.find_first_not_of("0123456789.");
  if (end == std::string_view::npos) end = text.size();
  Quantity quantity;
  quantity.unit = text.substr(end);
  std::string_view number = text.substr(0, end);
  auto [rest, error] =
      std::from_chars(number.data(), number.data() + number.size(), quantity.value, std::chars_format::fixed);
  if (number.empty() || error != std::errc() || rest != number.data() + number.size()) {
    return failure(Status::invalid, fmt::format("\"{}\" does not begin with a number", text));
  }
  return quantity;
}

Result<uint64_t> scaled(std::string_view text, const Quantity& quantity, uint64_t factor) {
  // A whole number stays exact beyond 2^53.
  std::string_view number = text.substr(0, text.size() - quantity.unit.size());
  uint64_t whole = 0;
  auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), whole);
  bool is_whole = error == std::errc() && rest == number.data() + number.size();
  if (is_whole && whole <= std::numeric_limits<uint64_t>::max() / factor) return whole * factor;
  double product = quantity.value * static_cast<double>(factor);
  if (is_whole || !std::isfinite(product) || product >= 9.0e18) {
    return failure(Status::invalid, fmt::format("\"{}\" is too large", text));
  }
  return static_cast<uint64_t>(std::llround(product));
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

Status check_name(std::string_view name) {
  if (name.empty() || name.size() > 63 || !is_lower_or_digit(name[0])) return Status::invalid;
  if (name == "all" || name == "none") return Status::invalid;
  bool fits =
      std::ranges::all_of(name, [](char c) { return is_lower_or_digit(c) || c == '.' || c == '_' || c == '-'; });
  return fits ? Status::ok : Status::invalid;
}

Result<uint64_t> parse_size(std::string_view text) {
  Result<Quantity> quantity = parse_quantity(text);
  if (!quantity) return failure(Status::invalid, quantity.error().text + "; write for example 4096, 64K, 2G");
  std::string unit(quantity->unit);
  for (char& c : unit) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (unit.ends_with("IB")) unit.resize(unit.size() - 2);
  if (unit == "B") unit.clear();
  if (unit.empty()) return scaled(text, *quantity, 1);
  size_t index = std::string_view("KMGTP").find(unit);
  if (unit.size() != 1 || index == std::string_view::npos) {
    return failure(Status::invalid,
                   fmt::format("\"{}\" is no unit of size; there are K, M, G, T, P (of 1024)", quantity->unit));
  }
  return scaled(text, *quantity, uint64_t{1} << (10 * (index + 1)));
}

constexpr uint64_t duration_ms_max = uint64_t{3650} * 86'400'000;

Result<uint64_t> parse_duration_ms(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, uint64_t>, 6> units = {
      {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  Result<Quantity> quantity = parse_quantity(text);
  if (!quantity) return failure(Status::invalid, quantity.error().text + "; write for example 100ms, 10s, 5m, 1h");
  for (auto [unit, factor] : units) {
    if (quantity->unit != unit) continue;
    Result<uint64_t> scaled_ms = scaled(text, *quantity, factor);
    if (scaled_ms && *scaled_ms > duration_ms_max) {
      return failure(Status::invalid, fmt::format("\"{}\" is too long: at most 3650d", text));
    }
    return scaled_ms;
  }
  return failure(Status::invalid, fmt::format("\"{}\" is no unit of time; there are ms, s, m, h, d", quantity->unit));
}

Result<uint64_t> parse_count(std::string_view text) {
  uint64_t value = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || rest != text.data() + text.size()) {
    return failure(Status::invalid, fmt::format("\"{}\" is no number", text));
  }
  return value;
}

namespace {
// In the largest unit of which it is a multiple.
template <size_t count>
std::string in_whole_units(uint64_t value, const std::array<std::pair<std::string_view, uint64_t>, count>& units) {
  const auto fits = [&](const auto& unit) { return value >= unit.second && value % unit.second == 0; };
  const auto unit = std::ranges::find_if(units, fits);
  return unit == units.end() ? "0" : fmt::format("{}{}", value / unit->second, unit->first);
}
}  // namespace

std::string exact_size(uint64_t bytes) {
  static constexpr std::array<std::pair<std::string_view, uint64_t>, 6> units = {{{"P", uint64_t{1} << 50},
                                                                                  {"T", uint64_t{1} << 40},
                                                                                  {"G", uint64_t{1} << 30},
                                                                                  {"M", uint64_t{1} << 20},
                                                                                  {"K", uint64_t{1} << 10},
                                                                                  {"", 1}}};
  return in_whole_units(bytes, units);
}

std::string exact_duration(uint64_t duration_ms) {
  static constexpr std::array<std::pair<std::string_view, uint64_t>, 5> units = {
      {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
  return in_whole_units(duration_ms, units);
}

std::string size_text(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.95 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}iB", value, "KMGTPE"[unit]);
}

std::string duration_text(uint64_t duration_ms) {
  if (duration_ms < 1000) return fmt::format("{} ms", duration_ms);
  uint64_t seconds = duration_ms / 1000;
  if (seconds < 60) return fmt::format("{}.{} s", seconds, duration_ms % 1000 / 100);
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
}

std::string rfc3339(uint64_t wall_ns) {
  using namespace std::chrono;
  sys_time<nanoseconds> time{nanoseconds(std::min<uint64_t>(wall_ns, std::numeric_limits<int64_t>::max()))};
  sys_days day = floor<days>(time);
  year_month_day date{day};
  hh_mm_ss clock{time - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

Result<uint64_t> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  static constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
  bool fits = text.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i];
  }
  auto number = [&](size_t at, size_t count) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + count, value);
    return value;
  };
  if (fits) {
    year_month_day date{year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))),
                        day(static_cast<unsigned>(number(8, 2)))};
    int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
    if (date.ok() && number(0, 4) >= 1970 && number(0, 4) < 2262 && hour < 24 && minute < 60 && second < 60) {
      auto time = sys_days(date).time_since_epoch() + hours(hour) + minutes(minute) + seconds(second) +
                  nanoseconds(number(20, 9));
      return static_cast<uint64_t>(duration_cast<nanoseconds>(time).count());
    }
  }
  return failure(Status::invalid, "not a time of the form 2026-01-02T03:04:05.000000006Z");
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  if (word.size() > 128) return best;
  for (std::string_view candidate : candidates) {
    size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace mars::control
