#include "replication/life.h"

#include <gtest/gtest.h>

namespace mars::replication {
namespace {

constexpr const char* id = "01929929-16ba-4916-9fa2-02a5332c23ff";

TEST(Life, what_is_written_is_read) {
  const Life life{*parse_uuid(id), {8192}};
  EXPECT_EQ(*parse_life(to_text(life)), life);
}

TEST(Life, sides_of_forks_are_written_too) {
  Life life{*parse_uuid(id), {8192}};
  life.given_up = {*parse_uuid(id)};
  life.lost_sides = {{*parse_uuid(id), {4096}}, {*parse_uuid(id), {12288}}};
  EXPECT_EQ(*parse_life(to_text(life)), life);
  life.is_disk_doubted = true;
  EXPECT_EQ(*parse_life(to_text(life)), life);
  life.is_disk_doubted = false;
  for (const char* rest : {"@", "@x", "@1x", "@-1"}) {
    EXPECT_FALSE(parse_life(to_text(life) + " " + id + rest).has_value()) << rest;
  }
}

TEST(Life, a_file_from_before_there_was_a_position_has_none) { EXPECT_EQ(parse_life(id)->born, Lsn{}); }

TEST(Life, anything_else_is_damage) {
  for (const char* rest : {" ", " x", " 12x", " -1", " 99999999999999999999999"}) {
    EXPECT_FALSE(parse_life(std::string(id) + rest).has_value()) << rest;
  }
  EXPECT_FALSE(parse_life("").has_value());
  EXPECT_FALSE(parse_life("nonsense 1").has_value());
}

Uuid number(int n) {
  std::string text = id;
  text[34] = static_cast<char>('0' + n);
  return *parse_uuid(text);
}

format::BranchEpoch reign(int n, uint64_t first, EpochCause cause = EpochCause::recover) {
  format::BranchEpoch epoch;
  epoch.id = number(n);
  epoch.first = {first};
  epoch.cause = cause;
  return epoch;
}

format::BranchEpoch ended(format::BranchEpoch epoch, uint64_t end) {
  epoch.ended = true;
  epoch.end = {end};
  return epoch;
}

TEST(LostSide, the_tail_of_the_old_reign_is_given_up_and_the_forced_one_goes_on) {
  const bricks::Branch mine = {reign(1, 0)};
  const bricks::Branch winner = {ended(reign(1, 0), 8192), reign(2, 8192, EpochCause::force)};
  Life life;
  give_up_side(life, mine, {16384}, winner, {12288});
  EXPECT_TRUE(is_of_lost_side(life, mine, {12288}));
  EXPECT_FALSE(is_of_lost_side(life, mine, {8192})) << "a beginning of both";
  EXPECT_FALSE(is_of_lost_side(life, winner, {12288}));
}

TEST(LostSide, the_forced_reign_is_given_up_and_the_old_one_goes_on) {
  const bricks::Branch mine = {ended(reign(1, 0), 8192), reign(2, 8192, EpochCause::force)};
  const bricks::Branch winner = {reign(1, 0)};
  Life life;
  give_up_side(life, mine, {12288}, winner, {16384});
  EXPECT_TRUE(is_of_lost_side(life, mine, {12288}));
  EXPECT_FALSE(is_of_lost_side(life, winner, {16384}));
  const bricks::Branch handed_on = {mine[0], ended(mine[1], 12288), reign(3, 12288, EpochCause::grant)};
  EXPECT_TRUE(is_of_lost_side(life, handed_on, {20480}));
  const bricks::Branch forced_again = {mine[0], ended(mine[1], 12288), reign(4, 12288, EpochCause::force)};
  EXPECT_FALSE(is_of_lost_side(life, forced_again, {20480})) << "another verdict";
}

TEST(LostSide, the_last_verdict_counts) {
  const bricks::Branch old_one = {reign(1, 0)};
  const bricks::Branch forced = {ended(reign(1, 0), 8192), reign(2, 8192, EpochCause::force)};
  Life life;
  give_up_side(life, forced, {12288}, old_one, {16384});
  give_up_side(life, old_one, {16384}, forced, {12288});
  EXPECT_TRUE(is_of_lost_side(life, old_one, {16384}));
  EXPECT_FALSE(is_of_lost_side(life, forced, {12288}));
}

TEST(LostSide, a_side_that_was_forced_twice_is_given_up_with_both) {
  const bricks::Branch mine = {ended(reign(1, 0), 8192), ended(reign(2, 8192, EpochCause::force), 12288),
                               reign(3, 12288, EpochCause::force)};
  Life life;
  give_up_side(life, mine, {16384}, {reign(1, 0)}, {16384});
  EXPECT_TRUE(is_of_lost_side(life, mine, {16384}));
  EXPECT_TRUE(is_of_lost_side(life, mine, {12288}));
  EXPECT_FALSE(is_of_lost_side(life, mine, {8192}));
}

}  // namespace
}  // namespace mars::replication
