// Commands that another member runs, and commands whose asker goes away.
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::Answer;
using control::ExitCode;
using control::State;

// Somebody at a terminal who may press Ctrl-C.
struct Client {
  explicit Client(SimMachine& machine) : gone(machine.ready()) {}
  Event gone;
  std::optional<Answer> answer;
};

Task<void> ask(node::Node& node, control::Command command, Client& client) {
  node::Node::Caller caller;
  caller.gone = &client.gone;
  client.answer = co_await node.run(std::move(command), {}, std::move(caller));
}

class Forwarding : public testing::Test {
 protected:
  void SetUp() override {
    cluster.form();
    cluster.make_resource("r");
  }
  void begin(Client& client, const std::string& host, const std::string& line) {
    cluster.host(host).machine().scope().spawn(ask(cluster.node(host), parse_line(line), client));
  }
  void press_ctrl_c(Client& client, const std::string& host) {
    client.gone.set();
    cluster.node(host).changed().notify();
  }
  bool is_answered(const Client& client, io::Duration limit = 10s) {
    return cluster.wait([&] { return client.answer.has_value(); }, limit);
  }
  std::string wanted(const std::string& asked) { return cluster.status(asked).resources.at(0).designated; }
  Cluster cluster{1, {"a", "b", "c"}};
};

TEST_F(Forwarding, a_third_host_hands_over) {
  const Answer answer = cluster.run("c", "primary r --host b");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text;
  EXPECT_EQ(answer.text, "on b: r is primary here as /dev/mars/r");
  EXPECT_TRUE(cluster.is_primary("b", "r"));
  EXPECT_NE(cluster.events("b").find("command primary r (asked by c): done"), std::string::npos) << cluster.events("b");
}

TEST_F(Forwarding, switches_of_another_host) {
  ASSERT_EQ(cluster.run("a", "pause-replay r --host b").code, ExitCode::done);
  ASSERT_EQ(cluster.write("a", "r", 1, 'x'), Status::ok);
  EXPECT_TRUE(cluster.wait_state("b", "r", State::paused));
  EXPECT_TRUE(cluster.wait_state("c", "r", State::up_to_date));
  ASSERT_EQ(cluster.run("a", "resume-replay r --host b").code, ExitCode::done);
  EXPECT_TRUE(cluster.all_up_to_date("r"));
  ASSERT_EQ(cluster.run("a", "detach r --host b").code, ExitCode::done);
  EXPECT_TRUE(cluster.wait_state("b", "r", State::detached));
  ASSERT_EQ(cluster.run("a", "up r --host b").code, ExitCode::done);
  EXPECT_TRUE(cluster.all_up_to_date("r"));
}

TEST_F(Forwarding, what_looks_shows_the_other_host) {
  EXPECT_EQ(cluster.run("a", "graph r --host b").text.substr(0, 7), "on b:\nd");
  EXPECT_NE(cluster.run("a", "events r --host b").text.find("join-resource"), std::string::npos);
  EXPECT_EQ(cluster.run("a", "graph r --host a").text.find("on a:"), std::string::npos);
}

TEST_F(Forwarding, refusals_and_exit_codes_come_back_as_they_are) {
  cluster.set_in_use("a", "r", true);
  const Answer answer = cluster.run("c", "detach r --host a");
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_EQ(answer.text, "on a: the device of r is in use here: mounted");
  EXPECT_EQ(cluster.run("c", "detach x --host a").code, ExitCode::not_found);
}

TEST_F(Forwarding, a_host_that_is_not_connected_is_exit_code_5) {
  cluster.isolate("b");
  ASSERT_TRUE(cluster.wait([&] { return !cluster.connected("a", "b"); }));
  const Answer answer = cluster.run("a", "pause-fetch r --host b");
  EXPECT_EQ(answer.code, ExitCode::unreachable);
  EXPECT_EQ(answer.text, "host b cannot be asked: there is no connection");
}

