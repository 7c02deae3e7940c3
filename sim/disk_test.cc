#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/aligned.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;

// Host "a" with a block device, and a file on its file system.
class DiskTest : public testing::Test {
 protected:
  static constexpr const char* device = "/dev/sdb";

  explicit DiskTest(uint64_t seed = 3) { boot(seed); }
  void boot(uint64_t seed) {
    world_.emplace(seed);
    host().disks().add_device(device, 1 << 30);
  }
  World& world() { return *world_; }
  Host& host() { return world_->host("a"); }
  SimMachine& machine() { return host().machine(); }

  std::unique_ptr<io::File> open(const std::string& path, io::OpenOptions options = {.create = true}) {
    return world().run(machine(), machine().storage().open(path, options)).value();
  }
  Status try_open(const std::string& path, io::OpenOptions options) {
    return status_of(world().run(machine(), machine().storage().open(path, options)));
  }
  Status write(io::File& file, uint64_t offset, int value, size_t bytes = 4096, bool fua = false) {
    AlignedBuffer buffer(bytes);
    std::memset(buffer.data(), value, bytes);
    return world().run(machine(), io::write(file, offset, buffer.span(), fua));
  }
  Status flush(io::File& file) { return world().run(machine(), io::flush(file)); }
  // The byte that fills the range; -1 when it is not filled with one.
  int read(io::File& file, uint64_t offset, size_t bytes = 4096) {
    AlignedBuffer buffer(bytes);
    EXPECT_EQ(world().run(machine(), io::read(file, offset, buffer.span())), Status::ok);
    return value_of(buffer.span());
  }
  static int value_of(std::span<const std::byte> bytes) {
    const bool is_uniform = std::ranges::all_of(bytes, [&](std::byte b) { return b == bytes[0]; });
    return is_uniform ? std::to_integer<int>(bytes[0]) : -1;
  }
  void lose_power() {
    host().power_loss();
    host().start();
  }

 private:
  std::optional<World> world_;
};

TEST_F(DiskTest, reads_what_was_written_and_zeroes_elsewhere) {
  auto disk = open(device);
  EXPECT_EQ(write(*disk, 8192, 7), Status::ok);
  EXPECT_EQ(read(*disk, 8192), 7);
  EXPECT_EQ(read(*disk, 0), 0);
  EXPECT_EQ(disk->size(), uint64_t{1} << 30);
}

TEST_F(DiskTest, flushed_and_fua_writes_survive_power_loss) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    boot(seed);
    auto disk = open(device);
    ASSERT_EQ(write(*disk, 0, 1), Status::ok);
    ASSERT_EQ(flush(*disk), Status::ok);
    ASSERT_EQ(write(*disk, 4096, 2, 4096, true), Status::ok);
    lose_power();
    disk = open(device);
    EXPECT_EQ(read(*disk, 0), 1);
    EXPECT_EQ(read(*disk, 4096), 2);
  }
}

TEST_F(DiskTest, power_loss_keeps_any_subset_of_what_was_not_flushed) {
  int none = 0, all = 0, some = 0, torn = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    boot(seed);
    auto disk = open(device);
    for (uint64_t i = 0; i < 8; ++i) ASSERT_EQ(write(*disk, i * 4096, 9), Status::ok);
    lose_power();
    disk = open(device);
    int whole = 0, mixed = 0;
    for (uint64_t i = 0; i < 8; ++i) {
      whole += read(*disk, i * 4096) == 9;
      mixed += read(*disk, i * 4096) == -1;
    }
    none += whole + mixed == 0;
    all += whole == 8;
    some += whole > 0 && whole < 8;
    torn += mixed > 0;
  }
  EXPECT_GE(none, 5);
  EXPECT_GE(all, 5);
  EXPECT_GE(some, 20);
  EXPECT_GE(torn, 20);
}

TEST_F(DiskTest, an_older_version_may_be_what_survives) {
  std::set<int> survivors;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    boot(seed);
    auto disk = open(device);
    for (int value : {1, 2, 3}) ASSERT_EQ(write(*disk, 0, value, 512), Status::ok);
    lose_power();
    disk = open(device);
    survivors.insert(read(*disk, 0, 512));
  }
  EXPECT_EQ(survivors, (std::set<int>{0, 1, 2, 3}));
}

TEST_F(DiskTest, kill_keeps_completed_writes) {
  auto disk = open(device);
  ASSERT_EQ(write(*disk, 0, 5), Status::ok);
  host().kill();
  host().start();
  disk = open(device);
  EXPECT_EQ(read(*disk, 0), 5);
}

