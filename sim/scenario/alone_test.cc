// Replicas of which marsd cannot read that they are there.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class AloneFilm : public Film {
 protected:
  std::string replica_file(const std::string& host) {
    const std::string folder = "/var/lib/mars/resources/";
    return folder + disks(host).list(folder).at(0).name + "/replica.json";
  }
  void move(const std::string& host, const std::string& from, const std::string& to) {
    EXPECT_EQ(disks(host).file_system("/").rename(from.substr(1), to.substr(1)), Status::ok) << from;
  }
  void hide(const std::string& host) { move(host, replica_file(host), "/var/lib/mars/hidden"); }
  void bring_back(const std::string& host) { move(host, "/var/lib/mars/hidden", replica_file(host)); }
  void expect_view_of_primary(const std::string& host) {
    EXPECT_TRUE(until([&] { return view("a", host).state == State::up_to_date; })) << describe();
  }
  void make_unreadable(const std::string& host) {
    disks(host).fail({.path = replica_file(host), .op = DiskOp::read, .times = Fault::forever});
  }
};

// Attacks: P13, P10
TEST_F(AloneFilm, a_replica_goes_on_when_its_file_can_be_read_again) {
  cast({"a", "b"});
  stop("b");
  make_unreadable("b");
  boot("b");
  expect_state("b", State::failed);
  EXPECT_NE(view("b").reason.find("replica.json cannot be read"), std::string::npos) << describe();
  EXPECT_TRUE(until([&] { return view("b", "a").state == State::failed; })) << describe();
  expect_next_step("b", "goes on by itself");
  expect_exit("b", "join-resource mydata /dev/sdb", ExitCode::refused, "replica.json cannot be read");
  save("a", 0, 40, 'x');
  disks("b").heal();
  expect_event("b", "can be read again");
  expect_equal();
}

// Attacks: D6, P2, F29
TEST_F(AloneFilm, what_a_killed_primary_had_acknowledged_outlives_a_start_that_could_not_read) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  isolate("a");
  write("a", 10, 30, 'y');
  kill("a");
  make_unreadable("a");
  boot("a");
  expect_state("a", State::failed);
  stop("a");
  boot("a");
  expect_state("a", State::failed);
  disks("a").heal();
  rejoin("a");
  expect_primary("a");
  expect_read("a", 10, 30, 'y');
  expect_equal();
}

// Attacks: P13
TEST_F(AloneFilm, a_file_that_somebody_removed_is_missed_and_can_be_brought_back) {
  cast({"a", "b"});
  stop("b");
  hide("b");
  boot("b");
  expect_state("b", State::failed);
  EXPECT_NE(view("b").reason.find("replica.json is missing"), std::string::npos) << describe();
  expect_exit("b", "pause-replay mydata", ExitCode::refused, "is missing");
  expect_exit("b", "create-resource other /dev/sdb", ExitCode::refused, "mydata");
  save("a", 0, 40, 'x');
  bring_back("b");
  expect_equal();
}

// Attacks: P13, P7
TEST_F(AloneFilm, a_replica_without_its_file_can_be_given_up_and_made_anew) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  hide("b");
  boot("b");
  expect_state("b", State::failed);
  expect_view_of_primary("b");
  run("b", "leave-resource mydata");
  const node::Resources& of_a = cluster().node("a").cluster()->resources();
  EXPECT_TRUE(until([&] { return of_a.awaited(of_a.ids().front()).size() == 1; })) << "its log is kept for b";
  run("b", "join-resource mydata /dev/sdb");
  expect_equal();
}

// Attacks: P4, T2, T9
TEST_F(AloneFilm, who_may_have_writes_that_no_other_has_does_not_leave) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  isolate("a");
  await_silence("b", "a");
  force("b");
  save("b", 20, 30, 'y');
  kill("b");
  make_unreadable("b");
  rejoin("a");
  boot("b");
  expect_state("b", State::failed);
  EXPECT_TRUE(until([&] { return view("a", "b").state == State::waiting_for_peer; })) << describe();
  expect_exit("b", "leave-resource mydata", ExitCode::refused, "wanted as primary");
  disks("b").heal();
  expect_primary("b");
  expect_read("b", 20, 30, 'y');
  expect_equal();
}

// Attacks: P13, T9
TEST_F(AloneFilm, whose_last_reign_was_overruled_may_leave_without_its_file) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  isolate("a");
  save_apart("a", 20, 30, 'y');
  kill("a");
  make_unreadable("a");
  await_silence("b", "a");
  boot("a");
  expect_state("a", State::failed);
  expect_exit("a", "leave-resource mydata", ExitCode::refused, "");
  force("b");
  save("b", 30, 40, 'z');
  rejoin("a");
  EXPECT_TRUE(until([&] { return view("b", "a").state == State::up_to_date; })) << describe();
  run("a", "leave-resource mydata");
  disks("a").heal();
  run("a", "join-resource mydata /dev/sdb");
  expect_equal();
}

