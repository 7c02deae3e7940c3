#include "io/linux/partition_table.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace mars::io {
namespace {

class PartitionTable : public testing::Test {
 protected:
  std::string uuid(uint32_t number, uint32_t block_bytes = 512) const {
    return partition_uuid(
        [this](uint64_t offset, ByteSpan bytes) {
          if (offset > disk_.size() || disk_.size() - offset < bytes.size()) return false;
          std::copy_n(disk_.begin() + static_cast<ptrdiff_t>(offset), bytes.size(), bytes.begin());
          return true;
        },
        block_bytes, number);
  }
  void mbr(uint32_t signature, uint8_t type) {
    store_u32(&disk_[440], signature);
    disk_[446 + 4] = std::byte{type};
    store_u16(&disk_[510], 0xaa55);
  }
  // Entries of `entry_bytes` from block 2; the UUID of partition n is 16 bytes that count up from 0x10 * n.
  void gpt(uint32_t block_bytes, uint32_t entry_bytes) {
    mbr(0, 0xee);
    std::memcpy(&disk_[block_bytes], "EFI PART", 8);
    store_u64(&disk_[block_bytes + 72], 2);
    store_u32(&disk_[block_bytes + 80], 4);
    store_u32(&disk_[block_bytes + 84], entry_bytes);
    for (uint32_t number = 1; number <= 4; ++number)
      for (uint32_t i = 0; i < 16; ++i)
        disk_[uint64_t{2} * block_bytes + uint64_t{entry_bytes} * (number - 1) + 16 + i] =
            static_cast<std::byte>(number * 16 + i);
  }
  std::vector<std::byte> disk_ = std::vector<std::byte>(64 << 10);
};

TEST_F(PartitionTable, gpt_gives_each_partition_its_own) {
  gpt(512, 128);
  EXPECT_EQ(uuid(1), "13121110-1514-1716-1819-1a1b1c1d1e1f");
  EXPECT_EQ(uuid(3), "33323130-3534-3736-3839-3a3b3c3d3e3f");
  EXPECT_EQ(uuid(5), "") << "there are four";
  EXPECT_EQ(uuid(0), "");
}

TEST_F(PartitionTable, blocks_and_entries_may_be_larger) {
  gpt(4096, 256);
  EXPECT_EQ(uuid(2, 4096), "23222120-2524-2726-2829-2a2b2c2d2e2f");
  EXPECT_EQ(uuid(2, 512), "");
}

TEST_F(PartitionTable, mbr_has_a_signature_and_a_number) {
  mbr(0x9a0b1c2d, 0x83);
  EXPECT_EQ(uuid(2), "9a0b1c2d-02");
  mbr(0, 0x83);
  EXPECT_EQ(uuid(2), "");
}

TEST_F(PartitionTable, what_is_not_there_or_says_nothing_is_empty) {
  EXPECT_EQ(uuid(1), "");
  gpt(512, 128);
  std::fill_n(disk_.begin() + 1024 + 16, 16, std::byte{0});
  EXPECT_EQ(uuid(1), "");
  disk_.resize(1024 + 128 + 100);
  EXPECT_EQ(uuid(2), "") << "the table ends in the middle of an entry";
  disk_.resize(700);
  EXPECT_EQ(uuid(1), "") << "the header is cut";
  disk_.clear();
  EXPECT_EQ(uuid(1), "");
}

TEST_F(PartitionTable, sizes_that_make_no_sense_are_refused) {
  gpt(512, 128);
  for (const uint32_t size : {0u, 64u, 8192u, 0xffffffffu}) {
    store_u32(&disk_[512 + 84], size);
    EXPECT_EQ(uuid(1), "") << size;
  }
  store_u32(&disk_[512 + 84], 128);
  for (const uint64_t block : {uint64_t{1} << 41, ~uint64_t{0}}) {
    store_u64(&disk_[512 + 72], block);
    EXPECT_EQ(uuid(4), "") << block;
  }
}

}  // namespace
}  // namespace mars::io
