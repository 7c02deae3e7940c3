#include "bricks/batch_writer.h"

#include <gtest/gtest.h>

#include <deque>

#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

using namespace std::chrono_literals;

// A writer above the log of a replica that has no trans_logger; what it was told of each batch.
class BatchWriterTest : public testing::Test {
 protected:
  struct Told {
    std::vector<uint64_t> sequences;
    format::BatchHeader header;
    Status status;
  };
  void SetUp() override {
    ASSERT_TRUE(replica.create().has_value());
    replica.close();
    ASSERT_TRUE(replica.follow().has_value());
    options.payload_alignment = 512;
    make();
  }
  void TearDown() override {
    EXPECT_TRUE(world.run_until([&] { return writer->idle(); }));
  }
  void make() {
    writer = std::make_unique<BatchWriter>(
        replica.machine(), replica.log(), options,
        [this](std::vector<Admitted*>& requests, const format::BatchHeader& header, Status status) {
          Told one{{}, header, status};
          for (const Admitted* request : requests) one.sequences.push_back(request->sequence);
          told.push_back(std::move(one));
        });
  }
  void add(size_t bytes, bool is_urgent = false) {
    Admitted& request = requests.emplace_back();
    payloads.push_back(filled_with(bytes, 'w'));
    request.offset = 0;
    request.bytes = bytes;
    request.data = payloads.back().data();
    request.payload_hash = hash(payloads.back());
    request.sequence = replica.log().admitted() + requests.size();
    sequences.push_back(request.sequence);
    writer->add(request, is_urgent);
  }
  void flush() {
    writer->note_flush();
    writer->hurry();
  }
  void settle(io::Duration time = 50ms) { world.run_for(time); }
  std::vector<uint64_t> all_told() const {
    std::vector<uint64_t> all;
    for (const Told& one : told) all.insert(all.end(), one.sequences.begin(), one.sequences.end());
    return all;
  }

  sim::World world{1};
  TestReplica replica{world};
  BatchWriterOptions options;
  std::unique_ptr<BatchWriter> writer;
  std::deque<Admitted> requests;
  std::deque<std::vector<std::byte>> payloads;
  std::vector<uint64_t> sequences;
  std::vector<Told> told;
};

TEST_F(BatchWriterTest, what_nobody_waits_for_is_durable_after_the_flush_interval) {
  add(512);
  settle(80ms);
  EXPECT_TRUE(told.empty());
  settle(60ms);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].status, Status::ok);
  EXPECT_TRUE(writer->idle());
}

TEST_F(BatchWriterTest, the_interval_counts_from_the_oldest_request) {
  add(512);
  settle(60ms);
  add(512);
  settle(60ms);
  EXPECT_EQ(all_told(), sequences);
}

TEST_F(BatchWriterTest, somebody_who_waits_does_not_wait_for_the_interval) {
  add(512);
  add(512, true);
  settle(5ms);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].sequences, sequences);
}

TEST_F(BatchWriterTest, a_request_of_who_flushes_each_does_not_wait_for_the_flush) {
  for (size_t round = 1; round <= 4; ++round) {
    add(512);
    settle(5ms);
    EXPECT_EQ(told.size(), round - 1);
    flush();
    settle(5ms);
    EXPECT_EQ(told.size(), round);
  }
  for (size_t round = 5; round <= 10; ++round) {
    add(512);
    settle(5ms);
    EXPECT_EQ(told.size(), round);
    writer->note_flush();  // it finds everything durable
    settle(5ms);
    EXPECT_EQ(told.size(), round);
  }
}

TEST_F(BatchWriterTest, a_flush_that_does_not_come_is_expected_no_more) {
  for (size_t round = 0; round < 4; ++round) {
    add(512);
    flush();
    settle(5ms);
  }
  add(512);
  settle(5ms);
  EXPECT_EQ(told.size(), 5u);
  for (int i = 0; i < 2; ++i) add(512);
  settle(5ms);
  EXPECT_EQ(told.size(), 5u);
  flush();
  settle(5ms);
  EXPECT_EQ(told.size(), 6u);
  add(512);
  settle(5ms);
  EXPECT_EQ(told.size(), 6u);
  settle(100ms);
  EXPECT_EQ(all_told(), sequences);
}

TEST_F(BatchWriterTest, who_comes_while_a_batch_is_written_shares_the_next_one) {
  add(512, true);
  for (int i = 0; i < 20; ++i) add(512, true);
  settle(10ms);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].sequences.size(), 1u);
  EXPECT_EQ(told[1].sequences.size(), 20u);
  EXPECT_EQ(all_told(), sequences);
}

TEST_F(BatchWriterTest, a_batch_says_which_request_was_its_last) {
  add(512);
  add(512, true);
  settle(10ms);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].header.identity.admitted, sequences.back());
}

TEST_F(BatchWriterTest, a_full_batch_is_closed_and_the_order_is_kept) {
  options.batch_bytes_target = 16 << 10;
  make();
  for (int i = 0; i < 40; ++i) add(2048);
  writer->hurry();
  settle(50ms);
  EXPECT_GT(told.size(), 4u);
  EXPECT_EQ(all_told(), sequences);
}

TEST_F(BatchWriterTest, batches_continue_the_log_and_its_time) {
  add(512, true);
  settle(5ms);
  add(512, true);
  settle(5ms);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].header.identity.lsn, told[0].header.end());
  EXPECT_EQ(told[1].header.identity.previous, told[0].header.hash);
  EXPECT_GT(told[1].header.identity.time, told[0].header.identity.time);
}

TEST_F(BatchWriterTest, when_the_log_fails_all_are_told) {
  replica.host().disks().fail({.path = "/", .op = sim::DiskOp::write, .times = sim::Fault::forever});
  add(512, true);
  add(512);
  settle(300ms);
  ASSERT_EQ(all_told(), sequences);
  for (const Told& one : told) EXPECT_EQ(one.status, Status::io_error);
  EXPECT_TRUE(writer->idle());
}

}  // namespace
}  // namespace mars::bricks
