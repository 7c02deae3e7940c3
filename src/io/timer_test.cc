#include "io/timer.h"

#include <gtest/gtest.h>

#include <string>

#include "io/machine.h"
#include "sim/world.h"

namespace mars::io {
namespace {

class TimerTest : public testing::Test {
 protected:
  struct Bell {
    Bell(TimerTest& test, char l) : test_(test), letter(l), timer(test.machine(), &Bell::ring, this) {}
    static void ring(void* self) {
      auto& bell = *static_cast<Bell*>(self);
      bell.test_.log += bell.letter;
      if (bell.again-- > 0) bell.timer.arm_in(1ms);
    }
    TimerTest& test_;
    char letter;
    int again = 0;
    Timer timer;
  };
  sim::SimMachine& machine() { return world.host("a").machine(); }

  sim::World world{1};
  std::string log;
};

TEST_F(TimerTest, timers_fire_in_the_order_of_their_instants) {
  Bell a(*this, 'a'), b(*this, 'b'), c(*this, 'c');
  c.timer.arm_in(3ms);
  a.timer.arm_in(1ms);
  b.timer.arm_in(2ms);
  world.run_for(2500us);
  EXPECT_EQ(log, "ab");
  world.run_for(1s);
  EXPECT_EQ(log, "abc");
  EXPECT_FALSE(c.timer.is_armed());
}

TEST_F(TimerTest, equal_instants_fire_as_they_were_armed) {
  Bell a(*this, 'a'), b(*this, 'b'), c(*this, 'c');
  const Instant when = machine().now() + 1ms;
  for (Bell* bell : {&b, &a, &c}) bell->timer.arm_at(when);
  world.run_for(1s);
  EXPECT_EQ(log, "bac");
}

TEST_F(TimerTest, armed_again_forgets_the_former_instant) {
  Bell a(*this, 'a');
  a.timer.arm_in(1ms);
  a.timer.arm_in(5ms);
  world.run_for(2ms);
  EXPECT_EQ(log, "");
  world.run_for(5ms);
  EXPECT_EQ(log, "a");
}

TEST_F(TimerTest, who_is_cancelled_or_dead_does_not_fire) {
  Bell a(*this, 'a');
  a.timer.arm_in(1ms);
  a.timer.cancel();
  {
    Bell b(*this, 'b');
    b.timer.arm_in(1ms);
  }
  world.run_for(1s);
  EXPECT_EQ(log, "");
}

TEST_F(TimerTest, a_timer_may_arm_itself_again) {
  Bell a(*this, 'a');
  a.again = 3;
  a.timer.arm_in(1ms);
  world.run_for(1s);
  EXPECT_EQ(log, "aaaa");
}

TEST_F(TimerTest, a_sleep_ends_by_time_or_by_stop) {
  Event stop(machine().ready());
  const Instant begin = machine().now();
  EXPECT_TRUE(world.run(machine(), sleep_for(machine(), 5ms, stop)));
  EXPECT_GE(machine().now(), begin + 5ms);
  world.after(1ms, [&] { stop.set(); });
  EXPECT_FALSE(world.run(machine(), sleep_for(machine(), 3600s, stop)));
  EXPECT_FALSE(world.run(machine(), sleep_for(machine(), 3600s, stop)));
  EXPECT_LT(machine().now(), begin + 1s);
}

TEST_F(TimerTest, a_wait_says_whether_it_was_notified) {
  Notifier notifier(machine().ready());
  EXPECT_FALSE(world.run(machine(), wait_until(machine(), notifier, machine().now() + 2ms)));
  world.after(1ms, [&] { notifier.notify(); });
  EXPECT_TRUE(world.run(machine(), wait_until(machine(), notifier, machine().now() + 1s)));
}

}  // namespace
}  // namespace mars::io
