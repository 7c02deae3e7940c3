// What operators get wrong: each has a clear refusal with the next step, and nothing is lost.
#include <gtest/gtest.h>

#include "sim/cluster/cluster.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;
using control::Answer;
using control::ExitCode;
using control::State;

class BadInput : public testing::Test {
 protected:
  void SetUp() override { cluster.form(); }
  void create() { ASSERT_EQ(cluster.run("a", "create-resource mydata /dev/sdb").code, ExitCode::done); }
  void join() {
    ASSERT_TRUE(cluster.wait([&] { return cluster.status("b").resources.size() == 1; }));
    ASSERT_EQ(cluster.run("b", "join-resource mydata /dev/sdb").code, ExitCode::done);
    ASSERT_TRUE(cluster.all_up_to_date("mydata"));
  }
  // It is refused with this code, says this and what to do, and nothing has begun.
  void expect(const std::string& host, const std::string& line, ExitCode code, const std::string& text) {
    const Answer answer = cluster.run(host, line);
    EXPECT_EQ(answer.code, code) << line << ": " << answer.text;
    EXPECT_NE(answer.text.find(text), std::string::npos) << line << ": " << answer.text;
    const bool has_step = !answer.next_step.empty() || answer.text.find("; ") != std::string::npos;
    EXPECT_TRUE(has_step || code == ExitCode::usage) << line << ": what is to be done? " << answer.text;
  }
  Cluster cluster{1, {"a", "b"}};
};

TEST_F(BadInput, names_and_paths) {
  expect("a", "create-resource MyData /dev/sdb", ExitCode::usage, "no name");
  expect("a", "create-resource all /dev/sdb", ExitCode::usage, "no name");
  expect("a", "create-resource mydata sdb", ExitCode::usage, "absolute path");
  expect("a", "create-resource mydata /dev/none", ExitCode::refused, "no disk /dev/none");
  expect("a", "create-resource mydata /dev/mars/x", ExitCode::refused, "device of MARS");
  expect("a", "create-resource mydata /dev/sdb --size 1G", ExitCode::refused, "has only");
  expect("a", "view mydata", ExitCode::not_found, "mydata");
  expect("a", "primary mydata", ExitCode::not_found, "mydata");
  create();
  expect("a", "view mydatta", ExitCode::not_found, "did you mean");
  expect("a", "set mydata open-wat 5s", ExitCode::not_found, "open-wait");
  expect("a", "set mydata open-wait never", ExitCode::usage, "open-wait");
}

TEST_F(BadInput, one_name_and_one_disk_for_one_resource) {
  create();
  expect("a", "create-resource mydata /dev/sdc", ExitCode::refused, "already");
  expect("a", "create-resource other /dev/sdb", ExitCode::refused, "in use");
  ASSERT_EQ(cluster.run("a", "detach mydata").code, ExitCode::done);
  expect("a", "create-resource other /dev/sdb", ExitCode::refused, "mydata");
}

TEST_F(BadInput, a_disk_that_somebody_holds) {
  SimMachine& other = cluster.host("a").process("mount");
  io::OpenOptions exclusive;
  exclusive.exclusive = true;
  auto file = cluster.world().run(other, other.storage().open("/dev/sdb", exclusive));
  ASSERT_TRUE(file.has_value());
  expect("a", "create-resource mydata /dev/sdb", ExitCode::refused, "in use");
}

TEST_F(BadInput, a_disk_that_is_too_small_or_carries_something) {
  create();
  ASSERT_TRUE(cluster.wait([&] { return cluster.status("b").resources.size() == 1; }));
  cluster.host("b").disks().add_device("/dev/small", 1 << 20);
  expect("b", "join-resource mydata /dev/small", ExitCode::refused, "too small");
  const std::string_view mark = "XFSB";
  cluster.host("b").disks().poke("/dev/sdb", 0, bytes_of(mark));
  expect("b", "join-resource mydata /dev/sdb", ExitCode::refused, "an XFS filesystem");
  EXPECT_EQ(cluster.run("b", "join-resource mydata /dev/sdb --overwrite").code, ExitCode::done);
  expect("b", "join-resource mydata /dev/small", ExitCode::refused, "already");
  EXPECT_TRUE(cluster.all_up_to_date("mydata"));
}

