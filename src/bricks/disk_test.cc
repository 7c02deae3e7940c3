#include "bricks/disk.h"

#include <gtest/gtest.h>

#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

constexpr const char* path = "/dev/sdx";

class DiskTest : public testing::Test {
 protected:
  void open(sim::DeviceOptions options = {}, uint64_t bytes = 0) {
    host().disks().add_device(path, 8 << 20, std::move(options));
    file = std::move(*world.run(host().machine(), host().machine().storage().open(path, {})));
    disk = std::make_unique<Disk>(host().machine().ready(), *file, bytes);
    origin = std::make_unique<TestOrigin>(*disk);
  }
  sim::Host& host() { return world.host("a"); }
  template <class T>
  T run(Task<T> task) {
    return world.run(host().machine(), std::move(task));
  }
  // What is there after the power was lost.
  io::Bytes durable(uint64_t offset, uint64_t bytes) { return host().disks().peek_durable(path, offset, bytes); }

  sim::World world{1};
  std::unique_ptr<io::File> file;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<TestOrigin> origin;
};

TEST_F(DiskTest, what_was_written_is_read) {
  open();
  ASSERT_EQ(run(origin->write(4096, filled_with(1024, 'a'))), Status::ok);
  EXPECT_EQ(run(origin->read(4096, 1024)), filled_with(1024, 'a'));
  EXPECT_EQ(run(origin->read(0, 512)), filled_with(512, '\0'));
}

TEST_F(DiskTest, it_tells_what_the_file_is) {
  sim::DeviceOptions options;
  options.block_bytes = 4096;
  options.punch = io::Support::none;
  open(options, 1 << 20);
  EXPECT_EQ(disk->info().bytes, 1u << 20);
  EXPECT_EQ(disk->info().block_bytes, 4096u);
  EXPECT_EQ(disk->info().discard, xio::Support::none);
  EXPECT_EQ(disk->info().write_zeroes, xio::Support::emulated);
}

TEST_F(DiskTest, flush_and_fua_make_durable) {
  open();
  ASSERT_EQ(run(origin->write(0, filled_with(512, 'a'), true)), Status::ok);
  EXPECT_EQ(durable(0, 512), filled_with(512, 'a'));
  ASSERT_EQ(run(origin->write(512, filled_with(512, 'b'))), Status::ok);
  EXPECT_NE(durable(512, 512), filled_with(512, 'b'));
  ASSERT_EQ(run(origin->flush()), Status::ok);
  EXPECT_EQ(durable(512, 512), filled_with(512, 'b'));
}

TEST_F(DiskTest, zeroes_with_fua_are_durable) {
  open();
  ASSERT_EQ(run(origin->write(0, filled_with(8192, 'a'), true)), Status::ok);
  for (const xio::Op op : {xio::Op::write_zeroes, xio::Op::discard}) {
    const uint64_t offset = op == xio::Op::discard ? 4096 : 0;
    ASSERT_EQ(run(origin->other(op, offset, 4096, true)), Status::ok);
    EXPECT_EQ(durable(offset, 4096), filled_with(4096, '\0'));
  }
}

TEST_F(DiskTest, a_buffer_that_lies_anywhere_will_do) {
  open();
  std::vector<std::byte> bytes(4096 + 16);
  for (const size_t shift : {1u, 7u, 16u}) {
    const auto content = filled_with(4096, static_cast<char>('a' + shift));
    std::copy(content.begin(), content.end(), bytes.begin() + static_cast<ptrdiff_t>(shift));
    TestOrigin::Request request;
    struct Sending {
      static Task<Status> run(TestOrigin& origin, TestOrigin::Request& request) {
        co_return co_await origin.send(request);
      }
    };
    request.prepare(xio::Op::write, 0, 4096, bytes.data() + shift);
    ASSERT_EQ(run(Sending::run(*origin, request)), Status::ok);
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    request.prepare(xio::Op::read, 0, 4096, bytes.data() + shift);
    ASSERT_EQ(run(Sending::run(*origin, request)), Status::ok);
    EXPECT_TRUE(std::equal(content.begin(), content.end(), bytes.begin() + static_cast<ptrdiff_t>(shift)));
    EXPECT_EQ(bytes[0], std::byte{0});
  }
}

TEST_F(DiskTest, a_digest_is_the_hash_of_the_bytes) {
  open();
  ASSERT_EQ(run(origin->write(0, filled_with(4096, 'd'))), Status::ok);
  xio::Port port(*disk);
  Hash128 digest;
  struct Asking {
    static Task<Status> run(xio::Port& port, Hash128& digest) { co_return co_await port.digest(0, 4096, digest); }
  };
  ASSERT_EQ(run(Asking::run(port, digest)), Status::ok);
  EXPECT_EQ(digest, hash(filled_with(4096, 'd')));
}

TEST_F(DiskTest, outside_is_refused) {
  open({}, 1 << 20);
  EXPECT_EQ(run(origin->write((1 << 20) - 512, filled_with(1024, 'a'))), Status::invalid);
  EXPECT_EQ(run(origin->other(xio::Op::discard, ~uint64_t{0} - 511, 1024)), Status::invalid);
}

TEST_F(DiskTest, an_error_of_the_disk_comes_up) {
  open();
  host().disks().fail({.path = path, .op = sim::DiskOp::write});
  EXPECT_EQ(run(origin->write(0, filled_with(512, 'a'))), Status::io_error);
  host().disks().break_sector(path, 1024);
  EXPECT_TRUE(run(origin->read(1024, 512)).empty());
  host().disks().fail({.path = path, .op = sim::DiskOp::flush});
  EXPECT_EQ(run(origin->flush()), Status::io_error);
}

TEST_F(DiskTest, a_dead_machine_answers_gone) {
  open();
  sim::SimMachine& dead = host().machine();
  host().kill();
  EXPECT_EQ(world.run(dead, origin->write(0, filled_with(512, 'a'))), Status::gone);
}

}  // namespace
}  // namespace mars::bricks
