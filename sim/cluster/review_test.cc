// Interleavings that a review of the rules found: each of these once broke a promise.
#include <gtest/gtest.h>

#include <cstring>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;

// mydata on a (primary), b and c.
class Review : public testing::Test {
 protected:
  void SetUp() override {
    cluster.form();
    cluster.make_resource("mydata");
  }
  void write(uint64_t first, uint64_t last, char value) {
    for (uint64_t block = first; block < last; ++block)
      ASSERT_EQ(cluster.write("a", "mydata", block, value), Status::ok);
    ASSERT_EQ(cluster.flush("a", "mydata"), Status::ok);
  }
  Disks& disks(const std::string& host) { return cluster.host(host).disks(); }
  std::string describe() {
    std::string text;
    for (const char* host : {"a", "b", "c"}) {
      if (cluster.is_up(host)) text += std::string("== ") + host + "\n" + cluster.events(host) + "\n";
    }
    return text;
  }
  Cluster cluster{7, {"a", "b", "c"}};
};

// b gives its log up, on a slow disk, while c, who needs exactly that log, comes again and again.
TEST_F(Review, nobody_begins_to_fetch_from_a_log_that_is_being_replaced) {
  ASSERT_EQ(cluster.run("c", "pause-fetch mydata").code, ExitCode::done);
  cluster.cut("a", "c");
  write(0, 40, 'r');
  ASSERT_TRUE(cluster.wait([&] { return cluster.on_disk("b", 39) == 'r'; }));
  disks("b").drive("/").set_slowness(500);
  auto invalidating = cluster.begin("b", "invalidate mydata");
  cluster.run_for(5ms);
  auto resuming = cluster.begin("c", "resume-fetch mydata");
  EXPECT_EQ(cluster.finish(*invalidating).code, ExitCode::done);
  disks("b").drive("/").set_slowness(1);
  cluster.finish(*resuming);
  cluster.heal("a", "c");
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
  EXPECT_EQ(cluster.on_disk("c", 39), 'r');
}

// What b said before the connection broke decides nothing: it was forced meanwhile.
TEST_F(Review, a_holder_that_attaches_waits_for_what_the_others_say_now) {
  for (const char* host : {"b", "c"}) {
    cluster.world().network().set_link("a", host, {.latency = 300ms});
  }
  ASSERT_EQ(cluster.run("a", "detach mydata").code, ExitCode::done);
  cluster.isolate("a");
  ASSERT_TRUE(cluster.wait([&] { return !cluster.connected("b", "a") && !cluster.connected("a", "b"); }));
  ASSERT_EQ(cluster.run("b", "primary mydata --force").code, ExitCode::done) << describe();
  cluster.rejoin("a");
  ASSERT_TRUE(cluster.wait([&] { return cluster.connected("a", "b") && cluster.connected("a", "c"); }));
  auto attaching = cluster.begin("a", "attach mydata");
  for (int i = 0; i < 60; ++i) {
    cluster.run_for(50ms);
    ASSERT_FALSE(cluster.is_primary("a", "mydata")) << describe();
  }
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
  EXPECT_TRUE(cluster.is_primary("b", "mydata"));
  cluster.finish(*attaching);
}

// The right is parked on a; c was forced meanwhile, and only c knows. a hears b first, whom the operator wants.
TEST_F(Review, a_parked_right_is_not_handed_over_before_everybody_was_heard) {
  ASSERT_EQ(cluster.run("a", "secondary mydata").code, ExitCode::done);
  cluster.stop("a");
  cluster.cut("b", "c");
  ASSERT_TRUE(cluster.wait([&] { return !cluster.connected("c", "a") && !cluster.connected("c", "b"); }));
  ASSERT_EQ(cluster.run("c", "primary mydata --force").code, ExitCode::done) << describe();
  cluster.world().network().set_link("a", "c", {.latency = 500ms});
  ASSERT_TRUE(cluster.start("a").has_value());
  auto wish = cluster.begin("b", "primary mydata --timeout 30s");
  for (int i = 0; i < 400; ++i) {
    cluster.run_for(50ms);
    ASSERT_FALSE(cluster.is_primary("b", "mydata") && cluster.is_primary("c", "mydata")) << describe();
  }
  cluster.heal("b", "c");
  cluster.finish(*wish);
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
}

// b fetches before it is forced, and that takes its time: the holder answers again.
TEST_F(Review, force_asks_again_whether_the_holder_answers) {
  ASSERT_EQ(cluster.run("b", "pause-fetch mydata").code, ExitCode::done);
  cluster.cut("a", "b");
  write(0, 20, 'f');
  ASSERT_TRUE(cluster.wait([&] { return !cluster.connected("b", "a"); }));
  auto forcing = cluster.begin("b", "primary mydata --force");
  cluster.run_for(2s);
  cluster.heal("a", "b");
  ASSERT_TRUE(cluster.wait([&] { return cluster.connected("b", "a"); }));
  EXPECT_EQ(cluster.finish(*forcing).code, ExitCode::refused) << describe();
  EXPECT_TRUE(cluster.is_primary("a", "mydata"));
}

// A clean end leaves nothing in memory: whether that memory is still there does not matter.
TEST_F(Review, a_pool_that_vanished_after_a_clean_end_has_cost_nothing) {
  write(0, 5, 'p');
  cluster.stop("a");
  cluster.host("a").pools().clear();
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << describe();
}