// Attacks: P4, T2
TEST_F(AloneFilm, who_cannot_read_its_state_block_does_not_leave) {
  cast({"a", "b"});
  stop("b");
  make_unreadable("b");
  const std::string file = replica_file("b");
  disks("b").fail({.path = file.substr(0, file.rfind('/')) + "/state", .op = DiskOp::read, .times = Fault::forever});
  boot("b");
  expect_state("b", State::failed);
  expect_view_of_primary("b");
  expect_exit("b", "leave-resource mydata", ExitCode::refused, "cannot be read");
  disks("b").heal();
  save("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: T10, P4
TEST_F(AloneFilm, what_was_heard_before_the_link_broke_is_no_answer_to_a_late_start) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  stop("a");
  make_unreadable("a");
  boot("a");
  expect_state("a", State::failed);
  EXPECT_TRUE(until([&] { return view("b", "a").state == State::up_to_date; })) << describe();
  isolate("a");
  await_silence("b", "a");
  await_silence("a", "b");
  force("b");
  save("b", 20, 30, 'y');
  disks("a").heal();
  rest(2s);
  EXPECT_FALSE(cluster().is_primary("a", "mydata")) << "it has asked nobody yet\n" << describe();
  rejoin("a");
  expect_primary("b");
  expect_equal();
}

// Attacks: F50, T10, P4
TEST_F(AloneFilm, who_cannot_run_still_says_what_it_remembers_of_a_restored_primary) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("a");
  FileSystem old_files = disks("a").snapshot("/");
  const Inode old_disk = disks("a").snapshot_device("/dev/sdb");
  boot("a");
  expect_primary("a");
  run("b", "pause-fetch mydata");
  save("a", 20, 60, 'y');
  rest(30s);  // b has nothing of it, and remembers that it was there
  stop("a");
  stop("b");
  make_unreadable("b");
  boot("b");
  expect_state("b", State::failed);
  disks("a").unmount("/");
  disks("a").mount("/", std::move(old_files));
  disks("a").restore_device("/dev/sdb", old_disk);
  boot("a");
  rest(60s);
  EXPECT_FALSE(cluster().is_primary("a", "mydata")) << describe();
}

// Attacks: T6, P13
TEST_F(AloneFilm, who_waits_for_a_right_that_nobody_can_show_takes_its_wish_back) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  run("a", "secondary mydata");
  stop("a");
  make_unreadable("a");
  boot("a");
  expect_state("a", State::failed);
  EXPECT_TRUE(until([&] { return view("a", "b").state == State::failed; })) << describe();
  expect_exit("b", "primary mydata --timeout 5s", ExitCode::timed_out, "taken back");
  disks("a").heal();
  expect_event("a", "can be read again");
  rest(5s);
  expect_nobody_primary();
  run("a", "primary mydata");
  expect_equal();
}

// Attacks: D6, P2
TEST_F(AloneFilm, a_start_that_fails_leaves_the_memory_of_the_one_before) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  write("a", 10, 30, 'y');
  rest(3s);  // it is in the log, and the memory is empty
  kill("a");
  disks("a").fail({.path = "/var/lib/mars/meta.db", .op = DiskOp::read, .times = Fault::forever});
  EXPECT_FALSE(cluster().start("a").has_value());
  disks("a").heal();
  boot("a");
  expect_primary("a");
  expect_read("a", 10, 30, 'y');
  expect_equal();
}

// Attacks: P13
TEST_F(AloneFilm, a_folder_that_is_gone_is_missed) {
  cast({"a", "b"});
  stop("b");
  const std::string folder = replica_file("b").substr(1, replica_file("b").rfind('/') - 1);
  EXPECT_EQ(disks("b").file_system("/").remove_tree(folder), Status::ok);
  boot("b");
  expect_state("b", State::failed);
  expect_view_of_primary("b");
  run("b", "leave-resource mydata");
  run("b", "join-resource mydata /dev/sdb");
  save("a", 0, 40, 'x');
  expect_equal();
}

// Attacks: P13
TEST_F(AloneFilm, a_resource_is_deleted_although_one_replica_cannot_be_read) {
  cast({"a", "b"});
  stop("b");
  make_unreadable("b");
  boot("b");
  expect_state("b", State::failed);
  run("a", "delete-resource mydata --force");
  EXPECT_TRUE(until([&] { return disks("b").list("/var/lib/mars/resources").empty(); })) << describe();
}

// Attacks: P13, F29
TEST_F(AloneFilm, a_log_disk_that_is_mounted_later_needs_no_restart) {
  stage.log_disk_bytes = 64 << 20;
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  stop("a");
  FileSystem log = disks("a").unmount("/log");
  boot("a");
  expect_state("a", State::log_missing);
  expect_next_step("a", "mount the log disk");
  expect_exit("a", "pause-fetch mydata", ExitCode::refused, "log-dir-id");
  disks("a").add_device("/dev/sdc", 1 << 20);
  for (const char* how : {"", " --dry-run"}) {
    expect_exit("a", std::string("create-resource other /dev/sdc") + how, ExitCode::refused, "log-dir-id");
  }
  disks("a").mount("/log", std::move(log));
  expect_event("a", "is there again");
  expect_primary("a");
  save("a", 10, 20, 'y');
  expect_equal();
}

// Attacks: P13
TEST_F(AloneFilm, a_log_disk_that_cannot_be_read_for_a_moment_needs_no_restart) {
  cast({"a", "b"});
  stop("b");
  disks("b").fail({.path = "/var/lib/mars/log-dir-id", .op = DiskOp::read, .times = 3});
  boot("b");
  save("a", 0, 40, 'x');
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
