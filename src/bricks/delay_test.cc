#include "bricks/delay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "bricks/memory.h"
#include "bricks/sender_for_tests.h"
#include "bricks/trace.h"
#include "sim/world.h"

namespace mars::bricks {
namespace {

using xio::Op;
using namespace std::chrono_literals;

struct DelayTest : testing::Test {
  void turn_on() {
    delay.press(true);
    CHECK(world.run_until([&] { return delay.led_on(); }));
  }
  void turn_off() {
    delay.press(false);
    CHECK(world.run_until([&] { return delay.led_off(); }));
  }
  // Eight writes, one behind the other.
  void enter_all() {
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].prepare(Op::write, i, 1, &byte);
      sender.enter(requests[i]);
    }
  }
  bool wait_for_all() {
    return world.run_until([&] { return sender.back == requests.size(); });
  }
  sim::World world{1};
  io::Machine& machine = world.host("a").machine();
  Memory memory{machine.ready(), {.bytes = 8192}};
  Trace trace{machine.ready(), memory};
  Delay delay{machine, trace, {.shortest = 1ms, .longest = 50ms, .seed = 7}};
  Sender sender{machine.ready(), delay};
  std::array<xio::Request, 8> requests;
  std::byte byte{};
};

TEST_F(DelayTest, off_it_lets_everything_pass) {
  const io::Instant start = machine.now();
  enter_all();
  EXPECT_EQ(delay.holds(), 0u);
  ASSERT_TRUE(wait_for_all());
  EXPECT_LT(machine.now() - start, 1ms);
}

TEST_F(DelayTest, on_it_keeps_each_for_its_time_and_they_overtake) {
  turn_on();
  const io::Instant start = machine.now();
  enter_all();
  EXPECT_EQ(delay.holds(), 8u);
  ASSERT_TRUE(wait_for_all());
  EXPECT_GE(machine.now() - start, 1ms);
  EXPECT_LE(machine.now() - start, 51ms);
  std::vector<size_t> places;
  for (int i = 0; i < 8; ++i) places.push_back(trace.dump().find("in write " + std::to_string(i)));
  EXPECT_FALSE(std::is_sorted(places.begin(), places.end()));
  turn_off();
}

TEST_F(DelayTest, turning_it_off_lets_what_it_holds_go_on_at_once) {
  turn_on();
  enter_all();
  const io::Instant start = machine.now();
  turn_off();
  ASSERT_TRUE(wait_for_all());
  EXPECT_LT(machine.now() - start, 1ms);
  EXPECT_EQ(requests[0].status, Status::ok);
}

TEST_F(DelayTest, forced_off_what_it_holds_is_gone) {
  turn_on();
  enter_all();
  delay.force_off();
  ASSERT_TRUE(wait_for_all());
  EXPECT_TRUE(delay.led_off());
  for (const xio::Request& request : requests) EXPECT_EQ(request.status, Status::gone);
  EXPECT_EQ(trace.events(), 0u);
}

}  // namespace
}  // namespace mars::bricks
