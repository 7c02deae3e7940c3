// Found by storms (sim/storm): each seed that failed, reduced to the film that shows what was wrong.
#include <gtest/gtest.h>

#include "base/aligned.h"
#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::ExitCode;
using control::State;

// mydata on a (primary), b and c.
class Found : public testing::Test {
 protected:
  void make(uint64_t seed) {
    cluster = std::make_unique<Cluster>(seed, std::vector<std::string>{"a", "b", "c"});
    cluster->form();
    cluster->make_resource("mydata");
  }
  void write(const std::string& host, uint64_t first, uint64_t last, char value) {
    for (uint64_t block = first; block < last; ++block) {
      ASSERT_EQ(cluster->write(host, "mydata", block, value), Status::ok);
    }
    ASSERT_EQ(cluster->flush(host, "mydata"), Status::ok);
  }
  // `host` is out of sight, and `other` is forced.
  void force(const std::string& host, const std::string& other) {
    cluster->isolate(host);
    ASSERT_TRUE(cluster->wait([&] { return !cluster->connected(other, host); }));
    EXPECT_EQ(cluster->run(other, "primary mydata --force --now").code, ExitCode::done);
  }
  void expect_whole() { EXPECT_TRUE(cluster->all_up_to_date("mydata")) << all_events(*cluster, {"a", "b", "c"}); }
  std::string folder(const std::string& host) {
    const std::string resources = "/var/lib/mars/resources";
    return resources + "/" + cluster->host(host).disks().list(resources).front().name;
  }
  // The newest segment file of the host, where its batches begin.
  std::string newest_segment(const std::string& host) {
    Disks& disks = cluster->host(host).disks();
    const std::string log = folder(host) + "/log";
    std::string newest;
    for (const io::DirectoryEntry& entry : disks.list(log)) {
      if (entry.name.ends_with(".seg") && entry.name > newest) newest = entry.name;
    }
    return log + "/" + newest;
  }
  std::unique_ptr<Cluster> cluster;
};

TEST_F(Found, a_deposed_primary_that_wrote_nothing_since_steps_down_by_itself) {
  make(71);
  force("a", "b");
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
  cluster->rejoin("a");
  expect_whole();
  EXPECT_FALSE(cluster->is_primary("a", "mydata"));
  EXPECT_TRUE(cluster->is_primary("b", "mydata"));
}

TEST_F(Found, a_deposed_primary_in_use_says_so_and_follows_when_it_is_free) {
  make(711);
  cluster->set_in_use("a", "mydata", true);
  force("a", "b");
  cluster->rejoin("a");
  EXPECT_TRUE(cluster->wait_state("a", "mydata", State::fork));
  cluster->run_for(5s);
  EXPECT_TRUE(cluster->is_primary("a", "mydata"));
  cluster->set_in_use("a", "mydata", false);
  expect_whole();
}

// The replicas cannot fetch the log behind the damage from anybody, and said that they were up to date.
TEST_F(Found, damage_in_the_log_of_the_primary_sends_its_replicas_to_a_sync) {
  make(72);
  cluster->isolate("a");
  write("a", 0, 20, 'd');
  // 4 KiB of header, and the first batch of the epoch.
  cluster->host("a").disks().flip(newest_segment("a"), 4 * 4096 + 100);
  cluster->rejoin("a");
  expect_whole();
  EXPECT_EQ(cluster->on_disk("b", 19), 'd');
  EXPECT_EQ(cluster->on_disk("c", 19), 'd');
}

