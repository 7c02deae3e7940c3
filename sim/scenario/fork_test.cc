// Two histories: forced primaries, what they lose, and how the operator ends it.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class ForkFilm : public Film {
 protected:
  // a and b have parted: a wrote 'a' and b wrote 'b' onto the same blocks; both devices are open.
  void part() {
    save("a", 0, 40, '0');
    expect_up_to_date();
    isolate("a");
    save_apart("a", 20, 30, 'a');
    await_silence("b", "a");
    force("b");
    save("b", 20, 30, 'b');
  }
};

// Attacks: F19, P6, SB2, SB4, T9
TEST_F(ForkFilm, both_sides_are_kept_until_one_is_given_up) {
  cast({"a", "b"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  expect_next_step("a", "invalidate");
  rest(20s);
  expect_read("a", 20, 30, 'a');
  expect_read("b", 20, 30, 'b');
  invalidate("a");
  expect_equal();
  EXPECT_EQ(primary(), "b");
}

// Attacks: F19, SB2, OP3, P13
TEST_F(ForkFilm, every_host_raises_the_alarm) {
  cast({"a", "b", "c"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  for (const char* host : {"a", "b", "c"}) {
    EXPECT_TRUE(until([&] { return !cluster().status(host).resources.at(0).alarms.empty(); })) << host;
  }
  expect_exit("a", "primary mydata", ExitCode::fork, "invalidate");
  expect_exit("b", "wait-resource mydata synced --timeout 5s", ExitCode::fork, "invalidate");
  invalidate("a");
  expect_equal();
  EXPECT_TRUE(until([&] { return cluster().status("c").resources.at(0).alarms.empty(); }));
}

// Attacks: F19, SB5, T9
TEST_F(ForkFilm, the_old_primary_may_win) {
  cast({"a", "b"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("a");
  save("a", 20, 30, 'a');
  await_silence("b", "a");
  force("b");
  save_apart("b", 20, 35, 'b');
  rejoin("a");
  expect_state("a", State::fork);
  invalidate("b");
  expect_equal();
  rest(20s);
  EXPECT_EQ(primary(), "a") << "and nothing is handed over by surprise";
  expect_equal();
}

// Attacks: F20, SB7
TEST_F(ForkFilm, segments_that_rolled_on_both_sides_are_told_apart) {
  cast({"a", "b"});
  save("a", 0, 10, '0');
  expect_up_to_date();
  isolate("a");
  for (uint64_t block = 0; block < 120; block += 30) save_apart("a", block, block + 30, 'a');
  await_silence("b", "a");
  force("b");
  for (uint64_t block = 40; block < 160; block += 30) save("b", block, block + 30, 'b');
  rejoin("a");
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
  EXPECT_TRUE(is_on_disk("a", 20, 21, 0)) << "a block that only the loser wrote is as it was before";
}

// Attacks: F20, SB6, P6
TEST_F(ForkFilm, two_forks_one_after_the_other) {
  cast({"a", "b"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
  isolate("b");
  save_apart("b", 0, 10, 'B');
  await_silence("a", "b");
  force("a");
  save("a", 5, 15, 'A');
  rejoin("b");
  expect_state("b", State::fork);
  invalidate("b");
  expect_equal();
}

// Attacks: F21, SB13, P1
TEST_F(ForkFilm, a_bystander_that_saw_neither_tail_follows_the_forced_one) {
  cast({"a", "b", "c"});
  part();
  expect_up_to_date_among("b", "c");
  rejoin("a");
  expect_state("a", State::fork);
  rest(10s);
  EXPECT_EQ(state("c"), State::up_to_date);
  EXPECT_EQ(view("c").reason, "");
  expect_on_disk("c", 20, 30, 'b');
  invalidate("a");
  expect_equal();
}

// Attacks: F21, SB13, P6
TEST_F(ForkFilm, a_bystander_that_followed_the_losing_side_mixes_nothing) {
  cast({"a", "b", "c"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("b");
  save_apart("a", 20, 30, 'a');
  expect_on_disk("c", 20, 30, 'a');
  await_silence("b", "a");
  force("b");
  save("b", 25, 35, 'b');
  rejoin("b");
  expect_state("a", State::fork);
  rest(10s);
  EXPECT_FALSE(is_on_disk("c", 30, 35, 'b') && is_on_disk("c", 20, 25, 'a')) << describe();
  invalidate("a");
  if (state("c") == State::fork) invalidate("c");
  expect_equal();
}

// Attacks: F13, F15, SB11, T9, P7
TEST_F(ForkFilm, a_lost_primary_whose_writes_all_arrived_follows_when_it_is_back) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("a");
  await_silence("b", "a");
  force("b");
  save("b", 30, 60, 'y');
  boot("a");
  expect_equal();
  EXPECT_EQ(primary(), "b");
  expect_no_event("a", "sync from b");
}

// Attacks: SB11, SB10, T9, P4
TEST_F(ForkFilm, an_isolated_primary_that_wrote_nothing_steps_down_by_itself) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  isolate("a");
  await_silence("b", "a");
  force("b");
  save("b", 30, 60, 'y');
  rejoin("a");
  EXPECT_TRUE(until([&] { return !cluster().is_primary("a", "mydata"); })) << describe();
  expect_equal();
  EXPECT_EQ(primary(), "b");
}

// Attacks: F15, SB14, P6
TEST_F(ForkFilm, a_dead_primary_with_a_tail_of_its_own_comes_back_as_a_fork_and_damages_nothing) {
  cast({"a", "b"});
  part();
  kill("a");
  rest(10min);
  save("b", 0, 10, 'c');
  rejoin("a");
  boot("a");
  expect_state("a", State::fork);
  EXPECT_EQ(primary(), "b");
  expect_on_disk("a", 20, 30, 'a');
  save("b", 10, 20, 'd');
  invalidate("a");
  expect_equal();
}

// Attacks: F15, SB14, P7
TEST_F(ForkFilm, a_dead_host_comes_back_when_the_log_is_long_gone) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("a");
  await_silence("b", "a");
  force("b");
  for (int round = 0; round < 12; ++round) {
    for (uint64_t block = 0; block < 160; block += 40) save("b", block, block + 40, static_cast<char>('A' + round));
  }
  expect_event("b", "the log is not kept any longer for a");
  boot("a");
  expect_equal();
  EXPECT_EQ(primary(), "b");
}

// Attacks: SB12, T9, P6
TEST_F(ForkFilm, three_hosts_three_histories_one_winner) {
  cast({"a", "b", "c"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("a");
  isolate("b");
  save("a", 10, 20, 'a');
  await_silence("b", "a");
  await_silence("c", "b");
  force("b");
  force("c");
  save_apart("b", 10, 20, 'b');
  save_apart("c", 10, 20, 'c');
  rejoin("a");
  rejoin("b");
  expect_state("a", State::fork);
  expect_read("a", 10, 20, 'a');
  expect_read("b", 10, 20, 'b');
  expect_read("c", 10, 20, 'c');
  invalidate("b");
  invalidate("c");
  expect_equal();
}

// Attacks: F13, T8, P5
TEST_F(ForkFilm, a_dry_run_says_what_would_be_lost_and_changes_nothing) {
  cast({"a", "b"});
  run("b", "pause-fetch mydata");
  save("a", 0, 40, 'x');
  rest(2s);
  kill("a");
  await_silence("b", "a");
  const Answer answer = run("b", "primary mydata --force --dry-run");
  EXPECT_NE(answer.text.find("bytes of log"), std::string::npos) << answer.text;
  expect_nobody_primary();
  boot("a");
  expect_primary("a");
  run("b", "up mydata");
  expect_equal();
}

// Attacks: T8, P4
TEST_F(ForkFilm, force_is_refused_while_the_primary_answers) {
  cast({"a", "b"});
  expect_exit("b", "primary mydata --force", ExitCode::refused, "without --force");
  EXPECT_EQ(primary(), "a");
  mount("a");
  expect_exit("b", "primary mydata --force", ExitCode::refused, "answers");
  EXPECT_EQ(primary(), "a");
}

// Attacks: T8, KX5, P5
TEST_F(ForkFilm, force_takes_first_what_another_replica_has_more) {
  cast({"a", "b", "c"});
  isolate("b");
  save("a", 0, 40, 'm');
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  power_loss("a");
  rejoin("b");
  await_silence("c", "a");
  force("b");
  expect_read("b", 0, 40, 'm');
  save("b", 30, 60, 'n');
  boot("a");
  expect_equal();
}

// Attacks: T8, KX5, P5, P6
TEST_F(ForkFilm, force_is_refused_while_a_host_that_can_be_asked_has_more) {
  cast({"a", "b", "c"});
  run("b", "pause-fetch mydata");
  save("a", 0, 40, 'm');
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  power_loss("a");
  await_silence("b", "a");
  expect_exit("b", "primary mydata --force --timeout 20s", ExitCode::refused, "--now");
  expect_exit("b", "primary mydata --force --dry-run", ExitCode::refused, "--now");
  run("b", "resume-fetch mydata");
  force("b");
  expect_read("b", 0, 40, 'm');
  boot("a");
  expect_equal();
}

// Attacks: T8, KX5, P5, P6
TEST_F(ForkFilm, force_now_leaves_that_out_and_says_so) {
  cast({"a", "b", "c"});
  run("b", "pause-fetch mydata");
  save("a", 0, 40, '0');
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  power_loss("a");
  await_silence("b", "a");
  allow_two_primaries();
  const Answer answer = run("b", "primary mydata --force --now");
  EXPECT_NE(answer.text.find("c has more"), std::string::npos) << answer.text;
  expect_state("c", State::fork);
  expect_on_disk("c", 0, 40, '0');
}

// Attacks: F38, SB15, T8
TEST_F(ForkFilm, force_is_refused_on_a_replica_that_was_never_consistent) {
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  save("a", 0, 40, 'x');
  network().set_link("a", "b", {.bytes_per_second = 20'000});
  EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 1; }));
  for (uint64_t block = 100; block < 300; block += 40) save("a", block, block + 40, 'y');
  run("b", "join-resource mydata /dev/sdb");
  EXPECT_TRUE(until([&] { return state("b") == State::syncing; }));
  kill("a");
  await_silence("b", "a");
  expect_exit("b", "primary mydata --force", ExitCode::refused, "not consistent");
  network().set_link("a", "b", {});
  boot("a");
  expect_equal();
}

// Attacks: F36, SB10, T9
TEST_F(ForkFilm, a_mounted_loser_is_not_taken_away_from_its_users) {
  cast({"a", "b"});
  part();
  mount("a");
  rejoin("a");
  expect_state("a", State::fork);
  save_apart("a", 30, 35, 'a');
  expect_exit("a", "invalidate mydata", ExitCode::refused, "unmount");
  expect_read("a", 20, 30, 'a');
  unmount("a");
  invalidate("a");
  expect_equal();
}

// Attacks: SB6, NW1, P7
TEST_F(ForkFilm, the_network_goes_again_while_the_loser_comes_back) {
  cast({"a", "b"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  network().set_link("a", "b", {.bytes_per_second = 300'000});
  invalidate("a");
  for (int i = 0; i < 3; ++i) {
    isolate("a");
    rest(10s);
    rejoin("a");
    rest(1s);
  }
  network().set_link("a", "b", {});
  expect_equal();
}

// Attacks: SB6, P6, protocol 8 (loser crash before the first overwrite)
TEST_F(ForkFilm, the_loser_loses_power_at_many_steps_of_its_way_back) {
  cast({"a", "b"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  for (const uint64_t op : {1, 2, 4, 7, 12, 20}) {
    power_loss_at("a", op);
    const auto running = begin("a", "invalidate mydata");
    until([&] { return is_dead("a"); }, 3s);
    revive("a");
    EXPECT_TRUE(until([&] { return running->answer.has_value(); })) << op;
    rest(5s);
    if (state("a") != State::fork) break;
  }
  if (state("a") == State::fork) invalidate("a");
  expect_equal();
}

// Attacks: F21, SB13, P13
TEST_F(ForkFilm, a_bystander_that_sees_only_the_losing_side_says_whom_it_follows) {
  cast({"a", "b", "c"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("b");
  save_apart("a", 20, 30, 'a');
  expect_on_disk("c", 20, 30, 'a');
  await_silence("b", "a");
  force("b");
  save("b", 25, 35, 'b');
  rejoin("b");
  cut("b", "c");
  expect_state("a", State::fork);
  EXPECT_TRUE(until([&] { return view("c").reason.find("it follows a") == 0; })) << view("c").reason;
  expect_next_step("c", "invalidate mydata` here, too");
  heal("b", "c");
  invalidate("a");
  expect_state("c", State::fork);
  invalidate("c");
  expect_equal();
}

// Attacks: F19, T2, T6, P13
TEST_F(ForkFilm, secondary_is_refused_at_once_where_no_wish_is_obeyed) {
  cast({"a", "b"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  for (const char* host : {"a", "b"}) {
    const io::Instant asked = cluster().world().now();
    expect_exit(host, "secondary mydata", ExitCode::fork, "invalidate mydata");
    EXPECT_LT(cluster().world().now() - asked, 1s);
  }
  EXPECT_EQ(primary(), "a") << "nothing was changed";
  expect_read("b", 20, 30, 'b');
  invalidate("a");
  expect_equal();
  run("b", "secondary mydata");
}

// Attacks: P6, T9
TEST_F(ForkFilm, what_the_loser_had_is_kept_aside) {
  cast({"a", "b"});
  part();
  rejoin("a");
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
  EXPECT_FALSE(disks("a").list(log_directory("a") + "/branch").empty());
}

// Attacks: P6, SY8
TEST_F(ForkFilm, the_winner_cannot_be_given_up_by_mistake_while_it_is_the_primary_of_all) {
  cast({"a", "b"});
  expect_exit("a", "invalidate mydata", ExitCode::refused, "primary mydata");
  isolate("b");
  await_silence("a", "b");
  await_silence("b", "a");
  expect_exit("b", "invalidate mydata", ExitCode::unreachable, "network");
  rejoin("b");
  expect_equal();
}

// Attacks: F52, P5, SB11
TEST_F(ForkFilm, a_whole_site_fails_over_and_its_hosts_come_back_as_replicas) {
  cast({"a", "b", "c"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("a");
  power_loss("b");
  await_silence("c", "a");
  force("c");
  save("c", 20, 60, 'y');
  boot("b");
  boot("a");
  expect_equal();
  EXPECT_EQ(primary(), "c");
}

// Attacks: protocol 8 (force while a release is on its way), T7, T8
TEST_F(ForkFilm, force_where_the_right_to_write_was_parked_needs_the_holder_to_be_silent) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  run("b", "secondary mydata");
  expect_nobody_primary();
  expect_exit("b", "primary mydata --force", ExitCode::refused, "answers");
  kill("a");
  await_silence("b", "a");
  force("b");
  expect_read("b", 0, 20, 'x');
  boot("a");
  expect_equal();
  EXPECT_EQ(primary(), "b");
}

// Attacks: T9, SB11, P4
TEST_F(ForkFilm, a_forced_reign_without_a_single_write_still_counts) {
  cast({"a", "b"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  isolate("a");
  save_apart("a", 0, 5, 'a');
  await_silence("b", "a");
  force("b");
  rejoin("a");
  expect_state("a", State::fork);
  rest(10s);
  expect_read("a", 0, 5, 'a');
  expect_read("b", 0, 5, '0');
  invalidate("a");
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
