// Small conversions that several files of this folder need.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "format/random_uuid.h"
#include "format/values.h"
#include "io/machine.h"

namespace mars::node {

std::string hex(std::span<const std::byte> bytes);
// Exactly `bytes` pairs of lower case digits; nothing otherwise.
template <size_t count>
std::optional<std::array<std::byte, count>> unhex(std::string_view text) {
  std::array<std::byte, count> bytes = {};
  if (text.size() != 2 * count) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t digit = std::string_view("0123456789abcdef").find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    bytes[i / 2] = bytes[i / 2] << 4 | static_cast<std::byte>(digit);
  }
  return bytes;
}

// What a peer says may hold anything: ASCII stays, the rest becomes '?'.
std::string printable(std::string text);

// The parts of "host:port" and "[v6]:port"; brackets are removed. Both empty when it is neither.
struct HostPort {
  std::string host;
  std::string port;
};
HostPort split(std::string_view address);
std::string join(const std::string& host, const std::string& port);  // brackets are added where needed
bool is_wildcard(std::string_view host);                             // "", "::", "0.0.0.0"

}  // namespace mars::node
