// Who belongs to a cluster: founding, tokens, strangers, copies.
#include <gtest/gtest.h>

#include "format/token.h"
#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;

TEST(Membership, a_host_without_a_cluster_says_what_to_do) {
  Cluster cluster(1, {"a"});
  const control::Answer answer = cluster.run("a", "create-resource mydata /dev/sdb");
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_NE(answer.next_step.find("create-cluster"), std::string::npos);
  EXPECT_TRUE(cluster.status("a").cluster.empty());
}

TEST(Membership, three_hosts_join_by_token) {
  Cluster cluster(2, {"a", "b", "c"});
  cluster.form();
  for (const char* host : {"a", "b", "c"}) EXPECT_EQ(cluster.status(host).hosts.size(), 3u) << host;
  EXPECT_EQ(cluster.run("a", "create-cluster").code, ExitCode::refused);
}

std::unique_ptr<io::Listener> take_port(Cluster& cluster, const std::string& host) {
  SimMachine& machine = cluster.host(host).machine();
  return *cluster.world().run(machine, machine.network().listen("[::]:7790"));
}

TEST(Membership, a_port_that_is_taken_is_found_before_anything_is_written) {
  Cluster cluster(2, {"a", "b"});
  auto other = take_port(cluster, "a");
  for (const char* line : {"create-cluster --dry-run", "create-cluster"}) {
    const control::Answer answer = cluster.run("a", line);
    EXPECT_EQ(answer.code, ExitCode::refused) << line;
    EXPECT_NE(answer.text.find("cannot listen at"), std::string::npos) << answer.text;
    EXPECT_NE(answer.next_step.find("--listen"), std::string::npos) << answer.next_step;
  }
  EXPECT_FALSE(cluster.host("a").disks().exists("/var/lib/mars/host.json"));
  EXPECT_FALSE(cluster.host("a").disks().exists("/var/lib/mars/ca-key.pem"));
  other.reset();
  EXPECT_EQ(cluster.run("a", "create-cluster").code, ExitCode::done);
  // A member that nobody can reach is not listed, and its token stays good.
  other = take_port(cluster, "b");
  const std::string token = cluster.token("a");
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::refused);
  EXPECT_EQ(cluster.status("a").hosts.size(), 1u);
  other.reset();
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
}

TEST(Membership, a_cluster_that_cannot_be_opened_is_told_by_status_and_by_each_command) {
  Cluster cluster(2, {"a"});
  const auto founding = cluster.begin("a", "create-cluster");
  ASSERT_TRUE(cluster.world().run_until([&] { return cluster.host("a").disks().exists("/var/lib/mars/host.json"); }));
  auto other = take_port(cluster, "a");
  const control::Answer answer = cluster.finish(*founding);
  EXPECT_EQ(answer.code, ExitCode::failed) << answer.text;
  EXPECT_NE(answer.text.find("could not be opened: cannot listen at"), std::string::npos) << answer.text;
  EXPECT_NE(answer.next_step.find("marsd tries again"), std::string::npos) << answer.next_step;
  EXPECT_NE(cluster.status("a").problem.find("cannot listen at"), std::string::npos);
  EXPECT_EQ(cluster.run("a", "create-cluster").code, ExitCode::refused);
  for (const char* line : {"create-cluster", "invite"}) {
    EXPECT_NE(cluster.run("a", line).text.find("could not be opened"), std::string::npos) << line;
  }
  EXPECT_NE(cluster.events("a").find("ALARM: the cluster could not be opened"), std::string::npos);
  cluster.run_for(12s);
  EXPECT_FALSE(cluster.status("a").problem.empty());
  other.reset();
  EXPECT_TRUE(cluster.wait([&] { return !cluster.status("a").cluster.empty(); }, 10s));
  EXPECT_TRUE(cluster.status("a").problem.empty());
  EXPECT_EQ(cluster.run("a", "create-resource mydata /dev/sdb").code, ExitCode::done);
}

TEST(Membership, a_stop_ends_the_opening_of_a_cluster) {
  Cluster cluster(2, {"a"});
  const auto founding = cluster.begin("a", "create-cluster");
  ASSERT_TRUE(cluster.world().run_until([&] { return cluster.host("a").disks().exists("/var/lib/mars/host.json"); }));
  auto other = take_port(cluster, "a");
  EXPECT_EQ(cluster.finish(*founding).code, ExitCode::failed);
  cluster.run_for(4990ms);  // the next attempt is near, or has begun
  cluster.stop("a");
  other.reset();
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_FALSE(cluster.status("a").cluster.empty());
}

