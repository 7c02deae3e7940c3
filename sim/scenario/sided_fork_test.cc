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
  invalidate("b");
  run("c", "primary mydata");
  expect_read("c", 20, 30, 'c');
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
