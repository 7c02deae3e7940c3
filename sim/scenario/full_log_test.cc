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
  // Three files of it; the others have room.
  void cast_with_a_small_log_on_a(Hosts hosts) {
    stage.segment_bytes = 1 << 20;
    stage.log_disk_bytes = 3 << 20;
    stage.log_disks = {"a"};
    cast(std::move(hosts));
  }
  // Writes with FUA, all at once and on no account.
  void begin_durable_writes(const std::string& host, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      cluster().host(host).machine().scope().spawn(write_durably(cluster().device(host, "mydata"), 100 + i % 500));
    }
  }
  void begin_waves_of_durable_writes(const std::string& host) {
    for (int wave = 0; wave < 10; ++wave) {
      begin_durable_writes(host, 100);
      rest(100ms);
    }
  }
  static Task<void> write_durably(SimDevice* device, uint64_t block) {
    const AlignedBuffer buffer(Cluster::block_bytes);
    static_cast<void>(co_await device->write(block * Cluster::block_bytes, buffer.span(), true));
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

// What waits for room keeps the device open, and once another reign began it has no place any more.
// Attacks: T9, D14, F16, P13
TEST_F(FullLogFilm, who_is_deposed_with_a_failed_disk_and_a_full_log_closes_its_device) {
  cast_with_a_small_log_on_a({"a", "b", "c"});
  save("a", 0, 40, 'x');
  disks("a").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = 1});
  begin_waves_of_durable_writes("a");
  expect_state("a", State::disk_failed);
  EXPECT_TRUE(until([&] { return view("a").reason.find("log disk is full") != std::string::npos; })) << describe();
  expect_next_step("a", "make room");
  EXPECT_TRUE(until([&] { return durable("c") == durable("a"); }));
  isolate("a");
  await_silence("c", "a");
  force("c");
  save("c", 0, 40, 'y');
  rejoin("a");
  EXPECT_TRUE(until([&] { return !cluster().device("a", "mydata")->is_open(); })) << describe();
  expect_event("a", "the device is closed");
  expect_state("a", State::fork);
  expect_next_step("a", "invalidate");
  invalidate("a");
  expect_equal();
}

// The log gave up what waited for room; the data disk that hangs keeps nobody waiting behind the turn.
// Attacks: T9, F16, P13
TEST_F(FullLogFilm, who_is_deposed_with_a_hung_disk_and_a_full_log_names_the_disk) {
  cast_with_a_small_log_on_a({"a", "b", "c"});
  save("a", 0, 40, 'x');
  disks("a").drive("/dev/sdb").stick();
  begin_waves_of_durable_writes("a");
  expect_state("a", State::waiting_for_space);
  EXPECT_TRUE(until([&] { return durable("c") == durable("a"); }));
  isolate("a");
  await_silence("c", "a");
  force("c");
  rejoin("a");
  EXPECT_TRUE(until([&] { return !cluster().device("a", "mydata")->is_open(); })) << describe();
  EXPECT_TRUE(until([&] { return view("a").reason.find("/dev/sdb") != std::string::npos; }, 90s)) << describe();
  disks("a").drive("/dev/sdb").unstick();
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
}

// The log gave up what waited, for want of room and of nothing else: when there is room, it can be gone on with.
// Attacks: T9, D6, D8, F16, P13
TEST_F(FullLogFilm, who_is_deposed_with_a_full_log_can_be_gone_on_with) {
  cast_with_a_small_log_on_a({"a", "b"});
  save("a", 0, 40, 'x');
  disks("a").drive("/dev/sdb").stick();
  begin_waves_of_durable_writes("a");
  expect_state("a", State::waiting_for_space);
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  isolate("a");
  await_silence("b", "a");
  force("b");
  save_apart("b", 0, 20, 'b');
  rejoin("a");
  EXPECT_TRUE(until([&] { return view("a").reason.find("/dev/sdb") != std::string::npos; }, 90s)) << describe();
  disks("a").drive("/dev/sdb").unstick();
  disks("a").file_system("/log").set_capacity(64 << 20);
  expect_state("a", State::fork);
  expect_next_step("a", "stop marsd on the others");
  stop("b");
  await_silence("a", "b");
  force("a");
  boot("b");
  expect_state("b", State::fork);
  invalidate("b");
  expect_equal();
  expect_read("a", 0, 40, 'x');
}

// Attacks: T6, D14, F16, P13
TEST_F(FullLogFilm, who_is_deposed_while_it_is_mounted_on_a_full_log_says_what_its_users_wait_for) {
  cast_with_a_small_log_on_a({"a", "b"});
  save("a", 0, 40, 'x');
  disks("a").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = 1});
  mount("a");
  begin_waves_of_durable_writes("a");
  EXPECT_TRUE(until([&] { return view("a").reason.find("log disk is full") != std::string::npos; })) << describe();
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  isolate("a");
  await_silence("b", "a");
  force("b");
  rejoin("a");
  EXPECT_TRUE(until([&] { return view("a").reason.find("still in use") != std::string::npos; })) << describe();
  expect_next_step("a", "make room");
  unmount("a");
  EXPECT_TRUE(until([&] { return !cluster().device("a", "mydata")->is_open(); })) << describe();
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
}

// Room can be made, and a handover then takes all of it along.
// Attacks: T6, D14, F16, P2
TEST_F(FullLogFilm, who_closes_with_a_full_log_hands_over_when_there_is_room) {
  cast_with_a_small_log_on_a({"a", "b"});
  disks("a").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = 1});
  const auto is_full = [&] { return view("a").reason.find("log disk is full") != std::string::npos; };
  for (int i = 0; i < 3000 && !is_full(); ++i) {
    ASSERT_EQ(cluster().write("a", "mydata", i % 50, 'm'), Status::ok) << i;
    if (i % 40 == 0) rest(150ms);
  }
  ASSERT_TRUE(is_full()) << describe();
  const auto closing = begin("a", "secondary mydata --timeout 20s");
  EXPECT_TRUE(until([&] { return !cluster().device("a", "mydata")->is_open(); })) << describe();
  EXPECT_TRUE(until([&] { return view("a").reason.find("only in memory") != std::string::npos; })) << describe();
  expect_no_event("a", "only in the log");
  disks("a").file_system("/log").set_capacity(64 << 20);
  EXPECT_EQ(end(*closing).code, ExitCode::done) << describe();
  rest(3s);
  run("b", "primary mydata");
  EXPECT_EQ(cluster().read("b", "mydata", 7), 'm');
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

// Attacks: P13
TEST_F(FullLogFilm, a_hung_log_disk_is_not_taken_for_the_data_disk) {
  stage.log_disk_bytes = 64 << 20;
  stage.log_disks = {"a"};
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  rest(5s);
  disks("a").drive("/log").stick();
  begin_durable_writes("a", 10);
  EXPECT_TRUE(until([&] { return view("a").reason.find("the log disk takes nothing") != std::string::npos; }))
      << describe();
  const Answer answer = cluster().run("b", "primary mydata --timeout 100s");
  EXPECT_EQ(answer.code, ExitCode::refused);
  EXPECT_EQ(answer.text.find("data disk"), std::string::npos) << answer.text;
  disks("a").drive("/log").unstick();
  expect_state("a", State::up_to_date);
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
