// A data disk in trouble, and something else beside: what the state shows, and what a way out costs.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class DiskTroubleFilm : public Film {
 protected:
  // It is answered, and the answer names the disk.
  void lose_a_and_force_b_in_vain() {
    power_loss("a");
    await_silence("b", "a");
    const Answer answer = end(*begin("b", "primary mydata --force --timeout 170s"), 90s);
    EXPECT_NE(answer.code, ExitCode::done);
    EXPECT_NE((answer.text + answer.next_step).find("/dev/sdb"), std::string::npos) << answer.text << answer.next_step;
  }
};

// Attacks: D17, P2, P6, D6
TEST_F(DiskTroubleFilm, another_disk_is_no_reason_to_give_up_what_only_memory_has) {
  cast({"a", "b"});
  save("a", 0, 40, 'o');
  expect_up_to_date();
  for (uint64_t block = 0; block < 5; ++block) ASSERT_EQ(cluster().write("a", "mydata", block, 'm'), Status::ok);
  kill("a");
  disks("a").remove_device("/dev/sdb");
  disks("a").add_device("/dev/sdb", Cluster::disk_bytes);
  boot("a");
  expect_state("a", State::disk_changed);
  run("b", "secondary mydata");
  const Answer answer = cluster().run("a", "attach mydata --accept-disk --timeout 5s");
  EXPECT_NE(answer.code, ExitCode::done);
  EXPECT_NE(answer.text.find("memory"), std::string::npos) << answer.text;
  expect_next_step("a", "--force");
}

// Attacks: D17, P2, P6, P13
TEST_F(DiskTroubleFilm, the_former_disk_is_taken_again_after_another_one_was_not) {
  cast({"a", "b"});
  save("a", 0, 20, 'o');
  expect_up_to_date();
  isolate("b");
  save("a", 0, 20, 'x');
  run("a", "secondary mydata");
  stop("a");
  const io::Bytes was = disks("a").peek("/dev/sdb", 5 * 4096, 4096);
  disks("a").poke("/dev/sdb", 5 * 4096, std::vector<std::byte>(4096, std::byte{'!'}));
  boot("a");
  expect_state("a", State::disk_changed);
  EXPECT_NE(cluster().run("a", "attach mydata --accept-disk --timeout 5s").code, ExitCode::done);
  expect_next_step("a", "bring the former disk back");
  disks("a").poke("/dev/sdb", 5 * 4096, was);
  EXPECT_TRUE(until([&] { return state("a") != State::disk_changed; }, 20s)) << describe();
  run("a", "primary mydata");
  expect_read("a", 0, 20, 'x');
  rejoin("b");
  expect_equal();
}

// Attacks: T9, P6, D14, P13
TEST_F(DiskTroubleFilm, a_failed_disk_hides_no_fork) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  isolate("a");
  disks("a").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = Fault::forever});
  save_apart("a", 0, 20, 'a');
  expect_state("a", State::disk_failed);
  await_silence("b", "a");
  force("b");
  save("b", 20, 30, 'b');
  rejoin("a");
  expect_state("a", State::fork);
  EXPECT_NE(view("a").reason.find("data disk failed"), std::string::npos) << describe();
  expect_next_step("a", "invalidate");
  expect_exit("a", "primary mydata", ExitCode::fork, "invalidate");
  expect_exit("b", "secondary mydata", ExitCode::fork, "invalidate");
  disks("a").heal();
  invalidate("a");
  expect_equal();
}

// Attacks: T3, T4, D14, P13
TEST_F(DiskTroubleFilm, a_primary_that_opens_on_a_hung_disk_says_so_and_hands_over) {
  cast({"a", "b"});
  run("a", "pause-replay mydata");
  save("a", 0, 20, 'x');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  kill("a");
  isolate("a");
  boot("a");
  expect_state("a", State::opening);
  EXPECT_TRUE(until([&] { return view("a").reason.find("other members") != std::string::npos; })) << describe();
  ASSERT_LT(applied("a"), durable("a"));
  disks("a").drive("/dev/sdb").stick();
  rejoin("a");
  EXPECT_TRUE(until([&] { return view("a").reason.find("/dev/sdb") != std::string::npos; })) << describe();
  expect_state("a", State::disk_failed);
  hand_over("b");
  expect_read("b", 0, 20, 'x');
  disks("a").drive("/dev/sdb").unstick();
  run("a", "resume-replay mydata");
  expect_equal();
}

