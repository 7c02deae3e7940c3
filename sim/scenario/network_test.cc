// Networks that are cut, slow, one-way, flapping, or lose a message.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class NetworkFilm : public Film {};

// Attacks: F1, P3, NW1
TEST_F(NetworkFilm, a_long_outage_needs_nobody) {
  cast({"a", "b"});
  isolate("b");
  save("a", 0, 40, 'x');
  rest(2min);
  save("a", 20, 60, 'y');
  EXPECT_EQ(state("a"), State::up_to_date);
  EXPECT_EQ(primary(), "a");
  rejoin("b");
  expect_equal();
}

// Attacks: F1, P13, NW12, OP3
TEST_F(NetworkFilm, a_silent_host_is_shown_as_unreachable_with_what_was_known) {
  cast({"a", "b"});
  isolate("b");
  await_silence("a", "b");
  const control::ReplicaView far = view("b", "a");
  EXPECT_EQ(far.state, State::unreachable);
  EXPECT_NE(far.reason.find("up-to-date"), std::string::npos) << far.reason;
  EXPECT_NE(far.next_step, "");
  EXPECT_TRUE(far.last_contact_ns.has_value());
  rejoin("b");
  EXPECT_TRUE(until([&] { return view("b", "a").state == State::up_to_date; }));
}

