// Attacks: the storage of a host is brought back to what it was at a change of its disks, as a snapshot of a virtual
// machine does it (protocol 8, T10, R3), with the other members in sight and without.
#include <gtest/gtest.h>

#include <optional>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;
using control::State;

constexpr uint64_t moments = 24;
constexpr uint64_t changes_between = 9;

// mydata is made on a, written, handed to b and back, and written between; `victim` is restored to the moment.
class Restored : public testing::TestWithParam<std::tuple<std::string, uint64_t>> {
 protected:
  const std::string victim = std::get<0>(GetParam());

  void SetUp() override {
    cluster.form();
    cluster.make_resource("mydata");
    Disks& disks = cluster.host(victim).disks();
    const uint64_t wanted = disks.change_count() + 1 + std::get<1>(GetParam()) * changes_between;
    disks.on_change([this, &disks, wanted](uint64_t count) {
      if (count != wanted) return;
      files = disks.snapshot("/");
      disk = disks.snapshot_device("/dev/sdb");
    });
    write("a", 'x');
    ASSERT_EQ(cluster.run("b", "primary mydata").code, ExitCode::done);
    write("b", 'y');
    ASSERT_EQ(cluster.run("a", "primary mydata").code, ExitCode::done);
    write("a", 'z');
    ASSERT_TRUE(cluster.all_up_to_date("mydata"));
    disks.on_change({});
  }
  // Each letter in eight blocks of its own, and in one that all share.
  void write(const std::string& host, char letter) {
    const auto first = static_cast<uint64_t>(letter - 'x') * 8;
    for (uint64_t block = first; block < first + 8; ++block) {
      ASSERT_EQ(cluster.write(host, "mydata", block, letter), Status::ok);
    }
    ASSERT_EQ(cluster.write(host, "mydata", 100, letter), Status::ok);
    ASSERT_EQ(cluster.flush(host, "mydata"), Status::ok);
  }
  // False: there were fewer changes than that.
  bool restore() {
    if (!files) return false;
    cluster.power_loss(victim);
    Disks& disks = cluster.host(victim).disks();
    disks.unmount("/");
    disks.mount("/", std::move(*files));
    disks.restore_device("/dev/sdb", *disk);
    return cluster.start(victim).has_value();
  }
  bool has_everything(const std::string& host) {
    return cluster.on_disk(host, 0) == 'x' && cluster.on_disk(host, 8) == 'y' && cluster.on_disk(host, 16) == 'z' &&
           cluster.on_disk(host, 100) == 'z';
  }
  // Who was synced because its own part of the log was trimmed elsewhere does not know whether it gave the right to
  // write away after that: the operator says so, as status tells.
  void expect_whole_at_last() {
    cluster.wait([&] { return has_everything("a") && has_everything("b") && has_everything("c"); });
    cluster.run_for(5s);
    if (hosts_with_device(cluster, {"a", "b", "c"}, "mydata").empty()) {
      EXPECT_NE(cluster.replica("a", "mydata", "a")->next_step.find("--force"), std::string::npos) << described();
      EXPECT_EQ(cluster.run("a", "primary mydata --force").code, ExitCode::done) << described();
    }
    EXPECT_TRUE(cluster.all_up_to_date("mydata")) << described();
    for (const char* host : {"a", "b", "c"}) EXPECT_TRUE(has_everything(host)) << host << described();
  }
  std::string others() { return victim == "a" ? "b" : "a"; }
  std::string described() { return all_events(cluster, {"a", "b", "c"}); }

  Cluster cluster{2000 + std::get<1>(GetParam()), {"a", "b", "c"}};
  std::optional<FileSystem> files;
  std::optional<Inode> disk;
};

TEST_P(Restored, in_sight_of_the_others_it_gets_everything_back) {
  if (!restore()) GTEST_SUCCEED() << "this host changed its disks less often";
  EXPECT_TRUE(cluster.all_connected()) << described();
  expect_whole_at_last();
  EXPECT_EQ(hosts_with_device(cluster, {"a", "b", "c"}, "mydata").size(), 1u) << described();
}

TEST_P(Restored, out_of_sight_it_takes_nothing_from_the_others) {
  if (!files) GTEST_SUCCEED() << "this host changed its disks less often";
  cluster.isolate(victim);
  restore();
  cluster.run_for(20s);
  cluster.rejoin(victim);
  EXPECT_TRUE(cluster.all_connected()) << described();
  cluster.run_for(20s);
  for (const char* host : {"a", "b", "c"}) {
    if (host != victim) EXPECT_TRUE(has_everything(host)) << host << described();
  }
  if (cluster.state(victim, "mydata") != State::up_to_date) {
    EXPECT_NE(cluster.replica(victim, "mydata", victim)->next_step, "") << described();
    // The way out: who has everything goes on, and the restored one is given up.
    if (hosts_with_device(cluster, {others()}, "mydata").empty()) {
      const control::Answer answer = cluster.run(others(), "primary mydata --force");
      EXPECT_EQ(answer.code, ExitCode::done) << answer.text << described();
    }
    EXPECT_TRUE(cluster.wait([&] {
      return cluster.state(victim, "mydata") == State::up_to_date ||
             cluster.run(victim, "invalidate mydata").code == ExitCode::done;
    })) << described();
  }
  expect_whole_at_last();
}

INSTANTIATE_TEST_SUITE_P(at_a_change, Restored,
                         testing::Combine(testing::Values("a", "b"), testing::Range<uint64_t>(0, moments)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace mars::sim
