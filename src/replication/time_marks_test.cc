#include "replication/time_marks.h"

#include <gtest/gtest.h>

namespace mars::replication {
namespace {

TEST(TimeMarks, tell_the_newest_write_up_to_a_position) {
  TimeMarks marks;
  EXPECT_EQ(marks.at({1000}), Stamp{});
  marks.add({100}, {7, 0}, {});
  marks.add({200}, {9, 0}, {});
  EXPECT_EQ(marks.at({99}), Stamp{});
  EXPECT_EQ(marks.at({100}), (Stamp{7, 0}));
  EXPECT_EQ(marks.at({199}), (Stamp{7, 0}));
  EXPECT_EQ(marks.at({5000}), (Stamp{9, 0}));
}

TEST(TimeMarks, a_position_that_goes_back_forgets_what_was_known) {
  TimeMarks marks;
  marks.add({100}, {7, 0}, {});
  marks.add({50}, {9, 0}, {});
  EXPECT_EQ(marks.at({60}), (Stamp{9, 0}));
  EXPECT_EQ(marks.count(), 1u);
}

TEST(TimeMarks, stay_bounded_and_get_coarser) {
  TimeMarks marks;
  for (uint64_t i = 1; i <= 10'000; ++i) marks.add({i * 10}, {i, 0}, {});
  EXPECT_LE(marks.count(), TimeMarks::count_max);
  EXPECT_EQ(marks.at({100'000}), (Stamp{10'000, 0}));
  const uint64_t old = marks.at({50'000}).physical_ns;
  EXPECT_LE(old, 5'000u);
  EXPECT_GT(old, 4'000u);
}

TEST(TimeMarks, what_nobody_asks_for_any_more_is_forgotten) {
  TimeMarks marks;
  for (uint64_t i = 1; i <= 1'000; ++i) marks.add({i * 10}, {i, 0}, {i > 5 ? i * 10 - 50 : 0});
  EXPECT_LE(marks.count(), 7u);
  EXPECT_EQ(marks.at({9'950}), (Stamp{995, 0}));
}

}  // namespace
}  // namespace mars::replication
