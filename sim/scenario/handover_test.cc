// Planned handovers: nothing is lost, there is never a second primary, and every step can be interrupted and repeated.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class HandoverFilm : public Film {};

// Attacks: P5, P4, HO5
TEST_F(HandoverFilm, the_role_goes_round_three_hosts) {
  cast({"a", "b", "c"});
  const std::vector<std::string> hosts = {"a", "b", "c"};
  for (uint64_t turn = 0; turn < 9; ++turn) {
    save(hosts[turn % 3], 10 * turn, 10 * turn + 15, static_cast<char>('a' + turn));
    hand_over(hosts[(turn + 1) % 3]);
  }
  expect_equal();
  EXPECT_EQ(primary(), "a");
}

// Attacks: F36, HO1, T6
TEST_F(HandoverFilm, a_mounted_device_is_not_handed_over_and_the_wish_does_not_linger) {
  cast({"a", "b"});
  mount("a");
  expect_exit("b", "primary mydata", ExitCode::refused, "in use");
  save("a", 0, 10, 'm');
  unmount("a");
  rest(30s);
  EXPECT_EQ(primary(), "a");
  hand_over("b");
  expect_equal();
}

// Attacks: HO4, T8
TEST_F(HandoverFilm, a_silent_primary_cannot_hand_over_and_the_answer_says_what_can_be_done) {
  cast({"a", "b"});
  isolate("a");
  await_silence("b", "a");
  expect_exit("b", "primary mydata", ExitCode::unreachable, "--force --dry-run");
  EXPECT_EQ(primary(), "a");
  rejoin("a");
  hand_over("b");
  expect_equal();
}

