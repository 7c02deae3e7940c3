// Logs that are rotten, cut or gone; state that is lost or older than it was.
#include "format/segment.h"
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class LogDamageFilm : public Film {
 protected:
  void restore(const std::string& host, FileSystem files, const Inode& disk) {
    disks(host).unmount("/");
    disks(host).mount("/", std::move(files));
    disks(host).restore_device("/dev/sdb", disk);
  }
  // b has the blocks 0 to 39 in its log and not on its disk. Returns where in the log they begin.
  uint64_t fetch_without_replay() {
    cast({"a", "b"});
    save("a", 100, 110, 'o');
    expect_up_to_date();
    run("b", "pause-replay mydata");
    const uint64_t begin = durable("b");
    for (uint64_t block = 0; block < 40; block += 10) save("a", block, block + 10, 'x');
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
    return begin;
  }
  // a and b have the blocks 0 to 39 in their logs, and a not on its disk. Returns where in the log they begin. A third
  // host is away, and they keep the log for it.
  uint64_t write_beside_a_stuck_disk(Hosts hosts = {"a", "b"}) {
    cast(hosts);
    save("a", 0, 10, 'o');
    expect_up_to_date();
    if (hosts.size() > 2) isolate(hosts[2]);
    disks("a").drive("/dev/sdb").stick();
    const uint64_t begin = durable("a");
    for (uint64_t block = 0; block < 40; block += 10) save("a", block, block + 10, 'x');
    expect_up_to_date_among("a", "b");
    return begin;
  }
  // What a wrote while b was away is whole behind a rotten place that b brings back: the blocks 50 to `last` - 1.
  void expect_kept_behind_the_damage(uint64_t last, uint64_t blocks_of_a_batch) {
    const uint64_t begin = write_beside_a_stuck_disk();
    isolate("b");
    for (uint64_t block = 50; block < last; block += blocks_of_a_batch) {
      save("a", block, block + blocks_of_a_batch, 'z');
    }
    power_loss("a");
    disks("a").drive("/dev/sdb").unstick();
    rot_log("a", begin + 8192);
    rejoin("b");
    boot("a");
    expect_primary("a");
    expect_read("a", 50, last, 'z');
    expect_equal();
  }
  // a has one batch behind what b has, and loses its power; what b has rots there. b is forced. Returns where a ended.
  uint64_t lose_a_and_force_b(uint64_t begin) {
    isolate("b");
    save_apart("a", 50, 51, 'z');
    const uint64_t end = durable("a");
    power_loss("a");
    disks("a").drive("/dev/sdb").unstick();
    rot_log("a", begin + 8192);
    await_silence("b", "a");
    force("b");
    save_apart("b", 60, 61, 'f');
    heal("a", "b");
    return end;
  }
};

// Attacks: F23, RP5, LG1, P11, D10
TEST_F(LogDamageFilm, a_rotten_record_on_a_replica_is_never_applied_and_is_fetched_again) {
  const uint64_t begin = fetch_without_replay();
  power_loss("b");
  rot_log("b", begin + 8192);
  boot("b");
  run("b", "resume-replay mydata");
  expect_equal();
}

// Attacks: D10, T5, P2
TEST_F(LogDamageFilm, a_loss_that_was_accepted_before_there_was_any_is_asked_for_again) {
  uint64_t begin = fetch_without_replay();
  run("b", "attach mydata --accept-loss");
  for (int loss = 0; loss < 2; ++loss) {
    run("b", "detach mydata");
    rot_log("b", begin + 8192);
    isolate("b");
    run("b", "attach mydata");
    expect_state("b", State::log_damaged);
    await_silence("b", "a");
    expect_exit("b", "primary mydata --force", ExitCode::refused, "--accept-loss");
    run("b", "attach mydata --accept-loss");  // this one, which does not last
    heal("a", "b");
    run("b", "resume-replay mydata");
    expect_equal();
    run("b", "pause-replay mydata");
    begin = durable("b");
    for (uint64_t block = 0; block < 40; block += 10) save("a", block, block + 10, 'y');
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  }
  run("b", "resume-replay mydata");
  expect_equal();
}

// Attacks: F23, P11, D10
TEST_F(LogDamageFilm, every_block_of_the_fetched_log_rots_in_turn) {
  cast({"a", "b"});
  for (uint64_t round = 0; round < 5; ++round) {
    run("b", "pause-replay mydata");
    const uint64_t begin = durable("b");
    save("a", 0, 4, static_cast<char>('a' + round));
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
    power_loss("b");
    rot_log("b", begin + 4096 * round + 17);
    boot("b");
    run("b", "resume-replay mydata");
    expect_equal();
  }
}

// Attacks: F23, LG2, RP4, P11
TEST_F(LogDamageFilm, a_truncated_log_on_a_replica_is_fetched_again) {
  const uint64_t begin = fetch_without_replay();
  kill("b");
  truncate_log("b", begin + 12288);
  boot("b");
  run("b", "resume-replay mydata");
  expect_equal();
}

