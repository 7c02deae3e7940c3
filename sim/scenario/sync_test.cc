// Syncs by digests: interrupted, raced, chained, with source and target dying.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class SyncFilm : public Film {
 protected:
  // a has blocks 0 to 399; b and the others have everything.
  void prologue(Hosts hosts) {
    cast(std::move(hosts));
    save("a", 0, 400, 's');
    expect_up_to_date();
  }
  void begin_slow_sync(const std::string& host, uint64_t bytes_per_second = 300'000) {
    network().set_link("a", host, {.bytes_per_second = bytes_per_second});
    forget_disk(host);
    EXPECT_TRUE(until([&] { return state(host) == State::syncing; })) << describe();
  }
  uint64_t synced_bytes(const std::string& host) {
    for (const control::Transfer& transfer : view(host).transfers) {
      if (transfer.kind == control::TransferKind::sync) return transfer.done_bytes;
    }
    return 0;
  }
};

// Attacks: SY1, S0, P1
TEST_F(SyncFilm, a_host_joins_under_full_load) {
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  begin_load(0, 300, 2ms);
  rest(2s);
  EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 1; }));
  run("b", "join-resource mydata /dev/sdb");
  run("a", "wait-resource mydata synced --timeout 60s");
  EXPECT_GT(end_load(), 500u);
  expect_equal();
}

// Attacks: SY2, F38, S8, P13
TEST_F(SyncFilm, what_syncs_says_so_and_is_no_successor) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  rest(1s);
  EXPECT_EQ(view("b").transfers.size(), 1u);
  EXPECT_GT(synced_bytes("b"), 0u);
  expect_exit("b", "primary mydata", ExitCode::refused, "not consistent");
  expect_exit("b", "primary mydata --force", ExitCode::refused, "not consistent");
  expect_equal();
}

// Attacks: F4, SY4, P7
TEST_F(SyncFilm, a_cut_in_the_middle_moves_nothing_twice) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  EXPECT_TRUE(until([&] { return synced_bytes("b") > 1'000'000; }));
  isolate("b");
  rest(30s);
  const uint64_t before = moved("a", "b");
  rejoin("b");
  network().set_link("a", "b", {});
  expect_equal();
  EXPECT_LT(moved("a", "b") - before, 1'000'000u) << "400 blocks are 1.6 MB, of which 1 MB was there";
}

// Attacks: F10, SY4, S3, protocol 8 (power loss of the source)
TEST_F(SyncFilm, the_source_loses_power_in_the_middle) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  begin_load(100, 140);
  EXPECT_TRUE(until([&] { return synced_bytes("b") > 600'000; }));
  power_loss("a");
  rest(10s);
  boot("a");
  rest(5s);
  end_load();
  network().set_link("a", "b", {});
  expect_equal();
}

// Attacks: F10, SY4, S4, S5
TEST_F(SyncFilm, the_target_dies_three_times) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  for (uint64_t round = 0; round < 3; ++round) {
    rest(2s);
    round % 2 == 0 ? power_loss("b") : kill("b");
    save("a", 10 * round, 10 * round + 10, static_cast<char>('A' + round));
    boot("b");
  }
  network().set_link("a", "b", {});
  expect_equal();
}

// Attacks: SY5, S6, RP12
TEST_F(SyncFilm, the_source_dies_and_another_one_goes_on) {
  prologue({"a", "b", "c"});
  begin_slow_sync("c");
  EXPECT_TRUE(until([&] { return synced_bytes("c") > 600'000; }));
  kill("a");
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 120s)) << describe();
  expect_on_disk("c", 0, 400, 's');
  boot("a");
  expect_equal();
}

// Attacks: S6, S3, protocol 8 (the source switches to a lagging secondary)
TEST_F(SyncFilm, the_next_source_lags_behind_the_first) {
  prologue({"a", "b", "c"});
  run("b", "pause-replay mydata");
  save("a", 100, 140, 'n');
  rest(2s);
  begin_slow_sync("c");
  EXPECT_TRUE(until([&] { return synced_bytes("c") > 600'000; }));
  cut("a", "c");
  rest(30s);
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 120s)) << describe();
  expect_on_disk("c", 100, 140, 'n');
  heal("a", "c");
  run("b", "resume-replay mydata");
  expect_equal();
}

// Attacks: SY6, P7
TEST_F(SyncFilm, only_what_differs_is_moved) {
  prologue({"a", "b"});
  run("b", "detach mydata");
  const std::vector<std::byte> other(4096, std::byte{'?'});
  for (const uint64_t block : {7, 130, 390}) disks("b").poke("/dev/sdb", block * 4096, other);
  disks("b").poke("/dev/sdb", 0, other);
  const uint64_t before = moved("a", "b");
  run("b", "attach mydata --accept-disk");
  expect_equal();
  EXPECT_LT(moved("a", "b") - before, 4 * 65536 + 200'000u);
}

// Attacks: SY7, MB2
TEST_F(SyncFilm, leaving_in_the_middle_and_joining_again) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  rest(2s);
  run("b", "leave-resource mydata");
  EXPECT_TRUE(until([&] { return cluster().status("a").resources.at(0).replicas.size() == 1; }));
  network().set_link("a", "b", {});
  save("a", 0, 40, 'l');
  run("b", "join-resource mydata /dev/sdb");
  expect_equal();
}

// Attacks: SY7, F14, LM3
TEST_F(SyncFilm, leaving_in_the_middle_without_a_link) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  rest(2s);
  isolate("b");
  run("b", "leave-resource mydata");
  save("a", 0, 40, 'l');
  network().set_link("a", "b", {});
  rejoin("b");
  EXPECT_TRUE(until([&] { return cluster().status("a").resources.at(0).replicas.size() == 1; })) << describe();
  run("b", "join-resource mydata /dev/sdb");
  expect_equal();
}

// Attacks: SY8, F41
TEST_F(SyncFilm, invalidate_again_and_again_under_load) {
  cast({"a", "b"});
  begin_load(0, 120);
  for (int round = 0; round < 5; ++round) {
    rest(round * 100ms);
    run("b", "invalidate mydata");
  }
  EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; }, 120s)) << describe();
  end_load();
  expect_equal();
}