TEST_F(Forwarding, a_connection_that_breaks_before_the_answer_is_exit_code_5) {
  cluster.set_in_use("a", "r", true);
  auto running = cluster.begin("c", "detach r --host a");
  cluster.run_for(100ms);
  cluster.isolate("a");
  const Answer answer = cluster.finish(*running);
  EXPECT_EQ(answer.code, ExitCode::unreachable);
  EXPECT_NE(answer.text.find("may have been carried out"), std::string::npos) << answer.text;
}

TEST_F(Forwarding, a_host_that_does_not_exist_is_not_found) {
  const Answer answer = cluster.run("a", "primary r --host d");
  EXPECT_EQ(answer.code, ExitCode::not_found);
  EXPECT_NE(answer.text.find("no host of this cluster is called \"d\""), std::string::npos) << answer.text;
}

// So often that the first connection is met before the other host has its resources; the time is simulated.
Task<void> ask_until_reached(node::Node& node, SimMachine& machine, std::string line, Client& client) {
  for (;;) {
    control::Command command = parse_line(line);
    node::Node::Caller caller;
    Answer answer = co_await node.run(std::move(command), {}, std::move(caller));
    if (answer.code != ExitCode::unreachable) {
      client.answer = std::move(answer);
      co_return;
    }
    co_await io::sleep_for(machine, 200us, client.gone);
  }
}

// The connection is there before the resources are.
TEST_F(Forwarding, a_host_that_is_just_starting_answers_or_says_so) {
  for (const char* line : {"pause-replay r --host b", "graph r --host b", "events r --host b", "detach r --host b"}) {
    cluster.kill("b");
    EXPECT_TRUE(cluster.wait([&] { return !cluster.connected("a", "b"); }));
    SimMachine& machine = cluster.host("a").machine();
    Client client(machine);
    machine.scope().spawn(ask_until_reached(cluster.node("a"), machine, line, client));
    ASSERT_TRUE(cluster.start("b").has_value());
    ASSERT_TRUE(is_answered(client, 30s)) << line;
    EXPECT_TRUE(client.answer->code == ExitCode::done || !client.answer->text.empty()) << line;
    cluster.run("b", "up r");
    cluster.run("b", "resume-replay r");
  }
  EXPECT_TRUE(cluster.all_up_to_date("r")) << cluster.events("b");
}

TEST_F(Forwarding, paths_and_secrets_are_not_forwarded) {
  for (const char* name : {"create-resource", "join-resource", "invite", "join-cluster", "set", "status"}) {
    EXPECT_FALSE(control::find_command(name)->is_forwardable) << name;
  }
  control::Command command{"join-resource", {{"resource", "r"}, {"disk", "/dev/sdb"}}, "b"};
  Client client(cluster.host("a").machine());
  cluster.host("a").machine().scope().spawn(ask(cluster.node("a"), std::move(command), client));
  ASSERT_TRUE(is_answered(client));
  EXPECT_EQ(client.answer->code, ExitCode::usage);
}

TEST_F(Forwarding, a_client_that_goes_ends_the_waiting_on_both_hosts) {
  cluster.run("b", "pause-replay r");
  ASSERT_EQ(cluster.write("a", "r", 1, 'x'), Status::ok);
  ASSERT_EQ(cluster.flush("a", "r"), Status::ok);
  Client near(cluster.host("c").machine()), far(cluster.host("c").machine());
  begin(near, "c", "wait-resource r synced --host b");
  cluster.set_in_use("a", "r", true);
  begin(far, "c", "detach r --host a");
  cluster.run_for(500ms);
  EXPECT_FALSE(near.answer || far.answer);
  press_ctrl_c(near, "c");
  press_ctrl_c(far, "c");
  ASSERT_TRUE(is_answered(near, 2s));
  ASSERT_TRUE(is_answered(far, 2s));
  EXPECT_EQ(far.answer->code, ExitCode::failed);
  EXPECT_TRUE(
      cluster.wait([&] { return cluster.events("a").find("command detach r (asked by c)") != std::string::npos; }, 2s));
}