TEST_F(BadInput, larger_blocks_than_the_resource_has) {
  create();
  ASSERT_TRUE(cluster.wait([&] { return cluster.status("b").resources.size() == 1; }));
  cluster.host("b").disks().add_device("/dev/4kn", 8 << 20, {.block_bytes = 4096});
  expect("b", "join-resource mydata /dev/4kn", ExitCode::refused, "blocks of 4096");
}

TEST_F(BadInput, commands_for_a_replica_that_is_not_here) {
  create();
  ASSERT_TRUE(cluster.wait([&] { return cluster.status("b").resources.size() == 1; }));
  for (const char* line : {"attach mydata", "primary mydata", "primary mydata --force", "primary mydata --dry-run",
                           "leave-resource mydata", "graph mydata", "pause-replay mydata"}) {
    expect("b", line, ExitCode::not_found, "this host has no replica of mydata");
  }
  expect("a", "wait-resource mydata --host zz", ExitCode::not_found, "has no replica of mydata");
  expect("a", "issue-client Bob /etc/client", ExitCode::refused, "no name of a client");
  expect("a", "create-resource other /var/lib/mars", ExitCode::refused, "is no disk");
  expect("b", "join-resource mydata /var/lib/mars", ExitCode::refused, "give a block device or a regular file");
}

TEST_F(BadInput, one_other_host_is_no_other_hosts) {
  create();
  join();
  expect("a", "delete-resource mydata", ExitCode::refused, "another host has a replica of mydata");
}

TEST_F(BadInput, events_of_nothing) {
  create();
  expect("a", "events mispelt", ExitCode::not_found, "there is no resource \"mispelt\"");
  ASSERT_EQ(cluster.run("a", "delete-resource mydata").code, ExitCode::done);
  EXPECT_NE(cluster.run("a", "events mydata").text.find("delete-resource"), std::string::npos);
  Cluster alone(1, {"c"});
  EXPECT_EQ(alone.run("c", "events mydata").code, ExitCode::not_found);
  EXPECT_EQ(alone.run("c", "events").code, ExitCode::done);
}

TEST_F(BadInput, files_are_made_only_when_asked) {
  expect("a", "create-resource mydata /disk", ExitCode::refused, "no disk");
  expect("a", "create-resource mydata /no/disk --create-file --size 1M", ExitCode::refused, "directory");
  EXPECT_EQ(cluster.run("a", "create-resource mydata /disk --create-file --size 1M").code, ExitCode::done);
  expect("a", "create-resource other /disk --create-file --size 1M", ExitCode::refused, "exists already");
}

TEST_F(BadInput, dry_runs_change_nothing) {
  EXPECT_EQ(cluster.run("a", "create-resource mydata /dev/sdb --dry-run").code, ExitCode::done);
  EXPECT_TRUE(cluster.status("a").resources.empty());
  create();
  EXPECT_EQ(cluster.run("a", "secondary mydata --dry-run").code, ExitCode::done);
  EXPECT_EQ(cluster.run("a", "delete-resource mydata --dry-run").code, ExitCode::done);
  EXPECT_EQ(cluster.run("a", "down mydata --dry-run").code, ExitCode::done);
  cluster.run_for(3s);
  EXPECT_TRUE(cluster.is_primary("a", "mydata"));
}

// What says yes and is then refused is worse than no dry run at all.
TEST_F(BadInput, dry_runs_refuse_what_the_command_would_refuse) {
  create();
  join();
  EXPECT_EQ(cluster.run("b", "primary mydata --dry-run").code, ExitCode::done);
  cluster.set_in_use("a", "mydata", true);
  cluster.run_for(3s);  // so old may be what b knows of it
  expect("b", "primary mydata --dry-run", ExitCode::refused, "is in use on a");
  cluster.set_in_use("a", "mydata", false);
  EXPECT_EQ(cluster.run("a", "create-resource r2 /file --create-file --size 1M --dry-run").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "create-resource r2 /file --create-file --size 1M").code, ExitCode::done);
  expect("a", "create-resource r3 /file --create-file --size 1M --dry-run", ExitCode::refused, "exists already");
  expect("a", "create-resource r3 /no/file --create-file --size 1M --dry-run", ExitCode::refused, "directory");
  EXPECT_EQ(cluster.run("a", "issue-client client /etc/client --dry-run").code, ExitCode::done);
  ASSERT_EQ(cluster.run("a", "issue-client client /etc/client").code, ExitCode::done);
  expect("a", "issue-client client /etc/client --dry-run", ExitCode::refused, "is there already");
}

