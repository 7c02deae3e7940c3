#include "bricks/pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "base/probe.h"
#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

class PoolTest : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open() {
    pool.reset();
    auto opened = Pool::open(host().machine(), "pool", 1 << 20);
    ASSERT_TRUE(opened.has_value());
    pool = std::move(*opened);
  }
  void restart() {
    host().kill();
    host().start();
    open();
  }
  sim::Host& host() { return world.host("a"); }
  std::span<std::byte> memory() { return host().pools().at("pool")->span(); }

  // For somebody who has nothing else.
  std::optional<PoolLease> take(size_t bytes) {
    PoolShare nothing;
    return pool->try_take(bytes, nothing);
  }
  PoolLease admit(const Uuid& resource, uint64_t sequence, size_t bytes = 1000, char letter = 'x') {
    PoolLease lease = *take(bytes);
    format::PoolRecord record;
    record.resource = resource;
    record.epoch = test_uuid(9);
    record.sequence = sequence;
    record.op = bytes == 0 ? RecordOp::discard : RecordOp::write;
    record.length = bytes == 0 ? 4096 : bytes;
    if (bytes > 0) {
      std::memset(pool->data(lease.first_page), letter, bytes);
      record.first_page = lease.first_page;
      record.payload_bytes = static_cast<uint32_t>(bytes);
      record.payload_hash = hash({pool->data(lease.first_page), bytes});
    }
    pool->seal(lease.slot, record);
    return lease;
  }
  std::vector<uint64_t> sequences(const Uuid& resource, uint64_t above) {
    std::vector<uint64_t> found;
    for (const auto& one : pool->take_inherited(resource, above)) found.push_back(one.record.sequence);
    return found;
  }

  sim::World world{1};
  std::unique_ptr<Pool> pool;
  const Uuid mine = test_uuid(1);
  const Uuid other = test_uuid(2);
};

TEST_F(PoolTest, a_record_that_is_missing_between_others_is_a_gap) {
  for (const uint64_t sequence : {5, 6, 8}) admit(mine, sequence);
  admit(other, 3);
  restart();
  EXPECT_TRUE(pool->has_gap(mine, test_uuid(9), 4));
  EXPECT_TRUE(pool->has_gap(mine, test_uuid(9), 6));
  EXPECT_FALSE(pool->has_gap(mine, test_uuid(9), 7));
  EXPECT_FALSE(pool->has_gap(mine, test_uuid(8), 4));
  EXPECT_FALSE(pool->has_gap(other, test_uuid(9), 2));
}

TEST_F(PoolTest, a_successor_finds_what_was_sealed_in_order) {
  admit(mine, 7, 9000, 'c');
  admit(mine, 5, 1000, 'a');
  admit(mine, 6, 0);
  take(5000);  // taken, never sealed
  const Uuid id = pool->id();
  restart();
  EXPECT_EQ(pool->id(), id);
  EXPECT_FALSE(pool->was_damaged());
  EXPECT_TRUE(pool->has_inherited(mine));
  EXPECT_EQ(pool->free_pages(), pool->pages() - 4);
  auto found = pool->take_inherited(mine, 0);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].record.sequence, 5u);
  EXPECT_EQ(found[1].record.op, RecordOp::discard);
  EXPECT_EQ(*pool->data(found[2].lease.first_page), std::byte{'c'});
  for (const auto& one : found) {
    pool->clear(one.lease.slot);
    pool->give_back(one.lease);
  }
  EXPECT_EQ(pool->free_pages(), pool->pages());
}

TEST_F(PoolTest, what_the_log_has_is_given_back) {
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) admit(mine, sequence);
  restart();
  EXPECT_EQ(sequences(mine, 3), (std::vector<uint64_t>{4}));
  EXPECT_EQ(pool->free_pages(), pool->pages() - 1);
}

TEST_F(PoolTest, who_does_not_open_gives_back_what_the_log_has) {
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) admit(mine, sequence);
  admit(other, 1);
  restart();
  pool->drop_inherited(mine, 3);
  EXPECT_EQ(pool->free_pages(), pool->pages() - 2);
  restart();
  EXPECT_EQ(pool->free_pages(), pool->pages() - 2);
  EXPECT_EQ(sequences(mine, 0), (std::vector<uint64_t>{4}));
  EXPECT_EQ(sequences(other, 0), (std::vector<uint64_t>{1}));
}

TEST_F(PoolTest, resources_do_not_take_each_others) {
  admit(mine, 1);
  admit(other, 1);
  restart();
  EXPECT_EQ(sequences(mine, 0).size(), 1u);
  EXPECT_TRUE(pool->has_inherited(other));
  EXPECT_EQ(sequences(other, 0).size(), 1u);
}

