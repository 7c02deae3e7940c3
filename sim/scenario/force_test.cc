// A force takes its time, and those who were away come back meanwhile.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class ForceFilm : public Film {};

// Attacks: T8, P6
TEST_F(ForceFilm, the_holder_that_answers_while_the_forced_host_replays_keeps_the_right) {
  cast({"a", "b"});
  run("b", "pause-replay mydata");
  save("a", 0, 60, 'x');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  isolate("a");
  await_silence("b", "a");
  disks("b").drive("/dev/sdb").stick();
  const auto forcing = begin("b", "primary mydata --force --timeout 60s");
  rest(3s);
  rejoin("a");
  EXPECT_TRUE(until([&] { return cluster().connected("b", "a"); }));
  rest(1s);
  disks("b").drive("/dev/sdb").unstick();
  EXPECT_EQ(end(*forcing).code, ExitCode::refused);
  expect_primary("a");
  run("b", "resume-replay mydata");
  save("a", 0, 60, 'y');
  expect_equal();
}

// Its first report is on its way, on a slow link.
// Attacks: T8, P6
TEST_F(ForceFilm, a_holder_that_is_connected_and_has_not_spoken_yet_is_waited_for) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  isolate("a");
  await_silence("b", "a");
  network().set_link("a", "b", {.latency = 1500ms});
  rejoin("a");
  EXPECT_TRUE(until([&] { return cluster().connected("b", "a"); }, 60s, 1ms));
  expect_exit("b", "primary mydata --force", ExitCode::refused, "holds the right");
  network().set_link("a", "b", {});
  expect_primary("a");
  expect_equal();
}

// d can follow either of the two by log, as long as it has followed neither.
// Attacks: T9, P6
TEST_F(ForceFilm, who_stands_before_two_forces_waits_for_the_decision) {
  cast({"a", "b", "c", "d"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  for (const std::string host : {"a", "b", "c", "d"}) isolate(host);
  kill("a");
  await_silence("b", "a");
  await_silence("c", "a");
  force("b");
  force("c");
  save_apart("b", 40, 60, 'b');
  save("c", 100, 120, 'c');
  const uint64_t before = durable("d");
  run("d", "pause-fetch mydata");
  heal("b", "d");
  heal("c", "d");
  EXPECT_TRUE(until([&] { return cluster().connected("d", "b") && cluster().connected("d", "c"); }));
  rest(3s);
  run("d", "resume-fetch mydata");
  EXPECT_TRUE(until([&] { return view("d").reason.find("two hosts were forced") != std::string::npos; })) << describe();
  rest(10s);
  EXPECT_EQ(durable("d"), before);
  expect_state("d", State::waiting_for_peer);
  heal("b", "c");
  expect_state("b", State::fork);
  run("b", "invalidate mydata");
  EXPECT_TRUE(until([&] { return durable("d") == durable("c"); })) << describe();
  boot("a");
  rejoin("a");
  EXPECT_TRUE(until([&] { return state("a") == State::up_to_date; })) << describe();
  expect_equal();
}

// b has learned where its data begins behind the first parting; by the second the log of that time is gone.
// Attacks: T9, P6, P13
TEST_F(ForceFilm, what_was_learned_of_a_former_fork_makes_no_fork_of_an_empty_reign) {
  cast({"a", "b"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  isolate("a");
  await_silence("b", "a");
  force("b");
  save_apart("a", 40, 60, 'a');
  save("b", 100, 120, 'b');
  rejoin("a");
  expect_state("a", State::fork);
  rest(2s);
  invalidate("a");
  expect_up_to_date();
  for (char value = 'c'; value < 'k'; ++value) save("b", 0, 48, value);
  expect_up_to_date();
  rest(5s);
  isolate("b");
  await_silence("a", "b");
  run("b", "secondary mydata");
  run("b", "primary mydata");
  force("a");
  save("a", 0, 20, 'n');
  rejoin("b");
  expect_equal();
  expect_event("b", "nothing is lost here");
  expect_no_event("b", "have parted");
}

}  // namespace
}  // namespace mars::sim
