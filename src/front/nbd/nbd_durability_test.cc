// CAN_MULTI_CONN: what one connection wrote is covered by the flush of another.
#include "bricks/test_replica_test.h"
#include "front/nbd/nbd_client_test.h"
#include "front/nbd/nbd_server.h"

namespace mars::nbd::testing {
namespace {

// A trans_logger below an NBD server with two clients; then the power goes.
class NbdDurabilityTest : public ::testing::Test {
 protected:
  NbdDurabilityTest() {
    EXPECT_TRUE(replica_.create().has_value());
    server_ = std::make_unique<NbdServer>(replica_.machine(), NbdOptions{});
    export_ = std::make_unique<NbdExport>(*server_, "disk", replica_.logger(), NbdExportOptions{"a test disk"});
    export_->press(true);
    EXPECT_EQ(world_.run(replica_.machine(), server_->listen(socket_address)).status, Status::ok);
  }
  // What is on the first block after the power has come back.
  std::byte write_and_lose_power(bool is_flushed) {
    {
      Client writer(world_, replica_.machine());
      Client other(world_, replica_.machine());
      writer.open();
      other.open();
      EXPECT_EQ(writer.write(0, Bytes(4096, std::byte{'w'})), Errno::none);
      if (is_flushed) {
        EXPECT_EQ(other.plain(Command::flush, 0, 0), Errno::none);
      }
      replica_.host().power_loss();
      world_.run(replica_.machine(), server_->stop());
    }
    export_->force_off();
    EXPECT_TRUE(world_.run_until([&] { return export_->led_off(); }));
    export_.reset();
    server_.reset();
    EXPECT_TRUE(replica_.reopen().has_value());
    const std::vector<std::byte> read = replica_.run(replica_.origin().read(0, 4096));
    return read.empty() ? std::byte{'?'} : read[0];
  }

  sim::World world_{7};
  bricks::TestReplica replica_{world_};
  std::unique_ptr<NbdServer> server_;
  std::unique_ptr<NbdExport> export_;
};

TEST_F(NbdDurabilityTest, a_flush_of_one_connection_covers_what_another_wrote) {
  EXPECT_EQ(write_and_lose_power(true), std::byte{'w'});
}

TEST_F(NbdDurabilityTest, without_a_flush_the_write_was_in_memory_only) {
  EXPECT_EQ(write_and_lose_power(false), std::byte{0});
}

}  // namespace
}  // namespace mars::nbd::testing