// It was synced from the release on, looked for the release in its own log, and said for ever that the right to write
// was still here.
TEST_F(Found, who_is_synced_behind_its_own_release_holds_nothing) {
  make(95);
  EXPECT_EQ(cluster->run("c", "primary mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("c", "detach mydata").code, ExitCode::done);
  cluster->kill("a");
  cluster->host("a").disks().remove_device("/dev/sdb");
  cluster->host("a").disks().add_device("/dev/sdb", Cluster::disk_bytes);
  ASSERT_TRUE(cluster->start("a").has_value());
  ASSERT_TRUE(cluster->wait_state("a", "mydata", State::disk_changed));
  EXPECT_EQ(cluster->run("a", "attach mydata --accept-disk").code, ExitCode::done);
  EXPECT_TRUE(cluster->wait_state("a", "mydata", State::up_to_date));
  EXPECT_EQ(cluster->run("c", "up mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster->wait([&] { return cluster->is_primary("c", "mydata"); }));
  write("c", 0, 20, 'c');
  expect_whole();
}

// c begins inside b's reign, of which b has more: b is the one that sees a rival, and either may be given up.
TEST_F(Found, of_two_forced_primaries_either_may_be_invalidated) {
  make(124);
  force("a", "b");
  cluster->rejoin("a");
  expect_whole();
  force("b", "c");
  write("b", 0, 20, 'b');
  cluster->power_loss("b");
  ASSERT_TRUE(cluster->start("b").has_value());
  force("c", "b");
  cluster->rejoin("b");
  cluster->rejoin("c");
  EXPECT_TRUE(cluster->wait_state("c", "mydata", State::fork)) << cluster->events("c");
  const control::Answer answer = cluster->run("c", "invalidate mydata");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text;
  EXPECT_EQ(cluster->run("a", "invalidate mydata").code, ExitCode::done);
  expect_whole();
  EXPECT_EQ(cluster->on_disk("c", 19), 'b');
}

// A log that is not open yet does not say whether the right to write is in it: the only host that had the latest writes
// left, and came back without them.
TEST_F(Found, who_is_still_opening_does_not_leave_with_the_right_to_write) {
  make(227);
  write("a", 0, 20, 'w');
  cluster->kill("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  EXPECT_EQ(cluster->run("a", "leave-resource mydata").code, ExitCode::refused);
  expect_whole();
  EXPECT_EQ(cluster->on_disk("b", 19), 'w');
}

TEST_F(Found, who_may_have_the_right_to_write_does_not_leave_while_its_log_is_closed) {
  make(905);
  EXPECT_EQ(cluster->run("a", "detach mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("b", "detach mydata").code, ExitCode::done);
  const control::Answer answer = cluster->run("a", "leave-resource mydata");
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_NE(answer.next_step, "");
  EXPECT_EQ(cluster->run("a", "attach mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster->wait_state("a", "mydata", State::up_to_date));
  EXPECT_EQ(cluster->run("b", "leave-resource mydata").code, ExitCode::done);
}

// After a write of the store failed, every command said "could not be written down", for ever.
TEST_F(Found, a_failed_metadata_store_is_told_with_the_next_step_and_a_restart_mends_it) {
  make(53);
  cluster->host("c").disks().fail({.path = "/var/lib/mars/meta.db", .op = DiskOp::flush});
  EXPECT_EQ(cluster->run("c", "pause-fetch mydata").code, ExitCode::failed);
  const control::Answer answer = cluster->run("c", "pause-fetch mydata");
  EXPECT_NE(answer.next_step.find("restart marsd"), std::string::npos) << answer.next_step;
  EXPECT_FALSE(cluster->status("c").warnings.empty());
  cluster->stop("c");
  ASSERT_TRUE(cluster->start("c").has_value());
  EXPECT_EQ(cluster->run("c", "up mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster->status("c").warnings.empty());
  expect_whole();
}

// It said "done", and no other host ever heard of the replica.
TEST_F(Found, a_join_that_the_cluster_cannot_be_told_of_is_not_done) {
  make(54);
  EXPECT_EQ(cluster->run("c", "leave-resource mydata").code, ExitCode::done);
  cluster->host("c").disks().fail({.path = "/var/lib/mars/meta.db", .op = DiskOp::flush});
  EXPECT_EQ(cluster->run("c", "set mydata flush-interval 1s").code, ExitCode::failed);
  const control::Answer answer = cluster->run("c", "join-resource mydata /dev/sdb --overwrite");
  EXPECT_EQ(answer.code, ExitCode::failed) << answer.text;
  EXPECT_NE(answer.next_step.find("restart marsd"), std::string::npos) << answer.next_step;
  cluster->stop("c");
  ASSERT_TRUE(cluster->start("c").has_value());
  expect_whole();
}

// The second one began while the first one made the replica, and replaced it as it ran.
TEST_F(Found, two_joins_at_once_make_one_replica) {
  make(1383);
  EXPECT_EQ(cluster->run("c", "leave-resource mydata").code, ExitCode::done);
  const auto one = cluster->begin("c", "join-resource mydata /dev/sdb --overwrite");
  const auto other = cluster->begin("c", "join-resource mydata /dev/sdb --overwrite");
  EXPECT_EQ(cluster->finish(*one).code, ExitCode::done);
  EXPECT_NE(cluster->finish(*other).code, ExitCode::done);
  expect_whole();
}

TEST_F(Found, a_replica_that_was_detached_before_the_start_has_its_next_step) {
  make(38);
  EXPECT_EQ(cluster->run("c", "down mydata").code, ExitCode::done);
  cluster->kill("c");
  ASSERT_TRUE(cluster->start("c").has_value());
  EXPECT_TRUE(cluster->wait([&] { return cluster->connected("c", "a"); }));
  EXPECT_NE(cluster->replica("c", "mydata", "c")->next_step, "");
}

// It began again every second for ever, and nothing said why.
TEST_F(Found, a_sync_that_cannot_write_its_state_says_so) {
  make(1293);
  EXPECT_EQ(cluster->run("c", "pause-sync mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("c", "invalidate mydata").code, ExitCode::done);
  const std::string state = folder("c") + "/state";
  cluster->host("c").disks().fail({.path = state, .op = DiskOp::flush, .status = Status::no_space});
  EXPECT_EQ(cluster->run("c", "resume-sync mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster->wait_state("c", "mydata", State::log_failed)) << cluster->events("c");
  EXPECT_EQ(cluster->run("c", "detach mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("c", "attach mydata").code, ExitCode::done);
  expect_whole();
}

// Its log began where it cut its tail off: the hash of that position was taken for zero, and everything that others
// sent was refused, for ever.
TEST_F(Found, an_empty_reign_is_dropped_down_to_where_the_log_begins) {
  make(381);
  cluster->isolate("b");
  EXPECT_EQ(cluster->run("c", "primary mydata").code, ExitCode::done);
  ASSERT_TRUE(cluster->wait([&] { return !cluster->connected("b", "a") && !cluster->connected("b", "c"); }));
  EXPECT_EQ(cluster->run("b", "primary mydata --force").code, ExitCode::done);
  cluster->rejoin("b");
  expect_whole();
  EXPECT_TRUE(cluster->is_primary("b", "mydata"));
}

// The others remembered more of its reign than it had, and so it was no source for those who had nothing.
TEST_F(Found, who_was_forced_after_a_loss_is_a_source_for_the_others) {
  make(241);
  cluster->host("a").disks().drive("/dev/sdb").stick();
  for (uint64_t block = 0; block < 20; ++block) {
    ASSERT_EQ(cluster->write("a", "mydata", block, 'l'), Status::ok);
    ASSERT_EQ(cluster->flush("a", "mydata"), Status::ok);
  }
  ASSERT_TRUE(cluster->wait([&] { return cluster->on_disk("b", 19) == 'l' && cluster->on_disk("c", 19) == 'l'; }));
  const std::string segment = newest_segment("a");
  cluster->kill("a");
  cluster->host("a").disks().drive("/dev/sdb").unstick();
  // Behind the header, the epoch and some batches.
  cluster->host("a").disks().break_sector(segment, 9 * 4096);
  for (const char* host : {"b", "c"}) {
    cluster->kill(host);
    cluster->host(host).disks().remove_device("/dev/sdb");
    cluster->host(host).disks().add_device("/dev/sdb", Cluster::disk_bytes);
  }
  for (const char* host : {"a", "b", "c"}) ASSERT_TRUE(cluster->start(host).has_value());
  ASSERT_TRUE(cluster->wait_state("a", "mydata", State::log_damaged)) << cluster->events("a");
  for (const char* host : {"b", "c"}) {
    EXPECT_EQ(cluster->run(host, "attach mydata --accept-disk").code, ExitCode::done);
  }
  EXPECT_EQ(cluster->run("a", "attach mydata --accept-loss").code, ExitCode::done);
  const control::Answer answer = cluster->run("a", "primary mydata --force --now");
  EXPECT_EQ(answer.code, ExitCode::done) << answer.text;
  expect_whole();
}

// Rewriting what a log file holds went beyond its last batch, and stumbled over a place that nobody needs.
TEST_F(Found, what_cannot_be_read_behind_the_last_batch_of_a_file_is_no_damage) {
  make(451);
  EXPECT_EQ(cluster->run("b", "pause-replay mydata").code, ExitCode::done);
  EXPECT_TRUE(cluster->wait_state("b", "mydata", State::paused));
  AlignedBuffer run(60 << 10);
  write("a", 0, 1, 'w');
  cluster->run_for(200ms);
  const std::string first = newest_segment("b");
  while (newest_segment("b") == first) {
    const Status status =
        cluster->world().run(cluster->host("a").machine(), cluster->device("a", "mydata")->write(0, run.span()));
    ASSERT_EQ(status, Status::ok);
    cluster->run_for(200ms);
  }
  Disks& disks = cluster->host("b").disks();
  cluster->kill("b");
  disks.break_sector(first, disks.file_bytes(first) - 512);
  ASSERT_TRUE(cluster->start("b").has_value());
  EXPECT_EQ(cluster->run("b", "resume-replay mydata").code, ExitCode::done);
  expect_whole();
}

// Each took the other's report for the truth, and no whole copy was left.
TEST_F(Found, of_two_that_are_given_up_at_once_one_stays) {
  make(98);
  EXPECT_EQ(cluster->run("b", "leave-resource mydata").code, ExitCode::done);
  force("a", "c");
  write("a", 0, 1, 'a');
  write("c", 0, 1, 'c');
  cluster->rejoin("a");
  EXPECT_TRUE(cluster->wait_state("a", "mydata", State::fork));
  EXPECT_TRUE(cluster->wait_state("c", "mydata", State::up_to_date) || cluster->wait_state("c", "mydata", State::fork));
  const auto one = cluster->begin("a", "invalidate mydata");
  const auto other = cluster->begin("c", "invalidate mydata");
  const bool is_one = cluster->finish(*one).code == ExitCode::done;
  const bool is_other = cluster->finish(*other).code == ExitCode::done;
  EXPECT_FALSE(is_one && is_other);
  if (!is_one && !is_other) EXPECT_EQ(cluster->run("a", "invalidate mydata").code, ExitCode::done);
  for (const char* host : {"a", "c"}) EXPECT_TRUE(cluster->wait_state(host, "mydata", State::up_to_date));
}

// A log write failed under acknowledged writes; looking at the failed log again and again gave their memory up, and a
// clean stop lost them.
TEST_F(Found, what_a_failed_log_did_not_take_is_there_after_a_clean_stop) {
  make(6);
  cluster->host("a").disks().fail({.path = folder("a") + "/log/", .op = DiskOp::write});
  for (uint64_t block = 0; block < 20; ++block) {
    ASSERT_EQ(cluster->write("a", "mydata", block, 'k'), Status::ok);
  }
  EXPECT_NE(cluster->flush("a", "mydata"), Status::ok);
  EXPECT_EQ(cluster->run("a", "secondary mydata").code, ExitCode::done);
  EXPECT_EQ(cluster->run("a", "primary mydata --timeout 3s").code, ExitCode::failed);
  cluster->stop("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  expect_whole();
  EXPECT_EQ(cluster->read("a", "mydata", 19), 'k');
}

// "deleted" was said although the log was still there.
TEST_F(Found, a_log_that_cannot_be_removed_is_told_and_goes_with_the_next_start) {
  make(7);
  const std::string its = folder("a");
  cluster->host("a").disks().fail({.path = its, .op = DiskOp::change, .times = Fault::forever});
  const control::Answer answer = cluster->run("a", "delete-resource mydata --force");
  EXPECT_EQ(answer.code, ExitCode::failed);
  EXPECT_NE(answer.text.find("could not be removed"), std::string::npos) << answer.text;
  cluster->host("a").disks().heal();
  cluster->stop("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  EXPECT_TRUE(cluster->wait([&] { return !cluster->host("a").disks().exists(its); }));
}

// The data disk was said to have failed.
TEST_F(Found, a_log_that_cannot_be_read_for_replay_is_log_damaged) {
  for (const bool is_given_up : {false, true}) {
    make(69);
    EXPECT_EQ(cluster->run("b", "pause-replay mydata").code, ExitCode::done);
    EXPECT_TRUE(cluster->wait_state("b", "mydata", State::paused));
    write("a", 0, 20, 'r');
    ASSERT_TRUE(cluster->wait([&] {
      return cluster->replica("b", "mydata", "b")->durable_lsn > cluster->replica("b", "mydata", "b")->applied_lsn;
    }));
    cluster->host("b").disks().break_sector(newest_segment("b"), 5 * 4096);
    EXPECT_EQ(cluster->run("b", "resume-replay mydata").code, ExitCode::done);
    EXPECT_TRUE(cluster->wait_state("b", "mydata", State::log_damaged)) << cluster->events("b");
    const std::string advice = cluster->replica("b", "mydata", "b")->next_step;
    EXPECT_NE(advice.find("marsadm attach mydata"), advice.npos) << advice;
    if (is_given_up) {
      EXPECT_EQ(cluster->run("b", "invalidate mydata").code, ExitCode::done);
    } else {
      EXPECT_EQ(cluster->run("b", "detach mydata").code, ExitCode::done);
      EXPECT_EQ(cluster->run("b", "attach mydata").code, ExitCode::done);
    }
    expect_whole();
  }
}

Task<void> write_block(SimDevice& device, uint64_t block) {
  AlignedBuffer buffer(4096);
  static_cast<void>(co_await device.write(block * 4096, buffer.span()));
}

// A power failure could still take it back here (D6).
TEST_F(Found, what_is_not_durable_is_not_shipped) {
  make(5);
  write("a", 0, 1, 'w');
  const auto durable = [&](const std::string& host) { return cluster->replica(host, "mydata", host)->durable_lsn; };
  ASSERT_TRUE(cluster->wait([&] { return durable("b") == durable("a"); }));
  cluster->host("a").disks().fail({.path = folder("a") + "/log/", .op = DiskOp::flush, .times = Fault::forever});
  for (uint64_t block = 0; block < 200; ++block) {
    cluster->host("a").machine().scope().spawn(write_block(*cluster->device("a", "mydata"), block));
  }
  EXPECT_TRUE(cluster->wait_state("a", "mydata", State::log_failed));
  cluster->run_for(3s);
  EXPECT_LE(*durable("b"), *durable("a"));
}

// A log that rots could bring the right back, if only the log said that it is gone (T3).
TEST_F(Found, a_release_does_not_leave_before_the_state_block_knows_of_it) {
  make(12);
  cluster->host("a").disks().fail({.path = folder("a") + "/state", .op = DiskOp::write, .times = Fault::forever});
  EXPECT_NE(cluster->run("b", "primary mydata --timeout 5s").code, ExitCode::done);
  cluster->run_for(10s);
  EXPECT_FALSE(cluster->is_primary("b", "mydata")) << all_events(*cluster, {"a", "b"});
  cluster->host("a").disks().heal();
  cluster->stop("a");
  ASSERT_TRUE(cluster->start("a").has_value());
  ASSERT_TRUE(cluster->wait([&] { return cluster->all_connected(); }));
  EXPECT_EQ(cluster->run("b", "primary mydata").code, ExitCode::done) << all_events(*cluster, {"a", "b"});
  expect_whole();
}

}  // namespace
}  // namespace mars::sim
