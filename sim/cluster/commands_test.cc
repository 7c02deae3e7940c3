// Commands that look, options that are kept, and a stop with users.
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;

class Commands : public testing::Test {
 protected:
  void SetUp() override {
    cluster.form();
    cluster.make_resource("mydata");
  }
  Cluster cluster{1, {"a", "b"}};
};

TEST_F(Commands, options_reach_all_hosts_and_survive) {
  EXPECT_EQ(cluster.run("a", "get mydata open-wait").text, "10s");
  EXPECT_EQ(cluster.run("b", "set mydata open-wait 3s").code, ExitCode::done);
  EXPECT_TRUE(cluster.wait([&] { return cluster.run("a", "get mydata open-wait").text == "3s"; }))
      << cluster.run("a", "get mydata open-wait").text;
  cluster.power_loss("b");
  ASSERT_TRUE(cluster.start("b").has_value());
  EXPECT_EQ(cluster.run("b", "get mydata open-wait").text, "3s");
}

TEST_F(Commands, what_happens_every_second_does_not_fill_the_history) {
  node::Events& events = cluster.node("a").events();
  const size_t before = events.newest("", 1000).size();
  for (int second = 0; second < 200; ++second) {
    events.add("mydata", "it cannot be written");
    events.add("mydata", "it is tried again");
    cluster.run_for(1s);
  }
  EXPECT_LE(events.newest("", 1000).size(), before + 14);
  cluster.run_for(10s);
  events.add("mydata", "it cannot be written");
  EXPECT_EQ(events.newest("mydata", 1).at(0).text, "it cannot be written");
}

TEST_F(Commands, events_survive_a_clean_end_and_are_told_by_resource) {
  cluster.stop("b");
  ASSERT_TRUE(cluster.start("b").has_value());
  EXPECT_NE(cluster.run("b", "events mydata").text.find("command join-resource mydata /dev/sdb: done"),
            std::string::npos)
      << cluster.events("b");
  EXPECT_EQ(cluster.run("b", "events mydata").text.find("marsd 0.1.0 starts"), std::string::npos);
  EXPECT_NE(cluster.run("b", "events --count 1").text, "");
}

TEST_F(Commands, a_paused_replay_has_no_rate_and_names_its_own_switch) {
  ASSERT_EQ(cluster.run("b", "pause-sync mydata").code, ExitCode::done);
  ASSERT_EQ(cluster.run("b", "pause-replay mydata").code, ExitCode::done);
  for (uint64_t block = 0; block < 20; ++block) ASSERT_EQ(cluster.write("a", "mydata", block, 'p'), Status::ok);
  ASSERT_EQ(cluster.flush("a", "mydata"), Status::ok);
  cluster.run_for(5s);
  auto replica = cluster.replica("b", "mydata", "b");
  EXPECT_EQ(replica->reason, "replay is paused");
  EXPECT_EQ(replica->next_step, "run `marsadm resume-replay mydata`");
  ASSERT_EQ(replica->transfers.size(), 1u);
  EXPECT_GE(replica->transfers[0].total_bytes, 20u * 4096);
  EXPECT_EQ(replica->transfers[0].bytes_per_second, 0u);
  ASSERT_EQ(cluster.run("b", "pause-fetch mydata").code, ExitCode::done);
  cluster.run_for(1s);
  EXPECT_EQ(cluster.replica("b", "mydata", "b")->next_step,
            "run `marsadm resume-fetch mydata` and `marsadm resume-replay mydata`");
  EXPECT_FALSE(cluster.replica("b", "mydata", "b")->switches.sync);
  for (const char* line : {"resume-fetch mydata", "resume-replay mydata"}) {
    EXPECT_EQ(cluster.run("b", line).code, ExitCode::done);
  }
  EXPECT_TRUE(cluster.all_up_to_date("mydata"));
}

TEST_F(Commands, each_command_that_looks_answers) {
  for (const char* line : {"version", "status", "status mydata", "view mydata", "graph mydata", "events"}) {
    const control::Answer answer = cluster.run("b", line);
    EXPECT_EQ(answer.code, ExitCode::done) << line << ": " << answer.text;
    EXPECT_FALSE(answer.text.empty() && answer.data.empty()) << line;
  }
}

