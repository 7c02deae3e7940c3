// Values as operators write and read them: sizes, durations, names, times; and the nearest word for one that is
// unknown.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace mars::control {

// [a-z0-9][a-z0-9._-]{0,62}, not "all", not "none": names of hosts and resources.
Status check_name(std::string_view name);

// "4096", "64K", "64KiB", "1.5G": binary units K M G T P. invalid with a sentence.
Result<uint64_t> parse_size(std::string_view text);
// "250ms", "10s", "5m", "1h", "7d"; a bare number means seconds. In milliseconds.
Result<uint64_t> parse_duration_ms(std::string_view text);
Result<uint64_t> parse_count(std::string_view text);

// As the parsers take them, and exact: "8M", "100ms".
std::string exact_size(uint64_t bytes);
std::string exact_duration(uint64_t duration_ms);
std::string size_text(uint64_t bytes);            // "2.0 GiB", for people
std::string duration_text(uint64_t duration_ms);  // "250 ms", "3.2 s", "5 min 10 s", for people

// UTC, nine digits: "2026-01-02T03:04:05.000000006Z"; and back. ns since 1970.
std::string rfc3339(uint64_t wall_ns);
Result<uint64_t> parse_rfc3339(std::string_view text);

// The candidate with the smallest edit distance, if that is small enough to be a slip; else empty.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace mars::control