struct CountedOp : io::FileOp {
  CountedOp() {
    run = [](Job& job) { static_cast<CountedOp&>(job).is_done = true; };
  }
  bool is_done = false;
};

TEST_F(DiskTest, kill_leaves_a_write_in_flight_whole_torn_or_undone) {
  std::set<int> outcomes;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    boot(seed);
    auto disk = open(device);
    AlignedBuffer buffer(8192);
    std::memset(buffer.data(), 6, buffer.size());
    io::Buffer piece{buffer.data(), buffer.size()};
    CountedOp op;
    op.kind = io::FileOp::Kind::write;
    op.buffers = {&piece, 1};
    disk->submit(op);
    host().kill();
    EXPECT_FALSE(op.is_done);  // never inside the call
    world().run_for(1ms);
    EXPECT_TRUE(op.is_done);
    EXPECT_EQ(op.status, Status::gone);
    host().start();
    disk = open(device);
    outcomes.insert(read(*disk, 0, 8192));
  }
  EXPECT_EQ(outcomes, (std::set<int>{-1, 0, 6}));
}

TEST_F(DiskTest, a_flush_covers_only_what_was_completed_before_it) {
  int lost = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    boot(seed);
    auto disk = open(device);
    CountedOp sync;
    sync.kind = io::FileOp::Kind::flush;
    ASSERT_EQ(write(*disk, 0, 1), Status::ok);
    disk->submit(sync);
    ASSERT_EQ(write(*disk, 4096, 2), Status::ok);
    world().run_until([&] { return sync.is_done; });
    lose_power();
    disk = open(device);
    EXPECT_EQ(read(*disk, 0), 1);
    lost += read(*disk, 4096) != 2;
  }
  EXPECT_GE(lost, 10);
}

TEST_F(DiskTest, a_flush_owes_the_version_that_was_overwritten_meanwhile) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    boot(seed);
    auto disk = open(device);
    CountedOp sync;
    sync.kind = io::FileOp::Kind::flush;
    ASSERT_EQ(write(*disk, 0, 1, 512), Status::ok);
    disk->submit(sync);
    ASSERT_EQ(write(*disk, 0, 2, 512), Status::ok);
    world().run_until([&] { return sync.is_done; });
    lose_power();
    disk = open(device);
    EXPECT_GE(read(*disk, 0, 512), 1);
  }
}

TEST_F(DiskTest, direct_io_refuses_what_is_not_aligned) {
  auto disk = open(device);
  AlignedBuffer buffer(8192);
  auto status = [&](uint64_t offset, size_t from, size_t bytes) {
    return world().run(machine(), io::write(*disk, offset, buffer.span().subspan(from, bytes)));
  };
  EXPECT_EQ(status(512, 0, 512), Status::ok);
  EXPECT_EQ(status(100, 0, 512), Status::invalid);
  EXPECT_EQ(status(0, 0, 100), Status::invalid);
  EXPECT_EQ(status(0, 8, 512), Status::ok);  // memory need not be aligned
  EXPECT_EQ(status(0, 0, 0), Status::ok);
  EXPECT_EQ(status(uint64_t{1} << 30, 0, 512), Status::invalid);
  host().disks().add_device("/dev/4kn", 1 << 20, {.block_bytes = 4096});
  auto coarse = open("/dev/4kn");
  EXPECT_EQ(coarse->geometry().block_bytes, 4096u);
  EXPECT_EQ(write(*coarse, 512, 1, 512), Status::invalid);
  EXPECT_EQ(write(*coarse, 4096, 1, 4096), Status::ok);
}

TEST_F(DiskTest, a_4kn_disk_tears_in_blocks_of_4096) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    boot(seed);
    host().disks().add_device("/dev/4kn", 1 << 20, {.block_bytes = 4096});
    auto disk = open("/dev/4kn");
    ASSERT_EQ(write(*disk, 0, 9, 65536), Status::ok);
    lose_power();
    disk = open("/dev/4kn");
    for (uint64_t at = 0; at < 65536; at += 4096) EXPECT_NE(read(*disk, at), -1);
  }
}

TEST_F(DiskTest, errors_come_once_or_for_ever) {
  auto disk = open(device);
  host().disks().fail({.path = device, .op = DiskOp::write, .skip = 1});
  EXPECT_EQ(write(*disk, 0, 1), Status::ok);
  EXPECT_EQ(write(*disk, 0, 1), Status::io_error);
  EXPECT_EQ(write(*disk, 0, 1), Status::ok);
  host().disks().fail({.path = "/", .op = DiskOp::read, .times = Fault::forever});
  AlignedBuffer buffer(512);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world().run(machine(), io::read(*disk, 0, buffer.span())), Status::io_error);
  host().disks().heal();
  EXPECT_EQ(read(*disk, 0), 1);
}

