// The matrices, generated: forced switches as the predecessor's suite has them, crashes in each phase of a handover,
// switches on three hosts.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

enum class Rolled : uint8_t { none, one, both };

struct Forced {
  bool is_connected;     // marsd of the old primary goes on and sees the other again before it is forced
  bool is_in_use;        // the old primary's device is mounted
  bool old_wins;         // the old primary stays, the forced one is given up
  bool is_replayed;      // the forced one had everything that its log had
  Rolled rolled;         // whose log began new segments meanwhile
  bool reconnects_late;  // the sides see each other only after the loser was told
};

class ForcedMatrix : public Film, public testing::WithParamInterface<Forced> {
 protected:
  void roll(const std::string& host, bool is_kept, char value) {
    for (uint64_t block = 200; block < 300; block += 25) {
      is_kept ? save(host, block, block + 25, value) : save_apart(host, block, block + 25, value);
    }
  }
};

// Attacks: F13, F19, F20, SB1, SB2, SB3, SB4, SB5, SB6, SB7, SB10
TEST_P(ForcedMatrix, ends_with_one_history) {
  const Forced& p = GetParam();
  cast({"a", "b"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  if (!p.is_replayed) run("b", "pause-replay mydata");
  save("a", 20, 40, '1');
  EXPECT_TRUE(until([&] { return durable("b") == durable("a"); }));
  if (p.is_in_use) mount("a");
  if (p.is_connected) expect_exit("b", "primary mydata --force", ExitCode::refused, "answers");
  isolate("a");
  const auto write_a = [&](uint64_t first, uint64_t last) {
    p.old_wins ? save("a", first, last, 'a') : save_apart("a", first, last, 'a');
  };
  const auto write_b = [&](uint64_t first, uint64_t last) {
    p.old_wins ? save_apart("b", first, last, 'b') : save("b", first, last, 'b');
  };
  write_a(10, 30);
  if (p.rolled == Rolled::both) roll("a", p.old_wins, 'r');
  await_silence("b", "a");
  force("b");
  write_b(25, 45);
  if (p.rolled != Rolled::none) roll("b", !p.old_wins, 's');
  if (!p.reconnects_late) rejoin("a");
  const std::string loser = p.old_wins ? "b" : "a";
  if (p.reconnects_late) {
    run("b", "up mydata");
    rest(5s);
    rejoin("a");
  }
  expect_state("a", State::fork);
  if (p.is_in_use) unmount("a");
  run("b", "up mydata");
  run(loser, "invalidate mydata");
  expect_equal();
  EXPECT_EQ(primary(), p.old_wins ? "a" : "b");
}

std::vector<Forced> all_forced() {
  std::vector<Forced> all;
  for (unsigned bits = 0; bits < 32; ++bits) {
    for (const Rolled rolled : {Rolled::none, Rolled::one, Rolled::both}) {
      all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, rolled, (bits & 16) != 0});
    }
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<Forced>& info) {
  const Forced& p = info.param;
  const char* rolled[] = {"none", "one", "both"};
  return std::string(p.is_connected ? "connected" : "cut") + (p.is_in_use ? "_mounted" : "_idle") +
         (p.old_wins ? "_old" : "_new") + "_wins" + (p.is_replayed ? "_replayed" : "_unreplayed") + "_rolled_" +
         rolled[static_cast<size_t>(p.rolled)] + (p.reconnects_late ? "_late" : "_early");
}

INSTANTIATE_TEST_SUITE_P(all, ForcedMatrix, testing::ValuesIn(all_forced()), name_of);

struct Death {
  std::string victim;  // "ab": both at the same moment
  bool is_power_loss;
  uint64_t op;
};

class HandoverMatrix : public Film, public testing::WithParamInterface<Death> {};

// Attacks: HO7, T3, T4, T5, P4, P5, F5, CR1, CR2
TEST_P(HandoverMatrix, a_death_in_each_phase_of_a_handover) {
  const Death& p = GetParam();
  cast({"a", "b"});
  save("a", 0, 30, 'x');
  for (const char host : p.victim) {
    p.is_power_loss ? power_loss_at(std::string(1, host), p.op) : kill_at(std::string(1, host), p.op);
  }
  const auto running = begin("b", "primary mydata --timeout 20s");
  until([&] { return is_dead(p.victim.substr(0, 1)) && is_dead(p.victim.substr(p.victim.size() - 1)); }, 3s);
  for (const char host : p.victim) revive(std::string(1, host));
  EXPECT_TRUE(until([&] { return running->answer.has_value(); }));
  EXPECT_TRUE(cluster().all_connected());
  run("b", "primary mydata");
  save("b", 20, 40, 'y');
  expect_equal();
  EXPECT_EQ(primary(), "b");
}

std::vector<Death> deaths() {
  std::vector<Death> all;
  for (const char* victim : {"a", "b", "ab"}) {
    for (uint64_t op = 1; op <= 12; ++op) all.push_back({victim, op % 2 == 1, op});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(each, HandoverMatrix, testing::ValuesIn(deaths()), [](const auto& info) {
  return info.param.victim + (info.param.is_power_loss ? "_power_" : "_kill_") + std::to_string(info.param.op);
});

class LostMessages : public Film, public testing::WithParamInterface<uint64_t> {
 protected:
  static constexpr uint64_t shards = 8;
};

// Attacks: protocol 8 (drop every message), T3, T4, T5, HO7, P4, P5
TEST_P(LostMessages, whichever_message_of_a_handover_is_lost_one_host_is_primary_and_has_everything) {
  cast({"a", "b"});
  bool was_hit = true;
  for (uint64_t n = GetParam() + 1; was_hit; n += shards) {
    const std::string from = primary();
    const std::string to = from == "a" ? "b" : "a";
    save(from, n % 100, n % 100 + 3, static_cast<char>('a' + n % 26));
    const uint64_t before = network().delivery_count();
    network().lose_delivery(n);
    const auto running = begin(to, "primary mydata --timeout 60s");
    end(*running);
    was_hit = network().delivery_count() >= before + n;
    EXPECT_TRUE(cluster().all_connected()) << n;
    run(to, "primary mydata");
    ASSERT_EQ(primary(), to) << n << describe();
  }
  expect_equal();
}

INSTANTIATE_TEST_SUITE_P(each, LostMessages, testing::Range(uint64_t{0}, uint64_t{8}));

struct Switched {
  bool has_fetch;
  bool has_replay;
  bool has_sync;
  bool needs_sync;
};

class SwitchMatrix : public Film, public testing::WithParamInterface<Switched> {};

// Attacks: RP3, SY8, P1, P13
TEST_P(SwitchMatrix, each_switch_holds_what_it_says_and_nothing_else) {
  const Switched& p = GetParam();
  cast({"a", "b", "c"});
  save("a", 0, 20, '0');
  expect_up_to_date();
  if (!p.has_fetch) run("b", "pause-fetch mydata");
  if (!p.has_replay) run("b", "pause-replay mydata");
  if (!p.has_sync) run("b", "pause-sync mydata");
  const uint64_t before = durable("b");
  if (p.needs_sync) run("b", "invalidate mydata");
  save("a", 10, 30, '1');
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  rest(3s);
  const bool may_follow = p.has_fetch && p.has_replay;
  if (!p.needs_sync) {
    EXPECT_EQ(durable("b") == durable("a"), p.has_fetch);
    EXPECT_EQ(is_on_disk("b", 10, 30, '1'), may_follow);
    if (!p.has_fetch) EXPECT_EQ(durable("b"), before);
    EXPECT_EQ(state("b"), may_follow ? State::up_to_date : State::paused);
  } else if (!p.has_sync) {
    EXPECT_EQ(state("b"), State::paused);
  }
  run("b", "up mydata");
  expect_equal();
}

std::vector<Switched> all_switched() {
  std::vector<Switched> all;
  for (unsigned bits = 0; bits < 16; ++bits) {
    all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(all, SwitchMatrix, testing::ValuesIn(all_switched()), [](const auto& info) {
  const Switched& p = info.param;
  return std::string(p.has_fetch ? "fetch_" : "") + (p.has_replay ? "replay_" : "") + (p.has_sync ? "sync_" : "") +
         (p.needs_sync ? "wanted" : "idle");
});

}  // namespace
}  // namespace mars::sim
