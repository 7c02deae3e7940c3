// Instruments in the graph of a resource that runs: they come and go under load, with a deadline, and change nothing.
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::Answer;
using control::ExitCode;

class Instruments : public testing::Test {
 protected:
  void SetUp() override {
    cluster.form();
    cluster.make_resource("r");
  }
  std::string graph(const std::string& host) { return cluster.run(host, "graph r").text; }
  Cluster cluster{1, {"a", "b"}};
};

// An application that writes and reads without pause until it is told to stop.
struct Application {
  SimDevice& device;
  bool is_over = false;
  uint64_t rounds = 0;
  Status worst = Status::ok;
};

Task<void> work(Application& application) {
  AlignedBuffer buffer(Cluster::block_bytes);
  while (!application.is_over) {
    const uint64_t offset = application.rounds % 64 * Cluster::block_bytes;
    buffer.span()[0] = static_cast<std::byte>(application.rounds);
    Status status = co_await application.device.write(offset, buffer.span());
    if (status == Status::ok && application.rounds % 8 == 0) status = co_await application.device.flush();
    if (status == Status::ok) status = co_await application.device.read(offset, buffer.span());
    const bool is_right = buffer.span()[0] == static_cast<std::byte>(application.rounds);
    if (application.worst == Status::ok) application.worst = is_right ? status : Status::damaged;
    ++application.rounds;
  }
}

TEST_F(Instruments, come_and_go_under_load_at_the_outer_and_the_inner_edge) {
  Application application{*cluster.device("a", "r")};
  cluster.host("a").machine().scope().spawn(work(application));
  for (const char* at : {"device", "data", "trans_logger.data"}) {
    for (const char* what : {"trace", "stats", "check", "delay --set longest=3ms", "throttle --set requests=100000"}) {
      const std::string line = std::string("insert r ") + what + " --at " + at;
      const Answer in = cluster.run("a", line);
      ASSERT_EQ(in.code, ExitCode::done) << line << ": " << in.text;
      const uint64_t before = application.rounds;
      ASSERT_TRUE(cluster.wait([&] { return application.rounds > before + 5; }));
      const std::string name = std::string(what).substr(0, std::string(what).find(' '));
      EXPECT_NE(graph("a").find(name + ".below -> "), std::string::npos) << graph("a");
      const Answer out = cluster.run("a", "remove r " + name);
      ASSERT_EQ(out.code, ExitCode::done) << out.text;
      EXPECT_EQ(graph("a").find(name + ".below"), std::string::npos) << graph("a");
    }
  }
  application.is_over = true;
  cluster.run_for(1s);
  EXPECT_EQ(application.worst, Status::ok);
  EXPECT_TRUE(cluster.all_up_to_date("r"));
  EXPECT_TRUE(cluster.disks_equal("a", "b"));
}

TEST_F(Instruments, show_in_the_graph_what_they_have_seen) {
  ASSERT_EQ(cluster.run("a", "insert r stats").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "insert r trace --at data").code, ExitCode::done);
  ASSERT_EQ(cluster.write("a", "r", 1, 'x'), Status::ok);
  ASSERT_TRUE(cluster.all_up_to_date("r"));
  ASSERT_TRUE(cluster.wait([&] { return graph("a").find("trace has seen:\n") != std::string::npos; })) << graph("a");
  const std::string text = graph("a");
  EXPECT_NE(text.find("stats has seen:\nwrite: 1 requests"), std::string::npos) << text;
}

TEST_F(Instruments, a_gate_that_does_not_drain_is_refused_at_the_deadline_and_nothing_has_changed) {
  ASSERT_EQ(cluster.run("a", "insert r delay --at device --set longest=20s,shortest=20s").code, ExitCode::done);
  Application application{*cluster.device("a", "r")};
  cluster.host("a").machine().scope().spawn(work(application));
  cluster.run_for(1s);
  const std::string before = graph("a");
  const io::Instant begun = cluster.world().now();
  const Answer answer = cluster.run("a", "insert r trace --at device --deadline 3s");
  EXPECT_EQ(answer.code, ExitCode::refused) << answer.text;
  EXPECT_NE(answer.text.find("1 requests in flight"), std::string::npos) << answer.text;
  EXPECT_GE(cluster.world().now() - begun, 3s);
  EXPECT_LT(cluster.world().now() - begun, 4s);
  EXPECT_EQ(graph("a"), before);
  application.is_over = true;
  EXPECT_EQ(cluster.run("a", "remove r delay").code, ExitCode::done);
  cluster.run_for(1s);
  EXPECT_EQ(application.worst, Status::ok);
}

