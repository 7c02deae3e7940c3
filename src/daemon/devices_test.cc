#include "daemon/devices.h"

#include <gtest/gtest.h>

#include "bricks/delay.h"
#include "bricks/memory.h"
#include "front/nbd/nbd_client_test.h"

namespace mars::daemon {
namespace {

using namespace std::chrono_literals;
using nbd::testing::Client;

class DevicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(world_.run(machine_, server_.listen(nbd::testing::socket_address)).status, Status::ok);
  }
  void TearDown() override { world_.run(machine_, server_.stop()); }

  sim::World world_{1};
  sim::SimMachine& machine_ = world_.host("a").machine();
  bricks::Memory memory_{machine_.ready(), {.bytes = 1 << 20, .block_bytes = 512}};
  nbd::NbdServer server_{machine_, {}};
  Devices devices_{machine_, server_, {.front_end = "nbd"}};
  const std::unique_ptr<replication::Device> device_ =
      devices_.make({.resource = {}, .name = "disk", .front_end = [] { return "auto"; }});
};

// A stop bars first, so the export may be off already when it is closed, and nothing tells of that any more.
TEST_F(DevicesTest, a_close_behind_a_bar_waits_for_nothing) {
  ASSERT_TRUE(world_.run(machine_, device_->open(memory_)).has_value());
  world_.run(machine_, device_->bar());
  world_.run_for(1s);
  const io::Instant began = machine_.now();
  EXPECT_TRUE(world_.run(machine_, device_->close()).has_value());
  EXPECT_LT(machine_.now() - began, 1ms);
  EXPECT_FALSE(device_->is_open());
}

// Attacks: T4, P13
TEST_F(DevicesTest, a_close_that_requests_of_a_former_client_hold_up_leaves_the_export_as_it_was) {
  bricks::Delay slow(machine_, memory_, {.shortest = 30s, .longest = 31s});
  ASSERT_TRUE(world_.run(machine_, device_->open(slow)).has_value());
  slow.press(true);
  world_.run_for(1ms);
  {
    Client gone(world_, machine_);
    gone.open();
    gone.send(Client::request(nbd::Command::read, 0, 4096));
    world_.run_for(1ms);
    EXPECT_EQ(device_->users(), "an NBD client is connected");
    gone.close();
  }
  ASSERT_TRUE(world_.run_until([&] { return !device_->is_in_use(); }, 1s));
  const auto held_up = world_.run(machine_, device_->close());
  EXPECT_EQ(status_of(held_up), Status::timed_out);
  EXPECT_TRUE(device_->is_open());
  {
    Client next(world_, machine_);
    next.open();
    EXPECT_EQ(status_of(world_.run(machine_, device_->close())), Status::busy);
    next.close();
  }
  ASSERT_TRUE(world_.run_until([&] { return !device_->is_in_use(); }, 1s));
  world_.run_for(60s);
  EXPECT_TRUE(world_.run(machine_, device_->close()).has_value());
  EXPECT_FALSE(device_->is_open());
  slow.press(false);
  EXPECT_TRUE(world_.run_until([&] { return slow.led_off(); }));
}

}  // namespace
}  // namespace mars::daemon