TEST(Membership, who_was_never_called_yet_is_being_connected) {
  Cluster cluster(2, {"a", "b"});
  cluster.run("a", "create-cluster");
  const auto joining = cluster.begin("b", "join-cluster " + cluster.token("a"));
  ASSERT_TRUE(cluster.world().run_until([&] { return cluster.status("a").hosts.size() == 2; }));
  EXPECT_FALSE(cluster.status("a").hosts[1].is_connected);
  EXPECT_EQ(cluster.status("a").hosts[1].problem, "connecting");
  EXPECT_EQ(cluster.finish(*joining).code, ExitCode::done);
}

TEST(Membership, a_member_that_does_not_run_cannot_be_reached_and_has_not_refused) {
  Cluster cluster(2, {"a", "b"});
  cluster.run("a", "create-cluster");
  const std::string token = cluster.token("a");
  cluster.stop("a");
  const control::Answer answer = cluster.run("b", "join-cluster " + token);
  EXPECT_EQ(answer.code, ExitCode::unreachable) << answer.text;
  EXPECT_NE(answer.next_step.find("stays good"), std::string::npos) << answer.next_step;
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
}

TEST(Membership, members_find_each_other_again_after_a_restart) {
  Cluster cluster(3, {"a", "b", "c"});
  cluster.form();
  cluster.stop("b");
  cluster.power_loss("c");
  ASSERT_TRUE(cluster.start("b").has_value());
  ASSERT_TRUE(cluster.start("c").has_value());
  EXPECT_TRUE(cluster.all_connected());
}

TEST(Membership, a_mistyped_token_is_found_before_anything_is_sent) {
  Cluster cluster(4, {"a", "b"});
  cluster.run("a", "create-cluster");
  std::string token = cluster.token("a");
  token[20] = token[20] == 'x' ? 'y' : 'x';
  const control::Answer answer = cluster.run("b", "join-cluster " + token);
  EXPECT_EQ(answer.code, ExitCode::usage);
  EXPECT_EQ(cluster.run("b", "join-cluster " + token.substr(0, 30)).code, ExitCode::usage);
}

TEST(Membership, a_token_works_for_one_host_only) {
  Cluster cluster(5, {"a", "b", "c"});
  cluster.run("a", "create-cluster");
  const std::string token = cluster.token("a");
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
  const control::Answer answer = cluster.run("c", "join-cluster " + token);
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_NE(answer.text.find("was used by another host"), std::string::npos) << answer.text;
}

TEST(Membership, a_dry_run_says_that_only_the_member_knows_the_token) {
  Cluster cluster(5, {"a", "b"});
  cluster.run("a", "create-cluster");
  const std::string token = cluster.token("a");
  const control::Answer answer = cluster.run("b", "join-cluster " + token + " --dry-run");
  EXPECT_EQ(answer.code, ExitCode::done);
  EXPECT_NE(answer.text.find("whether the token was used or has expired is not known"), std::string::npos);
  EXPECT_EQ(cluster.status("a").hosts.size(), 1u);
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
}

TEST(Membership, a_burnt_token_stays_burnt_after_a_power_loss) {
  Cluster cluster(6, {"a", "b", "c"});
  cluster.run("a", "create-cluster");
  const std::string token = cluster.token("a");
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
  cluster.power_loss("a");
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_EQ(cluster.run("c", "join-cluster " + token).code, ExitCode::refused);
}

TEST(Membership, a_token_expires) {
  Cluster cluster(7, {"a", "b"});
  cluster.run("a", "create-cluster");
  const std::string token = cluster.token("a", "--expires 1m");
  cluster.run_for(61s);
  const control::Answer answer = cluster.run("b", "join-cluster " + token);
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_NE(answer.text.find("expired"), std::string::npos) << answer.text;
}

// The address answers, but with a certificate of another authority: the secret is never sent.
TEST(Membership, a_token_of_another_cluster_is_refused) {
  Cluster cluster(8, {"a", "b", "c"});
  cluster.run("a", "create-cluster");
  cluster.run("b", "create-cluster");
  Result<format::JoinToken> token = format::parse_token(cluster.token("a"));
  ASSERT_TRUE(token.has_value());
  token->addresses = {"b:7790"};
  const control::Answer answer = cluster.run("c", "join-cluster " + format::to_string(*token));
  EXPECT_NE(answer.code, ExitCode::done);
  EXPECT_TRUE(cluster.status("c").cluster.empty());
  EXPECT_EQ(cluster.status("b").hosts.size(), 1u);
}

