// A log disk that is full, and a data disk that does nothing: what goes on, what waits, and what is said (P9, P13).
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;
using control::State;

constexpr uint64_t mib = 1u << 20;

// mydata on a (primary) and b; the log of a is on a disk of its own.
class Room : public testing::Test {
 protected:
  void make(uint64_t log_disk_bytes, uint64_t reserve_bytes) {
    cluster.stop("a");
    FileSystemOptions small;
    small.capacity = log_disk_bytes;
    cluster.host("a").disks().mount("/log", small);
    cluster.options("a").log_directory = "/log";
    cluster.options("a").log_reserve_bytes = reserve_bytes;
    ASSERT_TRUE(cluster.start("a").has_value());
    cluster.form();
    cluster.make_resource("mydata");
  }
  Disks& disks() { return cluster.host("a").disks(); }
  uint64_t free_on_log_disk() {
    SimMachine& machine = cluster.host("a").machine();
    return cluster.world().run(machine, machine.storage().free_space("/log"))->free_bytes;
  }
  // Somebody else takes all of the log disk but `left`.
  void fill(uint64_t left) {
    SimMachine& other = cluster.host("a").process("hog");
    io::OpenOptions options;
    options.create = true;
    auto file = cluster.world().run(other, other.storage().open("/log/hog", options));
    ASSERT_TRUE(file.has_value());
    const uint64_t bytes = free_on_log_disk() - left;
    ASSERT_EQ(cluster.world().run(other, io::allocate(**file, 0, bytes)), Status::ok);
  }
  void remove_hog() {
    SimMachine& other = cluster.host("a").process("hog");
    ASSERT_EQ(cluster.world().run(other, other.storage().remove("/log/hog")), Status::ok);
  }
  // So many times the same 256 KiB.
  void write(int times) {
    for (int i = 0; i < times * 64; ++i) {
      ASSERT_EQ(cluster.write("a", "mydata", static_cast<uint64_t>(i % 64), 'w'), Status::ok);
    }
  }
  bool has_event(const std::string& text) { return cluster.events("a").find(text) != std::string::npos; }
  std::vector<io::DirectoryEntry> kept() {
    const auto resources = disks().list("/log/resources");
    return disks().list("/log/resources/" + resources.at(0).name + "/branch");
  }

  Cluster cluster{3, {"a", "b"}};
};

TEST_F(Room, the_reserve_is_left_free_and_a_replica_is_given_up_before_it_is_touched) {
  make(12 * mib, 4 * mib);
  cluster.isolate("b");
  write(40);
  EXPECT_TRUE(has_event("is not kept any longer for b")) << cluster.events("a");
  EXPECT_GE(free_on_log_disk(), 4 * mib);
  cluster.rejoin("b");
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("b");
}

// What is being sent over a slow link holds a file of the log: its reader was waited for (P3).
TEST_F(Room, a_replica_behind_a_slow_link_holds_up_nobody) {
  make(12 * mib, 4 * mib);
  cluster.world().network().set_link("a", "b", {.bytes_per_second = 20'000});
  const io::Instant begun = cluster.world().now();
  write(40);
  EXPECT_LT(cluster.world().now() - begun, 10s);
  EXPECT_TRUE(has_event("is not kept any longer for b")) << cluster.events("a");
  cluster.world().network().set_link("a", "b", {});
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("b");
}

TEST_F(Room, a_full_log_disk_still_takes_a_release) {
  make(12 * mib, 4 * mib);
  fill(4 * mib);
  write(2);
  EXPECT_EQ(cluster.run("b", "primary mydata").code, ExitCode::done) << cluster.events("a");
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("a");
}

// A fetched batch waits for room that only replay can make, and replay was paused.
TEST_F(Room, a_replica_with_a_full_log_and_a_paused_replay_is_forced) {
  make(12 * mib, 4 * mib);
  ASSERT_EQ(cluster.run("b", "primary mydata").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "pause-replay mydata").code, ExitCode::done);
  for (int i = 0; i < 2048 && cluster.state("a", "mydata") != State::waiting_for_space; ++i) {
    ASSERT_EQ(cluster.write("b", "mydata", static_cast<uint64_t>(i % 64), 'w'), Status::ok);
  }
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::waiting_for_space)) << cluster.events("a");
  cluster.isolate("b");
  ASSERT_TRUE(cluster.wait([&] { return !cluster.connected("a", "b"); }));
  EXPECT_EQ(cluster.run("a", "primary mydata --force").code, ExitCode::done) << cluster.events("a");
}

