// Film scripts: what the users of a resource see while hosts and links come and go.
#include <gtest/gtest.h>

#include <set>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;
using control::State;

// mydata on a (primary), b and c.
class Replication : public testing::Test {
 protected:
  void make(uint64_t seed) {
    cluster = std::make_unique<Cluster>(seed, std::vector<std::string>{"a", "b", "c"});
    cluster->form();
    cluster->make_resource("mydata");
  }
  void write(const std::string& host, uint64_t first, uint64_t last, char value) {
    for (uint64_t block = first; block < last; ++block)
      ASSERT_EQ(cluster->write(host, "mydata", block, value), Status::ok);
    ASSERT_EQ(cluster->flush(host, "mydata"), Status::ok);
  }
  void expect_equal() {
    EXPECT_TRUE(cluster->all_up_to_date("mydata")) << describe();
    EXPECT_TRUE(cluster->wait([&] { return cluster->disks_equal("a", "b") && cluster->disks_equal("a", "c"); }, 10s));
  }
  std::string describe() {
    std::string text;
    for (const char* host : {"a", "b", "c"}) {
      if (cluster->is_up(host)) text += std::string("== ") + host + "\n" + cluster->events(host) + "\n";
    }
    return text;
  }
  std::unique_ptr<Cluster> cluster;
};

TEST_F(Replication, the_content_of_the_disk_is_adopted_and_reaches_all) {
  cluster = std::make_unique<Cluster>(1, std::vector<std::string>{"a", "b", "c"});
  const std::vector<std::byte> old(4096, std::byte{'o'});
  cluster->host("a").disks().poke("/dev/sdb", 64 * 4096, old);
  cluster->form();
  cluster->make_resource("mydata");
  EXPECT_EQ(cluster->on_disk("b", 64), 'o');
  EXPECT_EQ(cluster->on_disk("c", 64), 'o');
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
  write("a", 0, 20, 'x');
  expect_equal();
  EXPECT_EQ(cluster->on_disk("c", 19), 'x');
}

TEST_F(Replication, a_replica_that_was_cut_off_catches_up_by_log) {
  make(2);
  cluster->isolate("b");
  write("a", 0, 100, 'x');
  EXPECT_NE(cluster->on_disk("b", 50), 'x');
  cluster->rejoin("b");
  expect_equal();
  EXPECT_EQ(cluster->events("b").find("syncing", cluster->events("b").find("connection with")), std::string::npos);
}

TEST_F(Replication, a_replica_fetches_from_another_when_the_primary_is_out_of_reach) {
  make(3);
  cluster->cut("a", "b");
  write("a", 0, 50, 'y');
  EXPECT_TRUE(cluster->wait([&] { return cluster->on_disk("b", 49) == 'y'; })) << describe();
}

TEST_F(Replication, the_role_is_handed_over_and_back) {
  make(4);
  write("a", 0, 30, '1');
  EXPECT_EQ(cluster->run("b", "primary mydata").code, ExitCode::done) << describe();
  EXPECT_TRUE(cluster->is_primary("b", "mydata"));
  EXPECT_FALSE(cluster->is_primary("a", "mydata"));
  EXPECT_EQ(cluster->read("b", "mydata", 29), '1');
  write("b", 10, 40, '2');
  EXPECT_EQ(cluster->run("a", "primary mydata").code, ExitCode::done) << describe();
  EXPECT_EQ(cluster->read("a", "mydata", 39), '2');
  write("a", 20, 50, '3');
  expect_equal();
}

TEST_F(Replication, a_device_in_use_is_not_handed_over_and_the_wish_is_taken_back) {
  make(5);
  cluster->set_in_use("a", "mydata", true);
  const control::Answer answer = cluster->run("b", "primary mydata");
  EXPECT_EQ(answer.code, ExitCode::refused) << answer.text;
  EXPECT_NE(answer.text.find("in use"), std::string::npos) << answer.text;
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
  cluster->set_in_use("a", "mydata", false);
  cluster->run_for(20s);
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
  EXPECT_EQ(cluster->status("c").resources.at(0).designated, "a");
  write("a", 0, 5, 'z');
}

