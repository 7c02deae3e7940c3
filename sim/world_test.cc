#include "sim/world.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/aligned.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;

class WorldTest : public testing::Test {
 protected:
  SimMachine& machine() { return world.host("a").machine(); }
  std::unique_ptr<io::File> open(const std::string& path, bool create = true) {
    io::OpenOptions options{.create = create};
    return world.run(machine(), machine().storage().open(path, options)).value();
  }
  Status write(io::File& file, uint64_t offset, int value, size_t bytes = 4096) {
    AlignedBuffer buffer(bytes);
    std::memset(buffer.data(), value, bytes);
    return world.run(machine(), io::write(file, offset, buffer.span()));
  }
  World world{7};
};

TEST_F(WorldTest, same_host_by_name) {
  EXPECT_EQ(&world.host("a"), &world.host("a"));
  EXPECT_TRUE(world.host("a").is_running());
}

TEST_F(WorldTest, timers_fire_in_virtual_time) {
  Event stop(machine().ready());
  const io::Instant start = world.now();
  EXPECT_TRUE(world.run(machine(), io::sleep_for(machine(), 3s, stop)));
  EXPECT_GE(world.now(), start + 3s);
  EXPECT_LT(world.now(), start + 3s + 1ms);
}

TEST_F(WorldTest, run_for_advances_an_idle_world) {
  world.run_for(5s);
  EXPECT_EQ(world.now(), 5s);
}

Task<void> sleep_and_note(SimMachine& machine, io::Duration delay, int id, Event& stop, std::vector<int>& order) {
  static_cast<void>(co_await io::sleep_for(machine, delay, stop));
  order.push_back(id);
}

