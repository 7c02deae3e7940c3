#include "bricks/copy.h"

#include "bricks/fault.h"
#include "bricks/null.h"
#include "bricks/remote_hosts_test.h"
#include "bricks/trace.h"

namespace mars::bricks {
namespace {

using xio::Op;

constexpr uint64_t kib = 1024;

// The source is at b and reached through the client, the target is at a.
struct CopyTest : RemoteHosts {
  void SetUp() override {
    RemoteHosts::SetUp();
    fill(memory, noise(device_bytes, 1));
    fill(target, noise(device_bytes, 1));
    connect_and_wait();
  }
  void TearDown() override {
    if (copy != nullptr) {
      copy->force_off();
      ASSERT_TRUE(world.run_until([&] { return copy->led_off(); }));
      copy.reset();
    }
    RemoteHosts::TearDown();
  }
  static void fill(Memory& disk, const std::vector<std::byte>& bytes) {
    std::ranges::copy(bytes, disk.bytes().begin());
  }
  static void scribble(Memory& disk, uint64_t offset, size_t bytes) {
    std::ranges::copy(noise(bytes, offset + 7), disk.bytes().begin() + static_cast<ptrdiff_t>(offset));
  }
  void make(CopyOptions options = {}) { copy = std::make_unique<Copy>(a->machine.ready(), client, fault, options); }
  void start(CopyOptions options = {}) {
    make(options);
    copy->press(true);
  }
  void run(CopyOptions options = {}) {
    start(options);
    ASSERT_TRUE(rests());
    EXPECT_EQ(copy->failed().status, Status::ok) << copy->failed().text;
    EXPECT_TRUE(copy->is_done());
  }
  bool rests() {
    return world.run_until([&] { return copy->led_off(); });
  }
  bool is_equal() { return std::ranges::equal(memory.bytes(), target.bytes()); }

