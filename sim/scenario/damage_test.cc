// Disks that fail, change or go away, and memory that is lost.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class DamageFilm : public Film {};

// Attacks: F30, D17, SY14
TEST_F(DamageFilm, a_disk_that_was_changed_behind_our_back_is_refused_and_can_be_accepted) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  const std::vector<std::byte> other(4096, std::byte{'!'});
  disks("b").poke("/dev/sdb", 5 * 4096, other);
  boot("b");
  expect_state("b", State::disk_changed);
  expect_next_step("b", "--accept-disk");
  run("b", "attach mydata --accept-disk");
  expect_equal();
}

// Attacks: F30, D17, T8
TEST_F(DamageFilm, a_changed_disk_of_the_primary_is_not_accepted_by_the_way) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("a");
  const std::vector<std::byte> other(4096, std::byte{'!'});
  disks("a").poke("/dev/sdb", 5 * 4096, other);
  boot("a");
  expect_state("a", State::disk_changed);
  expect_nobody_primary();
  expect_exit("a", "attach mydata --accept-disk", ExitCode::refused, "--force");
}

// Attacks: F29, D17, P13
TEST_F(DamageFilm, a_missing_disk_is_a_state_and_is_attached_by_itself_when_it_is_back) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  const Inode disk = disks("b").snapshot_device("/dev/sdb");
  disks("b").remove_device("/dev/sdb");
  boot("b");
  expect_state("b", State::disk_missing);
  save("a", 30, 50, 'y');
  disks("b").add_device("/dev/sdb", Cluster::disk_bytes);
  disks("b").restore_device("/dev/sdb", disk);
  rest(5s);
  if (state("b") == State::disk_changed) run("b", "attach mydata --accept-disk");
  expect_equal();
}

// Attacks: F29, D17, F13
TEST_F(DamageFilm, a_disk_under_another_name_is_found_by_its_identity) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  cluster().move_disk("b", "/dev/sdc");
  save("a", 30, 50, 'y');
  boot("b");
  expect_equal();
  expect_event("b", "the disk of mydata moved from /dev/sdb to /dev/sdc");
  EXPECT_TRUE(until([&] { return view("b", "a").disk == "/dev/sdc"; })) << describe();
  hand_over("b");
  restart("b");
  expect_primary("b");
  expect_no_event("b", "moved from /dev/sdc");
}

// Attacks: F29, D17, F7
TEST_F(DamageFilm, the_primary_crashes_and_its_disk_comes_back_under_another_name) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  power_loss("a");
  cluster().move_disk("a", "/dev/sdq");
  disks("a").add_device("/dev/sdb", Cluster::disk_bytes);  // somebody else's
  boot("a");
  expect_primary("a");
  expect_read("a", 0, 40, 'x');
  expect_equal();
}

// Attacks: F29, D17
TEST_F(DamageFilm, of_two_disks_with_one_identity_none_is_taken) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  const DeviceOptions clone = {.hardware_id = disks("b").block_devices().front().hardware_id};
  cluster().move_disk("b", "/dev/sdc");
  disks("b").add_device("/dev/sdd", Cluster::disk_bytes, clone);
  boot("b");
  expect_state("b", State::disk_missing);
  EXPECT_NE(view("b").reason.find("/dev/sdc and /dev/sdd"), std::string::npos) << view("b").reason;
  expect_next_step("b", "take the copy away");
  disks("b").remove_device("/dev/sdd");
  expect_equal();
}

// Attacks: F29, D17
TEST_F(DamageFilm, a_moved_disk_that_somebody_else_uses_is_waited_for) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  run("b", "detach mydata");
  stop("b");
  cluster().move_disk("b", "/dev/sdc");
  boot("b");
  run("b", "create-resource other /dev/sdc");
  begin("b", "attach mydata");
  expect_state("b", State::disk_missing);
  expect_next_step("b", "not at /dev/sdb any more but at /dev/sdc: end whatever uses that");
  run("b", "delete-resource other --force");
  expect_equal();
}

