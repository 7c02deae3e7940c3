#include "io/linux/disk_identity.h"

#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "io/linux/test_host.h"

namespace mars::io {
namespace {

namespace fs = std::filesystem;

// A sysfs made of files, because no test can plug a disk in.
class DiskIdentityTest : public testing::Test {
 protected:
  // `where`: below devices/, as "sdb" or "sdb/sdb1"; class/block/ gets the link that the kernel makes.
  void device(const std::string& where, const std::map<std::string, std::string>& files) {
    const fs::path folder = fs::path(sysfs) / "devices" / where;
    for (const auto& [file, content] : files) {
      fs::create_directories((folder / file).parent_path());
      std::ofstream(folder / file) << content;
    }
    fs::create_directories(sysfs + "/class/block");
    fs::create_directory_symlink(folder, fs::path(sysfs) / "class/block" / folder.filename());
  }
  std::string id(const std::string& name) const { return hardware_id(sysfs + "/class/block/" + name); }
  std::string list() const {
    std::string text;
    for (const BlockDevice& device : list_block_devices(sysfs, dev))
      text += device.path + "=" + device.hardware_id + ";";
    return text;
  }
  TestHost host_;
  std::string sysfs = host_.path("sys");
  std::string dev = host_.path("dev");
};

TEST_F(DiskIdentityTest, a_partition_is_its_number_on_its_disk) {
  device("sdb", {{"dev", "8:16\n"}, {"device/wwid", "naa.5000c500a1b2c3d4\n"}});
  device("sdb/sdb2", {{"dev", "8:18\n"}, {"partition", "2\n"}});
  EXPECT_EQ(id("sdb"), "naa.5000c500a1b2c3d4");
  EXPECT_EQ(id("sdb2"), "naa.5000c500a1b2c3d4-part2");
}

TEST_F(DiskIdentityTest, a_volume_is_known_by_its_own_uuid_and_not_by_what_is_below) {
  device("dm-3", {{"dev", "253:3"}, {"dm/uuid", "LVM-abc\n"}, {"dm/name", "vg-lv\n"}, {"serial", "S1"}});
  EXPECT_EQ(id("dm-3"), "LVM-abc");
}

TEST_F(DiskIdentityTest, values_that_say_nothing_are_passed_over) {
  for (const char* value :
       {"", "\n", "  \t\n", "0", "naa.0000000000000000", "0x0000", "00000000-0000-0000-0000-000000000000",
        "eui.0000000000000000", "serial\x01", "\xff\xfe", "WD\xc3\xa4"}) {
    fs::remove_all(sysfs);
    device("sdb", {{"dev", "8:16"}, {"wwid", value}, {"device/serial", "Z1D5\n"}});
    EXPECT_EQ(id("sdb"), "Z1D5") << value;
  }
}

TEST_F(DiskIdentityTest, nothing_is_known_of_what_is_not_there) {
  EXPECT_EQ(id("sdz"), "");
  EXPECT_EQ(list(), "");
  device("vda", {{"dev", "254:0"}});
  EXPECT_EQ(id("vda"), "");
  EXPECT_EQ(list(), "");
}

TEST_F(DiskIdentityTest, devices_are_listed_with_what_they_can_be_opened_by) {
  device("sdc", {{"dev", "8:32"}, {"device/wwid", "naa.2"}});
  device("sda", {{"dev", "8:0"}, {"device/wwid", "naa.1"}});
  device("cciss!c0d0", {{"dev", "104:0"}, {"wwid", "naa.3"}});
  EXPECT_EQ(list(), dev + "/cciss/c0d0=naa.3;" + dev + "/sda=naa.1;" + dev + "/sdc=naa.2;");
}

TEST_F(DiskIdentityTest, what_has_one_identity_twice_is_listed_twice) {
  device("sda", {{"dev", "8:0"}, {"wwid", "naa.1"}});
  device("sdb", {{"dev", "8:16"}, {"wwid", "naa.1"}});
  EXPECT_EQ(list(), dev + "/sda=naa.1;" + dev + "/sdb=naa.1;");
}

TEST_F(DiskIdentityTest, what_cannot_be_opened_is_not_listed) {
  device("nvme0c0n1", {{"wwid", "eui.1"}});  // one path of a multipath disk
  EXPECT_EQ(list(), "");
}

TEST_F(DiskIdentityTest, what_two_things_may_be_called_is_an_identity_and_not_listed) {
  device("loop0", {{"dev", "7:0"}, {"loop/backing_file", "/srv/image"}});
  device("vda", {{"dev", "254:0"}, {"serial", "data"}});
  device("sda", {{"dev", "8:0"}, {"device/wwid", "t10.ATA     QEMU HARDDISK   QM00001"}});
  device("nvme0n1", {{"dev", "259:0"}, {"wwid", "nvme.1b36-666f6f-51454d55-00000001"}});
  EXPECT_EQ(id("loop0"), "loop:/srv/image");
  EXPECT_EQ(id("vda"), "data");
  EXPECT_EQ(id("sda"), "t10.ATA     QEMU HARDDISK   QM00001");
  EXPECT_EQ(list(), "");
}

TEST_F(DiskIdentityTest, a_volume_is_listed_by_its_name_where_that_is_the_same_device) {
  device("dm-3", {{"dev", "253:3"}, {"dm/uuid", "LVM-abc"}, {"dm/name", "vg-lv"}});
  EXPECT_EQ(list(), dev + "/dm-3=LVM-abc;");
  fs::create_directories(dev + "/mapper");
  if (::mknod((dev + "/mapper/vg-lv").c_str(), S_IFBLK | 0600, makedev(253, 4)) != 0) return;  // needs root
  EXPECT_EQ(list(), dev + "/dm-3=LVM-abc;");
  fs::remove(dev + "/mapper/vg-lv");
  ASSERT_EQ(::mknod((dev + "/mapper/vg-lv").c_str(), S_IFBLK | 0600, makedev(253, 3)), 0);
  EXPECT_EQ(list(), dev + "/mapper/vg-lv=LVM-abc;");
}

TEST_F(DiskIdentityTest, storage_lists_what_this_machine_has) {
  host_.run([&]() -> Task<void> {
    for (const BlockDevice& device : must(co_await host_.storage().block_devices())) {
      EXPECT_TRUE(device.path.starts_with("/dev/")) << device.path;
      EXPECT_FALSE(device.hardware_id.empty() || device.hardware_id.starts_with("loop:")) << device.hardware_id;
    }
  });
}

}  // namespace
}  // namespace mars::io
