#include "bricks/state_file.h"

#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"
#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

using format::StateBlock;

class StateFileTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run(machine().storage().make_directory("/mars")), Status::ok);
    StateBlock first;
    first.cluster = test_uuid(1);
    first.resource = test_uuid(2);
    first.host = test_uuid(3);
    first.admitted = 1;
    ASSERT_TRUE(run(file->create(path, first)).has_value());
  }

  static constexpr const char* path = "/mars/state";
  sim::Host& host() { return world.host("a"); }
  sim::SimMachine& machine() { return host().machine(); }
  template <class T>
  T run(Task<T> task) {
    return world.run(machine(), std::move(task));
  }
  Status set(uint64_t admitted) {
    return run(file->update([=](StateBlock& state) { state.admitted = admitted; }));
  }
  Result<void> reopen(bool power = false) {
    power ? host().power_loss() : host().kill();
    world.run_for(std::chrono::milliseconds(10));
    file.reset();
    host().start();
    file = std::make_unique<StateFile>(machine());
    return run(file->open(path));
  }

  sim::World world{1};
  std::unique_ptr<StateFile> file = std::make_unique<StateFile>(machine());
};

TEST_F(StateFileTest, an_update_survives_power_loss) {
  for (uint64_t value = 2; value < 8; ++value) {
    ASSERT_EQ(set(value), Status::ok);
    ASSERT_TRUE(reopen(true).has_value());
    EXPECT_EQ(file->value().admitted, value);
  }
}

TEST_F(StateFileTest, it_is_made_once) {
  StateFile second(machine());
  EXPECT_EQ(status_of(run(second.create(path, file->value()))), Status::exists);
  StateFile missing(machine());
  EXPECT_EQ(status_of(run(missing.open("/mars/none"))), Status::not_found);
}

TEST_F(StateFileTest, a_crash_at_any_step_of_making_it_leaves_nothing_or_all) {
  for (uint64_t n = 1; n <= 8; ++n) {
    const std::string name = "/mars/made" + std::to_string(n);
    auto made = std::make_unique<StateFile>(machine());
    host().power_loss_at_disk_op(n);
    auto outcome = world.run(machine(), made->create(name, file->value()));
    host().disks().on_change({});
    made.reset();
    ASSERT_TRUE(reopen(true).has_value());
    StateFile again(machine());
    auto opened = run(again.open(name));
    if (outcome) ASSERT_TRUE(opened.has_value());
    if (opened) continue;
    ASSERT_EQ(status_of(opened), Status::not_found);
    ASSERT_TRUE(run(again.create(name, file->value())).has_value());
  }
}

TEST_F(StateFileTest, updates_that_come_together_share_a_write) {
  int outcomes = 0;
  Scope scope(machine().ready());
  struct Setting {
    static Task<void> run(StateFile& file, uint64_t value, int& outcomes) {
      std::move_only_function<void(StateBlock&)> change = [value](StateBlock& state) { state.admitted = value; };
      if (co_await file.update(std::move(change)) == Status::ok) ++outcomes;
    }
  };
  const uint64_t count = flushes(world, [&] {
    for (uint64_t value = 10; value < 30; ++value) scope.spawn(Setting::run(*file, value, outcomes));
    ASSERT_TRUE(world.run_until([&] { return scope.count() == 0; }));
  });
  EXPECT_EQ(outcomes, 20);
  EXPECT_EQ(count, 2u);
  ASSERT_TRUE(reopen().has_value());
  EXPECT_EQ(file->value().admitted, 29u);
}

TEST_F(StateFileTest, the_owner_adds_what_it_knows_best) {
  file->on_write([](StateBlock& state) { state.durable.position.lsn = {77}; });
  ASSERT_EQ(set(2), Status::ok);
  ASSERT_TRUE(reopen().has_value());
  EXPECT_EQ(file->value().durable.position.lsn, Lsn{77});
}

TEST_F(StateFileTest, a_failed_write_is_final_and_the_whole_slot_stays) {
  ASSERT_EQ(set(2), Status::ok);
  host().disks().fail({.path = "/mars/", .op = sim::DiskOp::write});
  EXPECT_EQ(set(3), Status::io_error);
  EXPECT_EQ(set(4), Status::io_error);
  ASSERT_TRUE(reopen(true).has_value());
  EXPECT_GE(file->value().admitted, 2u);
  EXPECT_LE(file->value().admitted, 3u) << "a write that failed may have arrived; none comes behind it";
}

