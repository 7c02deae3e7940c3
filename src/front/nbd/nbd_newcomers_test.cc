// Connections that have not asked for an export yet.
#include "bricks/memory.h"
#include "front/nbd/nbd_client_test.h"
#include "front/nbd/nbd_server.h"

namespace mars::nbd::testing {
namespace {

TEST(NbdNewcomersTest, callers_that_ask_for_nothing_keep_no_client_out) {
  sim::World world{1};
  sim::SimMachine& machine = world.host("a").machine();
  bricks::Memory memory(machine.ready(), {.bytes = mib, .block_bytes = 512});
  NbdServer server(machine, {});
  {
    NbdExport disk(server, "disk", memory);
    disk.press(true);
    EXPECT_EQ(world.run(machine, server.listen(socket_address)).status, Status::ok);
    std::vector<std::unique_ptr<Client>> silent;
    for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<Client>(world, machine));
    const io::Instant before = machine.now();
    {
      Client client(world, machine);
      client.open();
      EXPECT_EQ(client.read(0, 512), Bytes(512));
    }
    EXPECT_LT(machine.now() - before, 1s);
    world.run(machine, server.stop());
    disk.force_off();
    EXPECT_TRUE(world.run_until([&] { return disk.led_off(); }));
  }
}

}  // namespace
}  // namespace mars::nbd::testing
