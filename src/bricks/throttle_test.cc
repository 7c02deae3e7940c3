#include "bricks/throttle.h"

#include <gtest/gtest.h>

#include <array>

#include "bricks/null.h"
#include "bricks/sender_for_tests.h"
#include "sim/world.h"

namespace mars::bricks {
namespace {

using xio::Op;
using namespace std::chrono_literals;

struct ThrottleTest : testing::Test {
  void turn_on(ThrottleRates rates) {
    throttle.set_rates(rates);
    throttle.press(true);
    CHECK(world.run_until([&] { return throttle.led_on(); }));
  }
  void turn_off() {
    throttle.press(false);
    CHECK(world.run_until([&] { return throttle.led_off(); }));
  }
  // Ten writes at once; how long until all are back.
  io::Duration ten_writes(uint32_t bytes) {
    const io::Instant start = machine.now();
    enter_ten(bytes);
    CHECK(wait_for_ten());
    return machine.now() - start;
  }
  void enter_ten(uint32_t bytes) {
    sender.back = 0;
    for (xio::Request& request : requests) {
      request.prepare(Op::write, 0, bytes, buffer.data());
      sender.enter(request);
    }
  }
  bool wait_for_ten() {
    return world.run_until([&] { return sender.back == 10; });
  }
  sim::World world{1};
  io::Machine& machine = world.host("a").machine();
  Null null{machine.ready(), 1 << 20};
  Throttle throttle{machine, null, {}};
  Sender sender{machine.ready(), throttle};
  std::array<xio::Request, 10> requests;
  std::vector<std::byte> buffer = filled(1000, 'x');
};

TEST_F(ThrottleTest, off_it_limits_nothing) { EXPECT_LT(ten_writes(1000), 1ms); }

TEST_F(ThrottleTest, without_rates_it_limits_nothing) {
  turn_on({});
  EXPECT_LT(ten_writes(1000), 1ms);
  turn_off();
}

TEST_F(ThrottleTest, bytes_are_limited) {
  turn_on({.bytes_per_second = 10'000, .burst = 0s});
  const io::Duration time = ten_writes(1000);
  EXPECT_GE(time, 900ms);
  EXPECT_LE(time, 910ms);
  turn_off();
}

TEST_F(ThrottleTest, requests_are_limited) {
  turn_on({.requests_per_second = 100, .burst = 0s});
  const io::Duration time = ten_writes(1);
  EXPECT_GE(time, 90ms);
  EXPECT_LE(time, 91ms);
  turn_off();
}

TEST_F(ThrottleTest, what_was_not_used_may_be_used_at_once) {
  world.run_for(1s);
  turn_on({.requests_per_second = 100, .burst = 50ms});
  const io::Duration time = ten_writes(1);
  EXPECT_GE(time, 39ms);
  EXPECT_LE(time, 41ms);
  turn_off();
}

TEST_F(ThrottleTest, turned_off_what_waits_goes_on_at_once) {
  turn_on({.requests_per_second = 1, .burst = 0s});
  enter_ten(1);
  EXPECT_EQ(throttle.waiting(), 9u);
  const io::Instant start = machine.now();
  turn_off();
  ASSERT_TRUE(wait_for_ten());
  EXPECT_LT(machine.now() - start, 1ms);
}

TEST_F(ThrottleTest, forced_off_what_waits_is_gone) {
  turn_on({.requests_per_second = 1, .burst = 0s});
  enter_ten(1);
  throttle.force_off();
  ASSERT_TRUE(wait_for_ten());
  EXPECT_EQ(requests[0].status, Status::ok);
  EXPECT_EQ(requests[9].status, Status::gone);
}

}  // namespace
}  // namespace mars::bricks
