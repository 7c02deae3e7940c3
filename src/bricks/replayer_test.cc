#include "bricks/replayer.h"

#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"
#include "bricks/test_history_test.h"

namespace mars::bricks {
namespace {

using namespace std::chrono_literals;

// A primary that is written to, and a follower on another host that gets its log batch by batch.
class ReplayerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(primary.create().has_value());
    ASSERT_TRUE(follower.create_follower().has_value());
    follower.start_replayer();
  }

  static TestReplicaOptions there() {
    TestReplicaOptions options;
    options.host = "b";
    options.rest = 2ms;
    return options;
  }
  Status write(uint64_t offset, char letter, size_t bytes = 4096) {
    return primary.run(primary.origin().write(offset, filled_with(bytes, letter), true));
  }
  // Copies what is durable there and not here.
  void fetch() {
    const Lsn limit = primary.log().durable().position.lsn;
    LogReader reader(primary.log().segments(), primary.log().options(), primary.log().branch(), follower.log().tail());
    while (auto batch = primary.run(reader.next(limit))) {
      ASSERT_EQ(follower.run(follower.log().append_fetched(*batch)), Status::ok);
    }
    ASSERT_EQ(follower.log().durable(), primary.log().durable());
  }
  Replayer& replayer() { return follower.replayer(); }
  Status catch_up() { return follower.run(replayer().catch_up(follower.log().durable().position.lsn)); }
  io::Bytes disk() { return follower.data(0, follower.options().volume_bytes); }

  sim::World world{1};
  TestReplica primary{world};
  TestReplica follower{world, there()};
};

TEST_F(ReplayerTest, the_disk_becomes_what_the_primary_has) {
  ASSERT_EQ(write(0, 'a', 8192), Status::ok);
  ASSERT_EQ(write(512, 'b', 1024), Status::ok);
  ASSERT_EQ(primary.run(primary.origin().other(xio::Op::discard, 4096, 512, true)), Status::ok);
  fetch();
  ASSERT_EQ(catch_up(), Status::ok);
  ASSERT_EQ(primary.run(primary.logger().drain()), Status::ok);
  EXPECT_EQ(disk(), primary.data(0, primary.options().volume_bytes));
  EXPECT_EQ(replayer().applied(), primary.log().durable());
  EXPECT_EQ(follower.state().value().applied, replayer().applied());
  EXPECT_EQ(follower.state().value().admitted, primary.log().admitted());
}

TEST_F(ReplayerTest, a_window_is_coalesced) {
  for (int i = 0; i < 30; ++i) ASSERT_EQ(write(0, static_cast<char>('a' + i % 26)), Status::ok);
  replayer().allow(false);
  fetch();
  uint64_t written = 0;
  world.trace().on_event([&](const sim::TraceEvent& event) {
    written += event.kind == sim::TraceKind::disk_write && event.host == follower.host().id() && event.a == 0;
  });
  replayer().allow(true);
  ASSERT_EQ(catch_up(), Status::ok);
  world.trace().on_event({});
  EXPECT_LE(written, 4u) << "the block, and slots of the state block";
}

TEST_F(ReplayerTest, it_rests_when_it_is_told_to) {
  replayer().allow(false);
  world.run_for(10ms);
  ASSERT_EQ(write(0, 'a'), Status::ok);
  fetch();
  world.run_for(1s);
  EXPECT_EQ(disk()[0], std::byte{0});
  EXPECT_LT(replayer().applied().position.lsn, follower.log().durable().position.lsn);
  replayer().allow(true);
  ASSERT_EQ(catch_up(), Status::ok);
  EXPECT_EQ(disk()[0], std::byte{'a'});
}

TEST_F(ReplayerTest, what_is_not_durable_here_is_not_replayed) {
  ASSERT_EQ(write(0, 'a'), Status::ok);
  follower.host().disks().drive("/mars").stick();
  LogReader reader(primary.log().segments(), primary.log().options(), primary.log().branch(), follower.log().tail());
  Scope scope(follower.machine().ready());
  struct Fetching {
    static Task<void> run(TestReplica& replica, LogReader& reader, Lsn limit) {
      while (auto batch = co_await reader.next(limit)) {
        if (co_await replica.log().append_fetched(*batch) != Status::ok) break;
      }
    }
  };
  scope.spawn(Fetching::run(follower, reader, primary.log().durable().position.lsn));
  world.run_for(1s);
  EXPECT_EQ(disk()[0], std::byte{0});
  follower.host().disks().drive("/mars").unstick();
  ASSERT_TRUE(world.run_until([&] { return scope.count() == 0; }, 5s));
  ASSERT_EQ(catch_up(), Status::ok);
  EXPECT_EQ(disk()[0], std::byte{'a'});
}

TEST_F(ReplayerTest, a_damaged_log_stops_it_and_it_says_where) {
  replayer().allow(false);
  world.run_for(300ms);
  ASSERT_EQ(write(0, 'a'), Status::ok);
  ASSERT_EQ(write(4096, 'b'), Status::ok);
  fetch();
  const Segment& file = *follower.log().segments().all().back();
  follower.host().disks().flip(file.path, file.offset_of(follower.log().durable().position.lsn) - 100);
  replayer().allow(true);
  EXPECT_NE(catch_up(), Status::ok);
  EXPECT_EQ(replayer().failed().status, Status::damaged);
  EXPECT_FALSE(replayer().failed().text.empty());
  EXPECT_EQ(disk()[4096], std::byte{0});
}

