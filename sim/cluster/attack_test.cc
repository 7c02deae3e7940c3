// Attacks: crashes at every step of a handover.
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;

const std::vector<std::string> hosts = {"a", "b", "c"};

struct Crash {
  std::string victim;
  bool is_power_loss;
  uint64_t op;  // the change of a disk, counted from the command, that takes effect in part or not at all
};

class HandoverCrash : public testing::TestWithParam<Crash> {
 protected:
  size_t open_devices() { return hosts_with_device(cluster, hosts, "mydata").size(); }
  void arm(const Crash& crash) {
    Host& victim = cluster.host(crash.victim);
    crash.is_power_loss ? victim.power_loss_at_disk_op(crash.op) : victim.kill_at_disk_op(crash.op);
  }
  void revive(const std::string& host) {
    cluster.host(host).disks().on_change({});
    if (cluster.host(host).is_running()) return;
    cluster.bury(host);
    ASSERT_TRUE(cluster.start(host).has_value());
  }
  Cluster cluster{1000 + GetParam().op, hosts};
};

TEST_P(HandoverCrash, ends_with_one_primary_and_all_data) {
  cluster.form();
  cluster.make_resource("mydata");
  for (uint64_t block = 0; block < 8; ++block) ASSERT_EQ(cluster.write("a", "mydata", block, 'h'), Status::ok);
  ASSERT_EQ(cluster.flush("a", "mydata"), Status::ok);
  arm(GetParam());
  auto first = cluster.begin("b", "primary mydata --timeout 20s");
  for (int i = 0; i < 300; ++i) {
    cluster.run_for(10ms);
    ASSERT_LE(open_devices(), 1u);
  }
  revive(GetParam().victim);
  EXPECT_TRUE(cluster.all_connected());
  ASSERT_TRUE(cluster.wait([&] { return first->answer.has_value(); }));
  // Whatever came of it, it can be repeated.
  const control::Answer answer = cluster.run("b", "primary mydata");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text << "\n" << all_events(cluster, hosts);
  EXPECT_EQ(open_devices(), 1u);
  for (uint64_t block = 0; block < 8; ++block) EXPECT_EQ(cluster.read("b", "mydata", block), 'h');
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << all_events(cluster, hosts);
}

std::vector<Crash> crashes() {
  std::vector<Crash> all;
  for (const char* victim : {"a", "b"}) {
    for (uint64_t op = 1; op <= 16; ++op) all.push_back({victim, op % 2 == 0, op});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(each_step, HandoverCrash, testing::ValuesIn(crashes()), [](const auto& info) {
  const std::string kind = info.param.is_power_loss ? "_power_" : "_kill_";
  return info.param.victim + kind + std::to_string(info.param.op);
});

}  // namespace
}  // namespace mars::sim
