#include "format/token.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"

namespace mars::format {
namespace {

using test::uuid_of;

JoinToken some_token() {
  JoinToken token;
  token.cluster = uuid_of(0xc1);
  token.addresses = {"alpha:7790", "[2001:db8::1]:7790"};
  token.ca_key_sha256.fill(0xca);
  token.secret.fill(0x5e);
  return token;
}

std::string text_of_error(std::string_view text) {
  auto token = parse_token(text);
  return token ? "accepted" : token.error().text;
}

TEST(Token, golden_text) {
  EXPECT_EQ(to_string(some_token()),
            "mars1-"
            "040c3ge1r70w3ge1r70w3ge1r70w3jpasb5cnjpasb5cnjpasb5cnjpasb5cnjpasb5cnjpasb5cnjpabsf5wqjybsf5wqjybsf5wqjybr"
            "10mrbce1m62ehq6wwk04jv68r30c9tchh3geht65ekmdsq74r270fs6w");
}

TEST(Token, is_read_back_with_white_space_and_capitals) {
  std::string text = to_string(some_token());
  EXPECT_EQ(parse_token(text), some_token());
  EXPECT_EQ(parse_token("  " + text + "\n"), some_token());
  for (char& c : text) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(parse_token(text), some_token());
}

TEST(Token, look_alikes_are_read_as_digits) {
  std::string text = to_string(some_token());
  for (char& c : text.replace(0, 6, "mars1-")) {
    if (&c < text.data() + 6) continue;
    if (c == '0') c = 'o';
    if (c == '1') c = 'l';
  }
  EXPECT_EQ(parse_token(text), some_token());
}

TEST(Token, every_mistyped_character_is_found) {
  std::string text = to_string(some_token());
  for (size_t at = 6; at < text.size(); ++at) {
    std::string wrong = text;
    wrong[at] = wrong[at] == 'z' ? '2' : 'z';
    EXPECT_FALSE(parse_token(wrong)) << at;
  }
}

TEST(Token, every_truncation_is_found) {
  std::string text = to_string(some_token());
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_EQ(status_of(parse_token(text.substr(0, length))), Status::invalid) << length;
  }
}

TEST(Token, the_text_says_what_is_wrong) {
  std::string text = to_string(some_token());
  EXPECT_EQ(text_of_error(""), "the token is empty; copy the whole line that `marsadm invite` printed");
  EXPECT_EQ(text_of_error("hello"),
            "the token does not begin with \"mars1-\"; copy the whole line that `marsadm invite` printed");
  EXPECT_EQ(text_of_error(text.substr(0, 64)),
            "the token is cut off or mistyped; copy the whole line that `marsadm invite` printed");
  EXPECT_EQ(text_of_error(text + "!"),
            "the token has a character in it that no token has; copy the whole line that `marsadm invite` printed");
  EXPECT_EQ(status_of(parse_token("mars2-" + text.substr(6))), Status::unsupported);
  EXPECT_EQ(status_of(parse_token("mars10-" + text.substr(6))), Status::unsupported);
  EXPECT_EQ(status_of(parse_token("mars-" + text.substr(6))), Status::invalid);
  EXPECT_EQ(status_of(parse_token("mars1-" + std::string(10'000, '0'))), Status::invalid);
}

TEST(Token, at_its_bounds_it_still_fits) {
  JoinToken token = some_token();
  token.addresses.assign(token_addresses_max, std::string(token_address_bytes_max, 'a'));
  EXPECT_EQ(parse_token(to_string(token)), token);
}

}  // namespace
}  // namespace mars::format
