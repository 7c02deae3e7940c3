// A reign that is forced over damage, and dies in the middle.
#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"

namespace mars::bricks {
namespace {

// What force finds.
enum class Damage : uint8_t {
  at_the_end_of_a_file,    // whole batches in the files behind it prove it
  last_file_is_lost,       // the file itself does
  state_block_knows_more,  // nothing else does: the epoch that it knows has rotted whole
};

void spoil(TestReplica& replica, TestBatches& batches, Damage damage) {
  sim::Disks& disks = replica.host().disks();
  const auto spoil_at = [&](Lsn at) {
    const Segment& segment = *replica.log().segments().candidates(at)[0];
    disks.poke(segment.path, segment.offset_of(at) + 512, filled_with(512, '?'));
  };
  if (damage == Damage::state_block_knows_more) {
    batches.append_durable('a');
    const Lsn end = replica.log().durable().position.lsn;
    ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
    TestBatches more(replica);
    more.append_durable('b');
    ASSERT_EQ(replica.run(replica.state().update([](format::StateBlock&) {})), Status::ok);
    return spoil_at(end);
  }
  Lsn rotten;  // the last of the first file
  while (replica.log().segments().all().size() < 4) {
    const Lsn at = batches.append_durable('b', 60000).header.identity.lsn;
    if (replica.log().segments().all().size() == 1) rotten = at;
  }
  replica.state().on_write(nullptr);
  const auto without_hint = [&](format::StateBlock& state) {
    state.durable = {};
    state.branch = replica.log().branch();
  };
  ASSERT_EQ(replica.run(replica.state().update(without_hint)), Status::ok);
  if (damage == Damage::at_the_end_of_a_file) return spoil_at(rotten);
  disks.poke(replica.log().segments().all().back()->path, 0, filled_with(8192, '?'));
}

class ForceTest : public testing::TestWithParam<Damage> {};

// Until the new reign stands the damage is found again, whatever has been moved; and as soon as it stands, what lay
// behind its beginning is given up.
TEST_P(ForceTest, one_that_dies_anywhere_leaves_damage_or_a_reign) {
  bool has_died = true;
  for (uint64_t op = 1; has_died; ++op) {
    ASSERT_LT(op, 60u);
    for (const bool is_power : {false, true}) {
      sim::World world(1);
      TestReplica replica(world);
      ASSERT_TRUE(replica.create().has_value());
      TestBatches batches(replica);
      spoil(replica, batches, GetParam());
      replica.kill();
      ASSERT_EQ(status_of(replica.follow({})), Status::damaged);
      is_power ? replica.host().power_loss_at_disk_op(op) : replica.host().kill_at_disk_op(op);
      has_died = replica.run(replica.begin_epoch(EpochCause::force)) != Status::ok;
      if (!has_died) continue;
      for (int start = 0; start < 2; ++start) {
        replica.kill();
        const Result<void> again = replica.follow({});
        const bool stands = replica.log().branch().back().cause == EpochCause::force;
        EXPECT_EQ(status_of(again), stands ? Status::ok : Status::damaged) << op << (is_power ? " power" : " kill");
      }
    }
  }
}

std::string name_of(const testing::TestParamInfo<Damage>& info) {
  constexpr const char* names[] = {"at_the_end_of_a_file", "last_file_is_lost", "state_block_knows_more"};
  return names[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(each, ForceTest,
                         testing::Values(Damage::at_the_end_of_a_file, Damage::last_file_is_lost,
                                         Damage::state_block_knows_more),
                         name_of);

}  // namespace
}  // namespace mars::bricks