TEST_F(DiskTest, after_a_failed_flush_a_later_one_proves_nothing) {
  int lost = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    boot(seed);
    auto disk = open(device);
    host().disks().fail({.path = device, .op = DiskOp::flush});
    ASSERT_EQ(write(*disk, 0, 1), Status::ok);
    EXPECT_EQ(flush(*disk), Status::io_error);
    EXPECT_EQ(flush(*disk), Status::ok);
    EXPECT_EQ(read(*disk, 0), 1);
    lose_power();
    disk = open(device);
    lost += read(*disk, 0) == 0;
  }
  EXPECT_EQ(lost, 20);
}

TEST_F(DiskTest, a_lying_flush_loses_data) {
  int lost = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    boot(seed);
    auto disk = open(device);
    host().disks().fail({.path = "/", .op = DiskOp::flush, .times = Fault::forever, .status = Status::ok});
    ASSERT_EQ(write(*disk, 0, 1, 4096, true), Status::ok);
    ASSERT_EQ(flush(*disk), Status::ok);
    lose_power();
    disk = open(device);
    lost += read(*disk, 0) != 1;
  }
  EXPECT_GE(lost, 10);
}

TEST_F(DiskTest, writes_can_be_lost_or_misdirected) {
  auto disk = open(device);
  host().disks().fail({.path = device, .op = DiskOp::write, .status = Status::ok});
  EXPECT_EQ(write(*disk, 0, 1), Status::ok);
  EXPECT_EQ(read(*disk, 0), 0);
  host().disks().fail({.path = device, .op = DiskOp::write, .status = Status::ok, .misdirect = 8192});
  EXPECT_EQ(write(*disk, 0, 2), Status::ok);
  EXPECT_EQ(read(*disk, 0), 0);
  EXPECT_EQ(read(*disk, 8192), 2);
}

TEST_F(DiskTest, rot_and_broken_sectors) {
  auto disk = open(device);
  ASSERT_EQ(write(*disk, 0, 0), Status::ok);
  host().disks().flip(device, 100, 3);
  EXPECT_EQ(host().disks().peek(device, 100, 1)[0], std::byte{8});
  host().disks().break_sector(device, 512);
  AlignedBuffer buffer(1024);
  EXPECT_EQ(world().run(machine(), io::read(*disk, 0, buffer.span())), Status::io_error);
  ASSERT_EQ(write(*disk, 512, 4, 512), Status::ok);
  EXPECT_EQ(read(*disk, 512, 512), 4);
}

TEST_F(DiskTest, a_stuck_drive_goes_on_when_it_is_released) {
  auto disk = open(device);
  host().disks().drive(device).stick();
  CountedOp sync;
  sync.kind = io::FileOp::Kind::flush;
  disk->submit(sync);
  world().run_for(100s);
  EXPECT_FALSE(sync.is_done);
  host().disks().drive(device).unstick();
  world().run_for(1ms);
  EXPECT_TRUE(sync.is_done);
  EXPECT_EQ(sync.status, Status::ok);
}

TEST_F(DiskTest, exclusive_means_one_holder_and_dies_with_it) {
  io::OpenOptions exclusive{.exclusive = true};
  auto disk = open(device, exclusive);
  EXPECT_EQ(try_open(device, exclusive), Status::busy);
  host().kill();
  host().start();
  auto successor = open(device, exclusive);
  disk.reset();  // the dead one's
  EXPECT_EQ(try_open(device, exclusive), Status::busy);
}

TEST_F(DiskTest, power_loss_at_every_change_of_a_small_program) {
  uint64_t changes = 0;
  for (uint64_t n = 1; n < 100; ++n) {
    boot(5);
    auto disk = open(device);
    const uint64_t before = host().disks().change_count();
    host().power_loss_at_disk_op(n);
    bool was_durable = false;
    for (int i = 1; i <= 3 && host().is_running(); ++i) {
      AlignedBuffer buffer(4096);
      std::memset(buffer.data(), 1, buffer.size());
      SimMachine& m = machine();
      static_cast<void>(world().run(m, io::write(*disk, 0, buffer.span())));
      was_durable = world().run(m, io::flush(*disk)) == Status::ok || was_durable;
    }
    changes = host().disks().change_count() - before;
    if (changes < n) break;
    EXPECT_FALSE(host().is_running());
    host().start();
    disk = open(device);
    if (was_durable) EXPECT_EQ(read(*disk, 0), 1);
  }
  EXPECT_EQ(changes, 6u);
}

}  // namespace
}  // namespace mars::sim
