// Sources of syncs and of the log that are slower than who takes from them, or send nothing any more.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class SourceFilm : public Film {
 protected:
  void prologue(Hosts hosts) {
    cast(std::move(hosts));
    save("a", 0, 400, 's');
    expect_up_to_date();
  }
  // And c has heard of it. Their logs lie on disks of their own.
  void let_a_and_b_have_more_than_c() {
    stage.log_disk_bytes = 64 << 20;
    prologue({"a", "b", "c"});
    run("c", "pause-fetch mydata");
    expect_state("c", State::paused);
    save("a", 0, 60, 'x');
    EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
    rest(3s);
  }
  // c syncs from a, whose disk always has a read for it under way.
  void begin_sync_from_slow_disk() {
    prologue({"a", "b", "c"});
    disks("a").drive("/dev/sdb").set_speed({.read = 300ms});
    invalidate("c");
    EXPECT_TRUE(until([&] { return state("c") == State::syncing; })) << describe();
    rest(2s);
    EXPECT_EQ(state("c"), State::syncing);
  }
};

// Attacks: T4, P5
TEST_F(SourceFilm, who_serves_a_sync_from_a_slow_disk_hands_over) {
  begin_sync_from_slow_disk();
  hand_over("b");
  expect_read("b", 0, 400, 's');
  disks("a").drive("/dev/sdb").set_speed({});
  expect_equal();
}

// The right is released, and the disk of who had it hangs under what it still reads for a sync.
// Attacks: T3, T4, P13
TEST_F(SourceFilm, a_right_that_is_released_waits_for_no_read_that_hangs) {
  begin_sync_from_slow_disk();
  disks("b").drive("/dev/sdb").stick();
  save("a", 0, 5, 'x');
  const auto command = begin("b", "primary mydata --timeout 60s");
  EXPECT_TRUE(until([&] { return primary().empty(); })) << describe();
  rest(2s);
  disks("a").drive("/dev/sdb").stick();
  disks("b").drive("/dev/sdb").unstick();
  expect_primary("b");
  EXPECT_EQ(end(*command).code, ExitCode::done);
  expect_read("b", 0, 5, 'x');
  disks("a").drive("/dev/sdb").unstick();
  disks("a").drive("/dev/sdb").set_speed({});
  expect_equal();
}

// A successor whose disk hangs says so: when it is asked, or when it has the right.
// Attacks: T4, P13
TEST_F(SourceFilm, a_successor_whose_disk_hangs_under_a_read_says_so) {
  for (const io::Duration before : {1s, 15s}) {
    prologue({"a", "b", "c"});
    disks("b").drive("/dev/sdb").set_speed({.read = 300ms});
    cut("a", "c");
    await_silence("c", "a");
    invalidate("c");
    EXPECT_TRUE(until([&] { return state("c") == State::syncing; })) << describe();
    rest(2s);
    disks("b").drive("/dev/sdb").stick();
    rest(before);
    const auto command = begin("b", "primary mydata --timeout 60s");
    if (before < 10s) {
      EXPECT_TRUE(until([&] { return state("b") == State::disk_failed; })) << describe();
      EXPECT_NE(view("b").reason.find("/dev/sdb"), std::string::npos) << describe();
      disks("b").drive("/dev/sdb").unstick();
      expect_primary("b");
    } else {
      EXPECT_EQ(end(*command).code, ExitCode::refused);
      expect_primary("a");
      disks("b").drive("/dev/sdb").unstick();
    }
    disks("b").drive("/dev/sdb").set_speed({});
    heal("a", "c");
    expect_equal();
  }
}

// Attacks: T4, P13
TEST_F(SourceFilm, who_serves_a_sync_from_a_slow_disk_closes_detaches_and_stops) {
  for (const std::string way : {"secondary mydata", "detach mydata", "stop"}) {
    begin_sync_from_slow_disk();
    const io::Instant before = cluster().world().now();
    way == "stop" ? stop("a") : static_cast<void>(run("a", way + " --timeout 40s"));
    EXPECT_LT(cluster().world().now() - before, 18s) << way;  // the fingerprint of its disk takes 13; the sync 12 more
    disks("a").drive("/dev/sdb").set_speed({});
    if (way == "stop") boot("a");
    if (way == "detach mydata") run("a", "attach mydata");
    if (way == "secondary mydata") run("a", "primary mydata");
    expect_primary("a");
    expect_equal();
  }
}