// Attacks: F29, D17
TEST_F(DamageFilm, two_resources_whose_disks_have_changed_their_names_find_their_own) {
  cast({"a", "b"});
  disks("b").add_device("/dev/sdc", 1 << 20);
  run("b", "create-resource other /dev/sdc");
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("b");
  cluster().move_disk("b", "/dev/sdd");
  disks("b").move_device("/dev/sdc", "/dev/sdb");
  cluster().move_disk("b", "/dev/sdc");
  boot("b");
  expect_equal();
  EXPECT_EQ(view("b").disk, "/dev/sdc");
  EXPECT_TRUE(until([&] { return cluster().replica("b", "other", "b")->disk == "/dev/sdb"; })) << describe();
}

// Attacks: F29, MB8, D17
TEST_F(DamageFilm, a_smaller_disk_under_the_same_name_is_refused) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  disks("b").remove_device("/dev/sdb");
  disks("b").add_device("/dev/sdb", Cluster::disk_bytes / 2);
  boot("b");
  expect_state("b", State::disk_changed);
  EXPECT_NE(view("b").reason.find("too small"), std::string::npos) << view("b").reason;
  EXPECT_EQ(state("a"), State::up_to_date);
}

// Attacks: CR8, P7, MB6
TEST_F(DamageFilm, a_replica_gets_a_new_empty_disk) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  stop("b");
  disks("b").remove_device("/dev/sdb");
  disks("b").add_device("/dev/sdb", Cluster::disk_bytes);
  boot("b");
  expect_state("b", State::disk_changed);
  run("b", "attach mydata --accept-disk");
  expect_equal();
}

// Attacks: F27, DV19, RP11, P3
TEST_F(DamageFilm, a_replica_whose_disk_fails_keeps_fetching_and_comes_back) {
  cast({"a", "b"});
  disks("b").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = Fault::forever});
  save("a", 0, 40, 'x');
  expect_state("b", State::disk_failed);
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); })) << describe();
  EXPECT_EQ(state("a"), State::up_to_date);
  disks("b").heal();
  run("b", "detach mydata");
  run("b", "attach mydata");
  expect_equal();
}

// Attacks: F27, P13, S0
TEST_F(DamageFilm, a_sync_that_cannot_go_on_says_why_once_and_goes_on_when_it_can) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  for (const std::string& path : {std::string("/dev/sdb"), resource_directory("b") + "/life.tmp"}) {
    save("a", 0, 40, path == "/dev/sdb" ? 'y' : 'z');
    run("b", "pause-sync mydata");
    invalidate("b");
    disks("b").poke("/dev/sdb", 3 * 4096, std::vector<std::byte>(4096));
    disks("b").fail({.path = path, .op = DiskOp::write, .times = Fault::forever});
    run("b", "resume-sync mydata");
    expect_state("b", path == "/dev/sdb" ? State::disk_failed : State::log_failed);
    expect_next_step("b", "begins again by itself");
    const size_t events = cluster().node("b").events().newest("mydata", 1000).size();
    rest(30s);
    EXPECT_LE(cluster().node("b").events().newest("mydata", 1000).size(), events + 2) << describe();
    disks("b").heal();
    expect_equal();
  }
}

// The first copy says who it is, what it gave up and what others may hold against it; the second one says the same.
// Attacks: F23, P2, T2, T10
TEST_F(DamageFilm, a_damaged_life_is_read_from_its_second_copy) {
  cast({"a"});
  save("a", 0, 40, 'x');
  const std::string life = resource_directory("a") + "/life";
  for (const bool is_unreadable : {false, true}) {
    power_loss("a");
    if (is_unreadable) {
      disks("a").break_sector(life, 0);
    } else {
      disks("a").flip(life, 37);  // a digit of the position
    }
    boot("a");
    expect_primary("a");
    expect_read("a", 0, 40, 'x');
  }
  // The first one was written anew.
  power_loss("a");
  disks("a").flip(life + ".2", 37);
  boot("a");
  expect_primary("a");
}

