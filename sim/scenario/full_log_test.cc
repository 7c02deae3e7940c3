// Log disks that are full, on either side, and log disks that fail.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class FullLogFilm : public Film {
 protected:
  void overflow(const std::string& host, int rounds = 12) {
    for (int round = 0; round < rounds; ++round) save(host, 0, 120, static_cast<char>('A' + round));
  }
  // Somebody else's data take all that is left, up to `spared` bytes.
  void fill_log_disk(const std::string& host, uint64_t spared) {
    FileSystem& files = disks(host).file_system("/log");
    const auto made = files.create("foreign", true);
    ASSERT_TRUE(made.has_value());
    const uint64_t free_bytes = files.space().free_bytes;
    ASSERT_EQ(files.allocate(**made, 0, free_bytes - std::min(free_bytes, spared)), Status::ok);
  }
  // How many have begun.
  size_t syncs(const std::string& host) {
    const std::string events = cluster().events(host);
    size_t count = 0;
    for (size_t at = 0; (at = events.find("sync from ", at)) != std::string::npos; ++at) ++count;
    return count;
  }
  void clear_log_disk(const std::string& host) {
    ASSERT_EQ(disks(host).file_system("/log").remove("foreign", true), Status::ok);
  }
};

// Attacks: F16, P9, LM8, G4, LM12
TEST_F(FullLogFilm, a_full_log_disk_costs_the_absent_replica_its_log_and_the_primary_nothing) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  isolate("b");
  overflow("a");
  expect_state("a", State::up_to_date);
  expect_event("a", "the log is not kept any longer for b");
  rejoin("b");
  expect_equal();
}

// Attacks: G4, LM11, KX3
TEST_F(FullLogFilm, the_replica_with_the_worst_lag_is_given_up_first) {
  stage.log_disk_bytes = 7 << 20;
  cast({"a", "b", "c"});
  isolate("b");
  overflow("a", 6);
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  isolate("c");
  overflow("a", 6);
  expect_event("a", "the log is not kept any longer for b");
  expect_no_event("a", "the log is not kept any longer for c");
  rejoin("c");
  rejoin("b");
  expect_equal();
  expect_no_event("c", "sync from b");
}

// Attacks: D15, G4, F16
TEST_F(FullLogFilm, who_was_given_up_keeps_what_its_next_sync_needs) {
  stage.log_disk_bytes = 6 << 20;
  stage.log_disks = {"a"};
  cast({"a", "b"});
  isolate("b");
  overflow("a", 20);
  expect_event("a", "the log is not kept any longer for b");
  disks("b").drive("/dev/sdb").stick();
  rejoin("b");
  EXPECT_TRUE(until([&] { return syncs("b") == 2; })) << describe();
  run("b", "pause-fetch mydata");
  overflow("a", 3);
  rest(10s);
  disks("b").drive("/dev/sdb").unstick();
  rest(10s);
  run("b", "resume-fetch mydata");
  expect_equal();
  EXPECT_EQ(syncs("b"), 2u) << "what it needed was trimmed away meanwhile\n" << describe();
}

// Attacks: F14, LM3, P9
TEST_F(FullLogFilm, a_dead_host_holds_the_log_only_while_there_is_room) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b", "c"});
  power_loss("b");
  overflow("a", 20);
  expect_state("a", State::up_to_date);
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  expect_event("a", "the log is not kept any longer for b");
  boot("b");
  expect_equal();
}

// Attacks: F17, LM13, RP10, P3
TEST_F(FullLogFilm, a_full_log_disk_on_a_replica_stops_its_fetch_and_nothing_else) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  run("b", "pause-replay mydata");
  overflow("a");
  expect_state("a", State::up_to_date);
  rest(10s);
  EXPECT_LT(durable("b"), durable("a"));
  run("b", "resume-replay mydata");
  expect_equal();
}

// Attacks: F17, F18, LM13, P13
TEST_F(FullLogFilm, foreign_data_on_the_log_disk_of_a_replica_is_waited_out) {
  stage.log_disk_bytes = 8 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  fill_log_disk("b", 0);
  overflow("a", 4);
  rest(5s);
  expect_state("a", State::up_to_date);
  clear_log_disk("b");
  expect_equal();
}

