#include "bricks/log.h"

#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"

namespace mars::bricks {
namespace {

using namespace std::chrono_literals;

class LogTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(replica.create().has_value()); }

  Log& log() { return replica.log(); }
  Lsn durable() { return log().durable().position.lsn; }
  sim::Disks& disks() { return replica.host().disks(); }
  size_t files() { return disks().list("/mars/r/log").size(); }
  // Everything from the beginning, in order.
  std::string read_all() {
    std::string letters;
    LogReader reader(log().segments(), log().options(), log().branch(), {});
    while (auto batch = replica.run(reader.next(log().durable().position.lsn))) {
      const format::Record& record = batch->records.front();
      letters += record.op == RecordOp::write ? static_cast<char>(batch->payload(record)[0]) : '|';
    }
    return letters;
  }

  sim::World world{1};
  TestReplica replica{world};
  TestBatches batches{replica};
};

TEST_F(LogTest, nothing_is_durable_before_somebody_asks) {
  const Lsn before = durable();
  batches.append_written('a');
  world.run_for(1s);
  EXPECT_EQ(durable(), before);
  log().flush();
  EXPECT_TRUE(batches.settle());
  EXPECT_EQ(durable(), log().tail().position.lsn);
}

TEST_F(LogTest, answers_come_in_the_order_of_the_log) {
  std::vector<size_t> order;
  for (size_t i = 1; i <= 12; ++i) {
    batches.append(static_cast<char>('a' + i), i % 3 == 0 ? 40000 : 512, i % 5 == 0);
    order.push_back(i);
  }
  log().flush();
  ASSERT_TRUE(batches.settle());
  EXPECT_EQ(batches.finished, order);
}

TEST_F(LogTest, batches_in_flight_share_a_flush) {
  const uint64_t count = flushes(world, [&] {
    for (int i = 0; i < 20; ++i) batches.append('x');
    log().flush();
    ASSERT_TRUE(batches.settle());
  });
  EXPECT_LE(count, 2u);
}

TEST_F(LogTest, an_urgent_batch_alone_costs_one_round) {
  EXPECT_EQ(flushes(world, [&] { batches.append_durable('a'); }), 0u);
  replica.power_loss();
  ASSERT_TRUE(replica.follow().has_value());
  EXPECT_EQ(read_all(), "|a");
}

TEST_F(LogTest, a_full_file_is_followed_by_the_next) {
  std::string letters = "|";
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    batches.append(letter, 50000);
    letters += letter;
  }
  log().flush();
  ASSERT_TRUE(batches.settle());
  EXPECT_GE(log().segments().all().size(), 4u);
  EXPECT_EQ(read_all(), letters);
}

TEST_F(LogTest, one_flush_covers_the_end_of_a_file_and_the_begin_of_the_next) {
  const auto room = [&] { return log().segments().all().back()->limit() - log().tail().position.lsn; };
  while (room() > 60000) {
    batches.append('x', 50000);
    log().flush();
    ASSERT_TRUE(batches.settle());
  }
  const size_t count = log().segments().all().size();
  batches.append_written('y');
  batches.append_written('z', 60000);
  EXPECT_EQ(log().segments().all().size(), count + 1);
  log().flush();
  ASSERT_TRUE(batches.settle());
  replica.power_loss();
  ASSERT_TRUE(replica.follow().has_value());
  EXPECT_TRUE(read_all().ends_with("yz")) << read_all();
}

TEST_F(LogTest, no_more_than_the_bound_is_without_a_flush) {
  for (int i = 0; i < 40; ++i) batches.append('x', 32768);
  EXPECT_TRUE(world.run_until(
      [&] { return log().tail().position.lsn - durable() <= log().options().in_flight_bytes_max; }, 5s));
  log().flush();
  EXPECT_TRUE(batches.settle());
}

TEST_F(LogTest, a_failed_write_ends_the_log) {
  batches.append_durable('a');
  disks().fail({.path = "/mars/r/log/", .op = sim::DiskOp::write, .skip = 1});
  auto& good = batches.append('b', 512, true);
  auto& bad = batches.append('c', 512, true);
  auto& after = batches.append('d', 512, true);
  ASSERT_TRUE(batches.settle());
  EXPECT_EQ(bad.outcome, Status::io_error);
  EXPECT_EQ(after.outcome, Status::io_error);
  EXPECT_TRUE(log().failed());
  EXPECT_EQ(durable() >= good.header.end(), good.outcome == Status::ok);
  disks().heal();
  EXPECT_EQ((batches.append('e'), batches.settle(), batches.finished.size()), 5u);
  EXPECT_EQ(replica.run(log().wait_durable(log().tail().position.lsn)), Status::io_error);
}