  Memory target{a->machine.ready(), {.bytes = device_bytes, .block_bytes = 4096}};
  Trace trace{a->machine.ready(), target, 4096};
  Fault fault{a->machine.ready(), trace, 1};
  std::unique_ptr<Copy> copy;
};

TEST_F(CopyTest, makes_the_target_equal_and_moves_only_what_differs) {
  scribble(target, 100 * kib, 10);
  scribble(target, 1000 * kib, 200 * kib);
  const uint64_t before = a->session_with(*b)->bytes_received();
  run();
  EXPECT_TRUE(is_equal());
  EXPECT_EQ(copy->counts().compared, device_bytes);
  EXPECT_EQ(copy->counts().different, (1 + 4) * 64 * kib);
  EXPECT_EQ(copy->counts().moved, (1 + 4) * 64 * kib);
  EXPECT_LT(a->session_with(*b)->bytes_received() - before, (1 + 4) * 64 * kib + 20 * kib);
  EXPECT_EQ(copy->durable(), device_bytes);
}

TEST_F(CopyTest, equal_disks_cost_digests_only) {
  run();
  EXPECT_EQ(copy->counts().moved, 0u);
  EXPECT_EQ(trace.dump().find("in write"), std::string::npos);
}

TEST_F(CopyTest, zeroes_do_not_travel) {
  std::ranges::fill(memory.bytes(), std::byte{0});
  const uint64_t before = a->session_with(*b)->bytes_received();
  run();
  EXPECT_TRUE(is_equal());
  EXPECT_EQ(copy->counts().moved, 0u);
  EXPECT_EQ(copy->counts().zeroed, device_bytes);
  EXPECT_LT(a->session_with(*b)->bytes_received() - before, 20 * kib);
}

TEST_F(CopyTest, it_ends_with_a_flush_of_the_target) {
  scribble(target, 0, 10);
  run();
  const std::string events = trace.dump();
  EXPECT_GT(events.rfind("in flush"), events.rfind("in write"));
}

TEST_F(CopyTest, it_copies_to_another_host_as_well) {
  fill(target, noise(device_bytes, 2));
  copy = std::make_unique<Copy>(a->machine.ready(), target, client, CopyOptions{.mode = CopyMode::sync});
  copy->press(true);
  ASSERT_TRUE(rests());
  EXPECT_TRUE(copy->is_done());
  EXPECT_TRUE(is_equal());
}

TEST_F(CopyTest, verify_reports_what_differs_and_changes_nothing) {
  scribble(target, 100 * kib, 10);
  scribble(target, 1000 * kib, 200 * kib);
  const std::vector<std::byte> before(target.bytes().begin(), target.bytes().end());
  run({.mode = CopyMode::verify});
  EXPECT_EQ(copy->mismatches(), (std::vector<CopyRange>{{64 * kib, 64 * kib}, {960 * kib, 256 * kib}}));
  EXPECT_EQ(copy->counts().different, (1 + 4) * 64 * kib);
  EXPECT_TRUE(std::ranges::equal(before, target.bytes()));
  EXPECT_EQ(check.counts(Op::write, xio::Step::io).in, 0u);
}

TEST_F(CopyTest, what_differed_for_a_moment_only_is_no_mismatch) {
  scribble(target, 0, 10);
  make({.mode = CopyMode::verify, .width = 1});
  copy->press(true);
  ASSERT_TRUE(world.run_until([&] { return trace.dump().find("out read 0+") != std::string::npos; }));
  fill(target, noise(device_bytes, 1));
  ASSERT_TRUE(rests());
  EXPECT_TRUE(copy->mismatches().empty());
  EXPECT_EQ(copy->counts().different, 0u);
}

TEST_F(CopyTest, switched_off_it_rests_and_goes_on_from_there) {
  fill(target, noise(device_bytes, 2));
  start({.width = 4});
  ASSERT_TRUE(world.run_until([&] { return copy->position() >= device_bytes / 2; }));
  EXPECT_TRUE(copy->led_on());
  copy->press(false);
  ASSERT_TRUE(rests());
  EXPECT_FALSE(copy->is_done());
  EXPECT_EQ(copy->durable(), copy->position());
  EXPECT_TRUE(std::ranges::equal(memory.bytes().first(copy->durable()), target.bytes().first(copy->durable())));
  copy->press(true);
  ASSERT_TRUE(rests());
  EXPECT_TRUE(is_equal());
  EXPECT_EQ(copy->counts().compared, device_bytes) << "nothing twice";
}

TEST_F(CopyTest, another_one_goes_on_where_it_stopped) {
  fill(target, noise(device_bytes, 2));
  start({.width = 4});
  ASSERT_TRUE(world.run_until([&] { return copy->position() >= device_bytes / 2; }));
  copy->press(false);
  ASSERT_TRUE(rests());
  const uint64_t durable = copy->durable();
  run({.start = durable});
  EXPECT_TRUE(is_equal());
  EXPECT_EQ(copy->counts().compared, device_bytes - durable);
}

TEST_F(CopyTest, cut_from_its_source_it_stops_and_goes_on_with_another_channel) {
  fill(target, noise(device_bytes, 2));
  start({.width = 4, .checkpoint_bytes = 512 * kib});
  ASSERT_TRUE(world.run_until([&] { return copy->durable() >= device_bytes / 2; }));
  world.network().cut("a", "b");
  ASSERT_TRUE(rests());
  EXPECT_EQ(copy->failed().status, Status::gone);
  EXPECT_NE(copy->failed().text.find("the source"), std::string::npos) << copy->failed().text;
  EXPECT_LT(copy->position(), device_bytes);
  world.network().heal("a", "b");
  ASSERT_TRUE(connects(*a, *b));
  connect_and_wait();
  const uint64_t again = device_bytes - copy->durable();
  const uint64_t compared = copy->counts().compared;
  copy->retry();
  ASSERT_TRUE(world.run_until([&] { return copy->is_done() && copy->led_off(); }));
  EXPECT_TRUE(is_equal());
  EXPECT_EQ(copy->counts().compared - compared, again);
}

TEST_F(CopyTest, a_write_that_fails_stops_it_before_that_range) {
  scribble(target, 2048 * kib, 10);
  fault.add({.op = Op::write, .nth = 1});
  start();
  ASSERT_TRUE(rests());
  EXPECT_EQ(copy->failed().status, Status::io_error);
  EXPECT_EQ(copy->failed().text, "copy: writing the target at offset 2097152 failed: io_error");
  EXPECT_EQ(copy->position(), 2048 * kib);
  EXPECT_EQ(copy->durable(), 2048 * kib);
  copy->retry();
  ASSERT_TRUE(world.run_until([&] { return copy->is_done(); }));
  EXPECT_TRUE(is_equal());
}

TEST_F(CopyTest, a_flush_that_fails_leaves_durable_where_it_was) {
  scribble(target, 0, 10);
  fault.add({.op = Op::flush, .nth = 1});
  start();
  ASSERT_TRUE(rests());
  EXPECT_EQ(copy->failed().status, Status::io_error);
  EXPECT_EQ(copy->durable(), 0u);
  EXPECT_EQ(copy->position(), device_bytes);
}

TEST_F(CopyTest, after_a_flush_that_failed_everything_since_then_is_written_again) {
  fill(target, noise(device_bytes, 2));
  fault.add({.op = Op::flush, .nth = 2});
  start({.width = 4, .checkpoint_bytes = 512 * kib});
  ASSERT_TRUE(rests());
  EXPECT_EQ(copy->failed().status, Status::io_error);
  const uint64_t kept = copy->durable();
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, copy->position());
  const uint64_t written = copy->position() - kept;
  const uint64_t moved = copy->counts().moved;
  copy->retry();
  ASSERT_TRUE(world.run_until([&] { return copy->is_done(); }));
  EXPECT_TRUE(is_equal());
  EXPECT_EQ(copy->counts().moved - moved, device_bytes - kept) << "although " << written << " of them read as equal";
}

TEST_F(CopyTest, forced_off_it_rests_without_a_flush) {
  fill(target, noise(device_bytes, 2));
  start();
  ASSERT_TRUE(world.run_until([&] { return copy->position() > 0; }));
  copy->force_off();
  ASSERT_TRUE(rests());
  EXPECT_EQ(copy->failed().status, Status::ok);
  EXPECT_EQ(copy->durable(), 0u);
  EXPECT_EQ(trace.dump().find("flush"), std::string::npos);
  copy->press(true);
  ASSERT_TRUE(rests());
  EXPECT_TRUE(is_equal());
}

TEST_F(CopyTest, the_width_bounds_what_is_in_flight) {
  start({.width = 5});
  uint64_t most = 0;
  ASSERT_TRUE(world.run_until([&] {
    most = std::max<uint64_t>(most, client.in_flight() + client.waiting());
    return copy->is_done();
  }));
  EXPECT_EQ(most, 5u);
  ASSERT_TRUE(rests());
}

TEST_F(CopyTest, a_target_that_is_too_small_is_refused) {
  Null small(a->machine.ready(), device_bytes - 4096, 4096);
  copy = std::make_unique<Copy>(a->machine.ready(), client, small, CopyOptions{});
  copy->press(true);
  ASSERT_TRUE(world.run_until([&] { return copy->failed().status != Status::ok; }));
  EXPECT_EQ(copy->failed().status, Status::refused);
  EXPECT_NE(copy->failed().text.find("the target has"), std::string::npos);
  ASSERT_TRUE(rests());
  copy.reset();
}

TEST_F(CopyTest, a_last_range_that_is_shorter_is_copied_too) {
  Memory odd(a->machine.ready(), {.bytes = 100 * kib, .block_bytes = 4096});
  Memory twin(a->machine.ready(), {.bytes = 100 * kib, .block_bytes = 4096});
  std::ranges::copy(noise(100 * kib, 4), odd.bytes().begin());
  copy = std::make_unique<Copy>(a->machine.ready(), odd, twin, CopyOptions{});
  copy->press(true);
  ASSERT_TRUE(rests());
  EXPECT_TRUE(copy->is_done());
  EXPECT_TRUE(std::ranges::equal(odd.bytes(), twin.bytes()));
  EXPECT_EQ(copy->counts().moved, 100 * kib);
  copy.reset();
}

TEST_F(CopyTest, an_input_can_be_wired_anew_while_it_runs) {
  fill(target, noise(device_bytes, 2));
  start({.width = 4});
  Trace watched(a->machine.ready(), client);
  bool is_done = false;
  ASSERT_TRUE(copy->source().rewire(watched, [&](Result<void> result) { is_done = result.has_value(); }));
  ASSERT_TRUE(world.run_until([&] { return copy->is_done() && copy->led_off(); }));
  EXPECT_TRUE(is_done);
  EXPECT_GT(watched.events(), 0u);
  EXPECT_TRUE(is_equal());
  copy.reset();
}

}  // namespace
}  // namespace mars::bricks
