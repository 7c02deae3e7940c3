// Tear or damage: what a host makes of the log that it finds (D10, D11).
#include <gtest/gtest.h>

#include "bricks/test_recovery_test.h"
#include "format/seal.h"

namespace mars::bricks {
namespace {

TEST_F(RecoveryTest, an_untouched_log_is_whole) {
  batches.append_durable('a');
  const Tip end = batches.append_durable('b').header.tip();
  const uint64_t admitted = log().admitted();
  expect_tear_at(end.position.lsn);
  EXPECT_EQ(log().durable(), end);
  EXPECT_EQ(log().admitted(), admitted);
}

// It may have come from a cache that no flush has emptied yet.
TEST(Recovery, what_is_read_back_and_trusted_outlives_the_power) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    sim::World world(seed);
    TestReplica replica(world);
    ASSERT_TRUE(replica.create().has_value());
    TestBatches batches(replica);
    batches.append_durable('a');
    const Tip end = batches.append_written('b').header.tip();
    replica.kill();
    ASSERT_TRUE(replica.follow({}).has_value());
    ASSERT_EQ(replica.log().durable(), end);
    replica.power_loss();
    ASSERT_TRUE(replica.follow({}).has_value());
    EXPECT_EQ(replica.log().durable(), end) << seed;
  }
}

TEST_F(RecoveryTest, a_torn_last_batch_ends_the_log) {
  batches.append_durable('a');
  const Batch& torn = batches.append_written('b');
  spoil(torn);
  expect_tear_at(begin_of(torn));
}

TEST_F(RecoveryTest, a_torn_batch_before_a_whole_one_is_a_tear_without_evidence) {
  batches.append_durable('a');
  const Batch& torn = batches.append_written('b');
  batches.append_written('c');
  spoil(torn);
  expect_tear_at(begin_of(torn));
}

TEST_F(RecoveryTest, the_same_bytes_are_damage_when_a_later_batch_says_durable) {
  batches.append_durable('a');
  const Batch& rotten = batches.append_durable('b');
  batches.append_written('c');
  forget_hint();
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
}

// The first whole batch behind the damage says less than the last one: what was intact must not be given up.
TEST_F(RecoveryTest, the_furthest_evidence_counts) {
  const Batch& rotten = batches.append_durable('a');
  for (int i = 0; i < 14; ++i) batches.append_durable('b', 60000);
  const Batch& last = batches.append_durable('c');
  forget_hint();
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
  EXPECT_EQ(replica.recovery().evidence, last.header.end());
}

// What is whole there goes with the end of the damage: behind a gap that was filled it is read on, and torn again.
TEST_F(RecoveryTest, a_whole_batch_behind_the_evidence_counts_and_holds_nothing_up) {
  batches.append_durable('a');
  const Batch& rotten = batches.append_durable('b');
  const Batch& torn = batches.append_written('c');
  const Batch& last = batches.append_written('d');
  forget_hint();
  const auto whole = disks().peek(path_of(rotten), offset_of(rotten) + 512, 512);
  spoil(torn);
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
  EXPECT_EQ(replica.recovery().evidence, last.header.end());
  disks().poke(path_of(rotten), offset_of(rotten) + 512, whole);
  expect_tear_at(begin_of(torn));
}

TEST_F(RecoveryTest, a_release_that_was_cut_back_to_before_it_is_no_evidence) {
  batches.append_durable('a');
  const Tip end = log().durable();
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  const Lsn at = log().tail().position.lsn;
  const auto release = format::encode(format::Release{test_uuid(5), test_uuid(3), test_uuid(4)});
  ASSERT_EQ(replica.run(log().append_control(RecordOp::release, release, log().admitted())), Status::ok);
  const Segment& segment = *log().segments().candidates(at)[0];
  const auto bytes = disks().peek(segment.path, segment.offset_of(at), format::batch_block_bytes);
  ASSERT_EQ(replica.run(replica.state().update([&](format::StateBlock& state) { state.gone = bytes; })), Status::ok);
  expect_tear_at(at + format::batch_block_bytes);
  ASSERT_EQ(replica.run(log().cut_back(end)), Status::ok);
  expect_tear_at(end.position.lsn);
}

TEST_F(RecoveryTest, they_are_damage_when_the_state_block_says_durable) {
  const Batch& rotten = batches.append_durable('a');
  hint();
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
}