// What only its memory has needs its disk first; what that costs is said.
// Attacks: D6, D14, P13
TEST_F(DiskTroubleFilm, a_killed_primary_with_a_failed_disk_says_what_a_way_out_costs) {
  cast({"a", "b"});
  disks("a").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = Fault::forever});
  save("a", 0, 40, 'x');
  expect_state("a", State::disk_failed);
  for (uint64_t block = 0; block < 5; ++block) ASSERT_EQ(cluster().write("a", "mydata", block, 'm'), Status::ok);
  kill("a");
  boot("a");
  expect_state("a", State::disk_failed);
  expect_next_step("a", "--force");
  EXPECT_NE(view("a").next_step.find("memory"), std::string::npos) << describe();
  expect_exit("b", "primary mydata --force", ExitCode::refused, "stop marsd there");
  disks("a").heal();
  run("a", "detach mydata");
  run("a", "attach mydata");
  run("b", "primary mydata");
  EXPECT_EQ(cluster().read("b", "mydata", 3), 'm');
  expect_read("b", 5, 40, 'x');
}

// Attacks: T4, D14, P13
TEST_F(DiskTroubleFilm, a_detach_does_not_wait_for_a_disk_that_does_nothing) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  disks("a").drive("/dev/sdb").stick();
  save("a", 0, 40, 'y');
  expect_exit("a", "detach mydata --timeout 100s", ExitCode::refused, "/dev/sdb");
  EXPECT_TRUE(until([&] { return cluster().device("a", "mydata")->is_open(); })) << describe();
  save("a", 0, 20, 'z');
  disks("a").drive("/dev/sdb").unstick();
  expect_equal();
}

// Attacks: T4, D14, P13
TEST_F(DiskTroubleFilm, a_replica_on_a_hung_disk_is_not_detached_and_not_stuck) {
  cast({"a", "b"});
  expect_up_to_date();
  disks("b").drive("/dev/sdb").stick();
  save("a", 0, 40, 'x');
  rest(1s);
  const io::Instant begun = cluster().world().now();
  const Answer answer = end(*begin("b", "detach mydata --timeout 170s"), 100s);
  EXPECT_GT(cluster().world().now(), begun + 50s);
  EXPECT_EQ(answer.code, ExitCode::refused) << answer.text;
  EXPECT_NE(answer.text.find("/dev/sdb"), std::string::npos) << answer.text;
  expect_exit("b", "invalidate mydata --timeout 100s", ExitCode::refused, "/dev/sdb");
  disks("b").drive("/dev/sdb").unstick();
  expect_equal();
}

// Attacks: T9, D14, P13
TEST_F(DiskTroubleFilm, a_forked_primary_on_a_hung_disk_is_not_invalidated_and_not_stuck) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  isolate("a");
  save_apart("a", 0, 20, 'a');
  await_silence("b", "a");
  force("b");
  save("b", 0, 20, 'b');
  rejoin("a");
  expect_state("a", State::fork);
  disks("a").drive("/dev/sdb").stick();
  save_apart("a", 0, 20, 'c');
  const Answer answer = end(*begin("a", "invalidate mydata --timeout 170s"), 100s);
  EXPECT_NE(answer.code, ExitCode::done);
  EXPECT_NE(answer.text.find("/dev/sdb"), std::string::npos) << answer.text;
  disks("a").drive("/dev/sdb").unstick();
  invalidate("a");
  expect_equal();
}

// Nothing is on its way to the disk, and the detach itself would read it.
// Attacks: T4, D14, D17, P13
TEST_F(DiskTroubleFilm, a_disk_that_hangs_while_nothing_is_written_is_not_detached_either) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_equal();
  for (const char* host : {"a", "b"}) {
    disks(host).drive("/dev/sdb").stick();
    expect_exit(host, "detach mydata --timeout 100s", ExitCode::refused, "/dev/sdb");
  }
  EXPECT_TRUE(until([&] { return cluster().device("a", "mydata")->is_open(); })) << describe();
  for (const char* host : {"a", "b"}) disks(host).drive("/dev/sdb").unstick();
  for (const char* host : {"b", "a"}) run(host, std::string("detach mydata"));
  for (const char* host : {"a", "b"}) run(host, std::string("attach mydata"));
  expect_equal();
}

// What it had fetched is gone everywhere: the sync that is to begin would first end the replay.
// Attacks: T5, S1, D14, P13
TEST_F(DiskTroubleFilm, a_force_of_who_must_be_synced_on_a_hung_disk_is_answered) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"a"};
  cast({"a", "b"});
  expect_up_to_date();
  disks("b").drive("/dev/sdb").stick();
  save("a", 0, 40, 'x');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  isolate("b");
  for (int round = 0; round < 20; ++round) save("a", 0, 120, static_cast<char>('A' + round));
  expect_event("a", "the log is not kept any longer for b");
  rejoin("b");
  expect_event("b", "sync from a begins");
  rest(30s);
  lose_a_and_force_b_in_vain();
  disks("b").drive("/dev/sdb").unstick();
  boot("a");
  expect_equal();
}

