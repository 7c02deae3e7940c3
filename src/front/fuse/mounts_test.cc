#include "front/fuse/mounts.h"

#include <gtest/gtest.h>

namespace mars::fuse {
namespace {

TEST(Mounts, a_line_of_mountinfo_with_and_without_optional_fields) {
  auto mounts = parse_mounts(
      "36 35 7:3 / /mnt rw,noatime master:1 shared:2 - ext4 /dev/loop3 rw\n"
      "40 35 0:51 / /run/mars/fuse/mydata rw - fuse.mydata mars rw,user_id=0\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].device_major, 7u);
  EXPECT_EQ(mounts[0].device_minor, 3u);
  EXPECT_EQ(mounts[0].path, "/mnt");
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[1].type, "fuse.mydata");
  EXPECT_EQ(mounts[1].source, "mars");
}

TEST(Mounts, blanks_in_names_are_unescaped) {
  auto mounts = parse_mounts("36 35 7:3 / /mnt/a\\040b\\134c rw - ext4 /dev/loop3 rw");
  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].path, "/mnt/a b\\c");
}

TEST(Mounts, a_broken_escape_stays_as_it_is) {
  auto mounts = parse_mounts("36 35 7:3 / /mnt/a\\04 rw - ext4 x\\9 rw");
  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].path, "/mnt/a\\04");
}

TEST(Mounts, lines_that_do_not_parse_are_left_out) {
  EXPECT_TRUE(parse_mounts("nonsense\n1 2 3 4\n\n36 35 7:x / /mnt rw - ext4 a rw\n36 35 7:1 / /mnt rw ext4\n").empty());
}

TEST(Mounts, swaps_without_their_heading) {
  auto swaps = parse_swaps("Filename\t\t\t\tType\n/dev/loop4                              partition\n");
  ASSERT_EQ(swaps.size(), 1u);
  EXPECT_EQ(swaps[0], "/dev/loop4");
  EXPECT_TRUE(parse_swaps("").empty());
}

TEST(Mounts, below_means_whole_names) {
  EXPECT_TRUE(lies_below("/run/mars/fuse/a", "/run/mars/fuse"));
  EXPECT_TRUE(lies_below("/run/mars/fuse", "/run/mars/fuse"));
  EXPECT_FALSE(lies_below("/run/mars/fuse2", "/run/mars/fuse"));
  EXPECT_FALSE(lies_below("/run/mars", "/run/mars/fuse"));
}

}  // namespace
}  // namespace mars::fuse