TEST_F(Replication, nobody_is_primary_after_secondary_and_anybody_may_be_again) {
  make(6);
  write("a", 0, 10, 'q');
  EXPECT_EQ(cluster->run("c", "secondary mydata").code, ExitCode::done) << describe();
  EXPECT_FALSE(cluster->is_primary("a", "mydata"));
  EXPECT_EQ(cluster->run("c", "primary mydata").code, ExitCode::done) << describe();
  EXPECT_EQ(cluster->read("c", "mydata", 9), 'q');
}

TEST_F(Replication, a_primary_that_lost_power_opens_again_with_all_that_was_flushed) {
  make(7);
  write("a", 0, 40, 'p');
  cluster->power_loss("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  EXPECT_TRUE(cluster->wait([&] { return cluster->is_primary("a", "mydata"); })) << describe();
  EXPECT_EQ(cluster->read("a", "mydata", 39), 'p');
  expect_equal();
}

TEST_F(Replication, a_killed_primary_opens_again_with_all_that_was_acknowledged) {
  make(8);
  for (uint64_t block = 0; block < 40; ++block) ASSERT_EQ(cluster->write("a", "mydata", block, 'k'), Status::ok);
  cluster->kill("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  EXPECT_TRUE(cluster->wait([&] { return cluster->is_primary("a", "mydata"); })) << describe();
  for (uint64_t block = 0; block < 40; ++block) EXPECT_EQ(cluster->read("a", "mydata", block), 'k') << block;
  expect_equal();
}

TEST_F(Replication, force_is_refused_while_the_primary_answers) {
  make(9);
  const control::Answer answer = cluster->run("b", "primary mydata --force");
  EXPECT_EQ(answer.code, ExitCode::refused) << answer.text;
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
}

TEST_F(Replication, a_dead_primary_makes_a_planned_handover_unreachable) {
  make(10);
  cluster->kill("a");
  ASSERT_TRUE(cluster->wait([&] { return !cluster->connected("b", "a"); }));
  const control::Answer answer = cluster->run("b", "primary mydata");
  EXPECT_EQ(answer.code, ExitCode::unreachable) << answer.text;
  EXPECT_NE(answer.next_step.find("--force"), std::string::npos);
}

TEST_F(Replication, forced_without_loss_the_former_primary_follows_by_itself) {
  make(11);
  write("a", 0, 30, 'f');
  ASSERT_TRUE(cluster->all_up_to_date("mydata"));
  cluster->power_loss("a");
  ASSERT_TRUE(cluster->wait([&] { return !cluster->connected("b", "a"); }));
  const control::Answer answer = cluster->run("b", "primary mydata --force");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text << describe();
  write("b", 10, 50, 'g');
  ASSERT_TRUE(cluster->start("a").has_value());
  EXPECT_TRUE(cluster->all_up_to_date("mydata")) << describe();
  expect_equal();
  EXPECT_FALSE(cluster->is_primary("a", "mydata"));
}

TEST_F(Replication, forced_with_loss_both_sides_are_kept_until_invalidate) {
  make(12);
  write("a", 0, 20, '0');
  ASSERT_TRUE(cluster->all_up_to_date("mydata"));
  cluster->isolate("a");
  write("a", 20, 30, 'a');
  cluster->power_loss("a");
  ASSERT_TRUE(cluster->wait([&] { return !cluster->connected("b", "a"); }));
  const control::Answer dry = cluster->run("b", "primary mydata --force --dry-run");
  EXPECT_EQ(dry.code, ExitCode::done) << dry.text;
  EXPECT_FALSE(cluster->is_primary("b", "mydata"));
  const control::Answer answer = cluster->run("b", "primary mydata --force");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text << describe();
  write("b", 20, 30, 'b');
  cluster->rejoin("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  EXPECT_TRUE(cluster->wait_state("a", "mydata", State::fork)) << describe();
  EXPECT_EQ(cluster->run("a", "primary mydata").code, ExitCode::fork);
  EXPECT_EQ(cluster->run("c", "wait-resource mydata synced --timeout 5s").code, ExitCode::fork);
  cluster->run_for(5s);
  EXPECT_EQ(cluster->read("b", "mydata", 25), 'b');
  EXPECT_EQ(cluster->on_disk("a", 25), 'a');
  const control::Answer ended = cluster->run("a", "invalidate mydata");
  EXPECT_EQ(ended.code, ExitCode::done) << ended.text << describe();
  expect_equal();
  EXPECT_EQ(cluster->on_disk("a", 25), 'b');
}

TEST_F(Replication, pausing_fetch_and_replay_holds_and_resuming_goes_on) {
  make(13);
  EXPECT_EQ(cluster->run("b", "pause-replay mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("c", "pause-fetch mydata").code, ExitCode::done);
  write("a", 0, 20, 'w');
  cluster->run_for(5s);
  EXPECT_NE(cluster->on_disk("b", 10), 'w');
  EXPECT_NE(cluster->on_disk("c", 10), 'w');
  EXPECT_EQ(cluster->run("b", "primary mydata").code, ExitCode::refused);
  EXPECT_EQ(cluster->run("b", "resume-replay mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("c", "up mydata").code, ExitCode::done);
  expect_equal();
}

TEST_F(Replication, wait_resource_answers_whether_a_host_may_be_switched_off) {
  make(14);
  cluster->isolate("b");
  write("a", 0, 20, 'w');
  const control::Answer not_yet = cluster->run("a", "wait-resource mydata synced --host b --timeout 5s");
  EXPECT_EQ(not_yet.code, ExitCode::timed_out) << not_yet.text;
  EXPECT_EQ(cluster->run("a", "wait-resource mydata synced --host c --timeout 20s").code, ExitCode::done);
  cluster->rejoin("b");
  EXPECT_EQ(cluster->run("a", "wait-resource mydata synced --timeout 60s").code, ExitCode::done) << describe();
}

TEST_F(Replication, detach_and_attach) {
  make(15);
  EXPECT_EQ(cluster->run("b", "detach mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->state("b", "mydata"), State::detached);
  write("a", 0, 20, 'd');
  EXPECT_EQ(cluster->run("b", "attach mydata").code, ExitCode::done) << describe();
  expect_equal();
  cluster->set_in_use("a", "mydata", true);
  EXPECT_EQ(cluster->run("a", "detach mydata").code, ExitCode::refused);
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
  cluster->set_in_use("a", "mydata", false);
  EXPECT_EQ(cluster->run("a", "detach mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("a", "attach mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster->wait([&] { return cluster->is_primary("a", "mydata"); })) << describe();
  EXPECT_EQ(cluster->read("a", "mydata", 10), 'd');
}

TEST_F(Replication, a_detached_disk_that_was_changed_is_refused_until_it_is_accepted) {
  make(16);
  write("a", 500, 501, 'n');
  ASSERT_TRUE(cluster->all_up_to_date("mydata"));
  EXPECT_EQ(cluster->run("b", "detach mydata").code, ExitCode::done);
  const std::vector<std::byte> other(4096, std::byte{'!'});
  // Neither at its beginning nor at its end: where the last write went.
  cluster->host("b").disks().poke("/dev/sdb", 500 * 4096, other);
  const control::Answer refusal = cluster->run("b", "attach mydata");
  EXPECT_NE(refusal.code, ExitCode::done) << refusal.text;
  EXPECT_EQ(cluster->state("b", "mydata"), State::disk_changed);
  EXPECT_EQ(cluster->run("b", "attach mydata --accept-disk").code, ExitCode::done);
  expect_equal();
}

TEST_F(Replication, leaving_and_joining_again) {
  make(17);
  EXPECT_EQ(cluster->run("a", "leave-resource mydata").code, ExitCode::refused);
  EXPECT_EQ(cluster->run("b", "leave-resource mydata").code, ExitCode::done) << describe();
  EXPECT_TRUE(cluster->wait([&] { return cluster->status("a").resources.at(0).replicas.size() == 2; }));
  write("a", 0, 20, 'l');
  EXPECT_EQ(cluster->run("b", "join-resource mydata /dev/sdb").code, ExitCode::done) << describe();
  expect_equal();
}

TEST_F(Replication, deleting_needs_force_while_others_have_replicas_and_reaches_all) {
  make(18);
  EXPECT_EQ(cluster->run("a", "delete-resource mydata").code, ExitCode::refused);
  EXPECT_EQ(cluster->run("a", "delete-resource mydata --force").code, ExitCode::done) << describe();
  for (const char* host : {"a", "b", "c"}) {
    EXPECT_TRUE(cluster->wait([&] { return cluster->status(host).resources.empty(); })) << host;
    EXPECT_TRUE(cluster->wait([&] { return cluster->host(host).disks().list("/var/lib/mars/resources").empty(); }));
  }
  EXPECT_EQ(cluster->run("b", "create-resource mydata /dev/sdb").code, ExitCode::done) << describe();
}

TEST_F(Replication, a_clean_stop_of_all_and_a_start_in_any_order) {
  make(19);
  write("a", 0, 30, 's');
  for (const char* host : {"a", "b", "c"}) cluster->stop(host);
  for (const char* host : {"c", "b", "a"}) ASSERT_TRUE(cluster->start(host).has_value());
  EXPECT_TRUE(cluster->wait([&] { return cluster->is_primary("a", "mydata"); })) << describe();
  expect_equal();
}

// Two of five are cut off, another one takes over and dies, a third is forced; in the end all have the same.
TEST(Replicas, five_of_them_stay_one_resource) {
  const std::vector<std::string> hosts = {"a", "b", "c", "d", "e"};
  Cluster cluster(21, hosts);
  cluster.form();
  cluster.make_resource("mydata");
  const auto write = [&](const std::string& host, uint64_t first, char value) {
    for (uint64_t block = first; block < first + 20; ++block) {
      ASSERT_EQ(cluster.write(host, "mydata", block, value), Status::ok);
    }
    ASSERT_EQ(cluster.flush(host, "mydata"), Status::ok);
  };
  write("a", 0, 'a');
  cluster.isolate("d");
  cluster.isolate("e");
  write("a", 10, 'b');
  cluster.rejoin("d");
  ASSERT_EQ(cluster.run("c", "primary mydata").code, ExitCode::done);
  write("c", 20, 'c');
  ASSERT_TRUE(cluster.wait([&] { return cluster.on_disk("d", 39) == 'c' && cluster.on_disk("b", 39) == 'c'; }));
  cluster.kill("c");
  const control::Answer forced = cluster.run("b", "primary mydata --force");
  ASSERT_EQ(forced.code, ExitCode::done) << forced.text;
  write("b", 30, 'd');
  cluster.rejoin("e");
  ASSERT_TRUE(cluster.start("c").has_value());
  EXPECT_TRUE(cluster.all_up_to_date("mydata"));
  for (const std::string& host : hosts) {
    EXPECT_TRUE(cluster.wait([&] { return cluster.disks_equal("b", host); }, 10s)) << host;
  }
}

uint64_t trace_of(uint64_t seed) {
  Cluster cluster(seed, {"a", "b", "c"});
  cluster.form();
  cluster.make_resource("mydata");
  for (uint64_t block = 0; block < 20; ++block) EXPECT_EQ(cluster.write("a", "mydata", block, 't'), Status::ok);
  cluster.isolate("b");
  EXPECT_EQ(cluster.write("a", "mydata", 30, 'u'), Status::ok);
  cluster.rejoin("b");
  const control::Answer answer = cluster.run("c", "primary mydata");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text << cluster.events("a") << cluster.events("c");
  cluster.kill("c");
  EXPECT_TRUE(cluster.start("c").has_value());
  EXPECT_TRUE(cluster.all_up_to_date("mydata"));
  EXPECT_GT(cluster.world().event_count(), 1000u);
  return cluster.world().trace_hash();
}

TEST(ReplicationTrace, each_seed_repeats_and_another_differs) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const uint64_t first = trace_of(seed);
    EXPECT_EQ(first, trace_of(seed)) << "seed " << seed;
    hashes.insert(first);
  }
  EXPECT_EQ(hashes.size(), 3u);
}

}  // namespace
}  // namespace mars::sim
