// One marsd at work: commands that meet, a disk that does nothing beside others that do, a state disk that is full.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class NodeFilm : public Film {
 protected:
  void answer_both(Running& one, Running& other) {
    EXPECT_TRUE(until([&] { return one.answer && other.answer; }, 120s));
  }
};

// Attacks: F40, MB4, OP7
TEST_F(NodeFilm, of_two_creates_of_one_name_one_is_done) {
  for (const auto pause : {0us, 100us, 500us, 2000us, 8000us}) {
    cast_without_resource({"a"});
    disks("a").add_device("/dev/sdc", Cluster::disk_bytes);
    const auto one = begin("a", "create-resource mydata /dev/sdb");
    rest(pause);
    const auto other = begin("a", "create-resource mydata /dev/sdc");
    answer_both(*one, *other);
    EXPECT_NE(one->answer->code == ExitCode::done, other->answer->code == ExitCode::done)
        << one->answer->text << "; " << other->answer->text;
    EXPECT_EQ(cluster().status("a").resources.size(), 1u);
    EXPECT_TRUE(until([&] { return state("a") == State::up_to_date; })) << describe();
  }
}

// Attacks: F40, MB4, OP7
TEST_F(NodeFilm, of_two_creates_on_one_disk_one_is_done) {
  for (const auto pause : {0us, 100us, 500us, 2000us, 8000us}) {
    cast_without_resource({"a"});
    const auto one = begin("a", "create-resource mydata /dev/sdb");
    rest(pause);
    const auto other = begin("a", "create-resource other /dev/sdb");
    answer_both(*one, *other);
    EXPECT_NE(one->answer->code == ExitCode::done, other->answer->code == ExitCode::done)
        << one->answer->text << "; " << other->answer->text;
    EXPECT_TRUE(until([&] { return cluster().status("a").resources.size() == 1; })) << describe();
  }
}

// Attacks: P13, R5
TEST_F(NodeFilm, a_replica_that_a_newer_marsd_has_written_is_left_alone) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  const std::string path = resource_directory("a") + "/replica.json";
  stop("a");
  const io::Bytes content = disks("a").peek(path, 0, disks("a").file_bytes(path));
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  const size_t at = text.find("\"format\":1");
  ASSERT_NE(at, text.npos) << text;
  disks("a").flip(path, at + 9, 1);  // 3
  boot("a");
  expect_event("a", "was written by a newer marsd; install that version again");
  stop("a");
  disks("a").flip(path, at + 9, 1);
  boot("a");
  expect_primary("a");
  expect_equal();
}

// Attacks: P10, P13
TEST_F(NodeFilm, what_is_bounded_is_shown_with_its_bound) {
  cast({"a", "b"});
  const uint64_t room = view("a").log_room_bytes.value_or(0);
  EXPECT_GT(room, 0u);
  EXPECT_FALSE(view("b", "a").log_room_bytes.has_value()) << "it is not known of another host";
  for (int i = 0; i < 8; ++i) save("a", 0, 40, static_cast<char>('a' + i));
  EXPECT_LT(view("a").log_room_bytes.value_or(0), room) << "the log has taken some of it";
  disks("a").drive("/dev/sdb").stick();
  write("a", 0, 40, 'x');
  EXPECT_GE(cluster().status("a").memory_bytes.value_or(0), 40u * 4096);
  EXPECT_LE(cluster().status("a").memory_bytes, cluster().status("a").memory_bytes_max);
  disks("a").drive("/dev/sdb").unstick();
  EXPECT_TRUE(until([&] { return cluster().status("a").memory_bytes == 0u; }));
  expect_equal();
}

