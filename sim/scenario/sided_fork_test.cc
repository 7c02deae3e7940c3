// Forks of which one side has several hosts: who holds the right to write depends on whose history is asked about.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class SidedForkFilm : public Film {
 protected:
  // c reigned, wrote what nobody else has, and died; a was forced, and b follows it; c is back.
  void part_from_c(bool keeps_c) {
    cast({"a", "b", "c"});
    hand_over("c");
    save("c", 0, 40, '0');
    expect_up_to_date();
    for (const char* host : {"a", "b"}) run(host, "pause-fetch mydata");
    if (keeps_c) {
      save("c", 20, 30, 'c');
    } else {
      save_apart("c", 20, 30, 'c');
    }
    stop("c");
    for (const char* host : {"a", "b"}) run(host, "resume-fetch mydata");
    force("a");
    if (keeps_c) {
      save_apart("a", 20, 35, 'a');
    } else {
      save("a", 20, 35, 'a');
    }
    boot("c");
    expect_state("c", State::fork);
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
    rest(1s);
  }

  // b is forced without a and c and goes on to block b_end, d follows it and dies; then b is given up, and a is
  // primary.
  void force_and_take_back(uint64_t a_end, uint64_t b_end) {
    for (const char* one : {"a", "c"}) {
      for (const char* other : {"b", "d"}) cut(one, other);
    }
    save("a", 20, a_end, 'a');
    await_silence("b", "a");
    force("b");
    save_apart("b", 25, b_end, 'b');
    expect_on_disk("d", 25, b_end, 'b');
    kill("d");
    for (const char* one : {"a", "c"}) {
      for (const char* other : {"b", "d"}) heal(one, other);
    }
    expect_state("a", State::fork);
    invalidate("b");
    run("a", "primary mydata");
  }
};

// Attacks: F19, P6, T9, P13
TEST_F(SidedForkFilm, may_i_switch_this_host_off_is_asked_about_the_history_that_goes_on) {
  part_from_c(false);
  const std::string question = "wait-resource mydata synced --host b --timeout 3s";
  run("a", question);
  run("b", question);
  expect_exit("c", question, ExitCode::fork, "have parted");
  run("b", "pause-fetch mydata");
  for (uint64_t block = 0; block < 120; block += 30) save("a", block, block + 30, 'A');
  for (const char* host : {"a", "b"}) expect_exit(host, question, ExitCode::timed_out, "b");
  expect_exit("c", question, ExitCode::fork, "have parted");
  run("b", "resume-fetch mydata");
  run("a", "wait-resource mydata synced --host b --timeout 1m");
  expect_exit("a", "wait-resource mydata consistent --host c --timeout 3s", ExitCode::fork, "invalidate");
  expect_exit("c", "invalidate mydata --dry-run", ExitCode::done, "of its log are on no other host");
  invalidate("c");
  expect_equal();
}

// Attacks: F19, T6, T8
TEST_F(SidedForkFilm, a_forked_host_keeps_nobody_from_the_right_of_the_other_side) {
  part_from_c(false);
  expect_exit("c", "primary mydata --force", ExitCode::refused, "a holds the right to write and answers");
  run("b", "primary mydata");
  run("a", "primary mydata");
  kill("a");
  await_silence("b", "a");
  expect_exit("b", "primary mydata --timeout 3s", ExitCode::unreachable, "a has the right");
  force("b");
  save("b", 50, 60, 'b');
  invalidate("c");
  boot("a");
  expect_equal();
}

// Attacks: F19, P6, T9
TEST_F(SidedForkFilm, the_side_of_one_host_may_win_over_that_of_two) {
  part_from_c(true);
  expect_next_step("c", "or on a and b");
  isolate("c");
  await_silence("a", "c");
  run("a", "invalidate mydata");
  rest(10s);
  expect_next_step("a", "--force` on b");
  rejoin("c");
  EXPECT_TRUE(until([&] { return cluster().events("a").find("syncing: from c") != std::string::npos; })) << describe();
  expect_no_event("a", "syncing: from b");
  rest(2s);  // until b is connected, too
  invalidate("b");
  run("c", "primary mydata");
  expect_read("c", 20, 30, 'c');
  expect_equal();
}

