#include "replication/memory.h"

#include <gtest/gtest.h>

namespace mars::replication {
namespace {

Uuid id(uint8_t n) {
  Uuid uuid;
  uuid.bytes[15] = n;
  return uuid;
}

format::BranchEpoch epoch(uint8_t n, uint64_t first) {
  format::BranchEpoch one;
  one.id = id(n);
  one.number = n;
  one.first = {first};
  return one;
}

format::BranchEpoch ended(format::BranchEpoch one, uint64_t end) {
  one.ended = true;
  one.end = {end};
  return one;
}

Report report(bricks::Branch branch, uint64_t end, uint8_t life = 7) {
  Report report;
  report.branch = std::move(branch);
  if (!report.branch.empty()) report.durable.position = {report.branch.back().id, {end}};
  report.life = id(life);
  report.is_attached = report.is_consistent = true;
  return report;
}

class MemoryTest : public testing::Test {
 protected:
  void SetUp() override { remember(memory, report({ended(epoch(1, 0), 4096), epoch(2, 4096)}, 16384)); }
  Position position() const { return memory.what.tip.position; }
  void expect_kept() { EXPECT_EQ(position(), (Position{id(2), {16384}})); }
  Memory memory;
};

TEST_F(MemoryTest, grows_with_the_log) {
  remember(memory, report({ended(epoch(1, 0), 4096), epoch(2, 4096)}, 20480));
  EXPECT_EQ(position(), (Position{id(2), {20480}}));
}

TEST_F(MemoryTest, keeps_what_a_restored_host_has_lost) {
  remember(memory, report({ended(epoch(1, 0), 4096), epoch(2, 4096)}, 8192));
  expect_kept();
  remember(memory, report({epoch(1, 0)}, 4096));
  expect_kept();
}

TEST_F(MemoryTest, who_is_not_attached_takes_nothing_back) {
  Report starting = report({}, 0);
  starting.is_attached = false;
  remember(memory, starting);
  expect_kept();
}

TEST_F(MemoryTest, who_is_being_synced_takes_nothing_back_and_promises_nothing) {
  Report syncing = report({ended(epoch(1, 0), 4096), epoch(2, 4096)}, 90112);
  syncing.is_consistent = false;
  remember(memory, syncing);
  expect_kept();
}

TEST_F(MemoryTest, another_history_or_another_life_replaces_it) {
  remember(memory, report({ended(epoch(1, 0), 4096), epoch(3, 4096)}, 8192));
  EXPECT_EQ(position(), (Position{id(3), {8192}}));
  remember(memory, report({epoch(1, 0)}, 4096, 8));
  EXPECT_EQ(position(), (Position{id(1), {4096}}));
}

TEST_F(MemoryTest, an_end_that_a_later_epoch_has_bound_is_no_loss) {
  remember(memory, report({ended(epoch(1, 0), 4096), ended(epoch(2, 4096), 8192), epoch(3, 8192)}, 12288));
  EXPECT_EQ(position(), (Position{id(3), {12288}}));
}

TEST_F(MemoryTest, of_two_of_one_life_the_earlier_is_known) {
  const Remembered of_epoch_1{{{id(1), {4096}}}, id(7)};
  const Remembered of_epoch_3{{{id(3), {20480}}}, id(7)};
  EXPECT_TRUE(is_earlier({}, memory));
  EXPECT_TRUE(is_earlier({{}, id(7)}, memory));
  EXPECT_TRUE(is_earlier({{{id(2), {12288}}}, id(7)}, memory));
  EXPECT_TRUE(is_earlier(of_epoch_1, memory));
  EXPECT_FALSE(is_earlier({{{id(2), {16384}}}, id(7)}, memory));
  EXPECT_FALSE(is_earlier(of_epoch_3, memory));
  EXPECT_FALSE(is_earlier({{{id(1), {4096}}}, id(8)}, memory)) << "another life";
  // A log that has lost its end still shows the epochs behind it.
  memory.what.tip.position = {id(1), {2048}};
  EXPECT_FALSE(is_earlier({{{id(2), {8192}}}, id(7)}, memory));
}

TEST_F(MemoryTest, is_evidence_on_the_branch_that_has_its_epoch) {
  EXPECT_EQ(evidence_of({epoch(2, 4096)}, id(7), memory.what).value, 16384u);
  EXPECT_EQ(evidence_of({ended(epoch(2, 4096), 8192)}, id(7), memory.what).value, 8192u);
  EXPECT_EQ(evidence_of({epoch(1, 0)}, id(7), memory.what).value, 0u);
  EXPECT_EQ(evidence_of({epoch(2, 4096)}, id(8), memory.what).value, 0u);
}

}  // namespace
}  // namespace mars::replication
