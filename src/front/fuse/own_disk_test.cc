#include "front/fuse/own_disk.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace mars::fuse {
namespace {

class OwnDiskTest : public testing::Test {
 protected:
  OwnDiskTest() {
    char root[] = "/tmp/mars-own-disk-XXXXXX";
    root_ = mkdtemp(root);
  }
  ~OwnDiskTest() override { std::filesystem::remove_all(root_); }

  void say(const std::string& file, const std::string& text) {
    const std::filesystem::path path = root_ + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  std::vector<std::string> below(const std::string& device) { return loop_files_below(root_ + "/" + device); }

  std::string root_;
};

TEST_F(OwnDiskTest, a_loop_device_and_its_partition_lie_on_its_file) {
  say("loop3/loop/backing_file", "/run/mars/fuse/r/disk");
  say("loop3/loop3p1/partition", "1");
  EXPECT_EQ(below("loop3"), (std::vector<std::string>{"/run/mars/fuse/r/disk"}));
  EXPECT_EQ(below("loop3/loop3p1"), below("loop3"));
}

TEST_F(OwnDiskTest, a_volume_lies_on_all_that_it_is_made_of) {
  say("loop3/loop/backing_file", "/a");
  say("loop4/loop/backing_file", "/b");
  std::filesystem::create_directories(root_ + "/dm-0/slaves");
  std::filesystem::create_directories(root_ + "/dm-1/slaves");
  for (const char* loop : {"loop3", "loop4"}) {
    std::filesystem::create_directory_symlink(root_ + "/" + loop, root_ + "/dm-0/slaves/" + loop);
  }
  std::filesystem::create_directory_symlink(root_ + "/dm-0", root_ + "/dm-1/slaves/dm-0");
  EXPECT_EQ(below("dm-1"), (std::vector<std::string>{"/a", "/b"}));
}

TEST_F(OwnDiskTest, an_ordinary_disk_lies_on_no_file) {
  std::filesystem::create_directories(root_ + "/sda/slaves");
  EXPECT_TRUE(below("sda").empty());
  EXPECT_TRUE(below("nothing").empty());
}

}  // namespace
}  // namespace mars::fuse