// Who was given up knows that after a restart, too, whoever answers first.
// Attacks: F19, P6, T9
TEST_F(SidedForkFilm, a_restart_of_who_was_given_up_changes_no_verdict) {
  for (const bool is_back_at_once : {false, true}) {
    part_from_c(true);
    isolate("c");
    await_silence("a", "c");
    run("a", "invalidate mydata");
    rest(10s);
    kill("a");
    if (is_back_at_once) rejoin("c");
    if (is_back_at_once) cut("a", "c");
    boot("a");
    rest(30s);
    expect_no_event("a", "sync from b");
    expect_next_step("a", "not given up");
    rejoin("c");
    heal("a", "c");
    EXPECT_TRUE(until([&] { return cluster().events("a").find("syncing: from c") != std::string::npos; }))
        << describe();
    invalidate("b");
    run("c", "primary mydata");
    expect_read("c", 20, 30, 'c');
    expect_equal();
  }
}

// b and d follow the side of a; whoever is given up first must not come back to it through the other.
// Attacks: F19, P6, T9, P13
TEST_F(SidedForkFilm, two_followers_of_the_losing_side_are_given_up_one_after_the_other) {
  cast({"a", "b", "c", "d"});
  hand_over("c");
  save("c", 0, 40, '0');
  expect_up_to_date();
  for (const char* host : {"a", "b", "d"}) run(host, "pause-fetch mydata");
  save("c", 20, 30, 'c');
  stop("c");
  for (const char* host : {"a", "b", "d"}) run(host, "resume-fetch mydata");
  force("a");
  save_apart("a", 20, 35, 'a');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a") && durable("d") == durable("a"); }));
  boot("c");
  expect_state("c", State::fork);
  rest(1s);
  invalidate("a");
  invalidate("b");
  expect_no_event("b", "sync from d");
  invalidate("d");
  run("c", "primary mydata");
  expect_read("c", 20, 30, 'c');
  expect_equal();
}

// c is dead, or back and in a fork: b follows who was forced and is only made anew.
// Attacks: F19, T9, P13
TEST_F(SidedForkFilm, a_follower_of_the_winner_that_is_made_anew_gives_up_no_side) {
  for (const bool is_back : {false, true}) {
    for (const bool leaves : {false, true}) {
      cast({"a", "b", "c"});
      hand_over("c");
      save("c", 0, 40, '0');
      expect_up_to_date();
      for (const char* host : {"a", "b"}) run(host, "pause-fetch mydata");
      save_apart("c", 20, 30, 'c');
      kill("c");
      for (const char* host : {"a", "b"}) run(host, "resume-fetch mydata");
      force("a");
      save("a", 20, 35, 'a');
      expect_up_to_date_among("a", "b");
      if (is_back) boot("c");
      if (is_back) expect_state("c", State::fork);
      if (leaves) run("b", "leave-resource mydata");
      leaves ? (void)run("b", "join-resource mydata /dev/sdb --overwrite") : invalidate("b");
      expect_up_to_date_among("a", "b");
      expect_on_disk("b", 20, 35, 'a');
      if (!is_back) boot("c");
      expect_state("c", State::fork);
      rest(1s);
      invalidate("c");
      expect_equal();
    }
  }
}

// Attacks: F19, P6, T9
TEST_F(SidedForkFilm, who_is_given_up_twice_stays_on_the_side_that_is_kept) {
  part_from_c(true);
  invalidate("a");
  run("b", "pause-replay mydata");
  run("b", "invalidate mydata");
  rest(300ms);
  run("b", "invalidate mydata");
  run("b", "resume-replay mydata");
  expect_state("b", State::up_to_date);
  run("c", "primary mydata");
  expect_read("c", 20, 30, 'c');
  expect_equal();
}

// d stands before the fork. Whoever is given up fetches on from there, and not what it gave up.
// Attacks: F19, P6, T9
TEST_F(SidedForkFilm, who_is_given_up_does_not_come_back_through_a_beginning_of_both) {
  for (const bool is_reached : {false, true}) {
    cast({"a", "b", "c", "d"});
    hand_over("c");
    save("c", 0, 40, '0');
    expect_up_to_date();
    run("d", "pause-fetch mydata");
    save("c", 40, 50, '1');
    expect_up_to_date_among("a", "b");
    for (const char* host : {"a", "b"}) run(host, "pause-fetch mydata");
    save("c", 20, 30, 'c');
    stop("c");
    for (const char* host : {"a", "b"}) run(host, "resume-fetch mydata");
    force("a");
    save_apart("a", 20, 35, 'a');
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
    boot("c");
    expect_state("c", State::fork);
    rest(1s);
    if (!is_reached) isolate("c");
    if (!is_reached) await_silence("a", "c");
    run("a", "invalidate mydata");
    rest(20s);
    EXPECT_FALSE(is_on_disk("a", 30, 35, 'a') && durable("a") == durable("b")) << describe();
    rejoin("c");
    EXPECT_TRUE(until([&] { return durable("a") == durable("c"); })) << describe();
    invalidate("b");
    run("d", "resume-fetch mydata");
    EXPECT_TRUE(until([&] { return state("c") != State::fork; })) << describe();
    run("c", "primary mydata");
    expect_read("c", 20, 30, 'c');
    expect_equal();
  }
}

