// The right to write: who has it, who has given it up, and what may go with it.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class RightFilm : public Film {
 protected:
  void fill(int rounds) {
    for (int round = 0; round < rounds; ++round) save("a", 0, 120, static_cast<char>('A' + round));
  }
};

// Attacks: P4, T2, T6
TEST_F(RightFilm, who_leaves_and_joins_again_has_no_right_from_before) {
  cast({"a", "b", "c"});
  run("b", "pause-replay mydata");
  save("a", 0, 20, 'x');
  restart("a");
  expect_primary("a");  // this reign begins behind what b has applied
  save("a", 20, 40, 'y');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  run("b", "pause-fetch mydata");  // b has it without its release
  hand_over("c");
  isolate("c");
  await_silence("a", "c");
  await_silence("b", "c");
  run("a", "leave-resource mydata");
  run("a", "join-resource mydata /dev/sdb --overwrite");
  EXPECT_TRUE(until([&] { return durable("a") == durable("b"); })) << describe();
  const auto opening = begin("a", "primary mydata --timeout 30s");
  EXPECT_NE(end(*opening).code, ExitCode::done) << "what it has given up it cannot have again\n" << describe();
  rejoin("c");
  run("b", "up mydata");
  run("c", "primary mydata");
  expect_equal();
}

// Attacks: P4, T2, T6
TEST_F(RightFilm, who_leaves_while_it_is_detached_has_no_right_from_before) {
  cast({"a", "b", "c"});
  run("b", "pause-replay mydata");
  save("a", 0, 20, 'x');
  restart("a");
  expect_primary("a");
  save("a", 20, 40, 'y');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  run("b", "pause-fetch mydata");
  hand_over("c");
  isolate("c");
  await_silence("a", "c");
  await_silence("b", "c");
  run("a", "detach mydata");
  run("a", "leave-resource mydata");
  run("a", "join-resource mydata /dev/sdb --overwrite");
  rest(60s);
  EXPECT_FALSE(cluster().is_primary("a", "mydata")) << describe();
  rejoin("c");
  run("b", "up mydata");
  expect_equal();
}

// It says that it is not attached, and has said before what it has.
// Attacks: P4, T2, T6, T9
TEST_F(RightFilm, a_forced_primary_that_is_detached_keeps_the_right) {
  for (const bool is_forgotten : {false, true}) {
    cast({"a", "b"});
    save("a", 0, 40, '0');
    expect_up_to_date();
    isolate("a");
    save_apart("a", 0, 20, 'a');
    await_silence("b", "a");
    force("b");
    save("b", 20, 30, 'b');
    kill("a");
    rejoin("a");
    boot("a");
    expect_state("a", State::fork);
    run("b", "detach mydata");
    if (is_forgotten) restart("a");
    rest(60s);
    EXPECT_FALSE(cluster().is_primary("a", "mydata")) << describe();
    EXPECT_EQ(state("a"), is_forgotten ? State::waiting_for_peer : State::fork) << describe();
    run("b", "attach mydata");
    expect_primary("b");
    invalidate("a");
    expect_equal();
  }
}