// Of two commands that would make it, one does; the other takes nothing away.
TEST_F(BadInput, one_file_is_made_once) {
  for (const io::Duration pause : {0us, 50us, 100us, 200us, 400us, 800us, 1600us, 3200us}) {
    Cluster one_host(2, {"a"});
    one_host.form();
    auto first = one_host.begin("a", "create-resource r1 /file --create-file --size 1M");
    one_host.run_for(pause);
    auto second = one_host.begin("a", "create-resource r2 /file --create-file --size 64K");
    ASSERT_TRUE(one_host.wait([&] { return first->answer && second->answer; }));
    EXPECT_NE(first->answer->code == ExitCode::done, second->answer->code == ExitCode::done)
        << first->answer->text << "; " << second->answer->text;
    const bool has_first = first->answer->code == ExitCode::done;
    EXPECT_EQ(one_host.write("a", has_first ? "r1" : "r2", 1, 'x'), Status::ok);
    ASSERT_TRUE(one_host.host("a").disks().exists("/file"));
    one_host.stop("a");
    ASSERT_TRUE(one_host.start("a").has_value());
    EXPECT_TRUE(one_host.wait([&] { return one_host.is_primary("a", has_first ? "r1" : "r2"); }));
  }
  EXPECT_EQ(cluster.run("a", "create-resource odd /odd --create-file --size 10000").code, ExitCode::done);
  expect("a", "create-resource tiny /tiny --create-file --size 1K", ExitCode::refused, "4 KiB");
}

TEST_F(BadInput, the_only_consistent_copy_is_not_invalidated) {
  create();
  expect("a", "invalidate mydata", ExitCode::refused, "no other host");
}

TEST_F(BadInput, a_data_disk_that_somebody_took_is_a_state_and_comes_back) {
  create();
  join();
  cluster.stop("b");
  SimMachine& other = cluster.host("b").process("mount");
  io::OpenOptions exclusive;
  exclusive.exclusive = true;
  auto file = cluster.world().run(other, other.storage().open("/dev/sdb", exclusive));
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(cluster.start("b").has_value());
  EXPECT_TRUE(cluster.wait_state("b", "mydata", State::disk_missing));
  file->reset();
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("b");
}

// An unmounted log disk is not an empty log.
TEST(LogDisk, an_unmounted_log_disk_is_said_and_nothing_is_served) {
  Cluster cluster(2, {"a", "b"});
  cluster.stop("b");
  cluster.host("b").disks().mount("/log", FileSystemOptions{});
  cluster.options("b").log_directory = "/log";
  ASSERT_TRUE(cluster.start("b").has_value());
  cluster.form();
  cluster.make_resource("mydata");
  cluster.stop("b");
  FileSystem log = cluster.host("b").disks().unmount("/log");
  ASSERT_TRUE(cluster.start("b").has_value());
  EXPECT_TRUE(cluster.wait_state("b", "mydata", State::log_missing));
  EXPECT_FALSE(cluster.status("b").warnings.empty());
  EXPECT_NE(cluster.run("b", "primary mydata").code, ExitCode::done);
  EXPECT_NE(cluster.run("b", "attach mydata").code, ExitCode::done);
  ASSERT_EQ(cluster.write("a", "mydata", 3, 'x'), Status::ok);
  cluster.stop("b");
  cluster.host("b").disks().mount("/log", std::move(log));
  ASSERT_TRUE(cluster.start("b").has_value());
  EXPECT_TRUE(cluster.all_up_to_date("mydata")) << cluster.events("b");
}

}  // namespace
}  // namespace mars::sim
