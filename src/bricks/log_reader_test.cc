#include "bricks/log_reader.h"

#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"

namespace mars::bricks {
namespace {

class LogReaderTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(replica.create().has_value()); }

  Log& log() { return replica.log(); }
  Lsn end() { return log().durable().position.lsn; }
  LogReader reader(Tip from = {}) { return LogReader(log().segments(), log().options(), log().branch(), from); }
  Status next(LogReader& reader, Lsn limit) { return status_of(replica.run(reader.next(limit))); }

  sim::World world{1};
  TestReplica replica{world};
  TestBatches batches{replica};
};

TEST_F(LogReaderTest, goes_through_files_and_epochs) {
  size_t count = 1;
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int i = 0; i < 9; ++i, ++count) batches.append_durable('x', 60000);
    ASSERT_EQ(replica.run(replica.begin_epoch(EpochCause::recover)), Status::ok);
    ++count;
  }
  LogReader all = reader();
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(next(all, end()), Status::ok) << i;
  EXPECT_EQ(next(all, end()), Status::end);
  EXPECT_EQ(all.tip(), log().durable());
}

TEST_F(LogReaderTest, stops_at_the_limit_and_goes_on_when_it_moves) {
  batches.append_durable('a');
  const Lsn limit = end();
  const auto& second = batches.append_written('b');
  LogReader tail = reader();
  ASSERT_EQ(next(tail, limit), Status::ok);
  ASSERT_EQ(next(tail, limit), Status::ok);
  EXPECT_EQ(next(tail, limit), Status::end);
  EXPECT_EQ(next(tail, limit + 100), Status::end);
  EXPECT_EQ(next(tail, second.header.end()), Status::ok);
}

TEST_F(LogReaderTest, what_is_not_kept_is_not_found) {
  for (int i = 0; i < 20; ++i) batches.append_durable('x', 60000);
  ASSERT_EQ(replica.run(log().trim(end())), Status::ok);
  LogReader old = reader();
  EXPECT_EQ(next(old, end()), Status::not_found);
}

TEST_F(LogReaderTest, a_file_that_is_read_is_not_trimmed) {
  for (int i = 0; i < 20; ++i) batches.append_durable('x', 60000);
  {
    LogReader slow = reader();
    ASSERT_EQ(next(slow, end()), Status::ok);
    ASSERT_EQ(replica.run(log().trim(end())), Status::ok);
    for (int i = 0; i < 20; ++i) ASSERT_EQ(next(slow, end()), Status::ok) << i;
    EXPECT_EQ(slow.tip(), log().durable());
  }
  ASSERT_EQ(replica.run(log().trim(end())), Status::ok);
  EXPECT_EQ(log().segments().all().size(), 1u);
}

TEST_F(LogReaderTest, stale_batches_of_a_recycled_file_are_no_batches) {
  for (int i = 0; i < 20; ++i) batches.append_durable('x', 60000);
  ASSERT_EQ(replica.run(log().trim(end())), Status::ok);
  const Tip from = log().durable();
  for (int i = 0; i < 8; ++i) batches.append_durable('y', 60000);
  LogReader fresh = reader(from);
  for (int i = 0; i < 8; ++i) ASSERT_EQ(next(fresh, end()), Status::ok) << i;
  EXPECT_NE(next(fresh, end() + (1 << 20)), Status::ok);
  EXPECT_EQ(fresh.tip(), log().durable());
}

TEST_F(LogReaderTest, another_hash_is_another_history) {
  batches.append_durable('a');
  Tip from = log().durable();
  batches.append_durable('b');
  from.hash.low ^= 1;
  LogReader other = reader(from);
  EXPECT_EQ(next(other, end()), Status::damaged);
}

TEST_F(LogReaderTest, an_unknown_hash_is_taken_from_the_first_batch) {
  batches.append_durable('a');
  Tip from = log().durable();
  batches.append_durable('b');
  from.hash = {};
  LogReader unknowing = reader(from);
  EXPECT_EQ(next(unknowing, end()), Status::ok);
  EXPECT_EQ(unknowing.tip(), log().durable());
}

TEST_F(LogReaderTest, rot_is_damage) {
  batches.append_durable('a', 5000);
  const std::string path = log().segments().all()[0]->path;
  replica.host().disks().flip(path, replica.host().disks().file_bytes(path) > 0 ? 4096 + 4096 + 5000 : 0);
  LogReader rotten = reader();
  ASSERT_EQ(next(rotten, end()), Status::ok);
  EXPECT_EQ(next(rotten, end()), Status::damaged);
  EXPECT_EQ(next(rotten, end()), Status::damaged);
}

}  // namespace
}  // namespace mars::bricks
