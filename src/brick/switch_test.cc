#include "brick/switch.h"

#include <gtest/gtest.h>

namespace mars::brick {
namespace {

// Needs `work` to reach zero before it is off.
struct Lamp final : Switch {
  using Switch::Switch;
  void on_button() override {
    ++looked;
    if (is_forced()) work = 0;
    if (button()) return light(Led::on);
    light(work == 0 ? Led::off : Led::dark);
  }
  void finish_one() {
    --work;
    look_again();
  }
  int work = 0;
  int looked = 0;
};

struct SwitchTest : testing::Test {
  Ready ready;
  Lamp lamp{ready};
};

TEST_F(SwitchTest, a_new_brick_is_off) {
  EXPECT_TRUE(lamp.led_off());
  EXPECT_FALSE(lamp.led_on());
}

TEST_F(SwitchTest, pressing_runs_nothing_before_the_next_turn) {
  lamp.press(true);
  EXPECT_EQ(lamp.looked, 0);
  ready.run();
  EXPECT_TRUE(lamp.led_on());
  lamp.press(false);
  ready.run();
}

TEST_F(SwitchTest, both_leds_are_dark_while_work_is_left) {
  lamp.press(true);
  ready.run();
  lamp.work = 1;
  lamp.press(false);
  ready.run();
  EXPECT_FALSE(lamp.led_on() || lamp.led_off());
  lamp.finish_one();
  ready.run();
  EXPECT_TRUE(lamp.led_off());
}

TEST_F(SwitchTest, force_off_does_not_wait_and_ends_with_the_next_press) {
  lamp.press(true);
  ready.run();
  lamp.work = 5;
  lamp.force_off();
  ready.run();
  EXPECT_TRUE(lamp.led_off());
  lamp.press(true);
  EXPECT_FALSE(lamp.is_forced());
  lamp.press(false);
  ready.run();
}

TEST_F(SwitchTest, a_brick_that_is_on_must_not_be_destroyed) {
  EXPECT_DEATH(
      {
        Lamp lit(ready);
        lit.press(true);
        ready.run();
      },
      "led_off");
}

Task<void> wait_off(Switch& a_switch, bool& is_over) {
  co_await a_switch.until_off();
  is_over = true;
}

Task<void> hear_turns(Switch& a_switch, int& heard) {
  for (;;) {
    co_await a_switch.turned().wait();
    ++heard;
    if (a_switch.led_off()) co_return;
  }
}

TEST_F(SwitchTest, each_turn_is_heard_also_where_no_led_changes) {
  int heard = 0;
  Scope scope(ready);
  scope.spawn(hear_turns(lamp, heard));
  lamp.press(true);
  lamp.press(true);
  ready.run();
  EXPECT_EQ(heard, 1);
  lamp.press(false);
  ready.run();
  EXPECT_EQ(heard, 2);
  scope.spawn(hear_turns(lamp, heard));
  lamp.press(false);  // it is off already
  ready.run();
  EXPECT_EQ(heard, 3);
  EXPECT_EQ(scope.count(), 0u);
}

TEST_F(SwitchTest, off_is_waited_for) {
  bool is_over = false;
  Scope scope(ready);
  lamp.press(true);
  ready.run();
  lamp.work = 1;
  lamp.press(false);
  scope.spawn(wait_off(lamp, is_over));
  ready.run();
  EXPECT_FALSE(is_over);
  lamp.finish_one();
  ready.run();
  EXPECT_TRUE(is_over);
}

}  // namespace
}  // namespace mars::brick