// Attacks: F49, MB4, P13
TEST_F(NodeFilm, a_resource_whose_disk_hangs_is_deleted_and_holds_up_no_other) {
  cast({"a"});
  disks("a").add_device("/dev/sdc", Cluster::disk_bytes);
  run("a", "create-resource other /dev/sdc");
  disks("a").drive("/dev/sdb").stick();
  write("a", 0, 20, 'x');
  const auto deleting = begin("a", "delete-resource mydata --timeout 100s");
  rest(1s);
  for (const char* line : {"set other open-wait 4s", "status", "view other"}) {
    const io::Instant begun = cluster().world().now();
    run("a", line);
    EXPECT_LT(cluster().world().now() - begun, 2s) << line;
  }
  EXPECT_TRUE(until([&] { return deleting->answer.has_value(); }, 120s));
  EXPECT_NE(deleting->answer ? deleting->answer->code : ExitCode::done, ExitCode::done) << describe();
  disks("a").drive("/dev/sdb").unstick();
  EXPECT_TRUE(until([&] { return disks("a").list("/var/lib/mars/resources").size() == 1; })) << describe();
}

// Attacks: F49, P2
TEST_F(NodeFilm, a_stop_waits_for_a_device_that_is_being_written_back_as_long_as_it_moves) {
  cast({"a", "b"});
  save("a", 0, 300, 'x');
  run("a", "set mydata write-cache off");
  rest(2s);
  disks("a").drive("/").set_speed({.write = 1s, .flush = 1s});
  for (uint64_t block = 0; block < 200; ++block) cluster().keep_dirty("a", "mydata", block, 'y');
  const io::Instant before = cluster().world().now();
  stop("a");
  EXPECT_GT(cluster().world().now() - before, 120s);
  disks("a").drive("/").set_speed({});
  boot("a");
  expect_primary("a");
  expect_no_event("a", "taken away from its users");
  for (uint64_t block = 0; block < 200; ++block) ASSERT_EQ(cluster().read("a", "mydata", block), 'y') << block;
  save("a", 0, 200, 'z');
  expect_equal();
}

// Attacks: T8, P5, P13
TEST_F(NodeFilm, what_was_heard_before_a_restart_is_not_forgotten) {
  cast({"a", "b"});
  run("b", "pause-fetch mydata");
  save("a", 0, 40, 'x');
  rest(25s);
  kill("a");
  await_silence("b", "a");
  restart("b");
  const Answer answer = run("b", "primary mydata --force --dry-run");
  EXPECT_NE(answer.text.find("bytes of log"), std::string::npos) << answer.text;
  EXPECT_NE(answer.text.find("before marsd was started"), std::string::npos) << answer.text;
  run("b", "resume-fetch mydata");
  expect_state("b", State::waiting_for_peer);
  boot("a");
  expect_equal();
}

// Attacks: F49, OP6, P13
TEST_F(NodeFilm, who_waits_for_what_is_deleted_is_told) {
  cast({"a", "b"});
  isolate("b");
  save("a", 0, 20, 'x');
  const auto waiting = begin("a", "wait-resource mydata synced --host b");
  rest(2s);
  EXPECT_FALSE(waiting->answer);
  run("a", "delete-resource mydata --force");
  EXPECT_TRUE(until([&] { return waiting->answer.has_value(); }));
  EXPECT_EQ(waiting->answer->code, ExitCode::not_found) << waiting->answer->text;
}

// Attacks: T6, F13, OP7
TEST_F(NodeFilm, who_was_forced_can_be_made_secondary_while_the_former_primary_is_dead) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  power_loss("a");
  await_silence("b", "a");
  await_silence("c", "a");
  force("b");
  run("b", "secondary mydata --timeout 20s");
  expect_nobody_primary();
  rest(60s);
  expect_nobody_primary();
  boot("a");
  EXPECT_TRUE(until([&] { return cluster().connected("a", "b"); }));
  run("b", "primary mydata");
  expect_equal();
}

// Attacks: T6, OP7
TEST_F(NodeFilm, secondary_does_not_say_done_of_a_primary_that_was_not_heard) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  isolate("b");
  restart("b");
  expect_exit("b", "secondary mydata --timeout 10s", ExitCode::unreachable, "");
  rejoin("b");
  rest(20s);
  expect_primary("a");
  expect_equal();
}