TEST_F(RecoveryTest, they_are_damage_when_a_peer_remembers_more) {
  const Batch& rotten = batches.append_durable('a');
  forget_hint();
  spoil(rotten);
  expect_damage_at(begin_of(rotten), rotten.header.end());
}

TEST_F(RecoveryTest, without_any_evidence_the_log_ends_there) {
  const Batch& rotten = batches.append_durable('a');
  forget_hint();
  spoil(rotten);
  expect_tear_at(begin_of(rotten));
}

TEST_F(RecoveryTest, evidence_is_found_in_a_later_file) {
  forget_hint();
  const Batch& rotten = batches.append_durable('a');
  for (int i = 0; i < 20; ++i) batches.append_durable('b', 60000);
  ASSERT_GE(log().segments().all().size(), 3u);
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
}

TEST_F(RecoveryTest, a_file_that_is_missing_is_damage) {
  forget_hint();
  batches.append_durable('a');
  for (int i = 0; i < 20; ++i) batches.append_durable('b', 60000);
  const Segment& second = *log().segments().all()[1];
  const Lsn end = second.first();
  const std::string path = second.path;
  replica.close();
  ASSERT_EQ(world.run(replica.host().machine(), replica.host().machine().storage().remove(path)), Status::ok);
  EXPECT_EQ(status_of(replica.follow()), Status::damaged);
  EXPECT_EQ(replica.recovery().end.position.lsn, end);
}

TEST_F(RecoveryTest, a_place_that_cannot_be_read_is_no_tear) {
  batches.append_durable('a');
  const Batch& broken = batches.append_durable('b');
  forget_hint();
  disks().break_sector(path_of(broken), offset_of(broken));
  expect_damage_at(begin_of(broken));
}

TEST_F(RecoveryTest, a_place_behind_a_clean_end_that_cannot_be_read_held_nothing) {
  const Batch& last = batches.append_durable('a');
  const std::string path = path_of(last);
  disks().break_sector(path, offset_of(last) + last.header.batch_bytes);
  applied_is(last.header.tip());
  expect_damage_at(last.header.end());
  ASSERT_EQ(replica.run(replica.state().update([](format::StateBlock& state) { state.clean = true; })), Status::ok);
  expect_tear_at(last.header.end());
}

TEST_F(RecoveryTest, a_rotten_file_header_is_made_up_from_the_first_batch) {
  for (int i = 0; i < 10; ++i) batches.append_durable('b', 60000);
  const Lsn end = log().durable().position.lsn;
  ASSERT_GE(log().segments().all().size(), 2u);
  disks().flip(log().segments().all().back()->path, 40);
  expect_tear_at(end);
  EXPECT_EQ(log().segments().damaged().size(), 1u);
}

TEST_F(RecoveryTest, damage_heals_when_the_same_bytes_are_fetched_again) {
  TestReplicaOptions there;
  there.host = "b";
  TestReplica peer(world, there);
  ASSERT_TRUE(peer.create_follower().has_value());
  for (int i = 0; i < 14; ++i) batches.append_durable('b', 60000);
  const Tip end = log().durable();
  {
    LogReader reader(log().segments(), log().options(), log().branch(), {});
    while (auto batch = replica.run(reader.next(end.position.lsn))) {
      ASSERT_EQ(peer.run(peer.log().append_fetched(*batch)), Status::ok);
    }
  }
  hint();
  const size_t files = log().segments().all().size();
  disks().flip(log().segments().all()[0]->path, 4096 + 4096 + 700);
  replica.kill();
  ASSERT_EQ(status_of(replica.follow()), Status::damaged);
  LogReader reader(peer.log().segments(), peer.log().options(), peer.log().branch(), log().durable());
  while (auto batch = replica.run(reader.next(end.position.lsn))) {
    ASSERT_EQ(replica.run(log().append_fetched(*batch)), Status::ok);
  }
  EXPECT_EQ(log().durable(), end);
  EXPECT_EQ(log().segments().all().size(), files);
  expect_tear_at(end.position.lsn);
}

