// Deaths: of processes and of power, of one host and of all, in every order, again and again.
#include <algorithm>
#include <cstring>

#include "base/aligned.h"
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class CrashFilm : public Film {};

// Attacks: F7, CR2, P2
TEST_F(CrashFilm, a_primary_reboots_and_is_the_primary_again) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  power_loss("a");
  rest(30s);
  EXPECT_EQ(state("b"), State::up_to_date);
  expect_nobody_primary();
  boot("a");
  expect_primary("a");
  expect_equal();
}

// Attacks: F55, P2, D5, D7, DV2
TEST_F(CrashFilm, what_a_flush_covered_is_there_after_a_power_loss_right_behind_it) {
  cast({"a", "b"});
  for (uint64_t round = 0; round < 5; ++round) {
    save("a", 10 * round, 10 * round + 10, static_cast<char>('a' + round));
    power_loss("a");
    boot("a");
    expect_primary("a");
    expect_read("a", 10 * round, 10 * round + 10, static_cast<char>('a' + round));
  }
  expect_equal();
}

// Attacks: P2, D6
TEST_F(CrashFilm, who_turns_the_write_cache_off_finds_all_that_was_answered_after_a_power_loss) {
  cast({"a", "b"});
  write("a", 0, 10, 'w');
  run("a", "set mydata write-cache off");
  write("a", 10, 20, 'x');
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 0, 10, 'w');
  expect_read("a", 10, 20, 'x');
  run("b", "set mydata write-cache on");
  run("b", "set mydata write-cache off");
  cluster().run_for(2s);
  write("a", 20, 30, 'y');
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 20, 30, 'y');
  expect_equal();
}

// Attacks: P2, D5
TEST_F(CrashFilm, a_shorter_flush_interval_counts_at_once) {
  stage.segment_bytes = 4 << 20;
  cast({"a", "b"});
  run("a", "set mydata flush-interval 10s");
  // As much as ends a batch, so that none is open in which somebody could wait.
  AlignedBuffer large(1 << 20);
  auto& machine = cluster().host("a").machine();
  ASSERT_EQ(cluster().world().run(machine, cluster().device("a", "mydata")->write(0, large.span())), Status::ok);
  run("a", "set mydata flush-interval 100ms");
  rest(100ms);
  write("a", 300, 301, 'x');
  rest(500ms);
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 300, 301, 'x');
}

// Attacks: F55, P2, D7, DV3
TEST_F(CrashFilm, a_write_with_fua_is_there_after_a_power_loss_right_behind_it) {
  cast({"a", "b"});
  const std::vector<std::byte> block(4096, std::byte{'f'});
  AlignedBuffer buffer(4096);
  std::memcpy(buffer.data(), block.data(), block.size());
  auto& machine = cluster().host("a").machine();
  SimDevice* device = cluster().device("a", "mydata");
  ASSERT_EQ(cluster().world().run(machine, device->write(5 * 4096, buffer.span(), true)), Status::ok);
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 5, 6, 'f');
}

// Attacks: D6, P2, DV5, CR1
TEST_F(CrashFilm, no_acknowledged_write_dies_with_the_process) {
  cast({"a", "b"});
  for (uint64_t round = 0; round < 8; ++round) {
    write("a", 5 * round, 5 * round + 30, static_cast<char>('a' + round));
    rest(round * 3ms);
    kill("a");
    boot("a");
    expect_primary("a");
  }
  expect_equal();
}

// Attacks: D6, protocol 8 (kill -9, write without flush, resume, flush, read back), P2
TEST_F(CrashFilm, killed_between_write_and_flush_and_the_flush_of_the_next_life_covers_both) {
  cast({"a", "b"});
  write("a", 0, 20, 'x');
  kill("a");
  boot("a");
  expect_primary("a");
  flush("a");
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: D6, P2
TEST_F(CrashFilm, killed_and_then_the_power_goes_too) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  write("a", 10, 30, 'y');
  kill("a");
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 0, 10, 'x');
  expect_equal();
}

// Attacks: DV4, P1, P2
TEST_F(CrashFilm, what_a_power_loss_takes_is_a_suffix) {
  cast({"a", "b"});
  for (uint64_t round = 0; round < 4; ++round) {
    const uint64_t first = 50 * round;
    const char value = static_cast<char>('a' + round);
    for (uint64_t block = first; block < first + 40; block += 4) {
      write("a", block, block + 4, value);
      rest(30ms);
    }
    power_loss("a");
    boot("a");
    expect_primary("a");
    expect_up_to_date();
    rest(3s);
    expect_prefix("b", first, first + 40, value);
  }
  expect_equal();
}