// Attacks: HO3, T4, P5
TEST_F(HandoverFilm, a_lagging_successor_catches_up_before_the_device_closes) {
  cast({"a", "b"});
  run("a", "set mydata handover-lag 64K");
  network().set_link("a", "b", {.bytes_per_second = 300'000});
  for (uint64_t block = 0; block < 400; block += 40) save("a", block, block + 40, 'g');
  const auto running = begin("b", "primary mydata");
  rest(1s);
  EXPECT_EQ(primary(), "a");
  save("a", 0, 1, 'h');
  EXPECT_EQ(end(*running).code, ExitCode::done);
  expect_equal();
}

// Attacks: HO3, T4, T6
TEST_F(HandoverFilm, a_successor_that_lags_for_too_long_is_refused_and_the_primary_stays) {
  cast({"a", "b"});
  run("a", "set mydata handover-lag 64K");
  network().set_link("a", "b", {.bytes_per_second = 40'000});
  for (uint64_t block = 0; block < 400; block += 40) save("a", block, block + 40, 'g');
  expect_exit("b", "primary mydata --timeout 150s", ExitCode::refused, "lags too far");
  EXPECT_EQ(primary(), "a");
  save("a", 0, 10, 'h');
  network().set_link("a", "b", {});
  hand_over("b");
  expect_equal();
}

// Attacks: HO6, T2, P7
TEST_F(HandoverFilm, a_host_that_was_off_during_two_handovers_follows_both) {
  cast({"a", "b", "c"});
  stop("c");
  save("a", 0, 20, '1');
  hand_over("b");
  save("b", 10, 30, '2');
  hand_over("a");
  save("a", 20, 40, '3');
  boot("c");
  expect_equal();
  expect_no_event("c", "interrupted");
}

// Attacks: F37, S6
TEST_F(HandoverFilm, a_handover_beside_a_sync_on_a_third_host) {
  cast({"a", "b", "c"});
  for (uint64_t block = 0; block < 400; block += 40) save("a", block, block + 40, 's');
  expect_up_to_date();
  network().set_link("a", "c", {.bytes_per_second = 200'000});
  run("c", "invalidate mydata");
  EXPECT_TRUE(until([&] { return state("c") == State::syncing; }));
  hand_over("b");
  save("b", 100, 140, 't');
  expect_equal();
}

// Attacks: F38, SY2, T4
TEST_F(HandoverFilm, a_host_that_syncs_does_not_become_primary) {
  cast({"a", "b"});
  for (uint64_t block = 0; block < 200; block += 40) save("a", block, block + 40, 's');
  network().set_link("a", "b", {.bytes_per_second = 20'000});
  run("b", "invalidate mydata");
  EXPECT_TRUE(until([&] { return state("b") == State::syncing; }));
  expect_exit("b", "primary mydata", ExitCode::refused, "wait-resource mydata consistent");
  EXPECT_EQ(primary(), "a");
  network().set_link("a", "b", {});
  expect_equal();
}

// Attacks: HO9
TEST_F(HandoverFilm, primary_on_the_primary_and_secondary_without_one_are_done_already) {
  cast({"a", "b"});
  const uint64_t before = durable("a");
  run("a", "primary mydata");
  EXPECT_EQ(durable("a"), before);
  run("b", "secondary mydata");
  run("b", "secondary mydata");
  run("a", "secondary mydata");
  expect_nobody_primary();
  hand_over("a");
  expect_equal();
}

// Attacks: F35, HO10, P4, T6
TEST_F(HandoverFilm, two_operators_want_different_primaries_at_once) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  for (int round = 0; round < 5; ++round) {
    const auto first = begin("b", "primary mydata");
    const auto second = begin("c", "primary mydata");
    const bool b_won = end(*first).code == ExitCode::done;
    const bool c_won = end(*second).code == ExitCode::done;
    EXPECT_TRUE(b_won || c_won) << describe();
    EXPECT_TRUE(until([&] { return !primary().empty(); }));
    save(primary(), 0, 20, static_cast<char>('a' + round));
    if (primary() != "a") hand_over("a");
  }
  expect_equal();
}

// Attacks: F34, T6, OP8
TEST_F(HandoverFilm, secondary_on_one_host_and_primary_on_another_at_once) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  for (int round = 0; round < 4; ++round) {
    const auto closing = begin("c", "secondary mydata --timeout 20s");
    const auto opening = begin("b", "primary mydata --timeout 20s");
    end(*closing);
    end(*opening);
    hand_over(round % 2 == 0 ? "a" : "c");
    save(primary(), 0, 20, static_cast<char>('a' + round));
  }
  expect_equal();
}

// Attacks: HO12, P7
TEST_F(HandoverFilm, an_empty_reign_moves_no_data) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  const uint64_t before = moved("a", "b") + moved("b", "a");
  hand_over("b");
  hand_over("a");
  expect_equal();
  EXPECT_LT(moved("a", "b") + moved("b", "a") - before, 200'000u);
}

// Attacks: F5, T4, HO7
TEST_F(HandoverFilm, the_network_is_cut_at_many_moments_of_a_handover) {
  cast({"a", "b"});
  for (int moment = 0; moment < 12; ++moment) {
    const std::string from = primary();
    const std::string to = from == "a" ? "b" : "a";
    save(from, 0, 20, static_cast<char>('a' + moment));
    const auto running = begin(to, "primary mydata --timeout 30s");
    rest(moment * 7ms);
    cut("a", "b");
    rest(9s);
    heal("a", "b");
    end(*running);
    EXPECT_TRUE(cluster().all_connected());
    run(to, "primary mydata");
  }
  expect_equal();
}

// Attacks: protocol 8 (rot the release batch), T2, T3, P4
TEST_F(HandoverFilm, a_release_that_rots_at_the_giver_gives_nothing_back) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  hand_over("b");
  save("b", 0, 10, 'y');
  expect_up_to_date();
  stop("a");
  isolate("a");
  rot_whole_log("a");
  boot("a");
  rest(40s);
  EXPECT_EQ(primary(), "b");
  rejoin("a");
  expect_equal();
  EXPECT_EQ(primary(), "b");
}

// Attacks: T7, T6
TEST_F(HandoverFilm, the_wish_moves_on_while_the_right_is_on_its_way) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  for (int moment = 1; moment < 6; ++moment) {
    const auto first = begin("b", "primary mydata --timeout 30s");
    rest(moment * 30ms);
    const auto second = begin("c", "primary mydata --timeout 60s");
    end(*first);
    EXPECT_EQ(end(*second).code, ExitCode::done) << describe();
    expect_primary("c");
    hand_over("a");
  }
  expect_equal();
}

// Attacks: T6, T2, F12
TEST_F(HandoverFilm, a_parked_right_to_write_survives_a_power_loss_of_all) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  run("a", "secondary mydata");
  power_loss("a");
  power_loss("b");
  boot("b");
  boot("a");
  EXPECT_TRUE(cluster().all_connected());
  rest(20s);
  expect_nobody_primary();
  hand_over("b");
  expect_equal();
}

// Attacks: P5, HO2, HO8
TEST_F(HandoverFilm, a_handover_under_load_loses_no_acknowledged_write) {
  cast({"a", "b"});
  begin_load(0, 90);
  for (int turn = 0; turn < 6; ++turn) {
    rest(700ms);
    hand_over(turn % 2 == 0 ? "b" : "a");
  }
  EXPECT_GT(end_load(), 200u);
  expect_equal();
}

// Attacks: T4, RP3
TEST_F(HandoverFilm, a_host_with_a_switch_off_does_not_become_primary) {
  cast({"a", "b"});
  for (const char* kind : {"fetch", "replay"}) {
    run("b", std::string("pause-") + kind + " mydata");
    expect_exit("b", "primary mydata", ExitCode::refused, std::string("run `marsadm resume-") + kind + " mydata`");
    EXPECT_EQ(primary(), "a");
    run("b", std::string("resume-") + kind + " mydata");
  }
  run("b", "detach mydata");
  expect_exit("b", "primary mydata", ExitCode::refused, "run `marsadm attach mydata`");
  run("b", "up mydata");
  hand_over("b");
  expect_equal();
}

// Attacks: T3, T8, P4
TEST_F(HandoverFilm, what_was_released_to_a_host_that_died_needs_force) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  const auto running = begin("b", "primary mydata --timeout 30s");
  EXPECT_TRUE(until([&] { return view("a").role != control::Role::primary && primary().empty(); }, 5s));
  rest(20ms);
  kill("b");
  await_silence("a", "b");
  rest(20s);
  if (primary() != "a") {
    expect_exit("a", "primary mydata --timeout 10s", ExitCode::unreachable, "--force");
    force("a");
  }
  save("a", 0, 30, 'y');
  boot("b");
  expect_equal();
}

// Attacks: F39, HO11
TEST_F(HandoverFilm, leaving_while_the_role_flips_is_refused_or_waits) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  const auto flip = begin("b", "primary mydata");
  const auto leaving = begin("c", "leave-resource mydata");
  EXPECT_EQ(end(*flip).code, ExitCode::done) << describe();
  EXPECT_EQ(end(*leaving).code, ExitCode::done) << describe();
  expect_exit("b", "leave-resource mydata", ExitCode::refused, "marsadm primary");
  save("b", 0, 30, 'y');
  EXPECT_TRUE(until([&] { return applied("a") == durable("b"); })) << describe();
  expect_on_disk("a", 0, 30, 'y');
}

// Attacks: F39, HO11
TEST_F(HandoverFilm, an_invalidate_of_the_successor_in_the_middle_of_a_handover) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  for (int moment = 0; moment < 6; ++moment) {
    const auto flip = begin("b", "primary mydata --timeout 30s");
    rest(moment * 10ms);
    const auto other = begin("b", "invalidate mydata --timeout 20s");
    end(*other);
    end(*flip);
    // What was released to a replica that was just being given up is not known there any more (T2).
    if (!until([&] { return !primary().empty(); }, 5s)) {
      expect_next_step("b", "--force");
      run("b", "primary mydata --force");
    }
    save(primary(), 0, 20, static_cast<char>('a' + moment));
    expect_equal();
    if (primary() != "a") hand_over("a");
  }
}

