// What a host that wants to become a member and the member that invited it say to each other on the join service
// (doc/format/join.md). Values; foreign bytes are checked before they become one.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "format/values.h"
#include "io/network.h"

namespace mars::net {

struct JoinRequest {
  std::array<uint8_t, 16> secret = {};
  Uuid host;
  std::string name;
  std::string request_pem;
  std::vector<io::Address> addresses;
  friend bool operator==(const JoinRequest&, const JoinRequest&) = default;
};

struct JoinAnswer {
  std::string certificate_pem;
  std::string ca_certificate_pem;
  std::string ca_key_pem;
  friend bool operator==(const JoinAnswer&, const JoinAnswer&) = default;
};

std::vector<std::byte> encode(const JoinRequest& request);
Result<JoinRequest> decode_join_request(ByteView bytes);
std::vector<std::byte> encode(const JoinAnswer& answer);
Result<JoinAnswer> decode_join_answer(ByteView bytes);

}  // namespace mars::net