TEST_F(Room, a_resource_that_would_begin_inside_the_reserve_is_refused) {
  make(12 * mib, 4 * mib);
  fill(4 * mib);
  disks().add_device("/dev/sdc", 4 * mib);
  const control::Answer answer = cluster.run("a", "create-resource other /dev/sdc");
  EXPECT_NE(answer.code, ExitCode::done);
  EXPECT_NE(answer.text.find("log"), std::string::npos) << answer.text;
}

TEST_F(Room, what_was_given_up_goes_before_a_replica_does) {
  make(14 * mib, 0);
  write(4);
  ASSERT_TRUE(cluster.all_up_to_date("mydata"));
  ASSERT_EQ(cluster.run("b", "primary mydata").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "invalidate mydata").code, ExitCode::done);
  ASSERT_TRUE(cluster.all_up_to_date("mydata"));
  EXPECT_FALSE(kept().empty());
  ASSERT_EQ(cluster.run("a", "primary mydata").code, ExitCode::done);
  cluster.isolate("b");
  write(44);
  const std::string events = cluster.events("a");
  const size_t branch = events.find("of given-up history were removed");
  const size_t replica = events.find("is not kept any longer for b");
  EXPECT_NE(branch, std::string::npos) << events;
  EXPECT_NE(replica, std::string::npos) << events;
  EXPECT_LT(branch, replica);
  EXPECT_TRUE(kept().empty());
}

TEST_F(Room, given_up_histories_are_kept_within_a_bound) {
  make(200 * mib, 0);
  cluster.stop("a");
  const std::string branch = "/log/resources/" + disks().list("/log/resources").at(0).name + "/branch/";
  SimMachine& other = cluster.host("a").process("past");
  for (int generation = 10; generation < 30; ++generation) {
    io::OpenOptions options;
    options.create = true;
    const std::string path = branch + "g000000" + std::to_string(generation) + "-000001-0000000000000000-x.seg";
    auto file = cluster.world().run(other, other.storage().open(path, options));
    ASSERT_TRUE(file.has_value());
    ASSERT_EQ(cluster.world().run(other, io::allocate(**file, 0, mib)), Status::ok);
  }
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_TRUE(cluster.wait([&] { return has_event("4096 KiB of given-up history were removed"); }));
  EXPECT_EQ(kept().size(), 16u);
  EXPECT_TRUE(kept().front().name.starts_with("g00000014")) << kept().front().name;
}

// Acknowledged writes of a marsd that was killed find no room in the log: that is what is said, and they wait.
TEST_F(Room, what_a_killed_marsd_had_acknowledged_waits_for_room) {
  make(12 * mib, 0);
  fill(0);
  disks().drive("/dev/sdb").stick();
  for (uint64_t block = 0; block < 800; ++block) {
    ASSERT_EQ(cluster.write("a", "mydata", block, 'k'), Status::ok);
  }
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::waiting_for_space)) << cluster.events("a");
  cluster.kill("a");
  disks().drive("/dev/sdb").unstick();
  ASSERT_TRUE(cluster.start("a").has_value());
  cluster.run_for(20s);
  EXPECT_FALSE(has_event("log-failed")) << cluster.events("a");
  remove_hog();
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << cluster.events("a");
  for (uint64_t block = 0; block < 800; ++block) ASSERT_EQ(cluster.read("a", "mydata", block), 'k') << block;
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("a");
}

// Whoever brings them in holds the turn, and the log is kept for a replica that is silent: room is made beside.
TEST_F(Room, room_is_made_beside_whoever_waits_for_it) {
  make(12 * mib, 0);
  fill(0);
  disks().drive("/dev/sdb").stick();
  for (uint64_t block = 0; block < 800; ++block) {
    ASSERT_EQ(cluster.write("a", "mydata", block, 'k'), Status::ok);
  }
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::waiting_for_space)) << cluster.events("a");
  cluster.kill("a");
  disks().drive("/dev/sdb").unstick();
  cluster.isolate("b");
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << cluster.events("a");
  EXPECT_EQ(cluster.read("a", "mydata", 799), 'k');
}

