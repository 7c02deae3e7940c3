#include "node/joining.h"

#include <gtest/gtest.h>

#include "node/text.h"

namespace mars::node {
namespace {

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
