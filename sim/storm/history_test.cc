// The reference finds what it must find: each test plants one broken promise into an image.
#include "sim/storm/history.h"

#include <gtest/gtest.h>

#include <cstring>

namespace mars::sim {
namespace {

Uuid uuid(uint8_t byte) {
  Uuid uuid;
  uuid.bytes[15] = byte;
  return uuid;
}

format::BranchEpoch epoch(uint8_t id, uint8_t host, EpochCause cause, uint64_t first, uint64_t end = 0) {
  format::BranchEpoch epoch;
  epoch.id = uuid(id);
  epoch.host = uuid(host);
  epoch.cause = cause;
  epoch.first = {first};
  epoch.ended = end > 0;
  epoch.end = {end};
  return epoch;
}

// One epoch of host 1 at first, and a disk that gets what is written.
class HistoryTest : public testing::Test {
 protected:
  void SetUp() override { EXPECT_EQ(history.learn({epoch(10, 1, EpochCause::create, 0)}), ""); }
  void write(uint32_t reign, unsigned first, unsigned count, bool is_flushed = true) {
    const uint32_t index = history.submit(reign, first, count, false);
    history.fill(on_disk(first, count), reign, index);
    history.completed(reign, index, true, is_flushed);
  }
  std::span<std::byte> on_disk(unsigned first, unsigned count) {
    return std::span(image).subspan(size_t{first} * sector_bytes, size_t{count} * sector_bytes);
  }
  std::string check(uint8_t id, uint64_t lsn) { return history.check_image({uuid(id), {lsn}}, image); }

  History history;
  std::vector<std::byte> image = std::vector<std::byte>(size_t{sectors} * sector_bytes);
};

TEST_F(HistoryTest, every_prefix_is_a_version) {
  EXPECT_EQ(check(10, 4096), "");
  write(0, 0, 8);
  EXPECT_EQ(check(10, 8192), "");
  write(0, 4, 8);
  EXPECT_EQ(check(10, 12288), "");
}

TEST_F(HistoryTest, a_newer_write_without_an_older_one_is_no_version) {
  write(0, 0, 8);
  write(0, 8, 8);
  std::memset(on_disk(0, 8).data(), 0, size_t{8} * sector_bytes);
  EXPECT_NE(check(10, 8192), "");
}

TEST_F(HistoryTest, one_position_is_one_version) {
  write(0, 0, 8);
  EXPECT_EQ(check(10, 8192), "");
  write(0, 0, 8);
  EXPECT_NE(check(10, 8192), "");
}

TEST_F(HistoryTest, a_torn_sector_and_foreign_bytes_are_found) {
  write(0, 0, 8);
  on_disk(3, 1)[100] ^= std::byte{1};
  EXPECT_NE(check(10, 8192).find("torn"), std::string::npos);
  std::memset(on_disk(3, 1).data(), 'x', sector_bytes);
  EXPECT_NE(check(10, 8192).find("P11"), std::string::npos);
}

TEST_F(HistoryTest, a_planned_handover_keeps_what_was_acknowledged) {
  write(0, 0, 8, false);
  const bricks::Branch branch = {epoch(10, 1, EpochCause::create, 0, 8192), epoch(11, 2, EpochCause::grant, 8192)};
  EXPECT_EQ(history.learn(branch), "");
  EXPECT_EQ(check(11, 12288), "");
  std::memset(image.data(), 0, image.size());
  EXPECT_NE(check(11, 16384), "");
}

TEST_F(HistoryTest, a_forced_one_may_lose_what_another_host_acknowledged) {
  write(0, 0, 8);
  std::memset(image.data(), 0, image.size());
  EXPECT_EQ(history.learn({epoch(10, 1, EpochCause::create, 0, 4096), epoch(11, 2, EpochCause::force, 4096)}), "");
  EXPECT_EQ(check(11, 8192), "");
}

TEST_F(HistoryTest, power_loss_takes_only_what_was_not_flushed) {
  write(0, 0, 8, true);
  write(0, 8, 8, false);
  history.forget_unflushed(uuid(1));
  std::memset(on_disk(8, 8).data(), 0, size_t{8} * sector_bytes);
  EXPECT_EQ(history.learn({epoch(10, 1, EpochCause::create, 0, 8192), epoch(11, 1, EpochCause::recover, 8192)}), "");
  EXPECT_EQ(check(11, 12288), "");
  std::memset(image.data(), 0, image.size());
  EXPECT_NE(check(11, 16384), "");
}

TEST_F(HistoryTest, two_unforced_successors_are_two_writers) {
  EXPECT_EQ(history.learn({epoch(10, 1, EpochCause::create, 0, 8192), epoch(11, 1, EpochCause::recover, 8192)}), "");
  EXPECT_NE(history.learn({epoch(10, 1, EpochCause::create, 0, 8192), epoch(12, 2, EpochCause::grant, 8192)}), "");
}

TEST_F(HistoryTest, a_read_must_not_be_older_than_what_was_acknowledged) {
  write(0, 0, 1);
  const std::vector<std::byte> old(on_disk(0, 1).begin(), on_disk(0, 1).end());
  write(0, 0, 1);
  EXPECT_EQ(history.check_read(0, 0, on_disk(0, 1), history.last_acknowledged(0, 0)), "");
  EXPECT_NE(history.check_read(0, 0, old, history.last_acknowledged(0, 0)), "");
}

TEST_F(HistoryTest, what_rotted_away_is_not_expected_where_other_batches_lie_now) {
  write(0, 0, 1);
  EXPECT_EQ(history.narrow(0, {4096}, 1, 1, "a batch"), "");
  write(0, 0, 1);
  EXPECT_EQ(history.narrow(0, {8192}, 2, 2, "the batch that rots"), "");
  history.forget_behind(0, {4096});
  EXPECT_EQ(history.narrow(0, {8192}, 0, 1, "another one"), "");
  EXPECT_NE(history.narrow(0, {8192}, 2, 2, "the former one"), "");
}

TEST_F(HistoryTest, writes_that_were_given_up_are_known) {
  write(0, 0, 8);
  EXPECT_EQ(check(10, 8192), "");
  EXPECT_TRUE(history.contains({uuid(10), {8192}}, {uuid(10), {4096}}));
  EXPECT_FALSE(history.contains({uuid(10), {4096}}, {uuid(10), {8192}}));
  EXPECT_EQ(history.narrow(0, {4096}, 0, 0, "the first batch"), "");
  EXPECT_TRUE(history.is_data_lost({uuid(10), {4096}}, {uuid(10), {8192}}));
}

}  // namespace
}  // namespace mars::sim
