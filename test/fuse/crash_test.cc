// kill -9 of the server, of the keeper and of both, at every step: nothing stays stuck, and the next start sweeps.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/fuse/served.h"

namespace mars::test {
namespace {

class FuseCrash : public FuseTest {
 protected:
  void write_load() { load_ = "while dd if=/dev/zero of=" + mounted_ + "/load bs=64k count=16 conv=fsync; do :; done"; }
  // A writer that goes on until the file system says no. Its end shows that nothing is stuck.
  pid_t start_load() {
    write_load();
    pid_t pid = fork();
    if (pid == 0) {
      execl("/bin/sh", "sh", "-c", (load_ + " >/dev/null 2>&1").c_str(), nullptr);
      _exit(1);
    }
    return pid;
  }
  static bool ends(pid_t pid) {
    return eventually([pid] { return waitpid(pid, nullptr, WNOHANG) == pid; });
  }
  bool load_runs() const { return shell("test -s " + mounted_ + "/load") == 0; }
  bool is_bound(const std::string& loop) const {
    return access(("/sys/block/" + loop.substr(5) + "/loop").c_str(), F_OK) == 0;
  }
  void kill_keepers() const {
    for (pid_t pid : keepers()) kill(pid, SIGKILL);
  }

 private:
  std::string load_;
};

TEST_F(FuseCrash, kill_of_the_server_under_a_mounted_file_system_leaves_nothing_stuck) {
  Served served(root_);
  served.open();
  make_filesystem(served.loop());
  ASSERT_TRUE(mount(served.link()));
  pid_t load = start_load();
  ASSERT_TRUE(eventually([this] { return load_runs(); }));
  served.kill();
  EXPECT_TRUE(ends(load)) << "a writer hangs";
  EXPECT_TRUE(eventually([this] { return keepers().empty(); })) << "the keeper hangs";
  ASSERT_TRUE(unmount());
  EXPECT_TRUE(eventually([&] { return !is_bound(served.loop()); })) << "the loop device stays";
  sweep();
  EXPECT_EQ(leftovers(), "");
}

// Its descriptors stay open then, and nobody hears an end of file.
TEST_F(FuseCrash, kill_of_a_server_with_a_thread_that_hangs_in_a_disk_frees_its_users) {
  Served disk(root_ + "/disk");
  disk.open();
  EXPECT_EQ(disk.ask("hold"), "HOLDING");
  Served served(root_);
  served.open();
  EXPECT_EQ(served.ask("read " + disk.loop()), "READING");
  ASSERT_TRUE(eventually([&] { return disk.ask("held") == "HELD 1"; }));
  kill(served.pid(), SIGKILL);
  pid_t reader = fork();
  if (reader == 0) {
    execlp("dd", "dd", ("if=" + served.loop()).c_str(), "of=/dev/null", "bs=4k", "count=1", "iflag=direct",
           "status=none", nullptr);
    _exit(1);
  }
  EXPECT_TRUE(ends(reader)) << "a reader hangs";
  EXPECT_EQ(waitpid(served.pid(), nullptr, WNOHANG), 0) << "nothing hung: this shows nothing";
  EXPECT_TRUE(eventually([&] { return !is_bound(served.loop()); })) << "the loop device stays";
  EXPECT_EQ(disk.ask("release"), "RELEASED");
  served.kill();
  EXPECT_EQ(disk.ask("close"), "CLOSED");
}

TEST_F(FuseCrash, kill_of_a_server_whose_descriptors_live_on_elsewhere_frees_its_users) {
  Served served(root_);
  served.open();
  const int process = static_cast<int>(syscall(SYS_pidfd_open, served.pid(), 0));
  std::vector<int> copies;
  for (int fd = 3; fd < 64; ++fd) {
    const auto copy = static_cast<int>(syscall(SYS_pidfd_getfd, process, fd, 0));
    if (copy >= 0) copies.push_back(copy);
  }
  served.kill();
  EXPECT_TRUE(eventually([this] { return keepers().empty(); })) << "the keeper stays";
  EXPECT_GE(copies.size(), 2u);
  for (int copy : copies) close(copy);
  close(process);
}

TEST_F(FuseCrash, a_new_device_opens_beside_the_dead_one_that_is_still_mounted) {
  std::string dead;
  {
    Served served(root_);
    served.open();
    dead = served.loop();
    make_filesystem(dead);
    ASSERT_TRUE(mount(dead));
    served.kill();
  }
  Served again(root_);
  again.open();
  EXPECT_NE(again.loop(), dead);
  EXPECT_EQ(shell("dd if=/dev/zero of=" + again.link() + " bs=4k count=1 oflag=direct"), 0);
  EXPECT_NE(shell("dd if=/dev/zero of=" + mounted_ + "/file bs=4k count=1 conv=fsync"), 0);
  EXPECT_TRUE(unmount());
  EXPECT_TRUE(eventually([&] { return !is_bound(dead); }));
  EXPECT_EQ(again.ask("close"), "CLOSED");
}

TEST_F(FuseCrash, kill_of_the_keeper_under_a_mounted_file_system_is_not_noticed_by_its_users) {
  Served served(root_);
  served.open();
  make_filesystem(served.loop());
  ASSERT_TRUE(mount(served.link()));
  kill_keepers();
  EXPECT_EQ(shell("dd if=/dev/zero of=" + mounted_ + "/file bs=64k count=32 conv=fsync"), 0);
  EXPECT_TRUE(eventually([this] { return keepers().size() == 1; })) << "nobody holds the device";
  EXPECT_EQ(served.ask("close").substr(0, 12), "REFUSED busy");
  ASSERT_TRUE(unmount());
  EXPECT_TRUE(is_bound(served.loop()));
  EXPECT_EQ(served.ask("close"), "CLOSED");
  EXPECT_EQ(leftovers(), "");
}

TEST_F(FuseCrash, kill_of_the_keeper_of_an_unused_device_takes_it_away_and_it_can_be_opened_again) {
  Served served(root_);
  served.open();
  kill_keepers();
  EXPECT_EQ(served.next_line(), "GONE");
  EXPECT_EQ(leftovers(), "");
  served.open();
  EXPECT_EQ(served.ask("close"), "CLOSED");
}

TEST_F(FuseCrash, kill_of_both_under_a_mounted_file_system_leaves_nothing_stuck) {
  Served served(root_);
  served.open();
  make_filesystem(served.loop());
  ASSERT_TRUE(mount(served.link()));
  pid_t load = start_load();
  ASSERT_TRUE(eventually([this] { return load_runs(); }));
  kill_keepers();
  served.kill();
  EXPECT_TRUE(ends(load)) << "a writer hangs";
  ASSERT_TRUE(unmount());
  EXPECT_TRUE(eventually([&] { return !is_bound(served.loop()); }));
  sweep();
  EXPECT_EQ(leftovers(), "");
}

TEST_F(FuseCrash, kill_with_dirty_pages_of_a_plain_writer_leaves_nothing_stuck) {
  Served served(root_, {"--delay-us", "2000"});
  served.open();
  pid_t writer = fork();
  if (writer == 0) {
    execlp("dd", "dd", "if=/dev/zero", ("of=" + served.loop()).c_str(), "bs=1M", "count=40", "status=none", nullptr);
    _exit(1);
  }
  ASSERT_TRUE(eventually([&] { return served.ask("depth") != "DEPTH 0"; }));
  kill_keepers();
  served.kill();
  EXPECT_TRUE(ends(writer));
  EXPECT_TRUE(eventually([&] { return !is_bound(served.loop()); }));
  sweep();
}

TEST_F(FuseCrash, the_sweep_is_idempotent_and_names_what_is_still_used) {
  {
    Served served(root_);
    served.open();
    make_filesystem(served.loop());
    ASSERT_TRUE(mount(served.loop()));
    served.kill();
  }
  sweep();
  EXPECT_EQ(sweep(), "SWEPT 0 1");  // still mounted: said each time
  EXPECT_TRUE(unmount());
  EXPECT_EQ(sweep(), "SWEPT 0 0");
}

TEST_F(FuseCrash, kill_of_the_server_at_any_moment_of_opening) {
  for (int milliseconds = 0; milliseconds <= 60; milliseconds += 2) {
    {
      Served served(root_);
      ASSERT_EQ(served.ask("ready"), "READY");
      served.post("open");
      served.interrupt_after(milliseconds);
    }
    sweep();
    ASSERT_TRUE(eventually([this] { return leftovers().empty(); })) << milliseconds << " ms: " << leftovers();
  }
}

TEST_F(FuseCrash, kill_of_the_server_at_any_moment_of_closing) {
  for (int milliseconds = 0; milliseconds <= 30; milliseconds += 2) {
    {
      Served served(root_);
      served.open();
      served.post("close");
      served.interrupt_after(milliseconds);
    }
    sweep();
    ASSERT_TRUE(eventually([this] { return leftovers().empty(); })) << milliseconds << " ms: " << leftovers();
  }
}

TEST_F(FuseCrash, kill_of_the_keeper_at_any_moment_of_opening_is_an_error_or_harmless) {
  Served served(root_);
  for (int round = 0; round < 20; ++round) {
    served.post("open");
    std::string answer;
    for (int i = 0; i < 50 && answer.empty(); ++i) {
      if (i >= round) kill_keepers();
      answer = served.next_line(2);
    }
    if (answer.empty()) answer = served.next_line();
    ASSERT_FALSE(answer.empty());
    answer = served.ask("close");
    if (answer == "GONE") answer = served.next_line();
    ASSERT_EQ(answer, "CLOSED");
    ASSERT_TRUE(eventually([this] { return leftovers().empty(); })) << leftovers();
  }
}

}  // namespace
}  // namespace mars::test
