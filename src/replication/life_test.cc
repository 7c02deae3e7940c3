#include "replication/life.h"

#include <gtest/gtest.h>

namespace mars::replication {
namespace {

constexpr const char* id = "01929929-16ba-4916-9fa2-02a5332c23ff";

TEST(Life, what_is_written_is_read) {
  const Life life{*parse_uuid(id), {8192}};
  EXPECT_EQ(*parse_life(to_text(life)), life);
}

TEST(Life, a_file_from_before_there_was_a_position_has_none) { EXPECT_EQ(parse_life(id)->born, Lsn{}); }

TEST(Life, anything_else_is_damage) {
  for (const char* rest : {" ", " x", " 12x", " -1", " 99999999999999999999999"}) {
    EXPECT_FALSE(parse_life(std::string(id) + rest).has_value()) << rest;
  }
  EXPECT_FALSE(parse_life("").has_value());
  EXPECT_FALSE(parse_life("nonsense 1").has_value());
}

}  // namespace
}  // namespace mars::replication
