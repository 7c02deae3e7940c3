#include "node/signature.h"

#include <gtest/gtest.h>

#include <string_view>

namespace mars::node {
namespace {

using namespace std::string_view_literals;

class Signature : public testing::Test {
 protected:
  void put(size_t offset, std::string_view bytes) {
    std::copy(bytes_of(bytes).begin(), bytes_of(bytes).end(), head.begin() + static_cast<ptrdiff_t>(offset));
  }
  std::vector<std::byte> head = std::vector<std::byte>(signature_bytes);
};

TEST_F(Signature, an_empty_disk_is_not_recognised) {
  EXPECT_EQ(recognise(head), "");
  EXPECT_EQ(recognise(ByteView{}), "");
}

TEST_F(Signature, ext_filesystems) {
  put(1024 + 0x38, "\x53\xef"sv);
  EXPECT_EQ(recognise(head), "an ext2 filesystem");
  put(1024 + 0x5c, "\x04"sv);
  EXPECT_EQ(recognise(head), "an ext3 filesystem");
  put(1024 + 0x60, "\x40"sv);
  EXPECT_EQ(recognise(head), "an ext4 filesystem");
}

TEST_F(Signature, known_marks) {
  const std::tuple<size_t, std::string_view, std::string_view> cases[] = {
      {0, "XFSB"sv, "an XFS filesystem"},      {0x10040, "_BHRfS_M"sv, "a btrfs filesystem"},
      {0, "LUKS\xba\xbe"sv, "a LUKS volume"},  {512, "EFI PART"sv, "a GPT partition table"},
      {0x8000, "JFS1"sv, "a JFS filesystem"},  {0x400, "\x02\0\0\0\0\0\x34\x34"sv, "a NILFS2 filesystem"},
      {3, "-FVE-FS-"sv, "a BitLocker volume"}, {0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca"sv, "a bcache device"},
      {4086, "SWAPSPACE2"sv, "a swap area"},   {131072 + 4096, "\x0c\xb1\xba\0\0\0\0\0"sv, "a member of a ZFS pool"},
  };
  for (const auto& [offset, bytes, what] : cases) {
    std::fill(head.begin(), head.end(), std::byte{});
    put(offset, bytes);
    EXPECT_EQ(recognise(head), what);
  }
}

TEST_F(Signature, lvm_needs_label_and_type) {
  put(512, "LABELONE");
  EXPECT_EQ(recognise(head), "");
  put(512 + 24, "LVM2 001");
  EXPECT_EQ(recognise(head), "an LVM physical volume");
}

TEST_F(Signature, a_boot_sector_without_partitions_is_no_partition_table) {
  put(510, "\x55\xaa"sv);
  EXPECT_EQ(recognise(head), "");
  put(446 + 4, "\x83"sv);
  put(446 + 12, "\x00\x10"sv);
  EXPECT_EQ(recognise(head), "an MBR partition table");
}

TEST_F(Signature, a_short_disk_is_no_reason_to_read_beyond_it) {
  put(0, "XFSB");
  for (size_t bytes = 0; bytes < 5000; bytes += 7) static_cast<void>(recognise(ByteView(head).first(bytes)));
  EXPECT_EQ(recognise(ByteView(head).first(4096)), "an XFS filesystem");
}

}  // namespace
}  // namespace mars::node