// What a failed flush did not bring to the disk is read back from its cache, and equals the source.
// Attacks: F27, S8, P1
TEST_F(DamageFilm, after_a_failed_flush_a_sync_writes_everything_anew) {
  const Fault flush_fails = {.path = "/dev/sdb", .op = DiskOp::flush, .times = 1};
  for (const char* how : {"by the sync", "by the sync, and marsd is restarted", "by replay, and marsd is restarted",
                          "by replay, and it leaves and joins", "by replay, while it leaves, and it joins"}) {
    const bool is_by_replay = std::string_view(how).starts_with("by replay");
    cast({"a", "b"});
    save("a", 0, 200, 'x');
    expect_up_to_date();
    run("b", "pause-sync mydata");
    invalidate("b");
    for (uint64_t block = 0; block < 200; ++block) {
      disks("b").poke("/dev/sdb", block * 4096, std::vector<std::byte>(4096));
    }
    if (!is_by_replay) disks("b").fail(flush_fails);
    run("b", "resume-sync mydata");
    if (is_by_replay) {
      expect_up_to_date();
      run("b", "pause-replay mydata");
      save("a", 0, 40, 'y');
      rest(5s);
      disks("b").fail(flush_fails);
      run("b", "resume-replay mydata");
    }
    if (std::string_view(how).find("while") == std::string_view::npos) expect_state("b", State::disk_failed);
    if (std::string_view(how).ends_with("restarted")) {
      run("b", "pause-replay mydata");
      kill("b");
      boot("b");
      rest(1s);
      invalidate("b");
      run("b", "resume-replay mydata");
    }
    if (std::string_view(how).ends_with("joins")) {
      run("b", "leave-resource mydata");
      run("b", "join-resource mydata /dev/sdb");
    }
    expect_up_to_date();
    power_loss("b");
    boot("b");
    expect_equal();
  }
}

// The log ends the replay first, and what was in its window is written after that.
// Attacks: S8, P1, D10
TEST_F(DamageFilm, a_damaged_log_does_not_hide_a_failed_flush) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  run("b", "pause-replay mydata");
  save("a", 0, 40, 'y');
  rest(5s);
  const uint64_t at = durable("b");
  save("a", 40, 60, 'y');
  rest(5s);
  rot_log("b", at);
  disks("b").fail({.path = "/dev/sdb", .op = DiskOp::flush, .times = 1});
  run("b", "resume-replay mydata");
  expect_state("b", State::log_damaged);
  rest(2s);
  invalidate("b");
  expect_up_to_date();
  power_loss("b");
  boot("b");
  expect_equal();
}

// Also one that fails while the log is caught up with behind the sweep.
// Attacks: S8, P1
TEST_F(DamageFilm, whichever_flush_of_a_sync_fails_is_not_forgotten) {
  for (uint64_t skip = 0; skip < 8; ++skip) {
    cast({"a", "b"});
    save("a", 0, 200, 'x');
    expect_up_to_date();
    run("b", "pause-sync mydata");
    invalidate("b");
    forget_disk("b");
    begin_load(0, 40);
    disks("b").fail({.path = "/dev/sdb", .op = DiskOp::flush, .skip = skip, .times = 1});
    run("b", "resume-sync mydata");
    rest(10s);
    end_load();
    invalidate("b");
    expect_up_to_date();
    power_loss("b");
    boot("b");
    expect_equal();
  }
}

// What answers the doubt is the sweep that wrote everything: an interruption behind it costs no second one.
// Attacks: P7, S8
TEST_F(DamageFilm, a_sweep_that_wrote_everything_anew_is_not_repeated) {
  cast({"a", "b"});
  save("a", 0, 400, 'x');
  expect_up_to_date();
  run("b", "pause-sync mydata");
  invalidate("b");
  forget_disk("b");
  disks("b").fail({.path = "/dev/sdb", .op = DiskOp::flush, .times = 1});
  run("b", "resume-sync mydata");
  expect_state("b", State::disk_failed);
  run("b", "pause-replay mydata");
  begin_load(0, 20);
  const auto is_swept = [&] {
    const auto transfers = view("b").transfers;
    return std::ranges::any_of(transfers, [](const control::Transfer& transfer) {
      return transfer.kind == control::TransferKind::sync && transfer.done_bytes == transfer.total_bytes;
    });
  };
  EXPECT_TRUE(until(is_swept)) << describe();
  rest(1s);
  end_load();
  const uint64_t moved_before = moved("a", "b");
  restart("b");
  run("b", "resume-replay mydata");
  expect_equal();
  EXPECT_LT(moved("a", "b") - moved_before, 400u * 4096);
}

