#include "io/linux/durable_way.h"

#include <gtest/gtest.h>

namespace mars::io {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t small = 8192;

struct Times {
  Duration one_call;
  Duration two_calls;
};

// How many of `count` writes went by one call.
unsigned by_one_call(DurableWay& way, unsigned count, Times times) {
  unsigned sum = 0;
  for (unsigned i = 0; i < count; ++i) {
    const DurableWay::Way taken = way.next(small);
    if (taken == DurableWay::one_call) ++sum;
    way.took(taken, small, taken == DurableWay::one_call ? times.one_call : times.two_calls);
  }
  return sum;
}

TEST(DurableWay, both_are_tried_and_the_faster_one_is_taken) {
  DurableWay way;
  EXPECT_EQ(way.next(small), DurableWay::one_call);
  way.took(DurableWay::one_call, small, 300us);
  EXPECT_EQ(way.next(small), DurableWay::two_calls);
  way.took(DurableWay::two_calls, small, 400us);
  EXPECT_GE(by_one_call(way, 1000, {300us, 400us}), 980u);
  DurableWay busy;
  EXPECT_LE(by_one_call(busy, 1000, {8ms, 100us}), 10u);
}

TEST(DurableWay, a_load_that_comes_is_noticed_at_once_and_one_that_goes_soon) {
  DurableWay way;
  by_one_call(way, 1000, {300us, 400us});
  EXPECT_LE(by_one_call(way, 1000, {8ms, 400us}), 20u);
  by_one_call(way, 20000, {8ms, 400us});
  EXPECT_GE(by_one_call(way, 40000, {300us, 400us}), 20000u);
}

TEST(DurableWay, what_is_much_worse_is_tried_seldom) {
  DurableWay way;
  by_one_call(way, 20000, {8ms, 100us});
  EXPECT_LE(by_one_call(way, 3 * DurableWay::trial_most, {8ms, 100us}), 3u);
}

TEST(DurableWay, one_write_that_was_held_up_changes_it_for_a_short_while) {
  DurableWay way;
  by_one_call(way, 1000, {300us, 400us});
  way.took(DurableWay::one_call, small, 50ms);
  by_one_call(way, 2 * DurableWay::trial_least, {300us, 400us});
  EXPECT_GE(by_one_call(way, 1000, {300us, 400us}), 980u);
}

TEST(DurableWay, large_writes_teach_nothing) {
  DurableWay way;
  by_one_call(way, 1000, {300us, 400us});
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(way.next(1u << 20), DurableWay::one_call);
    way.took(DurableWay::one_call, 1u << 20, 10ms);
  }
  EXPECT_GE(by_one_call(way, 1000, {300us, 400us}), 980u);
}

}  // namespace
}  // namespace mars::io
