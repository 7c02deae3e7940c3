// What a host makes of a log that has lost its end, when others remember more of it (D10, T10).
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;
using control::State;

// mydata on a (primary) and b.
class Evidence : public testing::Test {
 protected:
  void SetUp() override {
    cluster.form();
    cluster.make_resource("mydata");
    write(0, 'o');
    cluster.run_for(15s);
  }
  Disks& disks() { return cluster.host("a").disks(); }
  void write(uint64_t block, char value) {
    ASSERT_EQ(cluster.write("a", "mydata", block, value), Status::ok);
    ASSERT_EQ(cluster.flush("a", "mydata"), Status::ok);
  }
  // What comes now does not reach the data disk, and the state block of a will know nothing of it.
  void hold_write_back() {
    disks().drive("/dev/sdb").stick();
    state_before_ = disks().peek(state_path(), 0, format::state_file_bytes);
  }
  void lose_power() {
    cluster.power_loss("a");
    disks().drive("/dev/sdb").unstick();
    if (!state_before_.empty()) disks().poke(state_path(), 0, state_before_);
  }
  void keep_state_block() { state_before_.clear(); }
  std::string folder() {
    const auto resources = disks().list("/var/lib/mars/resources");
    return "/var/lib/mars/resources/" + resources.at(0).name;
  }
  std::string state_path() { return folder() + "/state"; }
  std::string log_folder() { return folder() + "/log/"; }
  // The last batch of a's log rots: nothing that is left on a says that it was durable.
  void rot_last_batch() {
    std::string path;
    uint64_t last = 0;
    for (const auto& entry : disks().list(log_folder())) {
      if (!entry.name.ends_with(".seg")) continue;
      const auto bytes = disks().peek(log_folder() + entry.name, 0, entry.bytes);
      for (uint64_t at = 4096; at < entry.bytes; at += 4096) {
        if (bytes[at] == std::byte{}) continue;
        path = log_folder() + entry.name;
        last = at;
      }
    }
    ASSERT_FALSE(path.empty());
    disks().flip(path, last + 17);
  }
  void restore(const FileSystem& before) {
    disks().unmount("/");
    disks().mount("/", before);
  }
  void restart() { ASSERT_TRUE(cluster.start("a").has_value()); }
  std::string describe() { return "== a\n" + cluster.events("a") + "\n== b\n" + cluster.events("b"); }

  Cluster cluster{1, {"a", "b"}};

 private:
  std::vector<std::byte> state_before_;
};

TEST_F(Evidence, a_bad_end_that_others_remember_as_durable_is_damage_and_is_fetched_again) {
  hold_write_back();
  write(1, 'x');
  ASSERT_TRUE(cluster.wait([&] { return cluster.on_disk("b", 1) == 'x'; }));
  cluster.run_for(15s);
  cluster.isolate("a");
  lose_power();
  rot_last_batch();
  restart();
  // Nobody can be asked: what a's own registers say is enough.
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::log_damaged)) << cluster.events("a");
  cluster.run_for(20s);
  EXPECT_FALSE(cluster.is_primary("a", "mydata")) << cluster.events("a");
  cluster.rejoin("a");
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << describe();
  EXPECT_EQ(cluster.read("a", "mydata", 1), 'x');
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
}

TEST_F(Evidence, without_it_the_same_end_is_a_tear) {
  cluster.isolate("a");
  hold_write_back();
  write(1, 'x');
  lose_power();
  rot_last_batch();
  restart();
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << cluster.events("a");
}

// The write-back has begun when the power goes: the disk may be ahead of what is left of the log (D12).
TEST_F(Evidence, an_end_that_may_be_on_the_disk_is_no_tear) {
  cluster.isolate("a");
  hold_write_back();
  write(1, 'x');
  cluster.run_for(1s);
  keep_state_block();
  lose_power();
  rot_last_batch();
  restart();
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::log_damaged)) << cluster.events("a");
  cluster.run_for(20s);
  EXPECT_FALSE(cluster.is_primary("a", "mydata")) << cluster.events("a");
}

TEST_F(Evidence, what_nobody_has_any_more_stays_closed_until_the_operator_accepts_the_loss) {
  ASSERT_EQ(cluster.run("b", "pause-fetch mydata").code, ExitCode::done);
  hold_write_back();
  write(1, 'x');
  cluster.run_for(2s);
  lose_power();
  rot_last_batch();
  restart();
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::log_damaged)) << describe();
  EXPECT_NE(cluster.events("a").find("b remembers LSN"), std::string::npos) << describe();
  cluster.run_for(20s);
  EXPECT_FALSE(cluster.is_primary("a", "mydata")) << describe();
  EXPECT_EQ(cluster.run("a", "primary mydata --force").code, ExitCode::refused);
  EXPECT_EQ(cluster.run("a", "attach mydata --accept-loss").code, ExitCode::done);
  const control::Answer forced = cluster.run("a", "primary mydata --force");
  EXPECT_EQ(forced.code, ExitCode::done) << forced.text << describe();
  EXPECT_EQ(cluster.run("b", "resume-fetch mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
}

// The host was restored to a time before its present reign; the other one knows of that reign, and has nothing of it.
TEST_F(Evidence, a_restored_host_does_not_open_at_the_first_contact) {
  const FileSystem before = disks().snapshot("/");
  ASSERT_EQ(cluster.run("b", "pause-fetch mydata").code, ExitCode::done);
  cluster.stop("a");
  restart();
  ASSERT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); }));
  write(1, 'x');
  cluster.run_for(5s);
  cluster.power_loss("a");
  restore(before);
  restart();
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::rolled_back)) << describe();
  cluster.run_for(30s);
  EXPECT_EQ(cluster.state("a", "mydata"), State::rolled_back) << describe();
  EXPECT_FALSE(cluster.is_primary("a", "mydata")) << describe();
  EXPECT_NE(cluster.replica("a", "mydata", "a")->next_step.find("--accept-loss"), std::string::npos) << describe();
  // It has no token that would keep the other one from being forced.
  ASSERT_EQ(cluster.run("b", "resume-fetch mydata").code, ExitCode::done);
  const control::Answer forced = cluster.run("b", "primary mydata --force");
  EXPECT_EQ(forced.code, ExitCode::done) << forced.text << describe();
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
}

// A restored disk is ahead of its log: nobody is synced from it.
TEST_F(Evidence, what_others_remember_outlives_their_restart) {
  ASSERT_EQ(cluster.run("b", "pause-fetch mydata").code, ExitCode::done);
  const FileSystem before = disks().snapshot("/");
  write(1, 'x');
  cluster.run_for(15s);
  cluster.power_loss("a");
  cluster.power_loss("b");
  restore(before);
  ASSERT_TRUE(cluster.start("b").has_value());
  restart();
  cluster.run_for(30s);
  EXPECT_FALSE(cluster.is_primary("a", "mydata")) << describe();
}

}  // namespace
}  // namespace mars::sim