// Half a minute of waiting for a successor that does not catch up.
TEST_F(Review, a_stop_in_the_middle_of_a_handover_does_not_wait_for_the_successor) {
  ASSERT_TRUE(cluster.all_up_to_date("mydata"));
  cluster.host("b").disks().drive("/dev/sdb").stick();
  write(0, 5, 's');
  auto wish = cluster.begin("b", "primary mydata --timeout 20s");
  cluster.run_for(3s);
  const io::Instant begun = cluster.world().now();
  cluster.stop("a");
  EXPECT_LT(cluster.world().now() - begun, 10s);
  cluster.host("b").disks().drive("/dev/sdb").unstick();
  ASSERT_TRUE(cluster.start("a").has_value());
  cluster.finish(*wish);
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << describe();
}

TEST_F(Review, a_replica_that_joins_says_nothing_alarming) {
  for (const char* host : {"b", "c"}) {
    const std::string events = cluster.events(host);
    for (const char* word : {"permission", "interrupted", "no consistent replica", "waiting-for-peer"}) {
      EXPECT_EQ(events.find(word), std::string::npos) << events;
    }
  }
}

Task<void> write_on(SimDevice& device, SimMachine& machine, uint64_t& acknowledged) {
  AlignedBuffer buffer(Cluster::block_bytes);
  std::memset(buffer.data(), 'd', buffer.size());
  Notifier nothing(machine.ready());
  for (uint64_t block = 0; block < 1000; ++block) {
    if (co_await device.write(block * Cluster::block_bytes, buffer.span()) != Status::ok) co_return;
    acknowledged = block + 1;
    co_await io::wait_until(machine, nothing, machine.now() + 2ms);
  }
}

// A device whose users write on until it is taken away from them.
TEST_F(Review, a_stop_brings_to_the_disk_what_users_wrote_up_to_the_moment_when_they_were_cut_off) {
  cluster.set_in_use("a", "mydata", true);
  SimMachine& machine = cluster.host("a").machine();
  uint64_t acknowledged = 0;
  machine.scope().spawn(write_on(*cluster.device("a", "mydata"), machine, acknowledged));
  cluster.run_for(300ms);
  cluster.stop("a");
  ASSERT_GT(acknowledged, 100u);
  ASSERT_LT(acknowledged, 1000u);
  for (uint64_t block = 0; block < acknowledged; ++block) ASSERT_EQ(cluster.on_disk("a", block), 'd') << block;
}

// c as a member that keeps to no custom: it asks a for what it likes.
class Greedy : public Review {
 protected:
  void SetUp() override {
    Review::SetUp();
    write(0, 20, 'g');
    ASSERT_TRUE(cluster.all_up_to_date("mydata"));
    ASSERT_EQ(cluster.run("c", "pause-fetch mydata").code, ExitCode::done);
    cluster.run_for(2s);
    ASSERT_EQ(served(), 1u);  // b fetches
  }
  node::Resources& of(const std::string& host) { return cluster.node(host).cluster()->resources(); }
  Uuid resource() { return of("a").ids().front(); }
  size_t served() { return of("a").find(resource())->serving_count(); }
  std::unique_ptr<net::Channel> ask(net::ServiceId service, bool is_question = false) {
    net::Bytes opening;
    Writer writer(opening);
    write_uuid(writer, resource());
    if (service == replication::log_service) write_tip(writer, of("c").find(resource())->report().durable);
    if (is_question) writer.u8(0);
    return of("c").open_channel(of("a").self(), service, std::move(opening), net::window_max);
  }
};

TEST_F(Greedy, who_asks_again_ends_its_former_conversation) {
  for (const net::ServiceId service : {replication::log_service, replication::sync_service}) {
    auto first = ask(service);
    cluster.run_for(100ms);
    EXPECT_TRUE(first->is_open());
    auto question = ask(replication::sync_service, true);
    cluster.run_for(100ms);
    EXPECT_TRUE(question->try_receive().has_value());
    EXPECT_TRUE(first->is_open());
    auto second = ask(service);
    cluster.run_for(100ms);
    EXPECT_FALSE(first->is_open());
    EXPECT_TRUE(second->is_open());
    EXPECT_EQ(served(), 2u);
    second->close();
    cluster.run_for(2s);
  }
}

TEST_F(Greedy, who_opens_and_closes_without_end_is_served_once) {
  for (const net::ServiceId service : {replication::log_service, replication::sync_service}) {
    for (int round = 0; round < 20; ++round) {
      std::vector<std::unique_ptr<net::Channel>> channels;
      for (int i = 0; i < 50; ++i) channels.push_back(ask(service));
      cluster.run_for(5ms);
      EXPECT_LE(served(), 2u);
    }
    cluster.run_for(2s);
    EXPECT_EQ(served(), 1u);
  }
}

TEST_F(Greedy, has_little_room_where_nothing_is_expected_of_it) {
  for (const net::ServiceId service :
       {replication::log_service, replication::sync_service, replication::handover_service}) {
    auto channel = ask(service);
    cluster.run_for(100ms);
    EXPECT_EQ(channel->message_bytes_max(), net::window_min - net::message_cost(0));
  }
}

}  // namespace
}  // namespace mars::sim
