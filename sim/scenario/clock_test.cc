// Clocks that are wrong: no rule of the data path reads one.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class ClockFilm : public Film {
 protected:
  void set_clock(const std::string& host, Duration skew) { cluster().host(host).set_clock_skew(skew); }
};

// Attacks: F31, R2, LG11
TEST_F(ClockFilm, a_year_of_difference_changes_nothing) {
  cast({"a", "b"});
  set_clock("a", 24h * 365);
  set_clock("b", -24h * 365);
  save("a", 0, 40, 'x');
  hand_over("b");
  save("b", 20, 60, 'y');
  hand_over("a");
  expect_equal();
}

// Attacks: F31, LG11, D3
TEST_F(ClockFilm, a_clock_that_jumps_back_under_load) {
  cast({"a", "b"});
  begin_load(0, 80);
  for (const Duration skew : {Duration(2h), Duration(-5h), Duration(0), Duration(-24h * 40)}) {
    rest(1s);
    set_clock("a", skew);
  }
  rest(1s);
  EXPECT_GT(end_load(), 500u);
  expect_equal();
  EXPECT_LT(view("b").lag_ms.value_or(0), 1000u);
}

// Attacks: F31, F34, R2
TEST_F(ClockFilm, a_wish_from_a_host_in_the_future_does_not_win_for_ever) {
  cast({"a", "b", "c"});
  set_clock("b", 24h * 3650);
  hand_over("b");
  set_clock("b", 0s);
  hand_over("c");
  EXPECT_EQ(primary(), "c");
  hand_over("a");
  EXPECT_EQ(primary(), "a");
  expect_equal();
}

// Attacks: F31, R2, OP1
TEST_F(ClockFilm, options_of_a_host_in_the_future_can_be_changed_by_one_in_the_past) {
  cast({"a", "b"});
  set_clock("a", 24h * 3650);
  run("a", "set mydata open-wait 3s");
  EXPECT_TRUE(until([&] { return cluster().run("b", "get mydata open-wait").text == "3s"; }));
  set_clock("b", -24h * 3650);
  run("b", "set mydata open-wait 4s");
  EXPECT_TRUE(until([&] { return cluster().run("a", "get mydata open-wait").text == "4s"; }));
}

// Attacks: F31, F7, D3, LG11
TEST_F(ClockFilm, a_primary_that_boots_with_its_clock_at_zero_goes_on) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  power_loss("a");
  set_clock("a", -24h * 365 * 50);
  boot("a");
  expect_primary("a");
  save("a", 20, 60, 'y');
  expect_equal();
}

// Attacks: F31, SB14, T9
TEST_F(ClockFilm, which_side_of_a_fork_is_newer_is_no_question_of_clocks) {
  cast({"a", "b"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  set_clock("b", -24h * 3650);
  isolate("a");
  save_apart("a", 0, 5, 'a');
  await_silence("b", "a");
  force("b");
  save("b", 3, 8, 'b');
  rejoin("a");
  expect_state("a", State::fork);
  expect_read("a", 0, 5, 'a');
  invalidate("a");
  expect_equal();
}

// Attacks: F31, T8, P5
TEST_F(ClockFilm, the_statement_of_loss_survives_foolish_clocks) {
  cast({"a", "b"});
  set_clock("a", -24h * 3650);
  run("b", "pause-fetch mydata");
  save("a", 0, 40, 'x');
  rest(2s);
  kill("a");
  await_silence("b", "a");
  set_clock("b", 24h * 3650);
  const Answer answer = run("b", "primary mydata --force --dry-run");
  EXPECT_NE(answer.text.find("bytes of log"), std::string::npos) << answer.text;
  boot("a");
  run("b", "up mydata");
  expect_equal();
}

// Attacks: F31, R2, R3
TEST_F(ClockFilm, clocks_wander_on_all_hosts_while_everything_happens) {
  cast({"a", "b", "c"});
  begin_load(0, 60);
  const std::vector<std::string> hosts = {"a", "b", "c"};
  for (int round = 0; round < 6; ++round) {
    set_clock(hosts[round % 3], (round % 2 == 0 ? 1 : -1) * 24h * 30 * (round + 1));
    hand_over(hosts[(round + 1) % 3]);
    rest(300ms);
  }
  end_load();
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
