// A reign that is forced over damage, and dies in the middle.
#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"

namespace mars::bricks {
namespace {

// The state block knows the epoch that rotted; the forced one begins in front of it, and a crash comes in between.
TEST(Recovery, a_new_epoch_begins_in_front_of_a_rotten_one_whatever_dies) {
  for (uint64_t op = 0; op < 14; ++op) {
    for (const bool is_power : {false, true}) {
      sim::World world(1);
      TestReplica replica(world);
      ASSERT_TRUE(replica.create().has_value());
      TestBatches batches(replica);
      batches.append_durable('a');
      const Lsn end = replica.log().durable().position.lsn;
      ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
      const Segment& segment = *replica.log().segments().candidates(end)[0];
      replica.host().disks().poke(segment.path, segment.offset_of(end) + 512, filled_with(512, '?'));
      replica.kill();
      ASSERT_EQ(status_of(replica.follow({})), Status::damaged);
      if (op > 0) {
        is_power ? replica.host().power_loss_at_disk_op(op) : replica.host().kill_at_disk_op(op);
      }
      const Status begun = replica.run(replica.begin_epoch(EpochCause::force));
      if (op == 0) {
        ASSERT_EQ(begun, Status::ok);
      } else if (begun == Status::ok) {
        break;  // it did not die
      }
      replica.kill();
      const Result<void> again = replica.follow({});
      EXPECT_TRUE(again || again.error().status == Status::damaged) << op << ": " << again.error().text;
    }
  }
}

// Until the reign that was forced over it stands, the lost file says that something is missing.
TEST(Recovery, a_force_that_dies_before_its_reign_stands_leaves_the_evidence) {
  bool has_died = true;
  for (uint64_t op = 1; has_died; ++op) {
    ASSERT_LT(op, 40u);
    for (const bool is_power : {false, true}) {
      sim::World world(1);
      TestReplica replica(world);
      ASSERT_TRUE(replica.create().has_value());
      TestBatches batches(replica);
      for (int i = 0; i < 8; ++i) batches.append_durable('b', 60000);
      const auto without_hint = [&](format::StateBlock& state) {
        state.durable = {};
        state.branch = replica.log().branch();
      };
      replica.state().on_write(nullptr);
      ASSERT_EQ(replica.run(replica.state().update(without_hint)), Status::ok);
      replica.host().disks().poke(replica.log().segments().all().back()->path, 0, filled_with(8192, '?'));
      replica.kill();
      ASSERT_EQ(status_of(replica.follow({})), Status::damaged);
      const size_t reigns = replica.log().branch().size();
      is_power ? replica.host().power_loss_at_disk_op(op) : replica.host().kill_at_disk_op(op);
      has_died = replica.run(replica.begin_epoch(EpochCause::force)) != Status::ok;
      if (!has_died) continue;
      replica.kill();
      const Result<void> again = replica.follow({});
      const bool stands = replica.log().branch().size() > reigns;
      EXPECT_EQ(status_of(again), stands ? Status::ok : Status::damaged) << op;
    }
  }
}

}  // namespace
}  // namespace mars::bricks