TEST_F(PoolTest, what_was_left_is_found_again) {
  const PoolLease lease = admit(mine, 1);
  pool->leave(lease);
  EXPECT_EQ(sequences(mine, 0), (std::vector<uint64_t>{1}));
  pool->leave(lease);
  restart();
  EXPECT_EQ(sequences(mine, 0), (std::vector<uint64_t>{1}));
}

TEST_F(PoolTest, cleared_slots_are_gone) {
  const PoolLease lease = admit(mine, 1);
  pool->clear(lease.slot);
  pool->give_back(lease);
  restart();
  EXPECT_FALSE(pool->has_inherited(mine));
  EXPECT_FALSE(pool->was_damaged());
}

TEST_F(PoolTest, power_loss_gives_another_pool) {
  admit(mine, 1);
  const Uuid id = pool->id();
  const Uuid boot = pool->boot_id();
  host().power_loss();
  host().start();
  open();
  EXPECT_NE(pool->id(), id);
  EXPECT_NE(pool->boot_id(), boot);
  EXPECT_FALSE(pool->has_inherited(mine));
}

TEST_F(PoolTest, every_kind_of_damage_is_noticed) {
  const PoolLease lease = admit(mine, 1, 1000);
  const auto data_at = static_cast<size_t>(pool->data(lease.first_page) - pool->data(0));
  restart();
  pool.reset();
  const std::vector<std::byte> whole(memory().begin(), memory().end());
  const size_t slots = format::pool_header_bytes;
  const size_t pages = whole.size() - (1 << 20);
  for (const size_t place : {slots + lease.slot * format::pool_record_bytes + 40, pages + data_at + 999}) {
    std::ranges::copy(whole, memory().begin());
    host().kill();
    memory()[place] ^= std::byte{4};
    host().start();
    open();
    EXPECT_TRUE(pool->was_damaged());
    EXPECT_FALSE(pool->has_inherited(mine));
    EXPECT_EQ(pool->free_pages(), pool->pages());
    pool.reset();
  }
}

// Who was written down with the old id learns it at every start, until the operator has accepted the loss.
TEST_F(PoolTest, after_damage_it_has_another_id_and_keeps_what_is_whole) {
  const PoolLease lease = admit(mine, 1, 1000);
  admit(other, 1, 1000);
  const Uuid id = pool->id();
  pool.reset();
  host().kill();
  memory()[format::pool_header_bytes + lease.slot * format::pool_record_bytes + 40] ^= std::byte{4};
  host().start();
  open();
  EXPECT_NE(pool->id(), id);
  const Uuid second = pool->id();
  EXPECT_TRUE(pool->has_inherited(other));
  restart();
  EXPECT_EQ(pool->id(), second);
  EXPECT_FALSE(pool->was_damaged());
  EXPECT_TRUE(pool->has_inherited(other));
}

std::span<std::byte> seen_memory;
std::vector<std::byte> seen_at_damage;

TEST_F(PoolTest, who_is_killed_before_it_has_another_id_finds_the_damage_again) {
  const PoolLease lease = admit(mine, 1, 1000);
  const Uuid id = pool->id();
  pool.reset();
  host().kill();
  memory()[format::pool_header_bytes + lease.slot * format::pool_record_bytes + 40] ^= std::byte{4};
  seen_memory = memory();
  const ProbeObserver former = std::exchange(probe_observer, [](std::string_view place, std::string_view) {
    if (place == "pool: damaged") seen_at_damage.assign(seen_memory.begin(), seen_memory.end());
  });
  host().start();
  open();
  probe_observer = former;
  pool.reset();
  host().kill();
  std::ranges::copy(seen_at_damage, memory().begin());
  host().start();
  open();
  EXPECT_TRUE(pool->was_damaged());
  EXPECT_NE(pool->id(), id);
}

TEST_F(PoolTest, a_damaged_header_gives_another_pool) {
  admit(mine, 1);
  const Uuid id = pool->id();
  pool.reset();
  host().kill();
  memory()[40] ^= std::byte{1};
  host().start();
  open();
  EXPECT_NE(pool->id(), id);
  EXPECT_FALSE(pool->has_inherited(mine));
  EXPECT_EQ(pool->free_pages(), pool->pages());
}

TEST_F(PoolTest, who_waits_is_told_once_per_return) {
  struct Counting : PoolWaiter {
    int told = 0;
  } waiter;
  waiter.freed = [](PoolWaiter& self) { ++static_cast<Counting&>(self).told; };
  const PoolLease all = *take(pool->pages() * Pool::page_bytes);
  EXPECT_FALSE(take(1).has_value());
  EXPECT_TRUE(take(0).has_value()) << "a slot is enough for a discard";
  pool->wait(waiter);
  pool->give_back(all);
  EXPECT_EQ(waiter.told, 1);
  pool->give_back(*take(1));
  EXPECT_EQ(waiter.told, 1);
  EXPECT_FALSE(waiter.is_linked());
}