// Attacks: F33, OP8, HO11
TEST_F(HandoverFilm, everybody_gives_commands_at_once) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  const std::vector<std::pair<const char*, const char*>> lines = {{"b", "primary mydata --timeout 20s"},
                                                                  {"c", "pause-replay mydata"},
                                                                  {"a", "detach mydata --timeout 20s"},
                                                                  {"c", "primary mydata --timeout 20s"},
                                                                  {"b", "invalidate mydata"},
                                                                  {"c", "resume-replay mydata"},
                                                                  {"a", "attach mydata --timeout 20s"},
                                                                  {"b", "secondary mydata --timeout 20s"}};
  std::vector<std::shared_ptr<Running>> commands;
  for (const auto& [host, line] : lines) {
    commands.push_back(begin(host, line));
    rest(15ms);
  }
  for (const auto& command : commands) end(*command);
  for (const char* host : {"a", "b", "c"}) run(host, "up mydata");
  EXPECT_TRUE(until([&] { return cluster().run("a", "primary mydata").code == ExitCode::done; }, 120s)) << describe();
  expect_equal();
}

// Attacks: T5, D11, CR4
TEST_F(HandoverFilm, a_successor_that_dies_again_and_again_while_it_opens) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  const auto running = begin("b", "primary mydata --timeout 20s");
  for (const uint64_t op : {3, 5, 8}) {
    power_loss_at("b", op);
    until([&] { return is_dead("b"); }, 5s);
    revive("b");
  }
  EXPECT_TRUE(until([&] { return running->answer.has_value(); }));
  EXPECT_TRUE(cluster().all_connected());
  run("b", "primary mydata");
  expect_equal();
}

// Attacks: T6, P13
TEST_F(HandoverFilm, who_gives_up_waiting_for_a_handover_gives_the_device_back_at_once) {
  cast({"a", "b"});
  expect_up_to_date();
  const auto is_open = [&] { return cluster().device("a", "mydata")->is_open(); };
  for (const char* hung : {"b", "a"}) {
    disks(hung).drive("/dev/sdb").stick();
    save("a", 0, 20, *hung);
    const auto command = begin("b", "primary mydata --timeout 15s");
    EXPECT_TRUE(until([&] { return !is_open(); }, 10s)) << describe();
    EXPECT_EQ(end(*command).code, ExitCode::timed_out);
    EXPECT_TRUE(until(is_open, 3s)) << describe();
    save("a", 0, 20, 'y');
    disks(hung).drive("/dev/sdb").unstick();
    expect_equal();
  }
}

}  // namespace
}  // namespace mars::sim
