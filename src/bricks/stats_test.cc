#include "bricks/stats.h"

#include <gtest/gtest.h>

#include "bricks/delay.h"
#include "bricks/memory.h"
#include "bricks/sender_for_tests.h"
#include "sim/world.h"

namespace mars::bricks {
namespace {

using xio::Op;
using namespace std::chrono_literals;

struct StatsTest : testing::Test {
  // Sends and lets the world go on until it is back.
  void send(Op op, uint32_t bytes) {
    const size_t before = sender.back;
    sender.request.prepare(op, 0, bytes, buffer.data());
    sender.enter(sender.request);
    ASSERT_TRUE(world.run_until([&] { return sender.back > before; }));
  }
  sim::World world{1};
  io::Machine& machine = world.host("a").machine();
  Memory memory{machine.ready(), {.bytes = 8192}};
  Delay delay{machine, memory, {.shortest = 1ms, .longest = 1ms}};
  Stats stats{machine, delay};
  Sender sender{machine.ready(), stats};
  std::vector<std::byte> buffer = filled(4096, 'x');
};

TEST_F(StatsTest, counts_requests_bytes_and_failures) {
  send(Op::write, 4096);
  send(Op::write, 512);
  sender.request.prepare(Op::write, 8192, 512, buffer.data());
  sender.enter(sender.request);
  ASSERT_TRUE(world.run_until([&] { return sender.back == 3; }));
  EXPECT_EQ(stats.counts(Op::write).requests, 3u);
  EXPECT_EQ(stats.counts(Op::write).failed, 1u);
  EXPECT_EQ(stats.counts(Op::write).bytes, 4608u);
  EXPECT_EQ(stats.counts(Op::read).requests, 0u);
}

TEST_F(StatsTest, measures_how_long_requests_were_below) {
  delay.press(true);
  ASSERT_TRUE(world.run_until([&] { return delay.led_on(); }));
  send(Op::flush, 0);
  EXPECT_GE(stats.counts(Op::flush).longest, 1ms);
  EXPECT_LT(stats.counts(Op::flush).longest, 2ms);
  EXPECT_EQ(stats.counts(Op::flush).times.bound(500), 1024us);
  EXPECT_NE(stats.dump().find("flush: 1 requests, 0 failed, 0 bytes, p50 1024us, p99 1024us, max 100"),
            std::string::npos)
      << stats.dump();
  stats.reset();
  EXPECT_EQ(stats.dump(), "");
  delay.press(false);
  ASSERT_TRUE(world.run_until([&] { return delay.led_off(); }));
}

TEST(HistogramTest, a_bound_covers_the_asked_part) {
  Histogram histogram;
  EXPECT_EQ(histogram.bound(500), 0us);
  for (int i = 0; i < 99; ++i) histogram.add(100us);
  histogram.add(1s);
  EXPECT_EQ(histogram.bound(500), 128us);
  EXPECT_EQ(histogram.bound(990), 128us);
  EXPECT_EQ(histogram.bound(1000), 1048576us);
  EXPECT_EQ(histogram.count(), 100u);
}

TEST(HistogramTest, extremes_have_a_place) {
  Histogram histogram;
  histogram.add(0us);
  histogram.add(-1us);
  histogram.add(24h);
  EXPECT_EQ(histogram.count(), 3u);
}

}  // namespace
}  // namespace mars::bricks
