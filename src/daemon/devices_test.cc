#include "daemon/devices.h"

#include <gtest/gtest.h>

#include "bricks/delay.h"
#include "bricks/memory.h"
#include "front/nbd/nbd_client_test.h"

namespace mars::daemon {
namespace {

using namespace std::chrono_literals;
using nbd::testing::Client;

// Attacks: T4, P13
TEST(Devices, a_close_that_requests_of_a_former_client_hold_up_leaves_the_export_as_it_was) {
  sim::World world{1};
  sim::SimMachine& machine = world.host("a").machine();
  bricks::Memory memory(machine.ready(), {.bytes = 1 << 20, .block_bytes = 512});
  bricks::Delay slow(machine, memory, {.shortest = 30s, .longest = 31s});
  nbd::NbdServer server(machine, {});
  ASSERT_EQ(world.run(machine, server.listen(nbd::testing::socket_address)).status, Status::ok);
  DevicesOptions options;
  options.front_end = "nbd";
  Devices devices(machine, server, options);
  const auto device = devices.make({.resource = {}, .name = "disk", .front_end = [] { return "auto"; }});
  ASSERT_TRUE(world.run(machine, device->open(slow)).has_value());
  slow.press(true);
  world.run_for(1ms);
  {
    Client gone(world, machine);
    gone.open();
    gone.send(Client::request(nbd::Command::read, 0, 4096));
    world.run_for(1ms);
    EXPECT_EQ(device->users(), "an NBD client is connected");
    gone.close();
  }
  ASSERT_TRUE(world.run_until([&] { return !device->is_in_use(); }, 1s));
  const auto held_up = world.run(machine, device->close());
  EXPECT_EQ(status_of(held_up), Status::timed_out);
  EXPECT_TRUE(device->is_open());
  {
    Client next(world, machine);
    next.open();
    EXPECT_EQ(status_of(world.run(machine, device->close())), Status::busy);
    next.close();
  }
  ASSERT_TRUE(world.run_until([&] { return !device->is_in_use(); }, 1s));
  world.run_for(60s);
  EXPECT_TRUE(world.run(machine, device->close()).has_value());
  EXPECT_FALSE(device->is_open());
  slow.press(false);
  world.run(machine, server.stop());
  EXPECT_TRUE(world.run_until([&] { return slow.led_off(); }));
}

}  // namespace
}  // namespace mars::daemon