TEST_F(StateFileTest, power_lost_under_an_update_leaves_the_old_or_the_new) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const uint64_t before = file->value().admitted;
    host().power_loss_at_disk_op(1 + seed % 2);
    const Status status = set(before + 1);
    host().disks().on_change({});
    ASSERT_TRUE(reopen(true).has_value());
    const uint64_t after = file->value().admitted;
    EXPECT_TRUE(after == before || after == before + 1);
    if (status == Status::ok) EXPECT_EQ(after, before + 1);
  }
}

// A slot that was written and not flushed counts after kill -9, and the next one goes over the other slot.
TEST_F(StateFileTest, what_was_read_is_on_the_disk_before_the_next_one_is_written) {
  for (uint64_t round = 1; round < 12; ++round) {
    const uint64_t value = 10 * round;
    ASSERT_EQ(set(value), Status::ok);
    host().kill_at_disk_op(2);
    static_cast<void>(set(value + 1));
    ASSERT_TRUE(reopen().has_value());
    const uint64_t seen = file->value().admitted;
    ASSERT_GE(seen, value);
    host().power_loss_at_disk_op(2);
    static_cast<void>(set(value + 2));
    ASSERT_TRUE(reopen(true).has_value());
    EXPECT_GE(file->value().admitted, seen);
  }
}

TEST_F(StateFileTest, every_flipped_bit_of_the_newest_slot_gives_the_older_one) {
  ASSERT_EQ(set(2), Status::ok);
  ASSERT_EQ(set(3), Status::ok);
  const uint64_t slot = format::slot_of(file->value().sequence) * format::state_slot_bytes;
  for (uint64_t bit = 0; bit < format::state_slot_bytes * 8; bit += bit < 700 * 8 ? 11 : 40009) {
    host().disks().flip(path, slot + bit / 8, bit % 8);
    ASSERT_TRUE(reopen().has_value());
    ASSERT_EQ(file->value().admitted, 2u) << "bit " << bit;
    host().disks().flip(path, slot + bit / 8, bit % 8);
  }
}

TEST_F(StateFileTest, the_log_is_needed_from_where_the_older_slot_stands) {
  const auto apply = [this](uint64_t lsn) {
    return run(file->update([=](StateBlock& state) { state.applied.position.lsn = {lsn}; }));
  };
  ASSERT_EQ(apply(4096), Status::ok);
  ASSERT_EQ(apply(8192), Status::ok);
  EXPECT_EQ(file->durable_applied(), Lsn{4096});
  EXPECT_EQ(file->newest_applied(), Lsn{8192});
  ASSERT_TRUE(reopen().has_value());
  EXPECT_EQ(file->durable_applied(), Lsn{4096});
  ASSERT_EQ(set(2), Status::ok);
  EXPECT_EQ(file->durable_applied(), Lsn{8192});
  ASSERT_EQ(apply(4096), Status::ok);
  EXPECT_EQ(file->durable_applied(), Lsn{4096}) << "a tail was dropped";
  ASSERT_EQ(apply(12288), Status::ok);
  host().disks().flip(path, format::slot_of(file->value().sequence - 1) * format::state_slot_bytes + 100);
  ASSERT_TRUE(reopen().has_value());
  EXPECT_EQ(file->durable_applied(), Lsn{12288}) << "a slot that is lost needs nothing";
}

TEST_F(StateFileTest, a_sector_that_cannot_be_read_costs_its_slot_and_no_more) {
  for (uint64_t value = 10; value < 20; value += 2) {
    ASSERT_EQ(set(value), Status::ok);
    ASSERT_EQ(set(value + 1), Status::ok);
    const uint64_t newest = format::slot_of(file->value().sequence) * format::state_slot_bytes;
    const bool is_older = value % 4 == 0;
    host().disks().break_sector(path, (is_older ? format::state_slot_bytes - newest : newest) + 512);
    auto opened = reopen(true);
    ASSERT_TRUE(opened.has_value()) << opened.error().text;
    EXPECT_EQ(file->value().admitted, is_older ? value + 1 : value);
  }
}

// Nor is it a file that says nothing.
TEST_F(StateFileTest, a_slot_that_cannot_be_read_beside_one_that_was_never_written_is_damage) {
  host().disks().break_sector(path, format::slot_of(file->value().sequence) * format::state_slot_bytes);
  EXPECT_EQ(status_of(reopen()), Status::damaged);
}

TEST_F(StateFileTest, two_bad_slots_are_damage) {
  host().disks().flip(path, 100);
  host().disks().flip(path, format::state_slot_bytes + 100);
  EXPECT_EQ(status_of(reopen()), Status::damaged);
}

}  // namespace
}  // namespace mars::bricks
