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

TEST(Patience, looking_in_vain_ends_it) {
  Patience patience(true);
  for (int i = 0; i < 10; ++i) patience.slept(20us);
  for (int i = 0; i < 4; ++i) patience.was_in_vain();
  EXPECT_EQ(patience.length(), 0us);
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