// Attacks: F9, RP8, P1
TEST_F(CrashFilm, a_replica_dies_again_and_again_under_load) {
  cast({"a", "b"});
  begin_load(0, 100);
  for (uint64_t round = 0; round < 10; ++round) {
    rest(300ms);
    if (round % 2 == 0) {
      kill("b");
    } else {
      power_loss("b");
    }
    boot("b");
  }
  EXPECT_GT(end_load(), 300u);
  expect_equal();
}

// Attacks: F9, RP8, LG9, CR4
TEST_F(CrashFilm, a_replica_dies_at_each_of_many_steps_of_its_replay) {
  cast({"a", "b"});
  for (uint64_t op = 1; op <= 12; ++op) {
    op % 2 == 0 ? power_loss_at("b", op) : kill_at("b", op);
    save("a", op, op + 20, static_cast<char>('a' + op));
    until([&] { return is_dead("b"); }, 2s);
    revive("b");
  }
  expect_equal();
}

// Attacks: F7, CR1, CR4, D11
TEST_F(CrashFilm, a_primary_dies_again_while_it_recovers) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  write("a", 20, 60, 'y');
  kill("a");
  for (const uint64_t op : {1, 2, 4, 6, 9, 13}) {
    power_loss_at("a", op);
    [[maybe_unused]] const auto started = cluster().start("a");
    until([&] { return is_dead("a"); }, 15s);
    if (!is_dead("a")) break;
    model_lost_power();
    if (cluster().is_up("a")) cluster().bury("a");
  }
  disks("a").on_change({});
  if (is_dead("a")) boot("a");
  expect_primary("a");
  expect_equal();
}

// Attacks: CR5, D5, P1
TEST_F(CrashFilm, nothing_is_shipped_that_its_own_host_could_lose) {
  cast({"a", "b"});
  for (uint64_t round = 0; round < 8; ++round) {
    write("a", 10 * round, 10 * round + 10, 'x');
    rest(round * 20ms);
    power_loss("a");
    rest(500ms);
    const uint64_t b_has = durable("b");
    boot("a");
    expect_primary("a");
    EXPECT_GE(durable("a"), b_has) << round;
  }
  expect_equal();
}

// Attacks: F12, CR6, T2
TEST_F(CrashFilm, both_sites_lose_power_and_come_back_in_either_order) {
  cast({"a", "b"});
  for (uint64_t round = 0; round < 4; ++round) {
    save("a", 10 * round, 10 * round + 20, 'x');
    power_loss(round % 2 == 0 ? "a" : "b");
    power_loss(round % 2 == 0 ? "b" : "a");
    boot(round / 2 == 0 ? "a" : "b");
    rest(3s);
    boot(round / 2 == 0 ? "b" : "a");
    expect_primary("a");
  }
  expect_equal();
}

// Attacks: F12, CR6, KX1
TEST_F(CrashFilm, both_sites_lose_power_with_primaries_on_either_side) {
  cast({"a", "b"});
  for (const char* host : {"a", "b"}) disks(host).add_device("/dev/sdc", 1 << 20);
  run("b", "create-resource other /dev/sdc");
  EXPECT_TRUE(until([&] { return cluster().status("a").resources.size() == 2; }));
  run("a", "join-resource other /dev/sdc");
  EXPECT_TRUE(cluster().all_up_to_date("other"));
  save("a", 0, 20, 'x');
  ASSERT_EQ(cluster().write("b", "other", 3, 'o'), Status::ok);
  ASSERT_EQ(cluster().flush("b", "other"), Status::ok);
  power_loss("a");
  power_loss("b");
  boot("b");
  boot("a");
  expect_primary("a");
  EXPECT_TRUE(until([&] { return cluster().is_primary("b", "other"); })) << describe();
  EXPECT_EQ(cluster().read("b", "other", 3), 'o');
  expect_equal();
}

// Attacks: CR6, F12, T10
TEST_F(CrashFilm, three_hosts_lose_power_and_come_back_in_every_order) {
  cast({"a", "b", "c"});
  Hosts order = {"a", "b", "c"};
  char value = 'a';
  do {
    save("a", 0, 20, value++);
    for (const char* host : {"b", "a", "c"}) power_loss(host);
    for (const std::string& host : order) boot(host);
    expect_primary("a");
  } while (std::next_permutation(order.begin(), order.end()));
  expect_equal();
}

// Attacks: F7, T10, P3
TEST_F(CrashFilm, a_primary_that_boots_alone_waits_for_the_others_and_then_opens) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  power_loss("b");
  power_loss("a");
  boot("a");
  rest(2s);
  expect_nobody_primary();
  expect_primary("a");
  save("a", 10, 30, 'y');
  boot("b");
  expect_equal();
}

