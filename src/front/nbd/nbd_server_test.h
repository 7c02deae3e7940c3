// What the tests of the NBD server share: a server with one device, in a simulated machine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bricks/delay.h"
#include "bricks/trace.h"
#include "front/nbd/nbd_client_test.h"
#include "front/nbd/nbd_server.h"

namespace mars::nbd::testing {

// One device "disk" of 64 MiB on a Unix socket; below it trace, fault and delay.
class NbdServerTest : public ::testing::Test {
 protected:
  explicit NbdServerTest(bricks::MemoryOptions options = {.bytes = 64 * mib, .block_bytes = 512},
                         uint64_t memory_bytes = 64 * mib) {
    options.bytes_max = mib;
    memory = std::make_unique<bricks::Memory>(machine.ready(), options);
    slow = std::make_unique<bricks::Delay>(machine, *memory,
                                           bricks::DelayOptions{.shortest = 100us, .longest = 5ms, .seed = 3});
    fault = std::make_unique<bricks::Fault>(machine.ready(), *slow, 1);
    trace = std::make_unique<bricks::Trace>(machine.ready(), *fault, 4096);
    server = std::make_unique<NbdServer>(machine, server_options(memory_bytes));
    disk = std::make_unique<NbdExport>(*server, "disk", *trace, NbdExportOptions{"a test disk"});
    disk->press(true);
    EXPECT_EQ(world.run(machine, server->listen(socket_address)).status, Status::ok);
  }
  ~NbdServerTest() override {
    slow->press(false);
    world.run(machine, server->stop());
    disk->force_off();
    EXPECT_TRUE(world.run_until([&] { return disk->led_off() && slow->led_off(); }));
    EXPECT_EQ(memory->gets_waiting(), 0u);
    disk.reset();
  }
  NbdOptions server_options(uint64_t memory_bytes) {
    NbdOptions options;
    options.tell = [this](const std::string& event) { events.push_back(event); };
    options.memory_bytes = memory_bytes;
    options.why_not = [](std::string_view name) { return std::string(name) + " is primary on host b"; };
    return options;
  }
  void delay() {
    slow->press(true);
    world.run_for(1ms);
  }

  sim::World world{1};
  sim::SimMachine& machine = world.host("a").machine();
  std::vector<std::string> events;
  std::unique_ptr<bricks::Memory> memory;
  std::unique_ptr<bricks::Delay> slow;
  std::unique_ptr<bricks::Fault> fault;
  std::unique_ptr<bricks::Trace> trace;
  std::unique_ptr<NbdServer> server;
  std::unique_ptr<NbdExport> disk;
};

}  // namespace mars::nbd::testing