// Attacks: F2, P3, NW4, NW5
TEST_F(NetworkFilm, a_link_slower_than_the_writes_delays_the_replica_and_never_the_primary) {
  cast({"a", "b"});
  network().set_link("a", "b", {.latency = 50ms, .bytes_per_second = 200'000});
  const io::Instant begun = cluster().world().now();
  for (uint64_t block = 0; block < 200; block += 40) save("a", block, block + 40, 's');
  EXPECT_LT(cluster().world().now() - begun, 2s);
  rest(1s);
  EXPECT_LT(durable("b"), durable("a"));
  EXPECT_EQ(state("a"), State::up_to_date);
  expect_equal();
}

// Attacks: F2, P1, RP1
TEST_F(NetworkFilm, what_a_lagging_replica_has_is_a_prefix_at_every_look) {
  cast({"a", "b"});
  network().set_link("a", "b", {.latency = 5ms, .bytes_per_second = 200'000});
  for (uint64_t block = 0; block < 200; block += 5) save("a", block, block + 5, 'p');
  for (int look = 0; look < 8; ++look) {
    rest(300ms);
    run("b", "detach mydata");
    expect_prefix("b", 0, 200, 'p');
    run("b", "attach mydata");
  }
  expect_equal();
}

// Attacks: F3, P7, NW3
TEST_F(NetworkFilm, a_flapping_link_costs_retries_and_no_sync) {
  cast({"a", "b"});
  const auto before = cluster().events("b");
  for (uint64_t flap = 0; flap < 15; ++flap) {
    cut("a", "b");
    save("a", 10 * flap, 10 * flap + 10, 'f');
    rest(flap % 3 * 4s + 200ms);
    heal("a", "b");
    rest(600ms);
  }
  expect_equal();
  EXPECT_EQ(cluster().events("b").find("sync from", before.size()), std::string::npos) << describe();
}

// Attacks: F6, NW2
TEST_F(NetworkFilm, bytes_that_arrive_in_one_direction_only_are_no_connection) {
  cast({"a", "b"});
  network().cut_one_way("b", "a");
  save("a", 0, 30, 'o');
  await_silence("a", "b");
  expect_exit("b", "primary mydata", ExitCode::unreachable, "--force");
  EXPECT_EQ(primary(), "a");
  network().heal_one_way("b", "a");
  expect_equal();
}

// Attacks: F6, P3, NW2
TEST_F(NetworkFilm, a_primary_that_cannot_be_heard_goes_on_alone) {
  cast({"a", "b"});
  network().cut_one_way("a", "b");
  for (uint64_t i = 0; i < 5; ++i) {
    save("a", 10 * i, 10 * i + 10, 'h');
    rest(5s);
  }
  EXPECT_EQ(state("a"), State::up_to_date);
  network().heal_one_way("a", "b");
  expect_equal();
}

// Attacks: P1, P3, NW2
TEST_F(NetworkFilm, connections_that_are_reset_under_load_are_made_again) {
  cast({"a", "b"});
  begin_load(0, 100);
  for (int i = 0; i < 12; ++i) {
    rest(250ms);
    network().reset("a", "b");
  }
  EXPECT_GT(end_load(), 300u);
  expect_equal();
}

// Attacks: P10, NW2
TEST_F(NetworkFilm, a_host_that_loses_power_without_a_word_is_missed_within_seconds) {
  cast({"a", "b"});
  const io::Instant begun = cluster().world().now();
  power_loss("b");
  await_silence("a", "b");
  EXPECT_LT(cluster().world().now() - begun, 12s);
  save("a", 0, 20, 'w');
  boot("b");
  expect_equal();
}

// Attacks: F1, RP12, NW11
TEST_F(NetworkFilm, a_replica_that_cannot_see_the_primary_fetches_from_the_other) {
  cast({"a", "b", "c"});
  cut("a", "c");
  begin_load(0, 80);
  rest(4s);
  end_load();
  expect_on_disk("c", 0, 10, cluster().on_disk("a", 0));
  expect_equal();
  heal("a", "c");
  expect_equal();
}

// Attacks: NW11, RP12
TEST_F(NetworkFilm, replicas_without_their_primary_even_out_among_themselves) {
  cast({"a", "b", "c"});
  isolate("c");
  save("a", 0, 40, 'e');
  EXPECT_TRUE(until([&] { return applied("b") == durable("a"); }));
  power_loss("a");
  rejoin("c");
  EXPECT_TRUE(until([&] { return applied("c") == durable("b"); })) << describe();
  expect_on_disk("c", 0, 40, 'e');
  boot("a");
  expect_equal();
}

// Attacks: F3, NW11
TEST_F(NetworkFilm, every_pair_of_three_hosts_is_cut_in_turn_under_load) {
  cast({"a", "b", "c"});
  begin_load(0, 60, 20ms);
  const std::pair<const char*, const char*> pairs[] = {{"a", "b"}, {"b", "c"}, {"a", "c"}};
  for (const auto& [x, y] : pairs) {
    cut(x, y);
    rest(7s);
    heal(x, y);
  }
  EXPECT_GT(end_load(), 200u);
  expect_equal();
}

// Attacks: P4, CR11
TEST_F(NetworkFilm, a_replica_that_is_stopped_for_minutes_and_continued_catches_up) {
  cast({"a", "b"});
  cluster().host("b").pause();
  save("a", 0, 40, 's');
  rest(5min);
  EXPECT_EQ(state("a"), State::up_to_date);
  cluster().host("b").resume();
  expect_equal();
}

// Attacks: P4, T2, CR11
TEST_F(NetworkFilm, a_primary_that_is_stopped_for_minutes_is_still_the_primary) {
  cast({"a", "b"});
  save("a", 0, 20, 'q');
  cluster().host("a").pause();
  rest(2min);
  EXPECT_EQ(view("a", "b").state, State::unreachable);
  expect_exit("b", "primary mydata", ExitCode::unreachable, "--force");
  cluster().host("a").resume();
  EXPECT_TRUE(cluster().all_connected());
  expect_primary("a");
  save("a", 10, 30, 'r');
  expect_equal();
}

// Attacks: NW4, P5
TEST_F(NetworkFilm, a_second_of_distance_changes_nothing_but_time) {
  cast({"a", "b"});
  network().set_link("a", "b", {.latency = 700ms, .jitter = 300ms});
  save("a", 0, 40, 'd');
  hand_over("b");
  save("b", 20, 60, 'e');
  expect_equal();
}

// Attacks: LM3, D15, P13
TEST_F(NetworkFilm, a_member_that_is_away_keeps_the_log_and_status_shows_how_much) {
  cast({"a", "b"});
  isolate("b");
  for (uint64_t block = 0; block < 240; block += 40) save("a", block, block + 40, 'l');
  rest(5s);
  EXPECT_GT(view("a").log_bytes.value_or(0), 240u * 4096);
  rejoin("b");
  expect_equal();
  save("a", 0, 1, 'm');
  EXPECT_TRUE(until([&] { return segments("a").size() <= 2; })) << view("a").log_bytes.value_or(0);
}

// Attacks: D15, LM2, KX3
TEST_F(NetworkFilm, the_log_is_kept_for_the_slowest_of_two) {
  cast({"a", "b", "c"});
  isolate("c");
  for (uint64_t block = 0; block < 240; block += 40) save("a", block, block + 40, 'k');
  EXPECT_TRUE(until([&] { return applied("b") == durable("a"); }));
  rest(5s);
  EXPECT_GT(segments("a").size(), 3u);
  rejoin("c");
  expect_equal();
  EXPECT_EQ(cluster().events("c").find("it will be synced"), std::string::npos);
}

// Attacks: P3, P10, DV13
TEST_F(NetworkFilm, an_idle_cluster_has_nothing_to_tell) {
  cast({"a", "b"});
  save("a", 0, 10, 'i');
  expect_equal();
  EXPECT_TRUE(cluster().all_connected());
  const auto before = cluster().events("a");
  rest(3min);
  EXPECT_EQ(cluster().events("a"), before);
  expect_equal();
}

// Attacks: protocol 8 (drop every message), S0, T10, NW6
TEST_F(NetworkFilm, whichever_message_of_a_fetch_is_lost_the_log_arrives) {
  cast({"a", "b"});
  uint64_t n = 0;
  bool was_hit = true;
  for (; was_hit && n < 60; ++n) {
    const uint64_t before = network().delivery_count();
    network().lose_delivery(n + 1);
    save("a", n % 200, n % 200 + 4, static_cast<char>('a' + n % 26));
    EXPECT_TRUE(until([&] { return applied("b") == durable("a"); })) << n << describe();
    was_hit = network().delivery_count() > before + n;
  }
  EXPECT_GT(n, 3u);
  EXPECT_LT(n, 60u);
  expect_equal();
}

// Attacks: P7, D15
TEST_F(NetworkFilm, a_replica_that_is_detached_while_it_lags_comes_back_by_log) {
  cast({"a", "b"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  isolate("b");
  for (char value = 'a'; value < 'm'; ++value) save("a", 0, 40, value);
  EXPECT_GT(segments("a").size(), 4u);
  run("b", "detach mydata");
  rejoin("b");
  rest(10s);
  save("a", 0, 40, 'z');
  rest(10s);
  restart("a");
  expect_primary("a");
  save("a", 40, 50, 'z');
  rest(10s);
  run("b", "attach mydata");
  expect_equal();
  int syncs = 0;
  for (size_t at = 0; (at = cluster().events("b").find("sync from", at)) != std::string::npos; ++at) ++syncs;
  EXPECT_EQ(syncs, 1) << describe();
}

// The link to the primary was away while it fetched; then its source loses the primary.
// Attacks: P13, G3
TEST_F(NetworkFilm, a_source_that_is_cut_off_itself_is_left_for_another_one) {
  cast({"a", "b", "c"});
  save("a", 0, 40, '0');
  expect_up_to_date();
  cut("a", "c");
  save("a", 0, 40, 'b');
  EXPECT_TRUE(until([&] { return durable("c") == durable("b"); })) << describe();
  heal("a", "c");
  rest(10s);
  cut("a", "b");
  save("a", 0, 40, 'c');
  EXPECT_TRUE(until([&] { return durable("c") == durable("a"); }, 20s)) << describe();
  heal("a", "b");
  expect_equal();
}

}  // namespace
}  // namespace mars::sim
