// A primary that another one was forced against, and that has more than its log can show.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class DeposedFilm : public Film {};

// Attacks: F19, F23, P6, T9, D10
TEST_F(DeposedFilm, a_rival_that_begins_where_the_log_is_damaged_does_not_replace_it) {
  cast({"a", "b", "c"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("a");
  const uint64_t begin = durable("a");
  for (uint64_t block = 0; block < 30; block += 10) save_apart("a", block, block + 10, 'a');
  power_loss("a");
  rot_log("a", begin + 100);
  const Hosts kept = segments("a");
  await_silence("b", "a");
  force("b");
  save("b", 20, 30, 'b');
  rejoin("a");
  boot("a");
  expect_state("a", State::fork);
  EXPECT_NE(view("a").reason.find("damaged"), std::string::npos) << describe();
  expect_next_step("a", "invalidate");
  rest(60s);
  expect_state("a", State::fork);
  EXPECT_EQ(segments("a"), kept);
  restart("a");
  rest(60s);
  expect_state("a", State::fork);
  invalidate("a");
  EXPECT_EQ(disks("a").list(log_directory("a") + "/branch").size(), kept.size());
  expect_equal();
}

// Attacks: F23, P13, T9, D10
TEST_F(DeposedFilm, the_same_host_that_goes_on_behind_a_damage_is_no_rival) {
  cast({"a", "b"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  run("b", "pause-replay mydata");
  const uint64_t begin = durable("a");
  restart("a");
  expect_primary("a");
  save("a", 0, 20, 'a');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  power_loss("b");
  rot_log("b", begin + 100);
  boot("b");
  run("b", "resume-replay mydata");
  expect_equal();
}

// What it was forced against goes on with the epoch before. Whoever has lost the end of its log knows where that ended.
// Attacks: F19, F23, P1, T9, D10
TEST_F(DeposedFilm, whose_forced_epoch_rotted_away_takes_nothing_from_the_other_side) {
  cast({"a", "b", "c"});
  hand_over("c");
  save("c", 0, 40, '0');
  expect_up_to_date();
  isolate("c");
  await_silence("a", "c");
  const uint64_t begin = durable("a");
  force("a");
  EXPECT_TRUE(until([&] { return durable("b") == durable("a") && durable("b") > begin; })) << describe();
  power_loss("a");
  rot_log("a", begin + 100);
  save_apart("c", 0, 20, 'c');
  cut("a", "b");
  rejoin("c");
  boot("a");
  rest(30s);
  EXPECT_EQ(durable("a"), begin) << describe();
  heal("a", "b");
  invalidate("c");
  EXPECT_TRUE(until([&] { return cluster().run("a", "primary mydata").code == ExitCode::done; })) << describe();
  expect_equal();
}

// Attacks: F19, P6, D6, T9
TEST_F(DeposedFilm, what_only_memory_has_of_a_deposed_reign_is_kept) {
  for (const bool is_heard_late : {false, true}) {
    cast({"a", "b"});
    save("a", 0, 40, '0');
    expect_up_to_date();
    isolate("a");
    const uint64_t begin = durable("a");
    for (uint64_t block = 0; block < 5; ++block) EXPECT_EQ(cluster().write("a", "mydata", block, 'a'), Status::ok);
    kill("a");
    await_silence("b", "a");
    force("b");
    save("b", 20, 30, 'b');
    if (!is_heard_late) rejoin("a");
    boot("a");
    rest(is_heard_late ? 3s : 20s);
    EXPECT_EQ(durable("a"), begin) << "the log has what memory should have";
    rejoin("a");
    expect_state("a", State::fork);
    EXPECT_NE(view("a").reason.find("memory"), std::string::npos) << describe();
    rest(60s);
    expect_state("a", State::fork);
    EXPECT_EQ(view("a").next_step.find("on b"), std::string::npos) << "b sees no fork, and refuses: " << describe();
    invalidate("a");
    expect_equal();
  }
}

// Attacks: F19, P6, D6, T9, P13
TEST_F(DeposedFilm, what_only_memory_has_of_a_deposed_reign_can_be_kept) {
  cast({"a", "b"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("a");
  write("a", 0, 5, 'a');
  kill("a");
  await_silence("b", "a");
  force("b");
  save_apart("b", 20, 30, 'b');
  rejoin("a");
  boot("a");
  expect_state("a", State::fork);
  expect_next_step("a", "stop marsd on the others");
  stop("b");
  await_silence("a", "b");
  force("a");
  boot("b");
  expect_state("b", State::fork);
  invalidate("b");
  expect_equal();
  expect_read("a", 0, 5, 'a');
  expect_on_disk("b", 0, 5, 'a');
}

}  // namespace
}  // namespace mars::sim