TEST(Membership, an_unreachable_member_is_told_and_the_token_stays_good) {
  Cluster cluster(9, {"a", "b"});
  cluster.run("a", "create-cluster");
  const std::string token = cluster.token("a");
  cluster.cut("a", "b");
  EXPECT_NE(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
  cluster.heal("a", "b");
  EXPECT_EQ(cluster.run("b", "join-cluster " + token).code, ExitCode::done);
}

TEST(Membership, of_two_resources_of_one_name_the_one_that_is_here_is_meant) {
  Cluster cluster{1, {"a", "b", "c"}};
  cluster.form();
  cluster.isolate("b");
  ASSERT_EQ(cluster.run("a", "create-resource x /dev/sdb").code, ExitCode::done);
  ASSERT_EQ(cluster.run("b", "create-resource x /dev/sdb").code, ExitCode::done);
  cluster.rejoin("b");
  ASSERT_TRUE(cluster.wait([&] { return cluster.status("c").resources.size() == 2; }));
  const control::Answer doubtful = cluster.run("c", "delete-resource x --force");
  EXPECT_EQ(doubtful.code, ExitCode::refused);
  EXPECT_NE(doubtful.text.find("uuid"), std::string::npos) << doubtful.text;
  EXPECT_EQ(cluster.run("b", "delete-resource x").code, ExitCode::done);
  EXPECT_TRUE(cluster.wait([&] { return cluster.status("c").resources.size() == 1; }));
  EXPECT_TRUE(cluster.is_primary("a", "x"));
}

TEST(Membership, of_two_commands_that_want_one_disk_at_once_one_gets_it) {
  for (uint64_t step = 0; step < 40; ++step) {
    Cluster cluster(20, {"a"});
    cluster.run("a", "create-cluster");
    const auto first = cluster.begin("a", "create-resource one /dev/sdb");
    cluster.world().run_until([] { return false; }, step * std::chrono::microseconds(400));
    const auto second = cluster.begin("a", "create-resource two /dev/sdb");
    ASSERT_TRUE(cluster.wait([&] { return first->answer && second->answer; }));
    size_t made = 0;
    for (const auto& command : {first, second}) {
      made += command->answer->code == ExitCode::done ? 1 : 0;
      if (command->answer->code == ExitCode::done) continue;
      EXPECT_NE(command->answer->text.find("/dev/sdb"), std::string::npos) << command->answer->text;
    }
    EXPECT_LE(made, 1u) << step;
    // Each may have been in the other's way while it looked at the disk.
    if (made == 0) EXPECT_EQ(cluster.run("a", "create-resource one /dev/sdb").code, ExitCode::done) << step;
    EXPECT_EQ(cluster.status("a").resources.size(), 1u) << step;
  }
}

TEST(Membership, a_second_host_of_the_same_name_is_refused) {
  Cluster cluster(10, {"a", "b", "c"});
  cluster.run("a", "create-cluster");
  EXPECT_EQ(cluster.run("b", "join-cluster " + cluster.token("a")).code, ExitCode::done);
  cluster.stop("c");
  cluster.options("c").name = "b";
  ASSERT_TRUE(cluster.start("c").has_value());
  EXPECT_EQ(cluster.run("c", "join-cluster " + cluster.token("a")).code, ExitCode::refused);
}

TEST(Membership, who_was_admitted_by_a_member_that_is_lost_at_once_is_one_all_the_same) {
  Cluster cluster(14, {"a", "b", "c"});
  cluster.run("a", "create-cluster");
  ASSERT_EQ(cluster.run("b", "join-cluster " + cluster.token("a")).code, ExitCode::done);
  ASSERT_TRUE(cluster.wait([&] { return cluster.connected("a", "b"); }));
  cluster.isolate("b");
  ASSERT_EQ(cluster.run("c", "join-cluster " + cluster.token("a")).code, ExitCode::done);
  cluster.kill("a");
  cluster.rejoin("b");
  ASSERT_TRUE(cluster.wait([&] { return cluster.connected("b", "c") && cluster.connected("c", "b"); }))
      << cluster.events("b") << cluster.events("c");
  EXPECT_EQ(cluster.status("b").hosts.size(), 3u);
  ASSERT_EQ(cluster.run("b", "create-resource mydata /dev/sdb").code, ExitCode::done);
  EXPECT_EQ(cluster.run("c", "join-resource mydata /dev/sdb").code, ExitCode::done);
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_up_to_date("mydata"); }));
}