TEST_F(WorldTest, a_paused_host_catches_up_with_its_timers_in_order) {
  Event stop(machine().ready());
  std::vector<int> order;
  for (int id : {3, 1, 2}) machine().scope().spawn(sleep_and_note(machine(), id * 10ms, id, stop, order));
  world.run_for(5ms);
  world.host("a").pause();
  world.run_for(1s);
  EXPECT_TRUE(order.empty());
  world.host("a").resume();
  world.run_for(1ms);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_F(WorldTest, a_dead_machine_answers_gone) {
  auto file = open("/x");
  SimMachine& dead = machine();
  world.host("a").kill();
  AlignedBuffer buffer(512);
  EXPECT_EQ(world.run(dead, io::write(*file, 0, buffer.span())), Status::gone);
  EXPECT_EQ(world.run(dead, io::flush(*file)), Status::gone);
  EXPECT_EQ(status_of(world.run(dead, dead.storage().exists("/x"))), Status::gone);
  EXPECT_EQ(status_of(world.run(dead, dead.storage().open("/x", {}))), Status::gone);
  EXPECT_EQ(status_of(world.run(dead, dead.network().connect("a:1"))), Status::gone);
  EXPECT_EQ(status_of(world.run(dead, dead.network().listen("[::]:1", 0600))), Status::gone);
  EXPECT_EQ(status_of(world.run(dead, dead.exec({"true"}, 1s))), Status::gone);
  EXPECT_EQ(status_of(dead.map_pool("p", 4096)), Status::gone);
}

Task<void> write_for_ever(io::File& file, std::span<std::byte> buffer, Status& last) {
  last = Status::ok;
  while (last == Status::ok) last = co_await io::write(file, 0, buffer);
}

TEST_F(WorldTest, pending_calls_answer_gone_when_the_machine_dies) {
  auto file = open("/x");
  AlignedBuffer buffer(4096);
  Status last = Status::ok;
  SimMachine& dead = machine();
  dead.scope().spawn(write_for_ever(*file, buffer.span(), last));
  world.run_for(10ms);
  EXPECT_EQ(last, Status::ok);
  world.host("a").kill();
  EXPECT_TRUE(world.run_until([&] { return dead.scope().count() == 0; }, 1ms));
  EXPECT_EQ(last, Status::gone);
}

TEST_F(WorldTest, off_loaded_work_runs_also_when_the_machine_dies) {
  for (int round = 0; round < 20; ++round) {
    int runs = 0;
    SimMachine& dead = machine();
    dead.scope().spawn(dead.off_load([&] { ++runs; }));
    world.run_for(1us);
    world.host("a").kill();
    EXPECT_TRUE(world.run_until([&] { return dead.scope().count() == 0; }, 1ms));
    EXPECT_EQ(runs, 1);
    world.host("a").start();
  }
}

TEST_F(WorldTest, exec_is_programmable_and_limited) {
  auto done = world.run(machine(), machine().exec({"mount", "x"}, 1s));
  EXPECT_EQ(done->exit_code, 0);
  world.host("a").on_exec([](const std::vector<std::string>& argv) {
    return Execution{.finished = {.exit_code = 3, .output = argv.at(0)}, .takes = 2s};
  });
  EXPECT_EQ(world.run(machine(), machine().exec({"fsck"}, 5s))->output, "fsck");
  EXPECT_EQ(status_of(world.run(machine(), machine().exec({"fsck"}, 1s))), Status::timed_out);
  EXPECT_EQ(world.host("a").executed().size(), 3u);
}

TEST_F(WorldTest, boot_id_changes_at_reboot_only) {
  Host& a = world.host("a");
  const auto first = machine().boot_id();
  a.kill();
  a.start();
  EXPECT_EQ(machine().boot_id(), first);
  a.power_loss();
  a.start();
  EXPECT_NE(machine().boot_id(), first);
}

TEST_F(WorldTest, the_pool_survives_the_process_but_not_the_power) {
  Host& a = world.host("a");
  auto pool = machine().map_pool("p", 8192).value();
  EXPECT_TRUE(pool->is_fresh());
  pool->bytes()[5] = std::byte{42};
  a.kill();
  pool->bytes()[5] = std::byte{1};  // a dead process writes nowhere
  a.start();
  auto again = machine().map_pool("p", 8192).value();
  EXPECT_FALSE(again->is_fresh());
  EXPECT_EQ(again->bytes()[5], std::byte{42});
  a.power_loss();
  a.start();
  EXPECT_TRUE(machine().map_pool("p", 8192).value()->is_fresh());
}

TEST_F(WorldTest, wall_clocks_may_differ) {
  world.host("b").set_clock_skew(-1h);
  EXPECT_EQ(machine().wall_now() - world.host("b").machine().wall_now(), 1h);
}

TEST_F(WorldTest, another_process_survives_the_daemon) {
  Host& a = world.host("a");
  SimMachine& client = a.process("client");
  a.kill();
  EXPECT_TRUE(client.is_alive());
  EXPECT_TRUE(world.run(client, client.storage().exists("/")).value());
  a.power_loss();
  EXPECT_FALSE(client.is_alive());
}

// What a run looks like from outside.
std::pair<uint64_t, uint64_t> trace_of(uint64_t seed) {
  World world(seed);
  for (int round = 0; round < 3; ++round) {
    SimMachine& m = world.host("a").machine();
    auto file = world.run(m, m.storage().open("/x", {.create = true})).value();
    AlignedBuffer buffer(4096);
    for (int i = 0; i < 30; ++i) {
      EXPECT_EQ(world.run(m, io::write(*file, uint64_t{4096} * i, buffer.span())), Status::ok);
      if (i % 10 == 0) EXPECT_EQ(world.run(m, io::flush(*file)), Status::ok);
    }
    world.host("a").power_loss();
    world.host("a").start();
  }
  return {world.trace_hash(), world.event_count()};
}

TEST(WorldTrace, a_seed_repeats_and_other_seeds_differ) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto first = trace_of(seed);
    EXPECT_EQ(first, trace_of(seed));
    EXPECT_GE(first.second, 300u);
    hashes.insert(first.first);
  }
  EXPECT_EQ(hashes.size(), 20u);
}

}  // namespace
}  // namespace mars::sim