// Attacks: F18, F16, LM9, P9
TEST_F(FullLogFilm, foreign_data_on_the_log_disk_of_the_primary_leave_it_running) {
  stage.log_disk_bytes = 12 << 20;
  cast({"a", "b"});
  fill_log_disk("a", 0);
  overflow("a", 8);
  expect_state("a", State::up_to_date);
  expect_equal();
  clear_log_disk("a");
  overflow("a", 2);
  expect_equal();
}

// Attacks: F16, P13, DV21, P10
TEST_F(FullLogFilm, no_room_and_nobody_to_give_up_makes_writes_wait_with_a_state) {
  stage.log_disk_bytes = 3 << 20;
  cast({"a", "b"});
  disks("a").drive("/dev/sdb").stick();
  begin_load(0, 200, 1ms);
  expect_state("a", State::waiting_for_space);
  disks("a").drive("/dev/sdb").unstick();
  rest(3s);
  expect_state("a", State::up_to_date);
  end_load();
  expect_equal();
}

// Attacks: LM14, P2, P9, D8
TEST_F(FullLogFilm, the_primary_loses_power_with_a_full_log_disk) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  isolate("b");
  overflow("a");
  power_loss("a");
  boot("a");
  expect_primary("a");
  overflow("a", 3);
  rejoin("b");
  expect_equal();
}

// Attacks: LM14, D8, CR4
TEST_F(FullLogFilm, a_full_log_disk_and_a_power_loss_at_many_steps) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  isolate("b");
  overflow("a", 6);
  for (const uint64_t op : {3, 11, 23, 40}) {
    power_loss_at("a", op);
    begin_load(0, 100, 1ms);
    EXPECT_TRUE(until([&] { return is_dead("a"); }, 30s)) << op;
    revive("a");
    expect_primary("a");
    end_load();
  }
  rejoin("b");
  expect_equal();
}

// Attacks: LM16, D8, T8
TEST_F(FullLogFilm, force_works_although_the_log_disk_is_full) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  overflow("a", 2);
  expect_up_to_date();
  fill_log_disk("b", 0);
  power_loss("a");
  await_silence("b", "a");
  force("b");
  save("b", 0, 20, 'x');
  boot("a");
  expect_equal();
}

// Attacks: LM10, KX1
TEST_F(FullLogFilm, another_resource_on_the_full_log_disk_goes_on) {
  stage.log_disk_bytes = 8 << 20;
  cast({"a", "b"});
  disks("a").add_device("/dev/sdc", 1 << 20);
  run("a", "create-resource other /dev/sdc");
  isolate("b");
  overflow("a", 20);
  for (uint64_t block = 0; block < 100; ++block) {
    ASSERT_EQ(cluster().write("a", "other", block, 'o'), Status::ok);
    ASSERT_EQ(cluster().flush("a", "other"), Status::ok) << describe();
  }
  EXPECT_EQ(cluster().read("a", "other", 99), 'o');
  rejoin("b");
  expect_equal();
}

// Attacks: F16, P9, P7
TEST_F(FullLogFilm, full_again_and_again_the_replica_always_comes_back) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  for (int round = 0; round < 3; ++round) {
    isolate("b");
    overflow("a", 8);
    rejoin("b");
    expect_equal();
  }
}

// Attacks: LG5, LG6, D5, P13
TEST_F(FullLogFilm, a_failed_log_write_ends_writing_and_not_reading) {
  stage.log_disk_bytes = 8 << 20;
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  disks("a").fail({.path = "/log/", .op = DiskOp::write, .times = Fault::forever});
  EXPECT_TRUE(until([&] {
    return cluster().write("a", "mydata", 30, 'n') != Status::ok || cluster().flush("a", "mydata") != Status::ok;
  }));
  expect_state("a", State::log_failed);
  expect_next_step("a", "restart marsd");
  expect_read("a", 0, 20, 'x');
  // A release could not be written: the way out is not a handover, and that is said at once.
  const control::Answer answer = cluster().run("b", "primary mydata");
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_NE(answer.text.find("cannot leave it"), std::string::npos) << answer.text;
  disks("a").heal();
  cluster().stop("a");
  ASSERT_TRUE(cluster().start("a").has_value());
  expect_up_to_date();
}

