// Log files of which neither the header nor the first batch can be read: what they prove, and how long (D10).
#include "bricks/test_recovery_test.h"

namespace mars::bricks {
namespace {

TEST_F(RecoveryTest, a_rotten_file_header_with_a_rotten_first_batch_is_damage) {
  forget_hint();
  const Batch* first = nullptr;
  for (int i = 0; i < 10; ++i) {
    const size_t files = log().segments().all().size();
    const Batch& batch = batches.append_durable('b', 60000);
    if (log().segments().all().size() > files) first = &batch;
  }
  spoil(*first);
  disks().flip(path_of(*first), 40);
  expect_damage_at(begin_of(*first));
  EXPECT_EQ(log().segments().lost().size(), 1u);
}

TEST_F(RecoveryTest, a_lost_file_that_was_set_aside_is_no_evidence_any_more) {
  for (int i = 0; i < 8; ++i) batches.append_durable('b', 60000);
  const Segment& last = *log().segments().all().back();
  disks().poke(last.path, 0, filled_with(8192, '?'));
  const Lsn end = last.first();
  expect_damage_at(end);
  const Tip tip = log().durable();
  ASSERT_EQ(replica.run(log().cut_back(tip)), Status::ok);
  expect_tear_at(end);
}

TEST_F(RecoveryTest, a_lost_file_is_no_evidence_against_the_reign_that_was_forced_over_it) {
  for (int i = 0; i < 8; ++i) batches.append_durable('b', 60000);
  const Segment& last = *log().segments().all().back();
  disks().poke(last.path, 0, filled_with(8192, '?'));
  expect_damage_at(last.first());
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
  const Tip tip = log().durable();
  replica.kill();
  ASSERT_TRUE(replica.follow().has_value());
  EXPECT_EQ(log().durable(), tip);
  EXPECT_TRUE(log().segments().lost().empty());
}

// The reign stands, and the file is still there: it is older than what follows it.
TEST_F(RecoveryTest, a_lost_file_that_could_not_be_moved_is_no_evidence_either) {
  for (int i = 0; i < 8; ++i) batches.append_durable('b', 60000);
  const Segment& last = *log().segments().all().back();
  const std::string path = last.path;
  disks().poke(path, 0, filled_with(8192, '?'));
  expect_damage_at(last.first());
  disks().fail({.path = path, .op = sim::DiskOp::change});
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
  disks().heal();
  EXPECT_EQ(log().segments().lost().size(), 1u);
  replica.kill();
  ASSERT_TRUE(replica.follow().has_value());
}

// Where the log is applied up to the inside of the lost file, nothing but that file says that more was in it: neither
// the younger file, which a crash has left without a batch, nor trimming changes that.
class LostLastFileTest : public RecoveryTest {
 protected:
  void lose_the_file_that_holds_applied() {
    while (log().segments().all().size() < 3) batches.append_durable('b', 60000);
    applied_ = batches.append_durable('b', 4000).header.tip();
    batches.append_durable('b', 4000);
    forget_hint();
    applied_is(applied_);
    ASSERT_EQ(replica.run(log().trim(applied_.position.lsn)), Status::ok);
    ASSERT_EQ(log().segments().all().size(), 1u);
    disks().poke(log().segments().all().front()->path, 0, filled_with(8192, '?'));
  }
  Lsn applied() const { return applied_.position.lsn; }

  Tip applied_;
};

TEST_F(LostLastFileTest, it_is_evidence_until_a_file_goes_on_behind_it) {
  lose_the_file_that_holds_applied();
  const format::BranchEpoch& epoch = log().branch().back();
  ASSERT_TRUE(replica.run(log().segments().begin(epoch.id, epoch.number, log().tail().position.lsn)).has_value());
  expect_damage_at(applied());
  ASSERT_EQ(replica.run(log().trim(applied())), Status::ok);
  EXPECT_EQ(log().segments().lost().size(), 1u);
  expect_damage_at(applied());
}

TEST_F(LostLastFileTest, a_reign_that_died_before_its_first_batch_does_not_speak_against_it) {
  lose_the_file_that_holds_applied();
  ASSERT_TRUE(replica.run(log().segments().begin(test_uuid(77), 2, applied())).has_value());
  for (int start = 0; start < 2; ++start) {
    expect_damage_at(applied());
    ASSERT_EQ(replica.run(log().trim(applied())), Status::ok);
  }
}

TEST_F(RecoveryTest, a_lost_file_goes_when_the_log_is_trimmed_behind_it) {
  for (int i = 0; i < 14; ++i) batches.append_durable('b', 60000);
  const Tip end = log().durable();
  ASSERT_GE(log().segments().all().size(), 3u);
  const Lsn first = log().segments().all().back()->first();
  disks().poke(log().segments().all().front()->path, 0, filled_with(8192, '?'));
  applied_is({{end.position.epoch, first}, {}});
  expect_tear_at(end.position.lsn);
  ASSERT_EQ(log().segments().lost().size(), 1u);
  ASSERT_EQ(replica.run(log().trim(first)), Status::ok);
  EXPECT_TRUE(log().segments().lost().empty());
}

}  // namespace
}  // namespace mars::bricks
