#include "bricks/write_back.h"

#include <gtest/gtest.h>

#include <deque>

#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

using namespace std::chrono_literals;

// Durable batches are given to it by hand; what it finishes and lets go is counted.
class WriteBackTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(replica.create().has_value());
    replica.close();
    ASSERT_TRUE(replica.follow().has_value());
    make();
  }
  void TearDown() override { replica.run(write_back->stop()); }
  void make() {
    write_back = std::make_unique<WriteBack>(
        replica.machine(), replica.disk(), replica.state(), options,
        [this](Admitted&, uint64_t offset, uint64_t bytes) {
          finished_bytes += bytes;
          finished.push_back(offset);
        },
        [this](Admitted& request) { dropped += !request.is_needed(); });
    start_tip = replica.state().value().applied;
    write_back->start(start_tip);
  }
  struct Change {
    uint64_t offset;
    char letter;
    uint64_t bytes = 4096;
    RecordOp op = RecordOp::write;
  };
  // One durable batch; its end.
  Tip add(const std::vector<Change>& changes) {
    std::vector<Admitted*> batch;
    for (const Change& change : changes) {
      Admitted& request = requests.emplace_back();
      request.op = change.op;
      request.offset = change.offset;
      request.bytes = change.bytes;
      request.sequence = ++sequence;
      if (change.op == RecordOp::write) {
        payloads.push_back(filled_with(change.bytes, change.letter));
        request.data = payloads.back().data();
      }
      batch.push_back(&request);
    }
    format::BatchHeader header;
    header.identity.epoch = test_uuid(9);
    header.identity.lsn = {8192 * ++batches};
    header.identity.admitted = sequence;
    header.batch_bytes = 8192;
    header.hash = {batches, 1};
    write_back->add(batch, header);
    return header.tip();
  }
  Status drain() { return replica.run(write_back->drain()); }
  char at(uint64_t offset) { return static_cast<char>(replica.data(offset, 1)[0]); }
  uint64_t disk_writes(const std::function<void()>& during) {
    uint64_t count = 0;
    world.trace().on_event([&](const sim::TraceEvent& event) { count += event.kind == sim::TraceKind::disk_write; });
    during();
    world.trace().on_event({});
    return count;
  }

  sim::World world{1};
  TestReplica replica{world};
  WriteBackOptions options{.run_bytes_max = 64 << 10};
  std::unique_ptr<WriteBack> write_back;
  std::deque<Admitted> requests;
  std::deque<std::vector<std::byte>> payloads;
  Tip start_tip;
  uint64_t sequence = 0;
  uint64_t batches = 0;
  uint64_t finished_bytes = 0;
  std::vector<uint64_t> finished;  // offsets
  int dropped = 0;
};

TEST_F(WriteBackTest, what_is_durable_reaches_the_disk_and_then_the_state_block) {
  add({{0, 'a'}});
  const Tip end = add({{8192, 'b'}});
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(at(0), 'a');
  EXPECT_EQ(at(8192), 'b');
  EXPECT_EQ(write_back->applied(), end);
  EXPECT_EQ(replica.state().value().applied, end);
  EXPECT_EQ(replica.state().value().admitted, 2u);
  EXPECT_EQ(dropped, 2);
}

TEST_F(WriteBackTest, the_newest_version_of_a_block_is_written_once) {
  for (char letter = 'a'; letter <= 'e'; ++letter) add({{0, letter}});
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(at(0), 'e');
  EXPECT_EQ(write_back->written_bytes(), 4096u);
  EXPECT_EQ(write_back->applied().position.lsn.value, 6 * 8192u);
  EXPECT_EQ(dropped, 5);
}

TEST_F(WriteBackTest, a_block_that_is_written_without_pause_qualifies_all_the_same) {
  for (int i = 0; i < 300; ++i) {
    add({{0, static_cast<char>('a' + i % 26)}});
    world.run_for(20ms);
  }
  EXPECT_GT(write_back->written_bytes(), 4096u);
  EXPECT_NE(write_back->applied(), start_tip);
}

TEST_F(WriteBackTest, neighbours_go_to_the_disk_in_one_write) {
  add({{8192, 'c'}, {0, 'a'}, {4096, 'b'}});
  const uint64_t state_writes = 2;  // the evidence before, the applied position afterwards
  EXPECT_EQ(disk_writes([&] { EXPECT_EQ(drain(), Status::ok); }), 1 + state_writes);
  EXPECT_EQ(at(4096), 'b');
  EXPECT_EQ(write_back->written_bytes(), 3 * 4096u);
}

