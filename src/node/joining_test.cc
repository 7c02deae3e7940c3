#include "node/joining.h"

#include <gtest/gtest.h>

#include "node/text.h"

namespace mars::node {
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

TEST(Joining, request_and_answer_come_back_as_they_were) {
  EXPECT_EQ(decode_join_request(encode(request())).value(), request());
  const JoinAnswer answer{"certificate", "ca", "key"};
  EXPECT_EQ(decode_join_answer(encode(answer)).value(), answer);
}

TEST(Joining, every_truncation_is_found) {
  const std::vector<std::byte> whole = encode(request());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(decode_join_request(ByteView(whole).first(bytes)).has_value()) << bytes;
  }
  std::vector<std::byte> longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_join_request(longer).has_value());
}

TEST(Joining, another_version_is_refused_by_name) {
  std::vector<std::byte> bytes = encode(request());
  bytes[4] = std::byte{2};
  EXPECT_EQ(decode_join_request(bytes).error().status, Status::unsupported);
}

TEST(Joining, a_length_beyond_all_bounds_is_refused) {
  std::vector<std::byte> bytes = encode(request());
  for (size_t at = 40; at < 44; ++at) bytes[at] = std::byte{0xff};
  EXPECT_EQ(decode_join_request(bytes).error().status, Status::invalid);
}

TEST(Joining, addresses_for_others) {
  EXPECT_EQ(own_addresses({"x:1"}, "[::]:7790", "a"), std::vector<std::string>{"x:1"});
  EXPECT_EQ(own_addresses({}, "[::]:7790", "a"), std::vector<std::string>{"a:7790"});
  EXPECT_EQ(own_addresses({}, "[fe80::1]:7790", "a"), std::vector<std::string>{"[fe80::1]:7790"});
  EXPECT_EQ(own_addresses({}, "10.0.0.1:80", "a"), std::vector<std::string>{"10.0.0.1:80"});
  EXPECT_TRUE(own_addresses({}, "", "a").empty());
}

TEST(Joining, hex_and_back) {
  const std::array<std::byte, 3> bytes = {std::byte{0}, std::byte{0xab}, std::byte{0xff}};
  EXPECT_EQ(hex(bytes), "00abff");
  EXPECT_EQ(unhex<3>("00abff"), bytes);
  EXPECT_FALSE(unhex<3>("00abf").has_value());
  EXPECT_FALSE(unhex<3>("00ABFF").has_value());
}

}  // namespace
}  // namespace mars::node
