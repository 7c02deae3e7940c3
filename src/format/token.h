// The join token: one line of text that `marsadm invite` prints and `marsadm join-cluster` reads. It carries a secret:
// never log it. Text form: doc/format/token.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t token_addresses_max = 16;
inline constexpr size_t token_address_bytes_max = 255;

struct JoinToken {
  Uuid cluster;
  std::vector<std::string> addresses;       // "host:port", 1..16 of 1..255 bytes
  std::array<uint8_t, 32> ca_key_sha256{};  // by this the joiner knows that it speaks to the right cluster
  std::array<uint8_t, 16> secret{};
  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};

// "mars1-" and Crockford's base32 in lower case. The token must be within its bounds.
std::string to_string(const JoinToken& token);

// Accepts capitals, o for 0, i and l for 1, and white space at both ends.
// invalid: not a token, cut off, or mistyped. unsupported: of another version. The text says which.
Result<JoinToken> parse_token(std::string_view text);

}  // namespace mars::format