TEST_F(Room, a_stop_does_not_wait_for_a_disk_that_does_nothing) {
  make(64 * mib, 0);
  disks().drive("/dev/sdb").stick();
  ASSERT_EQ(cluster.write("a", "mydata", 3, 's'), Status::ok);
  SimMachine& machine = cluster.host("a").machine();
  const io::Instant begun = cluster.world().now();
  cluster.world().run(machine, cluster.node("a").stop());
  EXPECT_TRUE(cluster.node("a").is_stuck());
  EXPECT_LT(cluster.world().now() - begun, 60s);
  cluster.kill("a");
  disks().drive("/dev/sdb").unstick();
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << cluster.events("a");
  EXPECT_TRUE(has_event("do not answer")) << cluster.events("a");
  EXPECT_EQ(cluster.read("a", "mydata", 3), 's');
}

Task<void> write_then_tell(SimDevice& device, bool& is_written) {
  AlignedBuffer block(Cluster::block_bytes);
  is_written = co_await device.write(0, block.span()) == Status::ok;
}

constexpr uint64_t pool_share_blocks = 819;  // what one resource may have of a pool of 4 MiB: four fifths

TEST_F(Room, who_waits_for_memory_because_the_data_disk_hangs_is_told) {
  make(64 * mib, 0);
  disks().drive("/dev/sdb").stick();
  for (uint64_t block = 0; block < pool_share_blocks; ++block) {
    ASSERT_EQ(cluster.write("a", "mydata", block, 'm'), Status::ok);
  }
  bool is_written = false;
  cluster.host("a").machine().scope().spawn(write_then_tell(*cluster.device("a", "mydata"), is_written));
  const auto reason = [&] { return cluster.replica("a", "mydata", "a")->reason; };
  EXPECT_TRUE(cluster.wait([&] { return reason().find("the data disk takes nothing") != std::string::npos; }));
  EXPECT_FALSE(is_written);
  disks().drive("/dev/sdb").unstick();
  EXPECT_TRUE(cluster.wait([&] { return is_written && reason().empty(); })) << reason();
}

TEST_F(Room, a_handover_does_not_wait_for_a_disk_that_does_nothing) {
  make(64 * mib, 0);
  disks().drive("/dev/sdb").stick();
  ASSERT_EQ(cluster.write("a", "mydata", 3, 's'), Status::ok);
  const io::Instant begun = cluster.world().now();
  const auto answer = cluster.run("b", "primary mydata");
  EXPECT_EQ(answer.code, ExitCode::refused) << answer.text;
  EXPECT_NE(answer.text.find("/dev/sdb"), std::string::npos) << answer.text;
  EXPECT_LT(cluster.world().now() - begun, 60s);
  EXPECT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << cluster.events("a");
  EXPECT_EQ(cluster.run("a", "secondary mydata").code, ExitCode::done);
  const auto reason = [&] { return cluster.replica("a", "mydata", "a")->reason; };
  EXPECT_TRUE(cluster.wait([&] { return reason().find("does not take") != std::string::npos; })) << reason();
  disks().drive("/dev/sdb").unstick();
  EXPECT_EQ(cluster.run("b", "primary mydata").code, ExitCode::done) << cluster.events("a");
  EXPECT_EQ(cluster.read("b", "mydata", 3), 's');
}

TEST_F(Room, a_resource_whose_data_disk_hangs_leaves_memory_for_the_others) {
  make(64 * mib, 0);
  disks().add_device("/dev/sdc", Cluster::disk_bytes);
  ASSERT_EQ(cluster.run("a", "create-resource other /dev/sdc").code, ExitCode::done);
  disks().drive("/dev/sdb").stick();
  for (uint64_t block = 0; block < pool_share_blocks; ++block) {
    ASSERT_EQ(cluster.write("a", "mydata", block, 'm'), Status::ok);
  }
  bool is_written = false;
  cluster.host("a").machine().scope().spawn(write_then_tell(*cluster.device("a", "mydata"), is_written));
  for (uint64_t block = 0; block < 1024; ++block) {
    ASSERT_EQ(cluster.write("a", "other", block % 512, 'o'), Status::ok);
  }
  EXPECT_EQ(cluster.flush("a", "other"), Status::ok);
  EXPECT_FALSE(is_written);
  disks().drive("/dev/sdb").unstick();
  EXPECT_TRUE(cluster.wait([&] { return is_written; }));
}

Task<void> write_through(SimDevice& device, uint64_t block, uint64_t& answered) {
  AlignedBuffer bytes(Cluster::block_bytes);
  const Status status = co_await device.write(block * Cluster::block_bytes, bytes.span(), true);
  EXPECT_TRUE(status == Status::ok || status == Status::io_error) << name(status);
  ++answered;
}