TEST_F(ReplayerTest, a_change_outside_the_volume_is_not_applied) {
  follower.close();
  TestReplicaOptions small = there();
  small.host = "c";
  small.volume_bytes = 64 << 10;
  TestReplica other(world, small);
  ASSERT_TRUE(other.create_follower().has_value());
  other.start_replayer();
  ASSERT_EQ(write(128 << 10, 'a'), Status::ok);
  const Lsn limit = primary.log().durable().position.lsn;
  LogReader reader(primary.log().segments(), primary.log().options(), primary.log().branch(), {});
  while (auto batch = primary.run(reader.next(limit))) {
    ASSERT_EQ(other.run(other.log().append_fetched(*batch)), Status::ok);
  }
  EXPECT_EQ(other.run(other.replayer().catch_up(limit)), Status::invalid);
  EXPECT_NE(other.replayer().failed().text.find("outside the volume"), std::string::npos);
}

TEST_F(ReplayerTest, a_failed_disk_stops_it_and_fetch_goes_on) {
  follower.host().disks().fail(
      {.path = TestReplica::data_path, .op = sim::DiskOp::write, .times = sim::Fault::forever});
  ASSERT_EQ(write(0, 'a'), Status::ok);
  fetch();
  EXPECT_EQ(catch_up(), Status::io_error);
  world.run_for(300ms);
  EXPECT_EQ(replayer().failed().status, Status::io_error);
  ASSERT_EQ(write(4096, 'b'), Status::ok);
  fetch();
}

TEST_F(ReplayerTest, more_than_the_window_goes_through_it) {
  for (uint64_t i = 0; i < 60; ++i)
    ASSERT_EQ(write((i % 4) * 65536, static_cast<char>('a' + i % 26), 65536), Status::ok);
  fetch();
  ASSERT_EQ(catch_up(), Status::ok);
  EXPECT_EQ(disk()[0], static_cast<std::byte>('a' + 56 % 26));
}

TEST_F(ReplayerTest, stopped_and_started_it_goes_on_where_it_was) {
  for (char letter = 'a'; letter < 'g'; ++letter) {
    ASSERT_EQ(write(uint64_t{4096} * (letter - 'a'), letter), Status::ok);
    fetch();
    world.run_for(io::Duration(letter * 100'000));
    world.run(follower.machine(), replayer().stop());
    follower.start_replayer();
  }
  ASSERT_EQ(catch_up(), Status::ok);
  for (char letter = 'a'; letter < 'g'; ++letter) {
    EXPECT_EQ(disk()[static_cast<size_t>(letter - 'a') * 4096], static_cast<std::byte>(letter));
  }
}

// The follower loses its power at random moments; what it says to have applied must then be on its disk when nothing
// behind it was under way, and in the end it has everything.
TEST_F(ReplayerTest, power_loss_in_the_middle_changes_nothing) {
  Prng prng(5);
  for (int round = 0; round < 25; ++round) {
    for (uint64_t i = 0, count = prng.between(1, 8); i < count; ++i) {
      const uint64_t bytes = 512 * prng.between(1, 32);
      const uint64_t offset = 512 * prng.below((follower.options().volume_bytes - bytes) / 512);
      ASSERT_EQ(write(offset, static_cast<char>('a' + prng.below(26)), bytes), Status::ok);
    }
    fetch();
    if (prng.chance(1, 2)) {
      world.run_for(io::Duration(prng.below(6'000'000)));
      follower.power_loss();
    } else {
      follower.host().power_loss_at_disk_op(prng.between(1, 6));
      world.run_for(10ms);
      follower.host().disks().on_change({});
      follower.power_loss();
    }
    ASSERT_TRUE(follower.follow().has_value());
    ASSERT_EQ(follower.log().durable(), primary.log().durable()) << "acknowledged to the primary as durable";
    follower.start_replayer();
  }
  ASSERT_EQ(catch_up(), Status::ok);
  ASSERT_EQ(primary.run(primary.logger().drain()), Status::ok);
  EXPECT_EQ(disk(), primary.data(0, primary.options().volume_bytes));
}

// Every version that the follower publishes is one that the primary had (P1, D12): when replay has come to rest there,
// the disk is the primary's content after exactly that prefix.
TEST_F(ReplayerTest, every_position_that_it_rests_at_is_a_version_of_the_primary) {
  History history(primary.options().volume_bytes);
  Prng prng(9);
  for (int round = 0; round < 30; ++round) {
    for (uint64_t i = 0, count = prng.between(1, 6); i < count; ++i) {
      const uint64_t bytes = 512 * prng.between(1, 16);
      const uint64_t offset = 512 * prng.below((primary.options().volume_bytes - bytes) / 512);
      history.admit(offset, bytes, false);
      ASSERT_EQ(primary.run(primary.origin().write(offset, history.content_of_last())), Status::ok);
    }
    ASSERT_EQ(primary.run(primary.origin().flush()), Status::ok);
    fetch();
    ASSERT_EQ(catch_up(), Status::ok);
    ASSERT_EQ(history.accept(disk(), history.size()), "") << "round " << round;
  }
}

}  // namespace
}  // namespace mars::bricks