// Attacks: SY8, SY4, RP3
TEST_F(SyncFilm, a_paused_sync_waits_and_says_how_to_go_on) {
  prologue({"a", "b"});
  run("b", "pause-sync mydata");
  run("b", "invalidate mydata");
  expect_state("b", State::paused);
  expect_next_step("b", "resume-sync");
  rest(10s);
  EXPECT_EQ(state("b"), State::paused);
  run("b", "resume-sync mydata");
  expect_equal();
}

// Attacks: SY4, RP3, P7
TEST_F(SyncFilm, a_sync_is_paused_in_the_middle_and_resumed) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  EXPECT_TRUE(until([&] { return synced_bytes("b") > 600'000; }));
  run("b", "pause-sync mydata");
  expect_state("b", State::paused);
  network().set_link("a", "b", {});
  rest(5s);
  EXPECT_EQ(state("b"), State::paused);
  run("b", "resume-sync mydata");
  expect_equal();
}

// Attacks: SY15, S8
TEST_F(SyncFilm, two_that_sync_never_sync_from_each_other) {
  prologue({"a", "b", "c"});
  begin_slow_sync("b");
  begin_slow_sync("c");
  kill("a");
  rest(60s);
  EXPECT_NE(state("b"), State::up_to_date);
  EXPECT_NE(state("c"), State::up_to_date);
  expect_state("b", State::waiting_for_peer);
  boot("a");
  network().set_link("a", "b", {});
  network().set_link("a", "c", {});
  expect_equal();
}

// Attacks: SY5, RP12, F1
TEST_F(SyncFilm, a_replica_may_be_the_source_when_the_primary_is_out_of_reach) {
  prologue({"a", "b", "c"});
  cut("a", "c");
  await_silence("c", "a");
  forget_disk("c");
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 120s)) << describe();
  expect_event("c", "sync from b");
  expect_on_disk("c", 0, 400, 's');
}

// Attacks: SY3, S3, S0
TEST_F(SyncFilm, blocks_are_written_while_they_are_compared) {
  prologue({"a", "b"});
  begin_load(0, 400, 1ms);
  begin_slow_sync("b", 1'000'000);
  EXPECT_TRUE(until([&] { return synced_bytes("b") > 2'000'000; }));
  rest(2s);
  end_load();
  network().set_link("a", "b", {});
  expect_equal();
}

// Attacks: SY3, D13, P1
TEST_F(SyncFilm, the_source_answers_from_memory_what_is_not_on_its_disk_yet) {
  prologue({"a", "b"});
  disks("a").drive("/dev/sdb").set_slowness(300);
  save("a", 0, 40, 'n');
  forget_disk("b");
  EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; }, 120s)) << describe();
  expect_on_disk("b", 0, 40, 'n');
  disks("a").drive("/dev/sdb").set_slowness(1);
  expect_equal();
}

