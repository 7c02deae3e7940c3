#include "net/join_messages.h"

#include <gtest/gtest.h>

namespace mars::net {
namespace {

JoinRequest request() {
  JoinRequest request;
  request.secret[3] = 7;
  request.host.bytes[15] = 9;
  request.name = "beta";
  request.request_pem = "-----BEGIN-----";
  request.addresses = {"beta:7790", "[fe80::1]:7790"};
  return request;
}

TEST(JoinMessages, request_and_answer_come_back_as_they_were) {
  EXPECT_EQ(decode_join_request(encode(request())).value(), request());
  const JoinAnswer answer{"certificate", "ca", "key"};
  EXPECT_EQ(decode_join_answer(encode(answer)).value(), answer);
}

TEST(JoinMessages, every_truncation_is_found) {
  const std::vector<std::byte> whole = encode(request());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(decode_join_request(ByteView(whole).first(bytes)).has_value()) << bytes;
  }
  std::vector<std::byte> longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_join_request(longer).has_value());
}

TEST(JoinMessages, another_version_is_refused_by_name) {
  std::vector<std::byte> bytes = encode(request());
  bytes[4] = std::byte{2};
  EXPECT_EQ(decode_join_request(bytes).error().status, Status::unsupported);
}

TEST(JoinMessages, a_length_beyond_all_bounds_is_refused) {
  std::vector<std::byte> bytes = encode(request());
  for (size_t at = 40; at < 44; ++at) bytes[at] = std::byte{0xff};
  EXPECT_EQ(decode_join_request(bytes).error().status, Status::invalid);
}

}  // namespace
}  // namespace mars::net