TEST_F(LogTest, a_failed_flush_makes_nothing_durable) {
  const Lsn before = durable();
  disks().fail({.path = "/mars/r/log/", .op = sim::DiskOp::flush});
  auto& first = batches.append('a');
  auto& second = batches.append('b');
  log().flush();
  ASSERT_TRUE(batches.settle());
  EXPECT_EQ(first.outcome, Status::io_error);
  EXPECT_EQ(second.outcome, Status::io_error);
  EXPECT_EQ(durable(), before);
}

TEST_F(LogTest, without_room_it_waits_and_goes_on) {
  disks().file_system("/").set_capacity(700 << 10);
  for (int i = 0; i < 20; ++i) batches.append('x', 50000);
  log().flush();
  ASSERT_TRUE(world.run_until([&] { return log().needs_space(); }, 5s));
  EXPECT_FALSE(log().failed());
  EXPECT_LT(batches.finished.size(), 20u);
  disks().file_system("/").set_capacity(64 << 20);
  log().space_freed();
  EXPECT_TRUE(batches.settle());
  EXPECT_FALSE(log().needs_space());
}

TEST_F(LogTest, trimming_makes_the_room_that_is_waited_for) {
  disks().file_system("/").set_capacity(1200 << 10);
  for (int i = 0; i < 30; ++i) batches.append('x', 50000);
  log().flush();
  for (int i = 0; i < 10 && !batches.settle(); ++i) EXPECT_EQ(replica.run(log().trim(durable())), Status::ok);
  EXPECT_EQ(batches.finished.size(), 30u);
  EXPECT_FALSE(log().failed());
}

TEST_F(LogTest, the_right_to_write_can_be_passed_on_though_the_disk_is_full) {
  while (log().segments().all().back()->limit() - log().tail().position.lsn >= 4096) batches.append_durable('x', 512);
  disks().file_system("/").set_capacity(0);
  const auto release = format::encode(format::Release{test_uuid(7), test_uuid(3), test_uuid(8)});
  EXPECT_EQ(replica.run(log().append_control(RecordOp::release, release, log().admitted())), Status::ok);
}

TEST_F(LogTest, who_waits_for_room_is_told_when_it_closes) {
  disks().file_system("/").set_capacity(700 << 10);
  for (int i = 0; i < 20; ++i) batches.append('x', 50000);
  log().flush();
  ASSERT_TRUE(world.run_until([&] { return log().needs_space(); }, 5s));
  replica.close();
  EXPECT_EQ(batches.finished.size(), 20u);
}

TEST_F(LogTest, what_came_to_the_disk_when_it_gave_up_cannot_be_forgotten) {
  batches.append_durable('a');
  auto& late = batches.append('b');
  log().give_up();
  ASSERT_TRUE(batches.settle());
  EXPECT_EQ(late.outcome, Status::io_error);
  EXPECT_FALSE(replica.run(log().forget_given_up()));
  EXPECT_TRUE(log().failed());
}

TEST_F(LogTest, what_never_came_there_can_be_forgotten) {
  batches.append_durable('a');
  log().give_up();
  batches.append('b');
  ASSERT_TRUE(batches.settle());
  EXPECT_TRUE(replica.run(log().forget_given_up()));
  batches.append_durable('c');
  EXPECT_EQ(read_all(), "|ac");
}

TEST_F(LogTest, trimmed_files_are_used_again) {
  for (int i = 0; i < 30; ++i) batches.append_durable('x', 50000);
  const size_t before = files();
  ASSERT_EQ(replica.run(log().trim(durable())), Status::ok);
  EXPECT_EQ(log().segments().all().size(), 1u);
  const size_t spares = files() - 1;
  EXPECT_GE(spares, 1u);
  for (int i = 0; i < 8; ++i) batches.append_durable('y', 50000);
  EXPECT_EQ(files(), 1 + spares);
  EXPECT_LT(files(), before);
  EXPECT_EQ(log().oldest(), log().segments().all().front()->first());
}

TEST_F(LogTest, an_epoch_begins_in_a_file_of_its_own) {
  batches.append_durable('a');
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  batches.append_durable('b');
  EXPECT_EQ(log().segments().all().size(), 2u);
  EXPECT_EQ(log().branch().size(), 2u);
  EXPECT_TRUE(log().branch()[0].ended);
  EXPECT_EQ(log().branch()[0].end, log().branch()[1].first);
  EXPECT_EQ(read_all(), "|a|b");
}