TEST_F(WriteBackTest, discards_and_zeroes_read_as_zeroes) {
  add({{0, 'a', 16384}});
  add({{0, 0, 4096, RecordOp::discard}, {8192, 0, 4096, RecordOp::write_zeroes}});
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(4096), 'a');
  EXPECT_EQ(at(8192), 0);
}

TEST_F(WriteBackTest, data_does_not_wait_behind_a_long_range_of_zeroes) {
  replica.run(write_back->stop());
  options.zeroes_run_bytes_max = 4096 / 64;
  options.zeroes_round_bytes_max = 4 * 4096 / 64;
  make();
  add({{0, 0, 15 * 4096, RecordOp::write_zeroes}, {15 * 4096, 'a'}});
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(std::ranges::find(finished, 15 * 4096u) - finished.begin(), 4);
  EXPECT_EQ(finished.size(), 16u);
}

TEST_F(WriteBackTest, applied_does_not_move_before_the_flush) {
  replica.host().disks().fail({.path = TestReplica::data_path, .op = sim::DiskOp::flush});
  add({{0, 'a'}});
  EXPECT_EQ(drain(), Status::io_error);
  EXPECT_EQ(write_back->applied(), start_tip);
  EXPECT_EQ(replica.state().value().applied, start_tip);
  EXPECT_EQ(finished_bytes, 0u);
}

// The second round is written while the first is flushed: what the disk lost then may be its, too.
TEST_F(WriteBackTest, after_a_failed_flush_nothing_is_settled_though_the_next_one_succeeds) {
  replica.run(write_back->stop());
  options.round_bytes_max = 4096;
  make();
  replica.host().disks().fail({.path = TestReplica::data_path, .op = sim::DiskOp::flush});
  add({{0, 'a'}});
  add({{8192, 'b'}});
  EXPECT_EQ(drain(), Status::io_error);
  world.run_for(1s);
  EXPECT_EQ(finished_bytes, 0u);
  EXPECT_EQ(write_back->applied(), start_tip);
}

TEST_F(WriteBackTest, rounds_overlap_and_applied_follows_in_order) {
  replica.run(write_back->stop());
  options.round_bytes_max = 4096;
  make();
  Tip end;
  for (uint64_t i = 0; i < 20; ++i) end = add({{(i * 7 % 20) * 8192, static_cast<char>('a' + i)}});
  EXPECT_EQ(drain(), Status::ok);
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(at((i * 7 % 20) * 8192), static_cast<char>('a' + i));
  EXPECT_EQ(write_back->applied(), end);
  EXPECT_EQ(write_back->written_bytes(), 20 * 4096u);
}

TEST_F(WriteBackTest, what_is_longer_than_a_run_goes_to_the_disk_in_parts) {
  add({{0, 'a', 256 << 10}});
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(at((256 << 10) - 1), 'a');
  EXPECT_EQ(write_back->written_bytes(), 256u << 10);
}

TEST_F(WriteBackTest, a_disk_that_fails_is_told_once_and_keeps_what_it_has_not_written) {
  int heard = 0;
  write_back->on_failed([&] { ++heard; });
  replica.host().disks().fail({.path = TestReplica::data_path, .op = sim::DiskOp::write, .times = sim::Fault::forever});
  add({{0, 'a'}});
  EXPECT_EQ(drain(), Status::io_error);
  add({{4096, 'b'}});
  world.run_for(5s);
  EXPECT_EQ(write_back->failed(), Status::io_error);
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(dropped, 0);
}

TEST_F(WriteBackTest, what_is_rewritten_while_the_disk_hangs_takes_no_more_memory) {
  replica.host().disks().drive(TestReplica::data_path).stick();
  Tip end;
  for (int i = 0; i < 100; ++i) end = add({{0, 'a'}, {4096, 'b'}});
  write_back->pass(end, sequence);
  world.run_for(1s);
  EXPECT_LE(write_back->batches(), 3u);
  replica.host().disks().drive(TestReplica::data_path).unstick();
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(write_back->applied(), end);
  EXPECT_EQ(write_back->batches(), 0u);
}

TEST_F(WriteBackTest, a_batch_without_data_moves_applied) {
  const Tip end{{test_uuid(9), {4096}}, {7, 7}};
  write_back->pass(end, 5);
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(write_back->applied(), end);
}

TEST_F(WriteBackTest, stop_leaves_to_the_log_what_is_not_on_the_disk) {
  add({{0, 'a'}});
  replica.run(write_back->stop());
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(dropped, 1);
  EXPECT_EQ(replica.state().value().applied, start_tip);
}

}  // namespace
}  // namespace mars::bricks
