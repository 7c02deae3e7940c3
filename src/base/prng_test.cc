#include "base/prng.h"

#include <gtest/gtest.h>

namespace mars {
namespace {

TEST(prng, a_seed_gives_the_same_numbers_for_ever) {
  Prng prng(1);
  EXPECT_EQ(prng.next(), 0xcfc5d07f6f03c29b);
  EXPECT_EQ(prng.next(), 0xbf424132963fe08d);
  EXPECT_NE(Prng(2).next(), Prng(1).next());
}

TEST(prng, numbers_stay_in_their_bounds_and_reach_them) {
  Prng prng(7);
  int lowest = 0, highest = 0;
  for (int i = 0; i < 10000; ++i) {
    ASSERT_LT(prng.below(3), 3u);
    const uint64_t number = prng.between(5, 9);
    ASSERT_TRUE(number >= 5 && number <= 9);
    lowest += number == 5;
    highest += number == 9;
  }
  EXPECT_GT(lowest, 1500);
  EXPECT_GT(highest, 1500);
  EXPECT_EQ(prng.between(4, 4), 4u);
}

TEST(prng, chances_are_what_they_say) {
  Prng prng(7);
  int hits = 0;
  for (int i = 0; i < 100000; ++i) hits += prng.chance(1, 4);
  EXPECT_NEAR(hits, 25000, 700);
  EXPECT_FALSE(prng.chance(0, 4));
  EXPECT_TRUE(prng.chance(4, 4));
}

TEST(prng, a_fork_does_not_disturb) {
  Prng one(3), two(3);
  Prng fork = one.fork();
  two.next();
  for (int i = 0; i < 100; ++i) fork.next();
  EXPECT_EQ(one.next(), two.next());
}

}  // namespace
}  // namespace mars