// Attacks: S6, S7, F21
TEST_F(SyncFilm, a_force_elsewhere_in_the_middle_of_a_sync) {
  prologue({"a", "b", "c"});
  begin_slow_sync("c");
  EXPECT_TRUE(until([&] { return synced_bytes("c") > 600'000; }));
  isolate("a");
  save_apart("a", 0, 20, 'a');
  await_silence("b", "a");
  force("b");
  save("b", 10, 30, 'b');
  network().set_link("a", "c", {});
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 120s)) << describe();
  rejoin("a");
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
}

// Attacks: SY11, S3
TEST_F(SyncFilm, zeroes_are_not_shipped) {
  prologue({"a", "b"});
  run("b", "detach mydata");
  const std::vector<std::byte> other(1 << 20, std::byte{'?'});
  disks("b").poke("/dev/sdb", 2 << 20, other);
  const uint64_t before = moved("a", "b");
  run("b", "attach mydata --accept-disk");
  expect_equal();
  EXPECT_LT(moved("a", "b") - before, 200'000u);
}

// Attacks: D16
TEST_F(SyncFilm, a_discard_means_zeroes_whatever_the_disks_can_do) {
  stage.disks["b"].punch = io::Support::none;
  stage.disks["c"].punch = io::Support::none;
  stage.disks["c"].can_zero = false;
  prologue({"a", "b", "c"});
  save("a", 0, 40, 'x');
  discard("a", 5, 20);
  expect_read("a", 5, 20, '\0');
  flush("a");
  expect_equal();
  hand_over("c");
  expect_read("c", 0, 5, 'x');
  expect_read("c", 5, 20, '\0');
  discard("c", 20, 30);
  power_loss("b");
  boot("b");
  flush("c");
  expect_equal();
  for (const std::string& host : {"a", "b", "c"}) EXPECT_EQ(cluster().on_disk(host, 25), '\0') << host;
}

// Attacks: S1, D15, F16
TEST_F(SyncFilm, the_log_that_a_sync_needs_is_kept_while_it_runs) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  for (int round = 0; round < 6; ++round) save("a", 0, 80, static_cast<char>('A' + round));
  EXPECT_GT(segments("a").size(), 5u);
  network().set_link("a", "b", {});
  expect_equal();
  save("a", 0, 1, 'z');
  EXPECT_TRUE(until([&] { return segments("a").size() <= 3; })) << segments("a").size();
}

// Attacks: SY13, F53
TEST_F(SyncFilm, the_disk_of_the_target_is_detached_in_the_middle) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  EXPECT_TRUE(until([&] { return synced_bytes("b") > 600'000; }));
  run("b", "detach mydata");
  expect_state("b", State::detached);
  network().set_link("a", "b", {});
  rest(5s);
  run("b", "attach mydata");
  expect_equal();
}

// Attacks: F27, S4, P13
TEST_F(SyncFilm, the_disk_of_the_target_fails_in_the_middle) {
  prologue({"a", "b"});
  begin_slow_sync("b");
  disks("b").fail({.path = "/dev/sdb", .op = DiskOp::write, .skip = 3, .times = 4});
  network().set_link("a", "b", {});
  expect_equal();
}

// Attacks: F28, S3
TEST_F(SyncFilm, the_source_cannot_read_a_sector) {
  prologue({"a", "b", "c"});
  disks("a").break_sector("/dev/sdb", 200 * 4096);
  forget_disk("c");
  rest(20s);
  EXPECT_EQ(state("b"), State::up_to_date);
  save("a", 200, 201, 'w');
  expect_equal();
}

// Attacks: protocol 8 (drop every message), SY4, S0
TEST_F(SyncFilm, whichever_message_of_a_sync_is_lost_it_ends) {
  stage.size = "128K";
  cast({"a", "b"});
  save("a", 0, 32, 's');
  expect_up_to_date();
  uint64_t n = 0;
  bool was_hit = true;
  for (; was_hit && n < 150; ++n) {
    EXPECT_TRUE(cluster().all_connected());
    const uint64_t before = network().delivery_count();
    network().lose_delivery(n + 1);
    const auto running = begin("b", "invalidate mydata");
    end(*running);
    EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; })) << n << describe();
    was_hit = network().delivery_count() > before + n;
  }
  EXPECT_GT(n, 4u);
  EXPECT_LT(n, 150u);
  expect_equal();
}

// Attacks: F45, SY9, KX1
TEST_F(SyncFilm, four_resources_sync_at_once) {
  prologue({"a", "b"});
  for (const char* host : {"a", "b"}) {
    for (const char* disk : {"/dev/s1", "/dev/s2", "/dev/s3"}) disks(host).add_device(disk, 1 << 20);
  }
  for (const char* name : {"1", "2", "3"}) {
    run("a", std::string("create-resource r") + name + " /dev/s" + name);
    for (uint64_t block = 0; block < 40; ++block) {
      ASSERT_EQ(cluster().write("a", std::string("r") + name, block, *name), Status::ok);
    }
  }
  EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 4; }));
  for (const char* name : {"1", "2", "3"}) run("b", std::string("join-resource r") + name + " /dev/s" + name);
  run("b", "invalidate mydata");
  for (const char* name : {"r1", "r2", "r3"}) EXPECT_TRUE(cluster().all_up_to_date(name)) << name << describe();
  expect_equal();
  const auto last = [&](const char* host) { return disks(host).peek("/dev/s3", 39 * 4096, 1); };
  EXPECT_TRUE(until([&] { return last("a") == last("b"); }));
}

// What the sweep has brought may be newer than the log: until that has come there, the disk is no version at all.
// Attacks: S8, P1, F19
TEST_F(SyncFilm, a_swept_disk_is_no_version_before_its_log_has_reached_it) {
  cast({"a", "b"});
  save("a", 0, 200, 'x');
  expect_up_to_date();
  run("b", "pause-fetch mydata");
  begin_load(0, 200, 1ms);
  run("b", "invalidate mydata");
  rest(20s);
  EXPECT_GT(end_load(), 100u);
  EXPECT_NE(state("b"), State::up_to_date) << describe();
  power_loss("a");
  await_silence("b", "a");
  expect_exit("b", "primary mydata --force --now", ExitCode::refused, "not consistent");
  boot("a");
  run("b", "resume-fetch mydata");
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