// Attacks: F13, T9
TEST_F(SidedForkFilm, a_bystander_that_is_given_up_first_is_synced_from_the_winner) {
  for (const char* winner : {"b", "c"}) {
    const std::string bystander = winner == std::string("b") ? "c" : "b";
    cast({"a", "b", "c"});
    save("a", 0, 40, '0');
    expect_up_to_date();
    isolate(winner);
    save_apart("a", 20, 30, 'a');
    expect_on_disk(bystander, 20, 30, 'a');
    await_silence(winner, "a");
    force(winner);
    save(winner, 25, 35, 'b');
    rejoin(winner);
    expect_state("a", State::fork);
    mount("a");
    rest(1s);
    invalidate(bystander);
    expect_event(bystander, std::string("sync from ") + winner);
    expect_on_disk(bystander, 25, 35, 'b');
    unmount("a");
    invalidate("a");
    expect_equal();
  }
}

// It is no version of anything, so that it is on no side, although its log is the deposed primary's.
// Attacks: F13, T9
TEST_F(SidedForkFilm, an_interrupted_sync_from_the_deposed_primary_goes_on_from_the_winner) {
  for (const std::string deposed : {"a", "b"}) {
    const std::string winner = deposed == "a" ? "b" : "a";
    cast({"a", "b", "c"});
    save("a", 0, 400, '0');
    expect_up_to_date();
    if (deposed != "a") hand_over(deposed);
    isolate(winner);
    save_apart(deposed, 20, 30, 'a');
    await_silence(winner, deposed);
    network().set_link(deposed, "c", {.bytes_per_second = 300'000});
    run("c", "pause-sync mydata");
    invalidate("c");
    forget_disk("c");
    run("c", "resume-sync mydata");
    expect_state("c", State::syncing);
    rest(2s);
    run("c", "pause-sync mydata");
    restart("c");
    network().set_link(deposed, "c", {});
    force(winner);
    rejoin(winner);
    expect_state(deposed, State::fork);
    rest(2s);
    run("c", "resume-sync mydata");
    EXPECT_TRUE(until([&] { return applied("c") == durable(winner) && state("c") != State::syncing; })) << describe();
    EXPECT_NE(state("c"), State::fork) << describe();
    invalidate(deposed);
    expect_equal();
  }
}

// A follower that was away does not bring back what the forced host itself has given up.
// Attacks: F13, T9
TEST_F(SidedForkFilm, a_sync_stays_with_the_side_that_the_operator_kept) {
  for (const std::string how : {"it was interrupted", "it begins", "it was given up later"}) {
    cast({"a", "b", "c", "d"});
    save("a", 0, 400, '0');
    expect_up_to_date();
    run("c", "pause-sync mydata");
    if (how != "it was given up later") {
      invalidate("c");
      forget_disk("c");
    }
    force_and_take_back(30, 35);
    if (how == "it was interrupted") {
      network().set_link("a", "c", {.bytes_per_second = 300'000});
      network().set_link("b", "c", {.bytes_per_second = 300'000});
      run("c", "resume-sync mydata");
      expect_state("c", State::syncing);
      rest(2s);
      run("c", "pause-sync mydata");
      restart("c");
      network().set_link("a", "c", {});
      network().set_link("b", "c", {});
    }
    boot("d");
    EXPECT_TRUE(until([&] { return cluster().connected("c", "a") && cluster().connected("c", "d"); }));
    rest(2s);
    if (how == "it was given up later") invalidate("c");
    run("c", "resume-sync mydata");
    EXPECT_TRUE(until([&] { return applied("c") == durable("a") && state("c") != State::syncing; })) << describe();
    invalidate("d");
    expect_equal();
  }
}

// It saw neither side: the force is the verdict, whoever has more.
// Attacks: F13, T9
TEST_F(SidedForkFilm, a_bystander_that_saw_neither_side_follows_who_was_forced) {
  cast({"a", "b", "c"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("c");
  await_silence("a", "c");
  isolate("b");
  await_silence("b", "a");
  for (uint64_t block = 100; block < 200; block += 20) save_apart("a", block, block + 20, 'a');
  force("b");
  save("b", 20, 30, 'b');
  heal("a", "b");
  expect_state("a", State::fork);
  run("c", "pause-fetch mydata");
  rejoin("c");
  EXPECT_TRUE(until([&] { return cluster().connected("c", "a") && cluster().connected("c", "b"); }));
  rest(2s);
  run("c", "resume-fetch mydata");
  expect_on_disk("c", 20, 30, 'b');
  rest(5s);
  EXPECT_NE(state("c"), State::fork) << describe();
  EXPECT_FALSE(is_on_disk("c", 100, 120, 'a')) << describe();
  invalidate("a");
  expect_equal();
}

// Nobody is open: the operator's verdict counts, and not who has more.
// Attacks: F13, T9
TEST_F(SidedForkFilm, a_bystander_does_not_follow_what_is_left_of_a_force_that_was_taken_back) {
  cast({"a", "b", "c", "d"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  run("c", "pause-fetch mydata");
  force_and_take_back(25, 60);
  run("a", "secondary mydata");
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); })) << describe();
  boot("d");
  EXPECT_TRUE(until(
      [&] { return cluster().connected("c", "a") && cluster().connected("c", "b") && cluster().connected("c", "d"); }));
  rest(2s);
  run("c", "resume-fetch mydata");
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); })) << describe();
  EXPECT_FALSE(is_on_disk("c", 25, 60, 'b')) << describe();
  invalidate("d");
  run("a", "primary mydata");
  expect_equal();
}

// Attacks: F13, P13
TEST_F(SidedForkFilm, a_lag_is_counted_from_the_primary_that_answers) {
  for (const char* dead : {"a", "c"}) {
    const std::string late = dead == std::string("a") ? "c" : "a";
    cast({"a", "b", "c"});
    if (primary() != dead) hand_over(dead);
    save(dead, 0, 20, '0');
    expect_up_to_date();
    kill(dead);
    run(late, "pause-fetch mydata");
    force("b");
    for (uint64_t block = 0; block < 200; block += 40) save("b", block, block + 40, 'b');
    rest(2s);
    for (const char* asked : {"b", late.c_str()}) {
      EXPECT_GT(view(late, asked).lag_bytes.value_or(0), uint64_t{200} * 4096) << asked << describe();
    }
    run(late, "resume-fetch mydata");
    boot(dead);
    expect_equal();
  }
}

// Its log and theirs have no reign in common any more: nobody can tell whether it is a beginning of theirs (D9).
// Attacks: D9, P2, P4, P5, T9
TEST_F(SidedForkFilm, who_was_left_behind_by_more_reigns_than_a_branch_remembers_opens_nothing) {
  cast({"a", "b", "c"});
  hand_over("c");
  save("c", 0, 40, '0');
  expect_up_to_date();
  stop("c");
  force("a");
  save("a", 10, 20, 'a');
  for (int i = 0; i < 130; ++i) {
    hand_over("b");
    hand_over("a");
  }
  save("a", 20, 30, 'A');
  boot("c");
  expect_state("c", State::fork);
  expect_next_step("c", "invalidate mydata");
  expect_exit("c", "primary mydata --force --dry-run", ExitCode::refused, "holds the right to write");
  expect_primary("a");
  kill("a");
  await_silence("c", "a");
  run("b", "pause-fetch mydata");
  rest(15s);
  expect_exit("c", "primary mydata --force --dry-run", ExitCode::done, "is not known");
  EXPECT_NE(state("c"), State::up_to_date);
  run("b", "resume-fetch mydata");
  boot("a");
  expect_primary("a");
  invalidate("c");
  expect_equal();
}

// Attacks: T9, P6, P13
TEST_F(SidedForkFilm, a_side_whose_rival_is_lost_for_good_can_be_kept) {
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
  power_loss("b");
  await_silence("a", "b");
  expect_next_step("a", "lost for good");
  restart("a");
  run("a", "primary mydata --force");
  expect_state("a", State::up_to_date);
  EXPECT_TRUE(cluster().device("a", "mydata")->is_open());
}

}  // namespace
}  // namespace mars::sim