// Attacks: LG6, D5, P2
TEST_F(FullLogFilm, a_log_write_that_failed_once_is_never_believed_again) {
  stage.log_disk_bytes = 8 << 20;
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  disks("a").fail({.path = "/log/", .op = DiskOp::write, .times = 1});
  ASSERT_EQ(cluster().write("a", "mydata", 30, 'n'), Status::ok);
  EXPECT_NE(cluster().flush("a", "mydata"), Status::ok);
  EXPECT_NE(cluster().flush("a", "mydata"), Status::ok);
  expect_state("a", State::log_failed);
  restart("a");
  expect_primary("a");
  save("a", 0, 40, 'y');
  expect_equal();
}

// Attacks: F27, LG5, P3
TEST_F(FullLogFilm, a_failed_log_disk_on_a_replica_disturbs_nobody) {
  stage.log_disk_bytes = 8 << 20;
  cast({"a", "b", "c"});
  disks("b").fail({.path = "/log/", .op = DiskOp::write, .times = Fault::forever});
  save("a", 0, 40, 'x');
  expect_state("b", State::log_failed);
  expect_state("a", State::up_to_date);
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  disks("b").heal();
  run("b", "detach mydata");
  run("b", "attach mydata");
  expect_equal();
}

// Attacks: F16, LM8, P3
TEST_F(FullLogFilm, a_slow_data_disk_lets_the_log_grow_and_the_writer_never_sees_an_error) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  disks("a").drive("/dev/sdb").set_slowness(200);
  begin_load(0, 200, 1ms);
  rest(5s);
  EXPECT_GT(end_load(), 200u);
  disks("a").drive("/dev/sdb").set_slowness(1);
  expect_equal();
}

// Attacks: F16, F17, P13, OP3
TEST_F(FullLogFilm, primary_waits_while_there_is_no_room_in_the_log) {
  stage.log_disk_bytes = 8 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  run("b", "pause-replay mydata");
  overflow("a", 2);
  fill_log_disk("b", 0);
  run("b", "resume-replay mydata");
  overflow("a", 4);
  expect_state("b", State::waiting_for_space);
  expect_exit("b", "primary mydata --timeout 5s", ExitCode::timed_out, "waiting-for-space on b");
  auto command = begin("b", "primary mydata");
  rest(3s);
  clear_log_disk("b");
  EXPECT_EQ(end(*command).code, ExitCode::done) << describe();
  expect_primary("b");
  expect_equal();
}

// Attacks: T7, F16, F17, P13
TEST_F(FullLogFilm, force_works_although_a_fetched_batch_waits_for_room) {
  stage.log_disk_bytes = 8 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  fill_log_disk("b", 0);
  overflow("a", 4);
  expect_state("b", State::waiting_for_space);
  model_lost_power();
  power_loss("a");
  await_silence("b", "a");
  allow_two_primaries();
  run("b", "primary mydata --force");
  EXPECT_EQ(primary(), "b") << describe();
}

// Attacks: P6, T7, S0, P13
TEST_F(FullLogFilm, a_sync_whose_source_dies_before_it_begins_leaves_the_version_that_is_here) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"a"};
  cast({"a", "b"});
  run("b", "pause-replay mydata");
  for (char value = 'a'; value < 'f'; ++value) save("a", 0, 120, value);
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  isolate("b");
  await_silence("b", "a");
  for (char value = 'A'; value < 'M'; ++value) save_apart("a", 200, 300, value);
  expect_event("a", "the log is not kept any longer for b");
  const size_t before = syncs("b");
  disks("b").drive("/dev/sdb").set_slowness(400);  // it takes what its log has, and is not quick about it
  run("b", "resume-replay mydata");
  rejoin("b");
  EXPECT_TRUE(until([&] { return syncs("b") > before; })) << describe();
  kill("a");
  await_silence("b", "a");
  allow_two_primaries();
  run("b", "primary mydata --force");
  EXPECT_EQ(primary(), "b") << describe();
  disks("b").drive("/dev/sdb").set_slowness(1);
  expect_read("b", 0, 120, 'e');
}

}  // namespace
}  // namespace mars::sim