// Who refuses because it waits for its operator is asked after the others (a holder whose writes died with its pool).
// Attacks: S8, P3
TEST_F(DamageFilm, a_source_that_refuses_keeps_nobody_from_another_one) {
  for (const std::string holder : {"a", "b"}) {
    const std::string source = holder == "a" ? "b" : "a";
    cast({"a", "b", "c"});
    save("a", 0, 40, 'x');
    expect_up_to_date();
    if (holder != "a") hand_over(holder);
    run("c", "pause-sync mydata");
    invalidate("c");
    forget_disk("c");
    save(holder, 0, 20, 'y');
    expect_up_to_date_among(holder, source);
    kill(holder);
    cluster().host(holder).pools().clear();
    boot(holder);
    expect_state(holder, State::writes_lost);
    disks("c").fail({.path = "/dev/sdb", .op = DiskOp::flush, .times = 2});
    run("c", "resume-sync mydata");
    EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; })) << describe();
    run(holder, "attach mydata --accept-loss");
    expect_primary(holder);
    expect_equal();
  }
}

// Attacks: F28, S3, P11
TEST_F(DamageFilm, a_sync_writes_anew_what_cannot_be_read) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_equal();
  disks("b").break_sector("/dev/sdb", 7 * 4096);
  invalidate("b");
  expect_equal();
}

// Attacks: F28, D14, DV19, P5
TEST_F(DamageFilm, a_primary_whose_disk_fails_goes_on_and_hands_over_with_everything) {
  cast({"a", "b"});
  disks("a").fail({.path = "/dev/sdb", .op = DiskOp::write, .times = Fault::forever});
  save("a", 0, 40, 'x');
  expect_state("a", State::disk_failed);
  expect_next_step("a", "hand over");
  save("a", 20, 60, 'y');
  expect_read("a", 0, 20, 'x');
  hand_over("b");
  expect_read("b", 20, 60, 'y');
  expect_read("b", 0, 20, 'x');
}

// Attacks: F28, DV20
TEST_F(DamageFilm, an_unreadable_sector_of_the_primary_is_an_error_for_that_read_only) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_equal();
  disks("a").break_sector("/dev/sdb", 7 * 4096);
  EXPECT_FALSE(cluster().read("a", "mydata", 7).has_value());
  expect_read("a", 8, 40, 'x');
  save("a", 7, 8, 'y');
  expect_read("a", 7, 8, 'y');
  expect_equal();
}

// Attacks: DV21, RP11, P10
TEST_F(DamageFilm, a_disk_that_hangs_on_a_replica_holds_up_nobody) {
  cast({"a", "b", "c"});
  disks("b").drive("/dev/sdb").stick();
  for (int round = 0; round < 4; ++round) save("a", 0, 40, static_cast<char>('a' + round));
  rest(20s);
  EXPECT_EQ(state("a"), State::up_to_date);
  EXPECT_EQ(applied("c"), durable("a"));
  disks("b").drive("/dev/sdb").unstick();
  expect_equal();
}

// Attacks: D6, P13, P2
TEST_F(DamageFilm, acknowledged_writes_that_died_with_the_pool_are_not_silently_missing) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  kill("a");
  cluster().host("a").pools().clear();
  boot("a");
  expect_state("a", State::writes_lost);
  expect_next_step("a", "--accept-loss");
  expect_nobody_primary();
  run("a", "attach mydata --accept-loss");
  expect_primary("a");
  expect_equal();
}

// Attacks: D6, P13
TEST_F(DamageFilm, a_close_in_between_does_not_make_lost_writes_forgotten) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  kill("a");
  cluster().host("a").pools().clear();
  boot("a");
  expect_state("a", State::writes_lost);
  run("a", "detach mydata");
  run("a", "attach mydata");
  expect_state("a", State::writes_lost);
  stop("a");
  boot("a");
  expect_state("a", State::writes_lost);
  expect_nobody_primary();
  run("a", "attach mydata --accept-loss");
  expect_primary("a");
  expect_equal();
}

// Attacks: D6, P2
TEST_F(DamageFilm, without_a_tmpfs_no_write_is_acknowledged_from_memory) {
  cast({"a", "b"});
  stop("a");
  cluster().host("a").set_tmpfs(false);
  boot("a");
  expect_primary("a");
  const std::vector<std::string> warnings = cluster().status("a").warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no write is acknowledged from memory"), std::string::npos) << warnings[0];
  write("a", 0, 20, 'x');
  power_loss("a");
  boot("a");
  expect_primary("a");
  expect_read("a", 0, 20, 'x');
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
