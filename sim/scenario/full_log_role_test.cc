// Roles that change while the log disk of the primary is full: its users wait for room, and nobody may wait for them.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class FullLogRoleFilm : public Film {
 protected:
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

// What waits for room keeps the device open, and once another reign began it has no place any more.
// Attacks: T9, D14, F16, P13
TEST_F(FullLogRoleFilm, who_is_deposed_with_a_failed_disk_and_a_full_log_closes_its_device) {
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
TEST_F(FullLogRoleFilm, who_is_deposed_with_a_hung_disk_and_a_full_log_names_the_disk) {
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
TEST_F(FullLogRoleFilm, who_is_deposed_with_a_full_log_can_be_gone_on_with) {
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
TEST_F(FullLogRoleFilm, who_is_deposed_while_it_is_mounted_on_a_full_log_says_what_its_users_wait_for) {
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
  EXPECT_TRUE(until([&] { return view("a").reason.find("device is in use") != std::string::npos; })) << describe();
  expect_next_step("a", "make room");
  unmount("a");
  EXPECT_TRUE(until([&] { return !cluster().device("a", "mydata")->is_open(); })) << describe();
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
}

// Room can be made, and a handover then takes all of it along.
// Attacks: T6, D14, F16, P2
TEST_F(FullLogRoleFilm, who_closes_with_a_full_log_hands_over_when_there_is_room) {
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

// Attacks: P13
TEST_F(FullLogRoleFilm, a_hung_log_disk_is_not_taken_for_the_data_disk) {
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
