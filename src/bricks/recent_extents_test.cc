#include "bricks/recent_extents.h"

#include <gtest/gtest.h>

namespace mars::bricks {
namespace {

constexpr uint64_t kib = 1024;
using Offsets = std::vector<uint64_t>;

TEST(RecentExtents, the_youngest_is_last_and_each_is_there_once) {
  RecentExtents recent;
  recent.add(4 * kib, 4 * kib);
  recent.add(130 * kib, 4 * kib);
  recent.add(60 * kib, 4 * kib);
  EXPECT_EQ(recent.offsets(), (Offsets{128 * kib, 0}));
}

TEST(RecentExtents, a_range_counts_in_each_extent_that_it_touches) {
  RecentExtents recent;
  recent.add(63 * kib, 66 * kib);
  EXPECT_EQ(recent.offsets(), (Offsets{0, 64 * kib, 128 * kib}));
  recent.add(0, 0);
  EXPECT_EQ(recent.offsets().size(), 3u);
}

TEST(RecentExtents, the_oldest_is_forgotten) {
  RecentExtents recent;
  recent.add(0, 64 * kib * (RecentExtents::count_max + 8));
  ASSERT_EQ(recent.offsets().size(), RecentExtents::count_max);
  EXPECT_EQ(recent.offsets().front(), 8 * 64 * kib);
  recent.add(uint64_t{1} << 40, 1);
  EXPECT_EQ(recent.offsets().size(), RecentExtents::count_max);
  EXPECT_EQ(recent.offsets().front(), 9 * 64 * kib);
}

}  // namespace
}  // namespace mars::bricks