TEST_F(Instruments, a_fault_reaches_the_user_of_the_device_and_goes_with_its_instrument) {
  ASSERT_EQ(cluster.run("a", "insert r fault --at device --set op=write,one-in=1").code, ExitCode::done);
  EXPECT_EQ(cluster.write("a", "r", 1, 'x'), Status::io_error);
  ASSERT_EQ(cluster.run("a", "remove r fault").code, ExitCode::done);
  EXPECT_EQ(cluster.write("a", "r", 1, 'x'), Status::ok);
}

TEST_F(Instruments, go_with_what_stands_above_them) {
  ASSERT_EQ(cluster.run("a", "insert r trace").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "insert r delay --at trans_logger.data --set longest=5ms").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "insert r stats --at data").code, ExitCode::done);
  ASSERT_EQ(cluster.run("b", "primary r").code, ExitCode::done);
  EXPECT_EQ(graph("a").find("trace"), std::string::npos) << graph("a");
  EXPECT_EQ(graph("a").find("delay"), std::string::npos) << graph("a");
  EXPECT_NE(graph("a").find("stats"), std::string::npos) << graph("a");
  ASSERT_EQ(cluster.run("a", "detach r").code, ExitCode::done);
  EXPECT_EQ(graph("a"), "r is detached: no bricks are wired");
  ASSERT_EQ(cluster.run("a", "attach r").code, ExitCode::done);
  EXPECT_EQ(graph("a").find("stats"), std::string::npos) << graph("a");
}

TEST_F(Instruments, on_a_replica_they_see_the_replay) {
  ASSERT_EQ(cluster.run("b", "insert r stats").code, ExitCode::done);
  ASSERT_EQ(cluster.write("a", "r", 1, 'x'), Status::ok);
  EXPECT_TRUE(cluster.wait([&] { return graph("b").find("write: 1 requests") != std::string::npos; })) << graph("b");
}

TEST_F(Instruments, marsd_stops_and_dies_with_them) {
  ASSERT_EQ(cluster.run("a", "insert r delay --at device --set longest=50s,shortest=50s").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "insert r trace --at data").code, ExitCode::done);
  Application application{*cluster.device("a", "r")};
  cluster.host("a").machine().scope().spawn(work(application));
  cluster.run_for(100ms);
  auto waiting = cluster.begin("a", "insert r trace --at device --deadline 60s");
  cluster.run_for(100ms);
  application.is_over = true;
  const io::Instant begun = cluster.world().now();
  cluster.stop("a");
  EXPECT_LT(cluster.world().now() - begun, 5s);
  EXPECT_TRUE(waiting->answer.has_value());
  ASSERT_TRUE(cluster.start("a").has_value());
  ASSERT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "r"); }));
  ASSERT_EQ(cluster.run("a", "insert r delay --at data --set longest=50s,shortest=50s").code, ExitCode::done);
  ASSERT_EQ(cluster.write("a", "r", 2, 'y'), Status::ok);
  cluster.power_loss("a");
}

TEST_F(Instruments, what_does_not_fit_is_refused_with_what_there_is) {
  const auto text = [&](const std::string& line, ExitCode code) {
    const Answer answer = cluster.run("a", line);
    EXPECT_EQ(answer.code, code) << line << ": " << answer.text;
    return answer.text;
  };
  EXPECT_NE(text("insert r delay", ExitCode::usage).find("longest is missing"), std::string::npos);
  EXPECT_NE(text("insert r delay --set longer=1s", ExitCode::usage).find("longest"), std::string::npos);
  EXPECT_NE(text("insert r delay --set longest=1x", ExitCode::usage).find("longest"), std::string::npos);
  EXPECT_NE(text("insert r throttle", ExitCode::usage).find("bytes"), std::string::npos);
  EXPECT_NE(text("insert r fault --set nth=1", ExitCode::usage).find("op must be"), std::string::npos);
  EXPECT_NE(text("insert r trace --at x", ExitCode::not_found).find("device.below"), std::string::npos);
  EXPECT_NE(text("remove r trace", ExitCode::not_found).find("there is none"), std::string::npos);
  EXPECT_NE(text("insert x trace", ExitCode::not_found).find("there is no resource"), std::string::npos);
  EXPECT_EQ(text("insert r trace --dry-run", ExitCode::done), "trace would be put into device of r");
}

}  // namespace
}  // namespace mars::sim