// Attacks: F19, P4, T10
TEST_F(RightFilm, who_just_starts_has_not_been_heard) {
  cast({"a", "b"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("a");
  save_apart("a", 0, 20, 'a');
  power_loss("a");
  await_silence("b", "a");
  force("b");
  save("b", 20, 30, 'b');
  run("b", "detach mydata");
  power_loss("b");
  rejoin("a");
  boot("b");
  boot("a");
  rest(4s);
  EXPECT_EQ(primary(), "") << describe();
  run("b", "attach mydata");
  expect_primary("b");
  expect_state("a", State::fork);
  invalidate("a");
  expect_equal();
}

// Attacks: P2, P6, D17
TEST_F(RightFilm, another_disk_is_no_reason_to_give_up_what_only_this_log_has) {
  cast({"a", "b"});
  save("a", 0, 20, 'o');
  expect_up_to_date();
  isolate("b");
  save("a", 0, 20, 'x');
  run("a", "secondary mydata");
  stop("a");
  disks("a").poke("/dev/sdb", 5 * 4096, std::vector<std::byte>(4096, std::byte{'!'}));
  boot("a");
  expect_state("a", State::disk_changed);
  const Answer answer = cluster().run("a", "attach mydata --accept-disk --timeout 5s");
  EXPECT_NE(answer.code, ExitCode::done);
  expect_state("a", State::disk_changed);
  expect_next_step("a", "--force");
  // While a looks at its disk again and again its log is read, too: when b has everything, the disk is taken.
  rejoin("b");
  EXPECT_TRUE(until([&] { return is_on_disk("b", 0, 20, 'x'); })) << describe();
  expect_state("a", State::up_to_date);
  EXPECT_TRUE(is_on_disk("a", 0, 20, 'x'));
}

// Attacks: P13, P9, D8
TEST_F(RightFilm, an_invalidate_ends_what_waits_for_room) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  run("b", "pause-replay mydata");
  fill(12);
  rest(10s);
  const auto command = begin("b", "invalidate mydata");
  EXPECT_TRUE(until([&] { return command->answer.has_value(); }, 60s)) << describe();
  run("b", "up mydata");
  expect_equal();
}

// Attacks: P13, S8, D8
TEST_F(RightFilm, an_interrupted_sync_with_a_full_log_begins_again) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"b"};
  cast({"a", "b"});
  save("a", 0, 400, 's');
  expect_up_to_date();
  network().set_link("a", "b", {.bytes_per_second = 300'000});
  forget_disk("b");
  EXPECT_TRUE(until([&] { return !view("b").transfers.empty() && view("b").transfers[0].done_bytes > 0; }));
  disks("b").drive("/dev/sdb").stick();
  network().set_link("a", "b", {});
  fill(12);
  rest(20s);
  isolate("b");
  await_silence("a", "b");
  disks("b").drive("/dev/sdb").unstick();
  rest(5s);
  rejoin("b");
  expect_equal();
}

// Attacks: P13, F14, LM2
TEST_F(RightFilm, a_member_that_is_dead_for_good_keeps_nobody_from_being_synced) {
  stage.log_disk_bytes = 4 << 20;
  cast({"a", "b", "c"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("c");
  isolate("b");
  fill(12);
  expect_event("a", "the log is not kept any longer for b");
  rejoin("b");
  EXPECT_TRUE(until([&] { return applied("b") == durable("a"); }, 120s)) << describe();
  boot("c");
  expect_equal();
}

// Attacks: P6, S0, SY5
TEST_F(RightFilm, an_interrupted_sync_does_not_go_back_behind_what_was_here) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"a"};
  cast({"a", "b", "c"});
  save("a", 0, 40, 'o');
  expect_up_to_date();
  isolate("b");
  save("a", 0, 40, 'x');
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  isolate("c");
  fill(12);
  expect_event("a", "the log is not kept any longer for c");
  network().set_link("a", "c", {.bytes_per_second = 100'000});
  heal("a", "c");
  EXPECT_TRUE(until([&] { return state("c") == State::syncing; })) << describe();
  cut("a", "c");
  heal("b", "c");
  expect_state("c", State::waiting_for_peer);
  expect_next_step("c", "invalidate");
  rest(30s);
  expect_state("c", State::waiting_for_peer);
  network().set_link("a", "c", {});
  heal("a", "c");
  rejoin("b");
  expect_equal();
}

// Attacks: S5, D12, P1, P6
TEST_F(RightFilm, an_interrupted_sync_does_not_go_back_behind_what_only_the_log_had) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"a"};
  cast({"a", "b", "c"});
  save("a", 0, 40, 'o');
  expect_up_to_date();
  isolate("b");
  run("c", "pause-replay mydata");
  save("a", 0, 40, 'x');
  EXPECT_TRUE(until([&] { return durable("c") == durable("a"); }));
  isolate("c");
  fill(12);
  expect_event("a", "the log is not kept any longer for c");
  network().set_link("a", "c", {.bytes_per_second = 100'000});
  heal("a", "c");
  EXPECT_TRUE(until([&] { return state("c") == State::syncing; })) << describe();
  cut("a", "c");
  heal("b", "c");
  expect_state("c", State::waiting_for_peer);
  rest(30s);
  expect_state("c", State::waiting_for_peer);
  run("c", "resume-replay mydata");
  network().set_link("a", "c", {});
  heal("a", "c");
  rejoin("b");
  expect_equal();
}

// The wish for the forced host was written anew by commands that saw it reign.
// Attacks: T2, T6, T8, P4
TEST_F(RightFilm, who_comes_back_takes_nothing_from_a_forced_primary_that_was_made_primary_once_more) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  run("b", "pause-fetch mydata");
  power_loss("a");
  await_silence("c", "a");
  force("c");
  run("c", "secondary mydata");
  run("c", "primary mydata");
  cut("a", "c");
  boot("a");
  rest(60s);
  EXPECT_FALSE(cluster().device("a", "mydata")->is_open());
  EXPECT_EQ(view("a").state, State::waiting_for_peer) << describe();
  run("b", "resume-fetch mydata");
  heal("a", "c");
  save("c", 0, 20, 'y');
  expect_equal();
}

// Attacks: T9, P6
TEST_F(RightFilm, a_forced_reign_is_never_dropped_as_an_empty_tail) {
  cast({"a", "b"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  isolate("a");
  restart("a");
  expect_primary("a");  // an empty reign
  await_silence("b", "a");
  force("b");
  save_apart("b", 0, 5, 'b');
  run("a", "pause-fetch mydata");
  rejoin("a");
  EXPECT_TRUE(until([&] { return !cluster().is_primary("a", "mydata"); }));
  isolate("b");
  await_silence("a", "b");
  force("a");
  rejoin("b");
  expect_state("a", State::fork);
  rest(20s);
  expect_state("a", State::fork);
}

// Attacks: D9, P10, P13
TEST_F(RightFilm, a_state_block_that_cannot_be_written_begins_no_reign_again_and_again) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  restart("a");
  disks("a").fail(
      {.path = resource_directory("a") + "/state", .op = DiskOp::write, .skip = 2, .times = Fault::forever});
  rest(60s);
  EXPECT_LE(segments("a").size(), 6u) << describe();
  disks("a").heal();
  restart("a");
  expect_primary("a");
  expect_equal();
}

// Attacks: P13, S3, F28
TEST_F(RightFilm, a_source_that_cannot_read_is_not_the_only_one) {
  cast({"a", "b", "c"});
  save("a", 0, 400, 's');
  expect_up_to_date();
  disks("a").break_sector("/dev/sdb", 200 * 4096);
  forget_disk("c");
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 60s)) << describe();
}

// Attacks: P1, T9, D12
TEST_F(RightFilm, a_tail_that_gets_data_while_it_is_dropped_is_not_dropped) {
  for (int round = 0; round < 12; ++round) {
    cast({"a", "b", "c"});
    save("a", 0, 20, '0');
    expect_up_to_date();
    isolate("c");
    await_silence("c", "a");
    await_silence("b", "c");
    restart("a");
    expect_primary("a");  // an empty reign
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
    force("c");
    save_apart("c", 100, 110, 'c');
    heal("b", "c");  // a and c stay apart
    EXPECT_TRUE(until([&] { return cluster().connected("b", "c"); }, 60s, 1ms));
    rest(round * 5ms);
    save_apart("a", 0, 1, 'a');
    rest(5s);
    if (cluster().events("b").find("has no data and is dropped") != std::string::npos) {
      EXPECT_FALSE(is_on_disk("b", 0, 1, 'a')) << describe();
    }
  }
}

// b has heard of the force, and only the host whose reign it ends is there.
// Attacks: T9, P6, P13
TEST_F(RightFilm, what_only_an_absent_rival_contradicts_is_not_fetched_and_dropped_again_and_again) {
  cast({"a", "b", "c"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  isolate("c");
  await_silence("c", "a");
  await_silence("b", "c");
  run("b", "pause-fetch mydata");
  restart("a");
  expect_primary("a");  // an empty reign
  force("c");
  heal("b", "c");
  EXPECT_TRUE(until([&] { return view("c", "b").durable_lsn.value_or(0) == durable("c"); })) << describe();
  cut("b", "c");
  await_silence("b", "c");
  run("b", "resume-fetch mydata");
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); })) << describe();
  rest(30s);
  EXPECT_EQ(durable("b"), durable("a"));
  expect_no_event("b", "has no data and is dropped");
  rejoin("c");
  expect_primary("c");
  save("c", 0, 20, 'c');
  expect_equal();
}

// Attacks: T2, T3, P13
TEST_F(RightFilm, who_dropped_its_own_release_follows) {
  cast({"a", "b"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  disks("a").drive("/").set_slowness(200);
  const auto handover = begin("b", "primary mydata --timeout 30s");
  EXPECT_TRUE(until([&] { return primary().empty(); }));
  rest(50ms);
  isolate("a");
  EXPECT_TRUE(until([&] { return handover->answer.has_value(); }, 60s));
  rest(10s);
  disks("a").drive("/").set_slowness(1);
  if (primary().empty()) force("b");
  network().set_link("a", "b", {.latency = 150ms});
  begin_load(0, 60);
  rejoin("a");
  EXPECT_TRUE(until([&] { return applied("a") > 0 && applied("a") + (4 << 20) > durable("b"); }, 60s)) << describe();
  rest(10s);
  end_load();
  network().set_link("a", "b", {});
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