TEST_F(Forwarding, a_primary_that_cannot_be_asked_leaves_no_wish_behind) {
  cluster.cut("a", "b");
  ASSERT_TRUE(cluster.wait([&] { return !cluster.connected("a", "b") && !cluster.connected("b", "a"); }));
  Client client(cluster.host("b").machine());
  begin(client, "b", "primary r");
  ASSERT_TRUE(is_answered(client));
  EXPECT_EQ(client.answer->code, ExitCode::unreachable) << client.answer->text;
  EXPECT_EQ(wanted("b"), "a");
}

TEST_F(Forwarding, a_timeout_of_primary_leaves_no_wish_behind) {
  cluster.set_in_use("a", "r", true);
  cluster.host("a").pause();
  const Answer answer = cluster.run("b", "primary r --timeout 2s");
  EXPECT_TRUE(answer.code == ExitCode::timed_out || answer.code == ExitCode::unreachable) << answer.text;
  EXPECT_NE(answer.next_step.find("the wish was taken back: wanted as primary is a"), std::string::npos)
      << answer.next_step;
  cluster.host("a").resume();
  cluster.set_in_use("a", "r", false);
  cluster.run_for(30s);
  EXPECT_TRUE(cluster.is_primary("a", "r"));
  EXPECT_FALSE(cluster.is_primary("b", "r"));
  EXPECT_EQ(wanted("a"), "a");
}

TEST_F(Forwarding, ctrl_c_of_primary_leaves_no_wish_behind) {
  cluster.host("a").pause();
  Client client(cluster.host("b").machine());
  begin(client, "b", "primary r");
  cluster.run_for(1s);
  ASSERT_FALSE(client.answer);
  press_ctrl_c(client, "b");
  ASSERT_TRUE(is_answered(client, 2s));
  EXPECT_NE(client.answer->next_step.find("taken back"), std::string::npos) << client.answer->next_step;
  EXPECT_EQ(wanted("b"), "a");
  cluster.host("a").resume();
  cluster.run_for(30s);
  EXPECT_TRUE(cluster.is_primary("a", "r"));
}

TEST_F(Forwarding, a_timeout_of_secondary_leaves_the_primary_in_charge) {
  cluster.host("a").pause();
  const Answer answer = cluster.run("b", "secondary r --timeout 2s");
  EXPECT_NE(answer.code, ExitCode::done) << answer.text;
  EXPECT_EQ(wanted("b"), "a");
  cluster.host("a").resume();
  cluster.run_for(30s);
  EXPECT_TRUE(cluster.is_primary("a", "r"));
}

TEST_F(Forwarding, status_knows_the_other_versions_and_the_age_of_their_data) {
  for (const control::HostView& host : cluster.status("c").hosts) EXPECT_EQ(host.version, "0.1.0") << host.name;
  cluster.run_for(1s);
  cluster.run("b", "pause-replay r");
  ASSERT_EQ(cluster.write("a", "r", 1, 'x'), Status::ok);
  cluster.run_for(5s);
  ASSERT_EQ(cluster.write("a", "r", 2, 'y'), Status::ok);
  cluster.run_for(2s);
  const auto b = cluster.replica("c", "r", "b");
  ASSERT_TRUE(b && b->lag_ms && b->applied_time_ns && b->dirty_bytes);
  EXPECT_GE(*b->lag_ms, 5000u);
  EXPECT_GE(*b->dirty_bytes, 8192u);
  ASSERT_EQ(b->transfers.size(), 1u);
  EXPECT_EQ(b->transfers[0].kind, control::TransferKind::replay);
  EXPECT_EQ(b->transfers[0].total_bytes, *b->dirty_bytes);
  const auto c = cluster.replica("b", "r", "c");
  ASSERT_TRUE(c && c->applied_time_ns);
  EXPECT_EQ(c->lag_ms, 0u);
  EXPECT_GT(*c->applied_time_ns, *b->applied_time_ns);
}

}  // namespace
}  // namespace mars::sim
