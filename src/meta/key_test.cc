#include "meta/key.h"

#include <gtest/gtest.h>

namespace mars::meta {
namespace {

const Uuid alpha = Uuid::from_random({1});
const Uuid beta = Uuid::from_random({2});

format::Register write_of(const Uuid& host, std::string key, uint64_t version, uint64_t sequence) {
  format::Register value;
  value.scope = "s";
  value.key = std::move(key);
  value.version = version;
  value.writer = {host, {1}};
  value.sequence = sequence;
  return value;
}

TEST(key, tells_the_kind) {
  EXPECT_EQ(kind_of("designated"), Kind::wish);
  EXPECT_EQ(kind_of("switch/fetch/a"), Kind::wish);
  EXPECT_EQ(kind_of(fact_key("position", alpha)), Kind::fact);
  EXPECT_EQ(owner_of(fact_key("position", alpha)), alpha);
  EXPECT_EQ(kind_of(immutable_key("member", to_string(alpha))), Kind::immutable);
  EXPECT_FALSE(owner_of("designated"));
}

TEST(key, has_one_spelling) {
  std::string capitals = fact_key("position", alpha);
  for (char& c : capitals) c = static_cast<char>(std::toupper(c));
  for (std::string_view bad : {std::string_view(""), std::string_view(capitals), std::string_view("x@nobody"),
                               std::string_view("@"), std::string_view("!x"), std::string_view("x!"),
                               std::string_view("A"), std::string_view("a b"), std::string_view("x!y@z")}) {
    EXPECT_FALSE(kind_of(bad)) << bad;
  }
}

TEST(key, a_fact_is_written_by_its_owner_only) {
  EXPECT_TRUE(is_legitimate(write_of(alpha, fact_key("position", alpha), 1, 1)));
  EXPECT_FALSE(is_legitimate(write_of(beta, fact_key("position", alpha), 1, 1)));
  EXPECT_TRUE(is_legitimate(write_of(beta, "designated", 1, 1)));
  EXPECT_FALSE(is_legitimate(write_of({}, "designated", 1, 1)));
  EXPECT_FALSE(is_legitimate(write_of(beta, "designated", 1, 0)));
}

TEST(key, each_kind_has_its_own_order) {
  auto wish_1 = write_of(beta, "designated", 1, 9), wish_2 = write_of(alpha, "designated", 2, 1);
  EXPECT_TRUE(replaces(wish_2, wish_1));
  EXPECT_FALSE(replaces(wish_1, wish_2));
  auto fact_1 = write_of(alpha, fact_key("p", alpha), 9, 1), fact_2 = write_of(alpha, fact_key("p", alpha), 1, 2);
  EXPECT_TRUE(replaces(fact_2, fact_1));
  auto first = write_of(alpha, "verdict!1", 1, 1), second = write_of(beta, "verdict!1", 7, 7);
  EXPECT_EQ(replaces(first, second), alpha < beta);
  EXPECT_EQ(replaces(second, first), beta < alpha);
  EXPECT_FALSE(replaces(first, first));
  auto anew = write_of(alpha, "verdict!1", 1, 5), later = write_of(alpha, "verdict!1", 1, 9);
  later.stamp = {1, 0};
  EXPECT_TRUE(replaces(anew, first));
  EXPECT_FALSE(replaces(first, anew));
  EXPECT_FALSE(replaces(later, first));
  EXPECT_TRUE(replaces(anew, later));
}

}  // namespace
}  // namespace mars::meta