// A batch that needs more than is left of its file gets another one.
// Attacks: F23, LG2, RP4, P11
TEST_F(LogDamageFilm, a_log_file_that_is_cut_inside_its_first_batch_is_fetched_again) {
  fetch_without_replay();
  while (segments("b").size() < 3) save("a", 0, 10, 'y');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  kill("b");
  const std::string newest = segments("b").back();
  const auto name = format::parse_segment_name(newest.substr(newest.rfind('/') + 1));
  truncate_log("b", name->first.value + 4096);
  boot("b");
  run("b", "resume-replay mydata");
  expect_equal();
  EXPECT_EQ(state("b"), State::up_to_date);
  power_loss("b");
  boot("b");
  expect_equal();
}

// Attacks: F23, RP7, P7
TEST_F(LogDamageFilm, a_log_that_somebody_erased_on_a_replica_comes_back) {
  fetch_without_replay();
  stop("b");
  erase_log("b");
  boot("b");
  run("b", "resume-replay mydata");
  rest(5s);
  if (state("b") != State::up_to_date) EXPECT_NE(view("b").next_step, "") << describe();
  if (control::row(state("b")).weight == control::Weight::broken) invalidate("b");
  expect_equal();
}

// Attacks: F24, RP6, P11, P7
TEST_F(LogDamageFilm, the_primary_cannot_read_its_own_log_to_ship_it) {
  cast({"a", "b"});
  save("a", 0, 10, 'o');
  expect_up_to_date();
  isolate("b");
  const uint64_t begin = durable("a");
  for (uint64_t block = 0; block < 40; block += 10) save("a", block, block + 10, 'x');
  rest(1s);
  rot_log("a", begin + 8192);
  rejoin("b");
  EXPECT_EQ(state("a"), State::up_to_date);
  expect_equal();
}

// Attacks: F24, P11, RP12
TEST_F(LogDamageFilm, one_source_has_a_rotten_log_and_another_one_a_whole_one) {
  cast({"a", "b", "c"});
  isolate("c");
  const uint64_t begin = durable("a");
  save("a", 0, 40, 'x');
  expect_up_to_date_among("a", "b");
  rot_log("a", begin + 8192);
  rejoin("c");
  expect_equal();
}

// Attacks: F25, D10, D11, P11, P13
TEST_F(LogDamageFilm, a_primary_with_a_damaged_log_stays_closed_and_says_what_to_do) {
  const uint64_t begin = write_beside_a_stuck_disk();
  power_loss("a");
  disks("a").drive("/dev/sdb").unstick();
  rot_log("a", begin + 8192);
  boot("a");
  expect_primary("a");
  expect_equal();
}

// What b never had is behind the place that b brings back.
// Attacks: F25, D10, P2, P5
TEST_F(LogDamageFilm, what_is_whole_behind_the_damage_and_nowhere_else_is_not_given_up) {
  expect_kept_behind_the_damage(90, 10);
}

// It says that what b brings back was durable, and nothing says that of itself.
// Attacks: F25, D10, P2, P5
TEST_F(LogDamageFilm, one_whole_batch_behind_what_the_peer_has_is_not_given_up) {
  expect_kept_behind_the_damage(51, 1);
}

// Attacks: F25, F19, D10, T9, P6
TEST_F(LogDamageFilm, one_whole_batch_behind_where_the_peer_was_forced_is_a_fork) {
  const uint64_t begin = write_beside_a_stuck_disk({"a", "b", "c"});
  const uint64_t end = lose_a_and_force_b(begin);
  boot("a");
  expect_state("a", State::fork);
  rest(20s);
  EXPECT_EQ(state("a"), State::fork);
  EXPECT_EQ(durable("a"), end);
  run("b", "secondary mydata");
  invalidate("b");
  rejoin("c");
  run("a", "primary mydata --timeout 30s");
  expect_read("a", 50, 51, 'z');
  expect_equal();
}

// The forced one is behind the evidence, as LSNs go, and has no log to fetch.
// Attacks: F25, F19, D10, S0, P6
TEST_F(LogDamageFilm, who_was_forced_inside_what_is_lost_here_is_no_source_of_a_sync) {
  const uint64_t begin = write_beside_a_stuck_disk({"a", "b"});
  lose_a_and_force_b(begin);
  boot("a");
  expect_state("a", State::log_damaged);
  rest(60s);
  EXPECT_EQ(state("a"), State::log_damaged);
  expect_no_event("a", "sync from");
  invalidate("a");
  expect_equal();
}

// Attacks: F8, LG2, D10, P2
TEST_F(LogDamageFilm, a_torn_tail_at_the_primary_is_no_damage) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  write("a", 20, 40, 'y');
  rest(1ms);
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: CR9, D9, F26
TEST_F(LogDamageFilm, one_rotten_slot_of_the_state_block_is_survived) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  for (const uint64_t slot : {0, 1}) {
    stop("b");
    disks("b").flip(resource_directory("b") + "/state", slot * 65536 + 100);
    boot("b");
    save("a", 0, 40, static_cast<char>('y' + slot));
    expect_equal();
  }
}