// Every bit of a batch in the middle, and of the last one: never anything but its own beginning.
TEST_F(RecoveryTest, every_flipped_bit_is_found) {
  batches.append_durable('a');
  const Batch& middle = batches.append_durable('b', 700);
  const Batch& last = batches.append_durable('c', 700);
  forget_hint();
  const std::string path = path_of(middle);
  const uint64_t place = offset_of(middle);
  for (uint64_t bit = 0; bit < 2 * 4096 * 8; bit += bit < 400 * 8 ? 37 : 541) {
    const Batch& hit = bit < 4096 * 8 ? middle : last;
    disks().flip(path, place + bit / 8, bit % 8);
    if (&hit == &middle) {
      expect_damage_at(begin_of(middle));
    } else {
      expect_tear_at(begin_of(last));
    }
    ASSERT_FALSE(HasFailure()) << "bit " << bit;
    disks().flip(path, place + bit / 8, bit % 8);
  }
}

TEST_F(RecoveryTest, every_flipped_bit_of_a_file_header_is_found) {
  for (int i = 0; i < 8; ++i) batches.append_durable('b', 60000);
  const Lsn end = log().durable().position.lsn;
  const std::string path = log().segments().all().back()->path;
  for (uint64_t bit = 0; bit < 4096 * 8; bit += bit < 128 * 8 ? 13 : 1021) {
    disks().flip(path, bit / 8, bit % 8);
    expect_tear_at(end);
    ASSERT_EQ(log().segments().damaged().size(), 1u) << "bit " << bit;
    disks().flip(path, bit / 8, bit % 8);
  }
}

// ---- what a crash leaves behind

TEST_F(RecoveryTest, the_file_of_an_epoch_that_never_began_is_out_of_the_way) {
  const Batch& last = batches.append_durable('a');
  hint();
  const Lsn end = last.header.end();
  ASSERT_TRUE(replica.run(log().segments().begin(test_uuid(77), 2, end)).has_value());
  expect_tear_at(end);
  EXPECT_EQ(log().segments().all().size(), 1u);
  ASSERT_EQ(disks().list("/mars/r/branch").size(), 1u);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  TestBatches more(replica);
  for (int i = 0; i < 14; ++i) more.append_durable('b', 60000);
  const Tip whole = log().durable();
  applied_is({{whole.position.epoch, log().segments().all().back()->first()}, {}});
  ASSERT_EQ(replica.run(log().trim(whole.position.lsn)), Status::ok);
  expect_tear_at(whole.position.lsn);
}

TEST_F(RecoveryTest, an_epoch_of_the_same_number_may_take_the_place_at_once) {
  const Lsn end = batches.append_durable('a').header.end();
  ASSERT_TRUE(replica.run(log().segments().begin(test_uuid(77), 2, end)).has_value());
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  TestBatches more(replica);
  const Lsn whole = more.append_durable('b').header.end();
  hint();
  expect_tear_at(whole);
}

// After a file was left, its room must not be used again: trimming would take what stands there.
TEST_F(RecoveryTest, it_goes_on_in_the_youngest_file) {
  batches.append_durable('a', 200000);
  batches.append_durable('a', 100000);
  batches.append_durable('b', 100000);
  hint();
  ASSERT_EQ(log().segments().all().size(), 2u);
  const Lsn second = log().segments().all()[1]->first();
  expect_tear_at(log().durable().position.lsn);
  TestBatches more(replica);
  const Batch& batch = more.append_durable('c', 4000);
  applied_is({{log().branch()[0].id, second}, {}});
  ASSERT_EQ(replica.run(log().trim(second)), Status::ok);
  expect_tear_at(batch.header.end());
}

TEST_F(RecoveryTest, nothing_of_a_torn_tail_comes_back) {
  batches.append_durable('a');
  const Batch& torn = batches.append_written('b', 4000);
  const Batch& whole = batches.append_written('c', 4000);
  const Lsn end = begin_of(torn);
  spoil(torn);
  expect_tear_at(end);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  TestBatches more(replica);
  while (log().tail().position.lsn < whole.header.end()) more.append_durable('d');
  hint();
  expect_tear_at(log().durable().position.lsn);
}

TEST_F(RecoveryTest, what_lay_behind_the_damage_is_out_of_the_way_of_a_new_epoch) {
  const Batch& rotten = batches.append_durable('a');
  for (int i = 0; i < 14; ++i) batches.append_durable('b', 60000);
  hint();
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
  EXPECT_EQ(log().segments().all().size(), 2u);
  TestBatches more(replica);
  for (int i = 0; i < 14; ++i) more.append_durable('c', 60000);
  const Tip whole = log().durable();
  applied_is({{whole.position.epoch, log().segments().all().back()->first()}, {}});
  ASSERT_EQ(replica.run(log().trim(whole.position.lsn)), Status::ok);
  expect_tear_at(whole.position.lsn);
}

