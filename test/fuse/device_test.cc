// The device as its users see it: bytes, depth, a file system, and the refusal to close while somebody has it open.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "test/fuse/served.h"

namespace mars::test {
namespace {

constexpr size_t device_bytes = size_t{48} << 20;
constexpr size_t grown_bytes = size_t{64} << 20;

class Direct {
 public:
  explicit Direct(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
    buffer_ = static_cast<char*>(aligned_alloc(4096, size_t{2} << 20));
  }
  ~Direct() {
    close(fd_);
    free(buffer_);
  }
  Direct(const Direct&) = delete;
  Direct& operator=(const Direct&) = delete;

  bool write(size_t offset, size_t bytes, char fill) {
    std::memset(buffer_, fill, bytes);
    return pwrite(fd_, buffer_, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
  }
  bool holds(size_t offset, size_t bytes, char fill) {
    std::memset(buffer_, fill + 1, bytes);
    if (pread(fd_, buffer_, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes)) return false;
    return buffer_[0] == fill && std::memcmp(buffer_, buffer_ + 1, bytes - 1) == 0;
  }
  bool starts_with(char first) { return pread(fd_, buffer_, 4096, 0) == 4096 && buffer_[0] == first; }
  bool flush() { return fdatasync(fd_) == 0; }
  int range(unsigned long request, uint64_t offset, uint64_t bytes) {
    uint64_t pair[2] = {offset, bytes};
    return ioctl(fd_, request, pair);
  }
  void release() { close(std::exchange(fd_, -1)); }
  int fd() const { return fd_; }

 private:
  int fd_;
  char* buffer_;
};

TEST_F(FuseTest, bytes_of_any_size_come_back) {
  Served served(root_);
  served.open();
  Direct disk(served.link());
  const size_t sizes[] = {512, 4096, 32768, 33280, 131072, 1 << 20, (1 << 20) + 65536};
  for (size_t i = 0; i < std::size(sizes); ++i) {
    ASSERT_TRUE(disk.write(i << 22, sizes[i], static_cast<char>('a' + i)));
  }
  EXPECT_TRUE(disk.flush());
  for (size_t i = 0; i < std::size(sizes); ++i) {
    EXPECT_TRUE(disk.holds(i << 22, sizes[i], static_cast<char>('a' + i))) << sizes[i];
  }
}

TEST_F(FuseTest, buffers_supplied_by_the_brick_below_are_used) {
  Served served(root_, {"--supply", "4"});
  served.open();
  Direct disk(served.link());
  for (size_t i = 0; i < 32; ++i)
    ASSERT_TRUE(disk.write(i << 20, i % 2 == 0 ? 4096 : 1 << 20, static_cast<char>('0' + i)));
  for (size_t i = 0; i < 32; ++i)
    EXPECT_TRUE(disk.holds(i << 20, i % 2 == 0 ? 4096 : 1 << 20, static_cast<char>('0' + i)));
}

TEST_F(FuseTest, a_short_longest_request_below_is_met_by_several) {
  Served served(root_, {"--bytes-max", "65536", "--supply", "2"});
  served.open();
  Direct disk(served.link());
  ASSERT_TRUE(disk.write(0, 1 << 20, 'x'));
  EXPECT_TRUE(disk.holds(0, 1 << 20, 'x'));
}

TEST_F(FuseTest, discard_and_zeroes_read_as_zeroes) {
  Served served(root_);
  served.open();
  Direct disk(served.link());
  ASSERT_TRUE(disk.write(0, 1 << 20, 'x'));
  EXPECT_EQ(disk.range(BLKDISCARD, 0, 65536), 0);
  EXPECT_EQ(disk.range(BLKZEROOUT, 65536, 65536), 0);
  EXPECT_TRUE(disk.holds(0, 131072, 0));
  EXPECT_TRUE(disk.holds(131072, 131072, 'x'));
}

TEST_F(FuseTest, without_native_discard_the_device_offers_none) {
  Served served(root_, {"--no-discard"});
  for (int i = 0; i < 2; ++i) {
    served.open();
    Direct disk(served.link());
    ASSERT_TRUE(disk.holds(0, 65536, i == 0 ? 0 : 'x'));
    ASSERT_TRUE(disk.write(0, 65536, 'x'));
    EXPECT_EQ(disk.range(BLKDISCARD, 0, 65536), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    EXPECT_TRUE(disk.holds(0, 65536, 'x'));
    disk.release();
    EXPECT_EQ(served.ask("close"), "CLOSED");
  }
}

TEST_F(FuseTest, block_size_and_size_are_those_of_the_brick) {
  Served served(root_, {"--block", "4096"});
  served.open();
  Direct disk(served.link());
  int block = 0;
  uint64_t bytes = 0;
  EXPECT_EQ(ioctl(disk.fd(), BLKSSZGET, &block), 0);
  EXPECT_EQ(ioctl(disk.fd(), BLKGETSIZE64, &bytes), 0);
  EXPECT_EQ(block, 4096);
  EXPECT_EQ(bytes, device_bytes);
}

TEST_F(FuseTest, a_grown_brick_makes_a_grown_device) {
  Served served(root_);
  served.open();
  Direct disk(served.link());
  EXPECT_EQ(served.ask("grow"), "GROWN");
  uint64_t bytes = 0;
  EXPECT_EQ(ioctl(disk.fd(), BLKGETSIZE64, &bytes), 0);
  EXPECT_EQ(bytes, grown_bytes);
  EXPECT_TRUE(disk.write(grown_bytes - 4096, 4096, 'x'));
  EXPECT_TRUE(disk.holds(grown_bytes - 4096, 4096, 'x'));
}

TEST_F(FuseTest, an_error_below_is_an_error_above) {
  Served served(root_);
  served.open();
  Direct disk(served.link());
  EXPECT_EQ(served.ask("fail"), "FAILING");
  EXPECT_FALSE(disk.write(0, 4096, 'x'));
  EXPECT_EQ(errno, EIO);
  EXPECT_FALSE(disk.flush());
}

TEST_F(FuseTest, thirty_two_writers_arrive_thirty_two_deep) {
  if (shell("command -v fio") != 0) GTEST_SKIP() << "fio is not installed";
  Served served(root_, {"--delay-us", "30000"});
  served.open();
  std::string output;
  int code = shell("fio --name=x --filename=" + served.link() +
                       " --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=32 --size=32m --io_size=8m"
                       " --verify=xxhash --do_verify=1 --verify_fatal=1 --minimal",
                   &output);
  EXPECT_EQ(code, 0) << output;
  EXPECT_GE(std::atoi(served.ask("depth").substr(6).c_str()), 32);
}

TEST_F(FuseTest, a_file_system_lives_on_it_and_is_clean_afterwards) {
  Served served(root_);
  served.open();
  make_filesystem(served.loop());
  ASSERT_TRUE(mount(served.link()));
  std::string output;
  EXPECT_EQ(shell("cp -r /usr/include/linux " + mounted_ + " && sync -f " + mounted_ +
                      " && echo 3 > /proc/sys/vm/drop_caches;"
                      " diff -r /usr/include/linux " +
                      mounted_ + "/linux && fstrim " + mounted_,
                  &output),
            0)
      << output;
  ASSERT_TRUE(unmount());
  EXPECT_EQ(shell("fsck.ext4 -fn " + served.loop(), &output), 0) << output;
}

TEST_F(FuseTest, close_takes_everything_away_and_open_brings_it_back) {
  Served served(root_);
  served.open();
  Direct(served.link()).write(0, 4096, 'x');
  EXPECT_EQ(served.ask("close"), "CLOSED");
  EXPECT_EQ(leftovers(), "");
  served.open();
  EXPECT_TRUE(Direct(served.link()).holds(0, 4096, 'x'));
}

TEST_F(FuseTest, close_is_refused_while_mounted_and_names_the_mount) {
  Served served(root_);
  served.open();
  make_filesystem(served.loop());
  ASSERT_TRUE(mount(served.link()));
  std::string answer = served.ask("close");
  EXPECT_TRUE(answer.starts_with("REFUSED busy")) << answer;
  EXPECT_NE(answer.find("mounted on " + mounted_), std::string::npos) << answer;
  EXPECT_EQ(shell("dd if=/dev/zero of=" + mounted_ + "/file bs=64k count=16 conv=fsync"), 0);
  ASSERT_TRUE(unmount());
  EXPECT_EQ(served.ask("close"), "CLOSED");
  EXPECT_EQ(leftovers(), "");
}

// As btrfs does it, which the machine may not have: the number of the mount is not that of the device.
TEST_F(FuseTest, a_mount_that_names_the_device_only_as_its_source_is_named) {
  Served served(root_);
  served.open();
  ASSERT_EQ(shell("mount -t tmpfs " + served.loop() + " " + mounted_), 0);
  std::string answer = served.ask("close");
  EXPECT_NE(answer.find("mounted on " + mounted_), std::string::npos) << answer;
  ASSERT_TRUE(unmount());
  EXPECT_EQ(served.ask("close"), "CLOSED");
}

TEST_F(FuseTest, close_is_refused_while_a_plain_process_has_it_open_and_names_the_process) {
  Served served(root_);
  served.open();
  {
    Direct disk(served.link());
    std::string answer = served.ask("close");
    EXPECT_TRUE(answer.starts_with("REFUSED busy")) << answer;
    EXPECT_NE(answer.find("(pid " + std::to_string(getpid()) + ")"), std::string::npos) << answer;
    EXPECT_TRUE(disk.write(0, 4096, 'x'));
  }
  EXPECT_EQ(served.ask("close"), "CLOSED");
}

// As udev and blkid do it after whoever has written.
TEST_F(FuseTest, close_waits_for_a_process_that_looks_at_the_device_for_a_moment) {
  Served served(root_);
  served.open();
  Direct disk(served.link());
  served.post("close");
  EXPECT_EQ(served.next_line(300), "");
  disk.release();
  EXPECT_EQ(served.next_line(), "CLOSED");
}

// A mapping keeps the device open without a descriptor that anybody could list.
TEST_F(FuseTest, the_kernel_refuses_to_close_for_a_user_that_no_list_shows) {
  Served served(root_);
  served.open();
  int fd = open(served.link().c_str(), O_RDWR | O_CLOEXEC);
  void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(served.ask("users"), "USERS ");
  std::string answer = served.ask("close");
  EXPECT_TRUE(answer.starts_with("REFUSED busy")) << answer;
  EXPECT_NE(answer.find("cannot be seen"), std::string::npos) << answer;
  static_cast<char*>(mapped)[0] = 'm';
  munmap(mapped, 4096);
  Direct(served.link()).holds(0, 4096, 0);  // the device did not vanish with its last user
  EXPECT_EQ(served.ask("close"), "CLOSED");
  served.open();
  EXPECT_TRUE(Direct(served.link()).starts_with('m'));
}

TEST_F(FuseTest, a_loop_device_on_top_is_named) {
  Served served(root_);
  served.open();
  std::string upper;
  ASSERT_EQ(shell("losetup -f --show " + served.loop(), &upper), 0) << upper;
  upper.pop_back();
  std::string answer = served.ask("close");
  EXPECT_NE(answer.find("below " + upper), std::string::npos) << answer;
  EXPECT_EQ(shell("losetup -d " + upper), 0);
  EXPECT_EQ(served.ask("close"), "CLOSED");
}

TEST_F(FuseTest, dirty_pages_that_nobody_synced_are_there_after_close_and_open) {
  Served served(root_);
  served.open();
  ASSERT_EQ(shell("tr '\\0' x < /dev/zero | dd of=" + served.loop() + " bs=64k count=64 iflag=fullblock"), 0);
  EXPECT_EQ(served.ask("close"), "CLOSED");
  served.open();
  Direct disk(served.link());
  EXPECT_TRUE(disk.holds(0, 1 << 20, 'x'));
  EXPECT_TRUE(disk.holds(3 << 20, 1 << 20, 'x'));
}

TEST_F(FuseTest, nobody_else_may_open_the_file_behind_the_device) {
  Served served(root_);
  served.open();
  int fd = open((served.mount() + "/disk").c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_EQ(fd, -1);
  EXPECT_EQ(errno, EBUSY);
}

TEST_F(FuseTest, abort_ends_a_request_that_hangs_below) {
  Served served(root_);
  served.open();
  EXPECT_EQ(served.ask("hold"), "HOLDING");
  std::string output;
  shell("dd if=/dev/zero of=" + served.link() + " bs=4k count=1 oflag=direct >" + root_ + "/dd 2>&1 & echo $!",
        &output);
  ASSERT_TRUE(eventually([&] { return served.ask("held") == "HELD 1"; }));
  EXPECT_EQ(served.ask("abort"), "ABORTED");
  EXPECT_TRUE(eventually([&] { return shell("grep -q 'Input/output error' " + root_ + "/dd") == 0; }));
  served.open();
  EXPECT_TRUE(Direct(served.link()).write(0, 4096, 'x'));
}

// The users are free at once. What is below is not, so the device is not closed, and whoever asks gets an answer.
TEST_F(FuseTest, an_abort_by_hand_below_a_disk_that_hangs_keeps_nobody_waiting) {
  Served served(root_);
  served.open();
  EXPECT_EQ(served.ask("hold"), "HOLDING");
  shell("dd if=/dev/zero of=" + served.link() + " bs=4k count=1 oflag=direct >" + root_ + "/dd 2>&1 &");
  ASSERT_TRUE(eventually([&] { return served.ask("held") == "HELD 1"; }));
  shell("umount -f " + served.mount());
  EXPECT_TRUE(eventually([&] { return shell("grep -q 'Input/output error' " + root_ + "/dd") == 0; }));
  served.post("close");
  std::string answer = served.next_line(20'000);
  EXPECT_TRUE(answer.starts_with("REFUSED timed_out ")) << answer;
  EXPECT_NE(answer.find("still waits for 1 request "), std::string::npos) << answer;
  EXPECT_EQ(shell("test -L " + served.link()), 1);
  served.post("release");
  EXPECT_EQ(served.next_line(), "RELEASED");
  EXPECT_EQ(served.next_line(), "GONE");
  served.open();
  EXPECT_TRUE(Direct(served.link()).write(0, 4096, 'x'));
}

TEST_F(FuseTest, what_was_hidden_while_it_opened_gets_no_link_and_takes_no_file_of_others) {
  Served served(root_);
  ASSERT_EQ(served.ask("ready"), "READY");
  shell("echo mine > " + served.link());
  EXPECT_EQ(served.ask("open-and-hide").substr(0, 14), "FAILED stopped");
  EXPECT_EQ(shell("grep -q mine " + served.link()), 0);
  shell("rm " + served.link());
  EXPECT_EQ(leftovers(), "");
  served.open();
  EXPECT_EQ(served.ask("close"), "CLOSED");
}

TEST_F(FuseTest, what_is_in_the_way_of_the_link_is_told_and_left_alone) {
  Served served(root_);
  ASSERT_EQ(served.ask("ready"), "READY");
  shell("echo mine > " + served.link());
  EXPECT_EQ(served.ask("open"),
            "FAILED exists cannot make the link " + served.link() + ": something else is in the way; move it away");
  EXPECT_EQ(shell("rm " + served.link()), 0);
  served.open();
  EXPECT_EQ(served.ask("close"), "CLOSED");
}

TEST_F(FuseTest, two_servers_on_one_machine_do_not_see_each_other) {
  Served one(root_ + "/one");
  one.open();
  Served other(root_ + "/two");  // sweeps at start
  other.open();
  EXPECT_EQ(other.ask("swept"), "SWEPT 0 0");
  EXPECT_NE(one.loop(), other.loop());
  EXPECT_TRUE(Direct(one.link()).write(0, 4096, 'x'));
  EXPECT_TRUE(Direct(other.link()).holds(0, 4096, 0));
  EXPECT_EQ(one.ask("close"), "CLOSED");
  EXPECT_TRUE(Direct(other.link()).holds(0, 4096, 0));
}

TEST_F(FuseTest, the_link_of_another_live_server_is_not_taken) {
  Served one(root_ + "/one");
  one.open();
  shell("mkdir " + root_ + "/two && ln -s ../one/dev " + root_ + "/two/dev");
  Served other(root_ + "/two");
  EXPECT_EQ(other.ask("swept"), "SWEPT 0 0");
  std::string answer = other.ask("open");
  EXPECT_TRUE(answer.starts_with("FAILED refused ")) << answer;
  EXPECT_NE(answer.find("of another marsd; give this one its own --device-dir"), std::string::npos) << answer;
  std::string target;
  shell("readlink " + one.link(), &target);
  EXPECT_EQ(target, one.loop() + "\n");
  EXPECT_EQ(one.ask("close"), "CLOSED");
  other.open();
}

// Two containers that share /dev, each with a run directory of its own at the same path.
TEST_F(FuseTest, a_run_directory_at_the_same_path_is_another_one) {
  Served one(root_);
  one.open();
  Direct disk(one.link());
  Served other(root_, {"--contained"});
  EXPECT_EQ(other.ask("swept"), "SWEPT 0 0");
  EXPECT_EQ(other.ask("open").substr(0, 14), "FAILED refused");
  EXPECT_TRUE(disk.write(0, 4096, 'x'));
  disk.release();
  EXPECT_EQ(one.ask("close"), "CLOSED");
  other.open();
  EXPECT_TRUE(Direct(other.link()).holds(0, 4096, 0));
  EXPECT_EQ(other.ask("close"), "CLOSED");
}

}  // namespace
}  // namespace mars::test
