#include "front/fuse/sweep.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "front/fuse/proc_files.h"
#include "front/fuse/users.h"

namespace mars::fuse {
namespace {

class SweepTest : public testing::Test {
 protected:
  SweepTest() {
    char root[] = "/tmp/mars-sweep-XXXXXX";
    root_ = mkdtemp(root);
    places_ = {root_ + "/run", root_ + "/dev"};
    std::filesystem::create_directories(places_.run_directory + "/fuse/old");
    std::filesystem::create_directories(places_.device_directory);
  }
  ~SweepTest() override { std::filesystem::remove_all(root_); }

  void link(const std::string& name, const std::string& target) {
    std::filesystem::create_symlink(target, link_path(places_, name));
  }

  std::string root_;
  Places places_;
};

TEST_F(SweepTest, stale_links_to_loop_devices_go_and_others_stay) {
  link("a", "/dev/loop999");
  link("b", "/dev/nbd0");
  link("c", "/dev/loop-control");
  Swept swept = sweep(places_);
  EXPECT_EQ(swept.done.size(), 1u);
  EXPECT_TRUE(swept.left.empty());
  EXPECT_EQ(names_in(places_.device_directory), (std::vector<std::string>{"b", "c"}));
}

TEST_F(SweepTest, is_silent_the_second_time) {
  link("a", "/dev/loop999");
  sweep(places_);
  Swept again = sweep(places_);
  EXPECT_TRUE(again.done.empty());
  EXPECT_TRUE(again.left.empty());
}

TEST_F(SweepTest, directories_that_were_never_made_are_no_error) {
  Swept swept = sweep({root_ + "/no", root_ + "/nor"});
  EXPECT_TRUE(swept.done.empty());
  EXPECT_TRUE(swept.left.empty());
}

TEST_F(SweepTest, empty_mount_points_go) {
  sweep(places_);
  EXPECT_TRUE(names_in(places_.run_directory + "/fuse").empty());
}

TEST_F(SweepTest, a_link_that_leads_elsewhere_by_now_is_not_removed) {
  link("a", "/dev/loop7");
  remove_link(link_path(places_, "a"), "/dev/loop6");
  EXPECT_EQ(names_in(places_.device_directory).size(), 1u);
  remove_link(link_path(places_, "a"), "/dev/loop7");
  EXPECT_TRUE(names_in(places_.device_directory).empty());
}

TEST_F(SweepTest, without_a_target_nothing_is_removed) {
  std::ofstream(link_path(places_, "a")) << "somebody's";
  link("b", "/dev/loop7");
  for (const char* name : {"a", "b"}) remove_link(link_path(places_, name), "");
  EXPECT_EQ(names_in(places_.device_directory).size(), 2u);
}

TEST_F(SweepTest, labels_fit_and_tell_run_directories_apart) {
  EXPECT_LE(label(places_, std::string(63, 'x') + ".12").size(), 63u);
  EXPECT_TRUE(label(places_, "a").starts_with(label_prefix(places_)));
  EXPECT_NE(label_prefix(places_), label_prefix({root_, root_}));
}

TEST_F(SweepTest, labels_tell_two_run_directories_at_one_path_apart) {
  const std::string before = label_prefix(resolved(places_));
  EXPECT_EQ(before, label_prefix(resolved(places_)));
  std::filesystem::rename(places_.run_directory, root_ + "/aside");
  std::filesystem::create_directories(places_.run_directory);
  EXPECT_NE(before, label_prefix(resolved(places_)));
}

TEST_F(SweepTest, resolved_follows_links_of_the_directories) {
  std::filesystem::create_directory_symlink(places_.run_directory, root_ + "/alias");
  EXPECT_EQ(resolved({root_ + "/alias", root_ + "/missing"}).run_directory, places_.run_directory);
}

TEST(LoopNumber, only_whole_names_count) {
  EXPECT_EQ(loop_number("/dev/loop12"), 12);
  EXPECT_EQ(loop_number("loop0"), 0);
  EXPECT_EQ(loop_number("/dev/loop-control"), -1);
  EXPECT_EQ(loop_number("/dev/loop1p1"), -1);
  EXPECT_EQ(loop_number("/dev/nbd0"), -1);
  EXPECT_EQ(loop_number("loop"), -1);
}

TEST_F(SweepTest, a_part_of_a_btrfs_is_found) {
  const std::string btrfs = root_ + "/btrfs";
  for (const char* path : {"/features", "/one/devices/loop7", "/one/devices/loop8", "/two/devices/loop77"}) {
    std::filesystem::create_directories(btrfs + path);
  }
  EXPECT_EQ(find_btrfs("loop7", btrfs), (std::vector<std::string>{"one"}));
  EXPECT_TRUE(find_btrfs("loop9", btrfs).empty());
  EXPECT_TRUE(find_btrfs("loop7", root_ + "/none").empty());
}

TEST(Users, only_open_descriptors_may_be_probes) {
  EXPECT_FALSE(may_be_probes({}));
  EXPECT_TRUE(may_be_probes({"open in blkid (pid 5)", "open in udevd (pid 6)"}));
  EXPECT_FALSE(may_be_probes({"mounted on /mnt", "open in blkid (pid 5)"}));
  EXPECT_FALSE(may_be_probes({"held by dm-0"}));
}

TEST(Users, a_long_list_is_cut) {
  EXPECT_EQ(sentence({}), "");
  EXPECT_EQ(sentence({"a", "b"}), "a, b");
  EXPECT_EQ(sentence({"a", "b", "c", "d", "e", "f"}), "a, b, c, d and 2 more");
}

}  // namespace
}  // namespace mars::fuse