// The state block still says that the former epoch was durable further than the new one is now.
TEST_F(RecoveryTest, what_was_given_up_is_no_evidence_against_the_new_epoch) {
  const Batch& rotten = batches.append_durable('a');
  for (int i = 0; i < 5; ++i) batches.append_durable('b', 60000);
  hint();
  spoil(rotten);
  expect_damage_at(begin_of(rotten));
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
  TestBatches more(replica);
  more.append_durable('c');
  expect_tear_at(log().durable().position.lsn);
}

TEST_F(RecoveryTest, a_newer_versions_batch_is_no_tear) {
  batches.append_durable('a');
  const Batch& newer = batches.append_durable('b');
  forget_hint();
  const auto whole = disks().peek(path_of(newer), offset_of(newer), newer.header.batch_bytes);
  std::vector<std::byte> head(whole.begin(), whole.begin() + load_u32(whole.data() + 12));
  head[8] = std::byte{2};
  format::seal(head);
  disks().poke(path_of(newer), offset_of(newer), head);
  replica.kill();
  EXPECT_EQ(status_of(replica.follow({})), Status::unsupported);
}

TEST_F(RecoveryTest, time_goes_on_though_the_clock_went_back) {
  batches.append_durable('a', 30000);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  const Stamp before = log().last_time();
  applied_is(log().durable());
  replica.kill();
  replica.host().set_clock_skew(-std::chrono::hours(1));
  ASSERT_TRUE(replica.follow().has_value());
  EXPECT_EQ(log().last_time(), before);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  EXPECT_GT(log().last_time(), before);
}

// ---- giving a tail up

class CutTest : public RecoveryTest {
 protected:
  Tip common;

  void SetUp() override {
    RecoveryTest::SetUp();
    common = batches.append_durable('a').header.tip();
    for (int i = 0; i < 10; ++i) batches.append_durable('b', 60000);
    ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
    TestBatches more(replica);
    for (int i = 0; i < 10; ++i) more.append_durable('c', 60000);
    hint();
  }
};

TEST_F(CutTest, an_abandoned_tail_is_not_read_again) {
  ASSERT_EQ(replica.run(log().cut_back(common)), Status::ok);
  EXPECT_EQ(log().durable(), common);
  expect_tear_at(common.position.lsn);
  EXPECT_EQ(log().branch().size(), 1u);
  EXPECT_TRUE(log().branch()[0].ended);
  EXPECT_GE(disks().list("/mars/r/branch").size(), 3u);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  TestBatches more(replica);
  const Lsn end = more.append_durable('d').header.end();
  hint();
  expect_tear_at(end);
}

TEST_F(CutTest, two_abandoned_histories_of_the_same_numbers_are_both_kept) {
  ASSERT_EQ(replica.run(log().cut_back(common)), Status::ok);
  const size_t kept = disks().list("/mars/r/branch").size();
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
  ASSERT_EQ(replica.run(log().cut_back(common)), Status::ok);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::force)), Status::ok);
  ASSERT_EQ(replica.run(log().cut_back(common)), Status::ok);
  EXPECT_EQ(disks().list("/mars/r/branch").size(), kept + 2);
  expect_tear_at(common.position.lsn);
}

TEST_F(CutTest, no_crash_in_the_middle_looks_like_damage) {
  for (uint64_t n = 1; n <= 12; ++n) {
    sim::World other(n);
    TestReplica again(other);
    ASSERT_TRUE(again.create().has_value());
    TestBatches tail(again);
    const Tip end = tail.append_durable('a').header.tip();
    for (int i = 0; i < 10; ++i) tail.append_durable('b', 60000);
    ASSERT_EQ(again.run(again.begin_epoch(EpochCause::force)), Status::ok);
    again.host().power_loss_at_disk_op(n);
    static_cast<void>(again.run(again.log().cut_back(end)));
    again.host().disks().on_change({});
    again.power_loss();
    auto opened = again.follow();
    ASSERT_TRUE(opened.has_value()) << n << ": " << opened.error().text;
    EXPECT_GE(again.recovery().end.position.lsn, end.position.lsn);
    ASSERT_EQ(again.run(again.log().cut_back(end)), Status::ok);
    again.power_loss();
    ASSERT_TRUE(again.follow().has_value());
    EXPECT_EQ(again.log().durable(), end);
  }
}

}  // namespace
}  // namespace mars::bricks