TEST_F(LogTest, waiting_for_what_is_not_appended_yet_ends_with_close) {
  const Lsn beyond = log().tail().position.lsn + 4096;
  std::optional<Status> outcome;
  Scope scope(replica.machine().ready());
  struct Waiting {
    static Task<void> run(Log& log, Lsn lsn, std::optional<Status>& outcome) {
      outcome = co_await log.wait_durable(lsn);
    }
  };
  scope.spawn(Waiting::run(log(), beyond, outcome));
  world.run_for(1ms);
  batches.append('a');
  EXPECT_TRUE(world.run_until([&] { return outcome.has_value(); }, 1s));
  EXPECT_EQ(outcome, Status::ok);
  outcome.reset();
  scope.spawn(Waiting::run(log(), beyond + 4096, outcome));
  world.run_for(1ms);
  world.run(replica.machine(), log().close());
  EXPECT_TRUE(world.run_until([&] { return scope.count() == 0; }, 1s));
  EXPECT_EQ(outcome, Status::stopped);
}

class FetchTest : public LogTest {
 protected:
  void SetUp() override {
    LogTest::SetUp();
    ASSERT_TRUE(follower.create_follower().has_value());
  }
  // Copies whole batches up to `limit`, one after the other.
  Status fetch(Lsn limit) {
    Status status = Status::ok;
    LogReader reader(log().segments(), log().options(), log().branch(), follower.log().tail());
    while (status == Status::ok) {
      auto batch = replica.run(reader.next(limit));
      if (!batch) return batch.error().status == Status::end ? Status::ok : batch.error().status;
      status = follower.run(follower.log().append_fetched(*batch));
    }
    return status;
  }

  TestReplicaOptions options() const {
    TestReplicaOptions there;
    there.host = "b";
    there.segment_bytes = 256 << 10;
    return there;
  }
  TestReplica follower{world, options()};
};

TEST_F(FetchTest, what_is_fetched_is_the_same_log) {
  for (int i = 0; i < 10; ++i) batches.append_durable('a', 30000);
  ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
  for (int i = 0; i < 10; ++i) batches.append_durable('b', 30000);
  ASSERT_EQ(fetch(durable()), Status::ok);
  EXPECT_EQ(follower.log().durable(), log().durable());
  EXPECT_EQ(follower.log().branch(), log().branch());
  EXPECT_EQ(follower.log().admitted(), log().admitted());
  EXPECT_NE(follower.log().segments().all().size(), log().segments().all().size());
  ASSERT_EQ(follower.run(follower.state().update([](format::StateBlock&) {})), Status::ok);
  follower.power_loss();
  ASSERT_TRUE(follower.follow().has_value());
  EXPECT_EQ(follower.log().durable(), log().durable());
}

TEST_F(FetchTest, a_batch_out_of_turn_is_refused) {
  batches.append_durable('a');
  batches.append_durable('b');
  LogReader reader(log().segments(), log().options(), log().branch(), {});
  ASSERT_TRUE(replica.run(reader.next(durable())).has_value());
  auto second = replica.run(reader.next(durable()));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(follower.run(follower.log().append_fetched(*second)), Status::refused);
}

TEST_F(FetchTest, a_batch_that_continues_other_bytes_is_refused) {
  batches.append_durable('a');
  ASSERT_EQ(fetch(durable()), Status::ok);
  const auto release = format::encode(format::Release{test_uuid(7), test_uuid(3), test_uuid(8)});
  for (const bool is_ours : {false, true}) {
    format::BatchIdentity identity = follower.log().next_identity();
    identity.admitted = follower.log().admitted();
    identity.time = follower.log().last_time();
    if (!is_ours) identity.previous.low ^= 1;
    format::BatchComposer composer(format::batch_block_bytes);
    composer.add_control(RecordOp::release, 0, release);
    composer.finish(identity);
    auto batch = format::verify_batch(composer.pieces()[0]);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(follower.run(follower.log().append_fetched(*batch)), is_ours ? Status::ok : Status::refused);
  }
}

TEST_F(FetchTest, nothing_follows_a_release_in_its_epoch) {
  const auto release = format::encode(format::Release{test_uuid(7), test_uuid(3), test_uuid(8)});
  ASSERT_EQ(replica.run(log().append_control(RecordOp::release, release, log().admitted())), Status::ok);
  EXPECT_EQ(log().branch().back().released_to, test_uuid(8));
  EXPECT_TRUE(log().branch().back().ended);
  ASSERT_EQ(fetch(durable()), Status::ok);
  EXPECT_EQ(follower.log().branch(), log().branch());
}

}  // namespace
}  // namespace mars::bricks