TEST_F(Commands, status_is_json_that_its_own_reader_takes) {
  Result<control::ClusterView> view = control::cluster_view_from_json(cluster.run("a", "status").data);
  ASSERT_TRUE(view.has_value()) << view.error().text;
  ASSERT_EQ(view->resources.size(), 1u);
  EXPECT_EQ(view->resources[0].replicas.size(), 2u);
  EXPECT_EQ(view->resources[0].designated, "a");
}

TEST_F(Commands, a_stop_waits_for_users_of_the_device) {
  cluster.stop("a");
  cluster.options("a").stop_wait = 20s;
  ASSERT_TRUE(cluster.start("a").has_value());
  ASSERT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); }));
  cluster.set_in_use("a", "mydata", true);
  SimDevice* device = cluster.device("a", "mydata");
  cluster.world().after(5s, [device] { device->set_in_use(false); });
  const io::Instant begun = cluster.world().now();
  cluster.stop("a");
  EXPECT_GE(cluster.world().now(), begun + 5s);
  EXPECT_LT(cluster.world().now(), begun + 10s);
}

TEST_F(Commands, nobody_new_gets_in_while_a_stop_waits_for_users) {
  cluster.stop("a");
  cluster.options("a").stop_wait = 20s;
  ASSERT_TRUE(cluster.start("a").has_value());
  ASSERT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); }));
  cluster.set_in_use("a", "mydata", true);
  SimDevice* device = cluster.device("a", "mydata");
  bool was_let_in = true;
  cluster.world().after(5s, [&] {
    device->set_in_use(false);
    was_let_in = device->set_in_use(true);
  });
  const io::Instant begun = cluster.world().now();
  cluster.stop("a");
  EXPECT_FALSE(was_let_in);
  EXPECT_LT(cluster.world().now(), begun + 10s);
}

TEST_F(Commands, who_waits_sees_how_far_the_last_host_is) {
  ASSERT_EQ(cluster.run("b", "pause-replay mydata").code, ExitCode::done);
  for (uint64_t block = 0; block < 64; ++block) ASSERT_EQ(cluster.write("a", "mydata", block, 'x'), Status::ok);
  auto running = cluster.begin("a", "wait-resource mydata synced --host b");
  cluster.run_for(3s);
  ASSERT_FALSE(running->answer.has_value());
  ASSERT_FALSE(running->progress.empty());
  EXPECT_EQ(running->progress.back().done, 0u);
  EXPECT_GT(running->progress.back().total, 64u * 4096);
  ASSERT_EQ(cluster.run("b", "resume-replay mydata").code, ExitCode::done);
  ASSERT_TRUE(cluster.wait([&] { return running->answer.has_value(); }));
  EXPECT_EQ(running->answer->code, ExitCode::done);
}

TEST_F(Commands, a_command_that_waits_ends_with_marsd) {
  cluster.isolate("b");
  ASSERT_EQ(cluster.write("a", "mydata", 1, 'x'), Status::ok);
  auto running = cluster.begin("a", "wait-resource mydata synced --host b");
  cluster.run_for(3s);
  EXPECT_FALSE(running->answer.has_value());
  EXPECT_FALSE(running->progress.empty());
  cluster.stop("a");
  ASSERT_TRUE(running->answer.has_value());
  EXPECT_NE(running->answer->code, ExitCode::done);
}

// It asked the primary, whose marsd stops.
TEST_F(Commands, a_question_goes_on_when_the_host_that_was_asked_is_restarted) {
  ASSERT_EQ(cluster.run("b", "pause-replay mydata").code, ExitCode::done);
  ASSERT_EQ(cluster.write("a", "mydata", 1, 'x'), Status::ok);
  ASSERT_EQ(cluster.flush("a", "mydata"), Status::ok);
  auto running = cluster.begin("b", "wait-resource mydata synced --host b");
  cluster.run_for(3s);
  cluster.stop("a");
  cluster.run_for(1s);
  EXPECT_FALSE(running->answer.has_value());
  ASSERT_TRUE(cluster.start("a").has_value());
  cluster.run_for(20s);
  EXPECT_FALSE(running->answer.has_value());
  ASSERT_EQ(cluster.run("b", "resume-replay mydata").code, ExitCode::done);
  ASSERT_TRUE(cluster.wait([&] { return running->answer.has_value(); }));
  EXPECT_EQ(running->answer->code, ExitCode::done) << running->answer->text;
}

}  // namespace
}  // namespace mars::sim