// Attacks: F10, SY4, P13
TEST_F(SourceFilm, a_sync_leaves_a_source_whose_disk_hangs) {
  begin_sync_from_slow_disk();
  disks("a").drive("/dev/sdb").stick();
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 5min)) << describe();
  disks("a").drive("/dev/sdb").unstick();
  disks("a").drive("/dev/sdb").set_speed({});
  expect_equal();
}

// Both refuse until they have given up waiting for a; that is no reason to wait longer for one that is silent then.
// Attacks: F10, SY4, P13
TEST_F(SourceFilm, who_refused_at_first_is_left_as_soon_when_its_disk_hangs) {
  prologue({"a", "b", "c", "d"});
  run("c", "pause-sync mydata");
  invalidate("c");
  forget_disk("c");
  kill("a");
  for (const char* host : {"b", "c", "d"}) power_loss(host);
  for (const char* host : {"b", "d"}) disks(host).drive("/dev/sdb").set_speed({.read = 300ms});
  for (const char* host : {"b", "c", "d"}) boot(host);
  run("c", "resume-sync mydata");
  const auto source = [&]() -> std::string {
    for (const control::Transfer& transfer : view("c").transfers) {
      if (transfer.kind == control::TransferKind::sync && transfer.done_bytes > 0) return transfer.source;
    }
    return "";
  };
  EXPECT_TRUE(until([&] { return !source().empty(); })) << describe();
  const std::string first = source();
  disks(first).drive("/dev/sdb").stick();
  EXPECT_TRUE(until([&] { return !source().empty() && source() != first; }, 4min)) << describe();
  disks(first).drive("/dev/sdb").unstick();
  for (const char* host : {"b", "d"}) disks(host).drive("/dev/sdb").set_speed({});
  boot("a");
  expect_equal();
}

// Attacks: F4, SY4, P7
TEST_F(SourceFilm, a_slow_target_does_not_take_its_source_for_a_silent_one) {
  prologue({"a", "b", "c"});
  disks("c").drive("/dev/sdb").set_speed({.read = 4s});
  invalidate("c");
  rest(100s);
  EXPECT_EQ(state("c"), State::syncing);
  EXPECT_TRUE(until([&] { return state("c") == State::up_to_date; }, 20min)) << describe();
  disks("c").drive("/dev/sdb").set_speed({});
  expect_no_event("c", "was interrupted (");
  expect_equal();
}

// Attacks: F4, P13
TEST_F(SourceFilm, a_fetch_leaves_a_source_whose_log_disk_hangs) {
  let_a_and_b_have_more_than_c();
  disks("a").drive("/log").stick();
  run("c", "resume-fetch mydata");
  EXPECT_TRUE(until([&] { return durable("c") == durable("b"); }, 5min)) << describe();
  disks("a").drive("/log").unstick();
  expect_equal();
}

// Attacks: F4, P13
TEST_F(SourceFilm, a_source_that_was_silent_is_asked_again_when_the_other_has_nothing_more) {
  let_a_and_b_have_more_than_c();
  disks("a").drive("/log").stick();
  run("c", "resume-fetch mydata");
  EXPECT_TRUE(until([&] { return durable("c") == durable("b"); }, 5min)) << describe();
  disks("a").drive("/log").unstick();
  run("b", "pause-fetch mydata");
  expect_state("b", State::paused);
  save("a", 60, 90, 'y');
  EXPECT_TRUE(until([&] { return durable("c") == durable("a"); }, 5min)) << describe();
  run("b", "resume-fetch mydata");
  expect_equal();
}

// Attacks: F4, P13
TEST_F(SourceFilm, of_two_silent_sources_the_one_that_speaks_again_is_found) {
  let_a_and_b_have_more_than_c();
  for (const char* host : {"a", "b"}) disks(host).drive("/log").stick();
  run("c", "resume-fetch mydata");
  rest(5min);
  disks("b").drive("/log").unstick();
  EXPECT_TRUE(until([&] { return durable("c") == durable("b"); }, 20min)) << describe();
  disks("a").drive("/log").unstick();
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