// What was fetched waits for room that only the disk could make.
// Attacks: T5, T10, LM13, D14, P13
TEST_F(DiskTroubleFilm, a_force_with_a_full_log_and_a_hung_disk_is_answered) {
  stage.log_disk_bytes = 8 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  expect_up_to_date();
  disks("b").drive("/dev/sdb").stick();
  for (int round = 0; round < 24; ++round) save("a", 0, 120, static_cast<char>('A' + round));
  EXPECT_TRUE(until([&] { return view("b").state == State::waiting_for_space; })) << describe();
  lose_a_and_force_b_in_vain();
  disks("b").drive("/dev/sdb").unstick();
  boot("a");
  expect_equal();
}

// It had to wait for an attach, and another host was forced meanwhile, which is not seen from here.
// Attacks: T6, T8, P4
TEST_F(DiskTroubleFilm, a_force_that_nobody_waits_for_any_longer_is_not_carried_out) {
  cast({"a", "b", "c"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  run("b", "detach mydata");
  disks("b").drive("/dev/sdb").stick();
  const auto attach = begin("b", "attach mydata --timeout 5s");
  power_loss("a");
  await_silence("b", "a");
  EXPECT_EQ(end(*begin("b", "primary mydata --force --timeout 20s"), 100s).code, ExitCode::timed_out);
  isolate("b");
  force("c");
  disks("b").drive("/dev/sdb").unstick();
  EXPECT_TRUE(until([&] { return state("b") != State::opening && view("b").received_lsn > 0; })) << describe();
  rest(30s);
  EXPECT_FALSE(cluster().device("b", "mydata")->is_open());
  expect_no_event("b", "forced primary");
  rejoin("b");
  boot("a");
  expect_equal();
}

// Attacks: D6, P10
TEST_F(DiskTroubleFilm, a_killed_primary_that_only_follows_has_its_memory_back) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  disks("a").drive("/dev/sdb").stick();  // nothing is written back
  save("a", 40, 80, 'y');
  expect_up_to_date_among("a", "b");
  kill("a");
  disks("a").drive("/dev/sdb").unstick();
  await_silence("b", "a");
  force("b");
  boot("a");
  expect_equal();
  expect_primary("b");
  const bricks::Pool& pool = *cluster().node("a").pool();
  EXPECT_EQ(pool.free_pages(), pool.pages());
}

// What was heard last of the primary may be older than what was fetched from it.
// Attacks: D17, P11, SY14
TEST_F(DiskTroubleFilm, another_disk_is_accepted_as_one_also_in_the_middle_of_a_load) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  begin_load(0, 40, 1ms);
  for (int round = 0; round < 8; ++round) {
    rest(300ms + round * 25ms);
    run("b", "pause-replay mydata");  // no clean end, whose fingerprint would tell
    rest(50ms);
    forget_disk("b");
    run("b", "resume-replay mydata");
    EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; })) << describe();
    EXPECT_FALSE(is_on_disk("b", 300, 310, '?')) << "round " << round << describe();
  }
  end_load();
  expect_equal();
}

// Attacks: D17, P6, P13
TEST_F(DiskTroubleFilm, a_disk_of_which_nobody_can_tell_is_not_taken_for_the_former_one) {
  stage.disks["a"].hardware_id = "the LV of a";
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  isolate("b");
  save("a", 0, 20, 'y');
  run("a", "secondary mydata");
  kill("a");
  const Inode disk = disks("a").snapshot_device("/dev/sdb");
  disks("a").remove_device("/dev/sdb");
  boot("a");
  expect_state("a", State::disk_missing);
  EXPECT_NE(cluster().run("a", "attach mydata --accept-disk --timeout 5s").code, ExitCode::done);
  disks("a").add_device("/dev/sdb", Cluster::disk_bytes, stage.disks["a"]);
  disks("a").restore_device("/dev/sdb", disk);
  expect_state("a", State::disk_changed);
  expect_next_step("a", "if this is the former disk, run `marsadm detach mydata`");
  run("a", "detach mydata");
  run("a", "attach mydata");
  run("a", "primary mydata");
  expect_read("a", 0, 20, 'y');
  rejoin("b");
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