// The older one says that the data disk has less: the log from there on is still needed.
// Attacks: CR9, D9, D15, F26, P2
TEST_F(LogDamageFilm, the_newest_slot_of_the_state_block_rots_and_the_log_of_the_older_one_is_there) {
  cast({"a"});
  const std::string path = resource_directory("a") + "/state";
  char value = 'a';
  for (const Duration pause : {50ms, 210ms, 230ms, 260ms, 400ms, 2000ms}) {
    for (uint64_t block = 0; block < 240; block += 40) save("a", block, block + 40, value);
    ++value;
    rest(pause);
    power_loss("a");
    const auto sequence = [&](uint64_t slot) { return load_u64(disks("a").peek(path, slot * 65536 + 32, 8).data()); };
    disks("a").flip(path, (sequence(0) > sequence(1) ? 0 : 65536) + 100);
    boot("a");
    expect_primary("a");
    expect_equal();
  }
}

// Attacks: D15, P9
TEST_F(LogDamageFilm, the_older_slot_of_the_state_block_holds_no_file_of_the_log_at_rest) {
  cast({"a"});
  for (uint64_t block = 0; block < 240; block += 40) save("a", block, block + 40, 'x');
  EXPECT_GE(segments("a").size(), 3u);
  rest(5s);
  EXPECT_LE(segments("a").size(), 2u);
}

// Attacks: CR9, D9, F26
TEST_F(LogDamageFilm, a_sector_of_the_state_block_that_cannot_be_read_is_survived) {
  cast({"a", "b"});
  for (const uint64_t slot : {0, 1, 0, 1}) {
    save("a", 0, 40, static_cast<char>('x' + slot));
    expect_up_to_date();
    for (const char* host : {"a", "b"}) {
      kill(host);
      disks(host).break_sector(resource_directory(host) + "/state", slot * 65536 + 512);
    }
    boot("a");
    boot("b");
    expect_primary("a");
    expect_equal();
  }
}

// Attacks: F26, RP9, CR9, P13
TEST_F(LogDamageFilm, a_state_block_without_a_whole_slot_is_said_and_nothing_is_guessed) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  for (const uint64_t slot : {0, 1}) disks("b").flip(resource_directory("b") + "/state", slot * 65536 + 100);
  boot("b");
  rest(10s);
  EXPECT_EQ(control::row(state("b")).weight, control::Weight::broken) << control::name(state("b"));
  EXPECT_NE(view("b").reason, "");
  EXPECT_EQ(primary(), "a");
  run("b", "leave-resource mydata");
  run("b", "join-resource mydata /dev/sdb");
  expect_equal();
}

// Attacks: F50, MB7, T10
TEST_F(LogDamageFilm, a_replica_restored_to_an_earlier_moment_catches_up) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  FileSystem old_files = disks("b").snapshot("/");
  const Inode old_disk = disks("b").snapshot_device("/dev/sdb");
  boot("b");
  save("a", 20, 60, 'y');
  expect_up_to_date();
  stop("b");
  restore("b", std::move(old_files), old_disk);
  boot("b");
  expect_equal();
}

// Attacks: F50, MB7, T10, P4, P5
TEST_F(LogDamageFilm, a_primary_restored_to_an_earlier_moment_does_not_open_before_it_has_its_own_writes_back) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("a");
  FileSystem old_files = disks("a").snapshot("/");
  const Inode old_disk = disks("a").snapshot_device("/dev/sdb");
  boot("a");
  expect_primary("a");
  save("a", 20, 60, 'y');
  expect_up_to_date();
  stop("a");
  restore("a", std::move(old_files), old_disk);
  boot("a");
  rest(30s);
  EXPECT_TRUE(primary().empty() || is_on_disk("a", 20, 60, 'y')) << describe();
  EXPECT_TRUE(until([&] { return applied("a") >= durable("b"); }, 60s)) << describe();
  EXPECT_TRUE(until([&] { return cluster().run("a", "primary mydata --timeout 20s").code == ExitCode::done; }, 60s))
      << describe();
  expect_equal();
}

// Attacks: T9, D10, P6, P13
TEST_F(LogDamageFilm, a_fork_behind_a_damage_names_no_force) {
  cast({"a", "b"});
  save("a", 0, 40, 'o');
  expect_up_to_date();
  isolate("a");
  const uint64_t begin = durable("a");
  disks("a").drive("/dev/sdb").stick();
  for (uint64_t block = 0; block < 40; block += 10) save_apart("a", block, block + 10, 'a');
  power_loss("a");
  disks("a").drive("/dev/sdb").unstick();
  rot_log("a", begin + 100);
  await_silence("b", "a");
  force("b");
  save("b", 20, 30, 'b');
  rejoin("a");
  boot("a");
  expect_state("a", State::fork);
  expect_next_step("a", "invalidate mydata");
  // It would begin with what the other side has, too, and that side would be given up for nothing.
  EXPECT_EQ(view("a").next_step.find("--force"), std::string::npos) << describe();
  invalidate("a");
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