// A sparse file on a disk that becomes full: not an I/O error, and no reason to keep the right to write.
// Attacks: D14, T4, F30
TEST_F(NodeFilm, a_data_disk_without_room_is_a_failed_disk_and_the_right_goes_elsewhere) {
  cast_without_resource({"a", "b"});
  disks("a").mount("/data", FileSystemOptions{.capacity = 2 << 20});
  run("a", "create-resource mydata /data/volume --create-file --size 4M");
  EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 1; }));
  run("b", "join-resource mydata /dev/sdb");
  EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; })) << describe();
  save("a", 0, 700, 'x');
  expect_state("a", State::disk_failed);
  save("a", 700, 900, 'y');
  hand_over("b");
  expect_read("b", 0, 700, 'x');
  expect_read("b", 700, 900, 'y');
  expect_state("a", State::disk_failed);
}

// Attacks: R6
TEST_F(NodeFilm, a_host_without_a_replica_reads_neither_log_nor_data) {
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  ASSERT_TRUE(until([&] { return cluster().status("b").resources.size() == 1 && cluster().connected("b", "a"); }));
  node::Resources& of_a = cluster().node("a").cluster()->resources();
  node::Resources& of_b = cluster().node("b").cluster()->resources();
  for (const net::ServiceId service : {replication::log_service, replication::sync_service}) {
    net::Bytes opening;
    Writer writer(opening);
    write_uuid(writer, of_a.ids().front());
    auto channel = of_b.open_channel(of_a.self(), service, std::move(opening), net::window_default);
    ASSERT_NE(channel, nullptr);
    const auto answer = cluster().world().run(cluster().host("b").machine(), channel->receive());
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().status, Status::permission);
    EXPECT_EQ(answer.error().text, "only members of a resource may read it");
  }
}

// Attacks: F16, P13
TEST_F(NodeFilm, a_full_state_disk_holds_back_settings_until_there_is_room) {
  cast({"a", "b"});
  FileSystem& files = disks("b").file_system("/");
  const uint64_t capacity = files.options().capacity;
  files.set_capacity(capacity - files.space().free_bytes);
  run("a", "set mydata handover-lag 640K");
  const auto has_heard = [&] {
    return cluster().run("b", "get mydata handover-lag").text.find("640K") != std::string::npos;
  };
  rest(10s);
  EXPECT_FALSE(has_heard());
  files.set_capacity(capacity);
  EXPECT_TRUE(until(has_heard)) << cluster().run("b", "get mydata handover-lag").text << describe();
  save("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: P10, F28
TEST_F(NodeFilm, who_makes_a_resource_on_a_disk_that_hangs_is_answered) {
  cast_without_resource({"a"});
  disks("a").drive("/dev/sdb").stick();
  const auto making = begin("a", "create-resource mydata /dev/sdb --timeout 5s");
  const Answer answer = end(*making, 30s);
  EXPECT_EQ(answer.code, ExitCode::timed_out) << answer.text;
  EXPECT_NE(answer.text.find("does not answer"), std::string::npos) << answer.text;
  expect_exit("a", "create-resource mydata /dev/sdb --timeout 5s", ExitCode::timed_out, "");
  disks("a").drive("/dev/sdb").unstick();
  expect_primary("a");
  save("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: P10, F28
TEST_F(NodeFilm, a_stop_does_not_wait_for_a_command_whose_disk_hangs) {
  cast_without_resource({"a"});
  disks("a").drive("/dev/sdb").stick();
  const auto making = begin("a", "create-resource mydata /dev/sdb --timeout 5s");
  rest(1s);
  const io::Instant begun = cluster().world().now();
  cluster().world().run(cluster().host("a").machine(), cluster().node("a").stop());
  EXPECT_TRUE(cluster().node("a").is_stuck());
  EXPECT_LT(cluster().world().now() - begun, 90s);
  kill("a");  // as marsd ends itself then
  disks("a").drive("/dev/sdb").unstick();
  boot("a");
  run("a", "create-resource mydata /dev/sdb");
  expect_primary("a");
}

}  // namespace
}  // namespace mars::sim
