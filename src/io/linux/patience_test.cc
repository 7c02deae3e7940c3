#include "io/linux/patience.h"

#include <gtest/gtest.h>

namespace mars::io {
namespace {

using namespace std::chrono_literals;

TEST(Patience, begins_asleep) { EXPECT_EQ(Patience(true).length(), 0us); }

TEST(Patience, short_sleeps_teach_it_to_look_up_to_a_bound) {
  Patience patience(true);
  patience.slept(20us);
  EXPECT_EQ(patience.length(), Patience::least);
  for (int i = 0; i < 10; ++i) patience.slept(20us);
  EXPECT_EQ(patience.length(), Patience::most);
}

TEST(Patience, a_look_in_vain_before_a_short_sleep_was_too_short) {
  Patience patience(true);
  patience.slept(30us);
  const Duration first = patience.length();
  patience.slept(30us);
  EXPECT_GT(patience.length(), first);
}

TEST(Patience, long_sleeps_end_it) {
  Patience patience(true);
  for (int i = 0; i < 10; ++i) patience.slept(20us);
  for (int i = 0; i < 4; ++i) patience.slept(1ms);
  EXPECT_EQ(patience.length(), 0us);
}

TEST(Patience, where_the_longest_look_finds_nothing_it_rests_and_tries_again) {
  Patience patience(true);
  while (patience.length() < Patience::most) patience.slept(20us);
  for (unsigned i = 0; i < Patience::in_vain_most; ++i) patience.slept(20us);
  EXPECT_EQ(patience.length(), 0us);
  for (unsigned i = 0; i < Patience::rest_sleeps; ++i) patience.slept(20us);
  EXPECT_EQ(patience.length(), 0us);
  patience.slept(20us);
  EXPECT_EQ(patience.length(), Patience::least);
}

TEST(Patience, who_finds_something_now_and_then_goes_on_looking) {
  Patience patience(true);
  while (patience.length() < Patience::most) patience.slept(20us);
  for (unsigned i = 0; i < 10 * Patience::in_vain_most; ++i) {
    if (i % 4 == 0) patience.has_found();
    patience.slept(20us);
  }
  EXPECT_EQ(patience.length(), Patience::most);
}

TEST(Patience, long_sleeps_teach_nothing) {
  Patience patience(true);
  patience.slept(101us);
  EXPECT_EQ(patience.length(), 0us);
}

TEST(Patience, with_one_processor_it_never_looks) {
  Patience patience(false);
  patience.slept(1us);
  EXPECT_EQ(patience.length(), 0us);
}

}  // namespace
}  // namespace mars::io