// Attacks: F47, OP12, D6
TEST_F(CrashFilm, marsd_is_stopped_under_a_mounted_device_and_started_again) {
  cast({"a", "b"});
  mount("a");
  write("a", 0, 20, 'x');
  restart("a");
  expect_primary("a");
  expect_read("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: F11, R4, CR9
TEST_F(CrashFilm, power_goes_while_metadata_is_written) {
  cast({"a", "b"});
  for (uint64_t op = 1; op <= 14; ++op) {
    power_loss_at("a", op);
    const auto running = begin("a", "set mydata open-wait " + std::to_string(2 + op % 2) + "s");
    until([&] { return is_dead("a"); }, 1s);
    revive("a");
    expect_primary("a");
  }
  EXPECT_TRUE(cluster().all_connected());
  EXPECT_TRUE(until([&] {
    return cluster().run("a", "get mydata open-wait").text == cluster().run("b", "get mydata open-wait").text;
  }));
  save("a", 0, 20, 'x');
  expect_equal();
}

// Attacks: CR12, CR1, F9, F7
TEST_F(CrashFilm, hosts_reboot_by_turns_under_load) {
  cast({"a", "b", "c"});
  begin_load(0, 60, 10ms);
  const Hosts hosts = {"b", "a", "c"};
  for (uint64_t round = 0; round < 9; ++round) {
    const std::string& host = hosts[round % 3];
    rest(500ms);
    power_loss(host);
    rest(500ms);
    boot(host);
    expect_primary("a");
  }
  EXPECT_GT(end_load(), 100u);
  expect_equal();
}

// Attacks: F44, P10, DV12
TEST_F(CrashFilm, a_full_memory_makes_writers_wait_and_loses_nothing) {
  cast({"a", "b"});
  disks("a").drive("/dev/sdb").set_slowness(100);
  begin_load(0, 1000, 1us);
  rest(2s);
  EXPECT_LT(view("a").dirty_bytes.value_or(0), 5u << 20);
  kill("a");
  disks("a").drive("/dev/sdb").set_slowness(1);
  boot("a");
  expect_primary("a");
  end_load();
  expect_equal();
}

// Attacks: F10, CR1, RP3
TEST_F(CrashFilm, switches_outlive_every_death) {
  cast({"a", "b"});
  run("b", "pause-replay mydata");
  save("a", 0, 20, 'x');
  power_loss("b");
  boot("b");
  rest(10s);
  EXPECT_EQ(state("b"), State::paused);
  EXPECT_FALSE(is_on_disk("b", 0, 20, 'x'));
  run("b", "resume-replay mydata");
  expect_equal();
}

// Attacks: F53, RP3, P13
TEST_F(CrashFilm, a_backup_is_taken_from_a_frozen_replica_while_the_log_is_still_fetched) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_equal();
  run("b", "pause-replay mydata");
  run("b", "detach mydata");
  save("a", 20, 60, 'y');
  rest(3s);
  EXPECT_TRUE(is_on_disk("b", 0, 40, 'x'));
  run("b", "attach mydata");
  expect_state("b", State::paused);
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  EXPECT_TRUE(is_on_disk("b", 0, 40, 'x'));
  run("b", "resume-replay mydata");
  expect_equal();
}

// Attacks: T3, P4, D10
TEST_F(CrashFilm, a_release_that_rots_does_not_bring_the_right_back_wherever_the_state_block_failed) {
  for (uint64_t skip = 0; skip < 8; ++skip) {
    cast({"a", "b"});
    save("a", 0, 20, 'x');
    expect_up_to_date();
    run("a", "pause-fetch mydata");  // its log ends with the release
    disks("a").fail(
        {.path = resource_directory("a") + "/state", .op = DiskOp::write, .skip = skip, .times = Fault::forever});
    const auto handover = begin("b", "primary mydata --timeout 5s");
    EXPECT_TRUE(until([&] { return handover->answer.has_value(); }));
    rest(10s);
    disks("a").heal();
    // Both slots say that the right is gone, or the release does not leave.
    if (skip < 2) EXPECT_NE(primary(), "b") << describe();
    if (primary() == "b") {
      const uint64_t release = durable("a") - 4096;
      power_loss("a");
      rot_log("a", release + 100);
      isolate("a");
      boot("a");
      rest(20s);
      EXPECT_EQ(primary(), "b") << "state writes that went well: " << skip << describe();
      rejoin("a");
    } else {
      restart("a");
      run("b", "primary mydata");
    }
    run("a", "up mydata");
    expect_equal();
  }
}

}  // namespace
}  // namespace mars::sim