// Two members that cannot hear each other have each admitted a host of this name.
TEST(Membership, of_two_hosts_of_one_name_none_is_guessed) {
  Cluster cluster(13, {"a", "b", "c", "d"});
  cluster.run("a", "create-cluster");
  ASSERT_EQ(cluster.run("b", "join-cluster " + cluster.token("a")).code, ExitCode::done);
  ASSERT_TRUE(cluster.wait([&] { return cluster.connected("a", "b"); }));
  cluster.cut("a", "b");
  cluster.cut("c", "b");
  for (const char* host : {"c", "d"}) {
    cluster.stop(host);
    cluster.options(host).name = "x";
    ASSERT_TRUE(cluster.start(host).has_value());
  }
  ASSERT_EQ(cluster.run("c", "join-cluster " + cluster.token("a")).code, ExitCode::done);
  cluster.cut("a", "d");
  cluster.cut("c", "d");
  ASSERT_EQ(cluster.run("d", "join-cluster " + cluster.token("b")).code, ExitCode::done);
  cluster.heal("a", "b");
  ASSERT_TRUE(cluster.wait([&] { return cluster.status("a").hosts.size() == 4; }));
  const control::Answer doubtful = cluster.run("a", "events --host x");
  EXPECT_EQ(doubtful.code, ExitCode::refused);
  EXPECT_NE(doubtful.text.find("two hosts"), std::string::npos) << doubtful.text;
  ASSERT_FALSE(cluster.status("a").warnings.empty());
  EXPECT_NE(cluster.status("a").warnings.back().find("two hosts are called x"), std::string::npos);
  for (const control::HostView& host : cluster.status("a").hosts) {
    if (host.name != "x" || !host.is_connected) continue;
    EXPECT_EQ(cluster.run("a", "events --host " + host.uuid).code, ExitCode::done);
  }
}

// A copied state directory: the newer process is refused, and somebody hears of it (R6).
TEST(Membership, two_hosts_with_one_key_raise_an_alarm) {
  Cluster cluster(11, {"a", "b", "c"});
  cluster.run("a", "create-cluster");
  ASSERT_EQ(cluster.run("b", "join-cluster " + cluster.token("a")).code, ExitCode::done);
  ASSERT_TRUE(cluster.wait([&] { return cluster.connected("a", "b"); }));
  cluster.stop("c");
  FileSystem copy = cluster.host("b").disks().snapshot("/");
  cluster.host("c").disks().mount("/copy", std::move(copy));
  cluster.options("c").state_directory = "/copy/var/lib/mars";
  ASSERT_TRUE(cluster.start("c").has_value());
  EXPECT_TRUE(cluster.wait([&] { return cluster.events("a").find("ALARM") != std::string::npos; }))
      << cluster.events("a");
  cluster.run_for(std::chrono::minutes(15));
  EXPECT_FALSE(cluster.status("a").warnings.empty());
  cluster.stop("c");
  cluster.run_for(std::chrono::minutes(11));
  EXPECT_TRUE(cluster.status("a").warnings.empty()) << cluster.status("a").warnings.front();
}

TEST(Membership, a_second_marsd_on_the_same_state_directory_is_refused) {
  Cluster cluster(12, {"a"});
  SimMachine& other = cluster.host("a").process("second");
  struct NoDevices : node::DeviceMaker {
    std::unique_ptr<replication::Device> make(node::DeviceOrder) override { return nullptr; }
  } none;
  node::Node second(other, cluster.options("a"), none);
  Result<void> started = cluster.world().run(other, second.start());
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().status, Status::busy);
  cluster.world().run(other, second.stop());
}

TEST(Membership, an_interrupted_join_can_be_repeated_at_every_step) {
  for (uint64_t op = 1; op < 60; op += 7) {
    Cluster cluster(100 + op, {"a", "b"});
    cluster.run("a", "create-cluster");
    const std::string token = cluster.token("a");
    cluster.host("b").power_loss_at_disk_op(op);
    SimMachine& machine = cluster.host("b").machine();
    auto running = cluster.begin("b", "join-cluster " + token);
    cluster.wait([&] { return running->answer.has_value() || !machine.is_alive(); });
    if (!machine.is_alive()) {
      cluster.bury("b");
      ASSERT_TRUE(cluster.start("b").has_value());
    }
    const control::Answer answer = cluster.run("b", "join-cluster " + token);
    EXPECT_EQ(answer.code, ExitCode::done) << op << ": " << answer.text;
    EXPECT_TRUE(cluster.all_connected()) << op;
  }
}

}  // namespace
}  // namespace mars::sim