TEST_F(Room, a_stop_answers_what_waits_for_room_that_nobody_can_make) {
  constexpr uint64_t count = 400;
  make(12 * mib, 0);
  fill(mib / 2);
  uint64_t answered = 0;
  SimMachine& machine = cluster.host("a").machine();
  for (uint64_t block = 0; block < count; ++block) {
    machine.scope().spawn(write_through(*cluster.device("a", "mydata"), block, answered));
  }
  cluster.world().run_until([] { return false; }, 10us);  // they are inside
  cluster.stop("a");
  EXPECT_EQ(answered, count);
  remove_hog();
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_FALSE(has_event("do not answer")) << cluster.events("a");
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("a");
}

// Each reign begins in a file of its own, and takes the control segment when there is no room for one.
TEST_F(Room, crash_after_crash_does_not_use_up_the_reserve) {
  make(12 * mib, 4 * mib);
  cluster.isolate("b");
  while (free_on_log_disk() >= 6 * mib) {
    write(1);
    ASSERT_EQ(cluster.flush("a", "mydata"), Status::ok);
  }
  cluster.run_for(8s);  // nothing is left that would ask for room
  EXPECT_FALSE(has_event("not kept any longer for b"));
  for (int round = 0; round < 6; ++round) {
    cluster.kill("a");
    ASSERT_TRUE(cluster.start("a").has_value());
    ASSERT_TRUE(cluster.wait([&] { return cluster.is_primary("a", "mydata"); })) << cluster.events("a");
    cluster.run_for(8s);
    EXPECT_GE(free_on_log_disk(), 3 * mib) << round;
  }
  cluster.rejoin("b");
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("b");
}

// The size of the memory is asked for anew after a clean end; what a killed marsd had there stays as it is.
TEST_F(Room, memory_of_another_size_counts_after_a_clean_end) {
  make(64 * mib, 0);
  ASSERT_EQ(cluster.write("a", "mydata", 3, 'p'), Status::ok);
  const size_t before = cluster.host("a").pools().at("pool")->size();
  cluster.options("a").pool_bytes = 8 * mib;
  cluster.kill("a");
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_EQ(cluster.host("a").pools().at("pool")->size(), before);
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::up_to_date)) << cluster.events("a");
  cluster.stop("a");
  EXPECT_FALSE(cluster.host("a").pools().contains("pool"));
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_GT(cluster.host("a").pools().at("pool")->size(), before);
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::up_to_date)) << cluster.events("a");
  EXPECT_EQ(cluster.read("a", "mydata", 3), 'p');
}

TEST_F(Room, a_state_disk_that_is_full_at_the_start_is_waited_for) {
  make(64 * mib, 0);
  ASSERT_EQ(cluster.write("a", "mydata", 3, 'p'), Status::ok);
  cluster.kill("a");
  disks().file_system("/").set_capacity(0);
  ASSERT_TRUE(cluster.start("a").has_value());
  cluster.run_for(20s);
  EXPECT_TRUE(has_event("the cluster could not be opened")) << cluster.events("a");
  disks().file_system("/").set_capacity(64 * mib);
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::up_to_date)) << cluster.events("a");
  EXPECT_EQ(cluster.read("a", "mydata", 3), 'p');
}

TEST_F(Room, the_pool_stays_when_the_end_was_not_clean) {
  make(64 * mib, 0);
  disks().drive("/dev/sdb").stick();
  ASSERT_EQ(cluster.write("a", "mydata", 3, 'p'), Status::ok);
  cluster.kill("a");
  disks().drive("/dev/sdb").unstick();
  disks().mount("/elsewhere", FileSystemOptions{});
  cluster.options("a").log_directory = "/elsewhere";  // the log disk is not mounted: nothing is opened
  ASSERT_TRUE(cluster.start("a").has_value());
  cluster.run_for(5s);
  cluster.stop("a");
  EXPECT_TRUE(cluster.host("a").pools().contains("pool"));
  cluster.options("a").log_directory = "/log";
  ASSERT_TRUE(cluster.start("a").has_value());
  EXPECT_TRUE(cluster.wait_state("a", "mydata", State::up_to_date)) << cluster.events("a");
  EXPECT_EQ(cluster.read("a", "mydata", 3), 'p');
}

TEST_F(Room, a_stop_waits_for_a_disk_that_is_slow) {
  make(64 * mib, 0);
  disks().drive("/dev/sdb").set_slowness(1000);
  write(1);
  cluster.world().run(cluster.host("a").machine(), cluster.node("a").stop());
  EXPECT_FALSE(cluster.node("a").is_stuck());
}

}  // namespace
}  // namespace mars::sim