TEST_F(PoolTest, runs_are_found_between_what_is_taken) {
  std::vector<PoolLease> leases;
  while (auto lease = take(Pool::page_bytes)) leases.push_back(*lease);
  EXPECT_EQ(leases.size(), pool->pages());
  for (size_t i = 100; i < 108; ++i) pool->give_back(leases[i]);
  EXPECT_FALSE(take(size_t{9} * Pool::page_bytes).has_value());
  auto found = take(size_t{8} * Pool::page_bytes);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->first_page, leases[100].first_page);
  EXPECT_EQ(pool->free_pages(), 0u);
}

// What comes and goes stays in front, and leaves what is behind in one piece.
TEST_F(PoolTest, what_is_free_stays_in_one_piece) {
  std::vector<PoolLease> leases;
  for (uint64_t i = 0; i < 16 * pool->pages(); ++i) {
    leases.push_back(*take(Pool::page_bytes));
    if (leases.size() < 16) continue;
    pool->give_back(leases[i * 7 % leases.size()]);
    leases.erase(leases.begin() + static_cast<ptrdiff_t>(i * 7 % leases.size()));
  }
  EXPECT_TRUE(take((pool->pages() - 16) * Pool::page_bytes).has_value());
}

TEST_F(PoolTest, what_lies_in_pieces_is_given_in_pieces) {
  std::vector<PoolLease> leases;
  while (auto lease = take(Pool::page_bytes)) leases.push_back(*lease);
  for (const size_t page : {3, 5, 7, 8, 9, 11}) pool->give_back(leases[page]);
  PoolShare mine_only;
  for (const uint32_t pages : {3u, 1u, 1u, 1u}) {
    EXPECT_FALSE(pool->try_take(size_t{4} * Pool::page_bytes, mine_only).has_value());
    mine_only = {};
    const auto lease = pool->try_take(size_t{4} * Pool::page_bytes, 1, mine_only);
    ASSERT_TRUE(lease.has_value());
    EXPECT_EQ(lease->pages, pages);
    mine_only = {};
  }
  EXPECT_FALSE(pool->try_take(size_t{4} * Pool::page_bytes, 1, mine_only).has_value());
}

// Its own will be written back: it waits for all that it asks for.
TEST_F(PoolTest, who_is_at_its_share_gets_no_crumbs) {
  PoolShare greedy;
  while (pool->try_take(Pool::page_bytes, greedy)) continue;
  EXPECT_FALSE(pool->try_take(size_t{4} * Pool::page_bytes, 1, greedy).has_value());
  PoolShare nothing;
  EXPECT_TRUE(pool->try_take(pool->pages() * Pool::page_bytes, 1, nothing).has_value()) << "who has nothing gets some";
  EXPECT_EQ(pool->free_pages(), (pool->pages() / 5 + 1) / 5 + 1) << "and leaves some";
}

TEST_F(PoolTest, who_frees_nothing_leaves_room_for_the_others) {
  PoolShare greedy;
  std::vector<PoolLease> leases;
  while (auto lease = pool->try_take(Pool::page_bytes, greedy)) leases.push_back(*lease);
  EXPECT_EQ(greedy.pages, leases.size());
  EXPECT_EQ(greedy.pages, pool->pages() * 4 / 5);
  PoolShare other;
  EXPECT_TRUE(pool->try_take(size_t{8} * Pool::page_bytes, other).has_value());
  EXPECT_FALSE(pool->try_take(0, greedy).has_value()) << "its slots are used up as well";
  PoolShare late;
  EXPECT_TRUE(pool->try_take(pool->free_pages() * Pool::page_bytes, late).has_value()) << "who has nothing gets it";
  for (const PoolLease& lease : leases) pool->give_back(lease, greedy);
  EXPECT_EQ(greedy.pages + greedy.slots, 0u);
}

TEST_F(PoolTest, without_tmpfs_it_is_ordinary_memory_and_says_why) {
  pool.reset();
  host().set_tmpfs(false);
  open();
  EXPECT_FALSE(pool->is_persistent());
  EXPECT_FALSE(pool->why_not().empty());
  const PoolLease lease = *take(100);
  pool->seal(lease.slot, {});
  pool->leave(lease);
  EXPECT_EQ(pool->free_pages(), pool->pages());
}

}  // namespace
}  // namespace mars::bricks
