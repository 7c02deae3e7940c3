// Both disk engines on real files, and on a loop device where one can be had.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/prng.h"
#include "io/linux/descriptor.h"
#include "io/linux/disk_file.h"
#include "io/linux/ring.h"
#include "io/linux/test_host.h"
#include "io/linux/thread_disk.h"

namespace mars::io {
namespace {

constexpr size_t block = 4096;

// Memory aligned for every disk, plus `shift` to spoil that.
class Memory {
 public:
  explicit Memory(size_t bytes, uint64_t seed = 0, size_t shift = 0)
      : bytes_(bytes),
        shift_(shift),
        data_(static_cast<std::byte*>(std::aligned_alloc(block, (bytes / block + 2) * block))) {
    Prng prng(seed);
    for (std::byte& b : span()) b = seed == 0 ? std::byte{0} : static_cast<std::byte>(prng.next());
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(data_); }
  std::span<std::byte> span() { return {data_ + shift_, bytes_}; }
  Buffer buffer() { return {data_ + shift_, bytes_}; }
  bool operator==(Memory& other) { return std::ranges::equal(span(), other.span()); }

 private:
  size_t bytes_;
  size_t shift_;
  std::byte* data_;
};

class DiskTest : public testing::TestWithParam<DiskEngineChoice> {
 protected:
  void SetUp() override {
    const bool wants_ring = GetParam() == DiskEngineChoice::uring;
    if (wants_ring && host_.machine().disk_engine() != "uring") GTEST_SKIP() << host_.machine().disk_engine_note();
  }
  Task<std::unique_ptr<File>> open(std::string name, OpenOptions options = {.create = true}) {
    auto opening = host_.storage().open(host_.path(name), options);
    co_return must(co_await opening);
  }

  TestHost host_{GetParam()};
};

TEST_P(DiskTest, uses_the_engine_that_was_asked_for) {
  EXPECT_EQ(host_.machine().disk_engine(), GetParam() == DiskEngineChoice::uring ? "uring" : "threads");
}

TEST_P(DiskTest, reads_what_was_written_and_flushed) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory written(8 * block, 1);
    Memory got(8 * block);
    EXPECT_EQ(co_await write(*file, 2 * block, written.span()), Status::ok);
    EXPECT_EQ(co_await flush(*file), Status::ok);
    EXPECT_EQ(co_await read(*file, 2 * block, got.span()), Status::ok);
    EXPECT_TRUE(written == got);
    EXPECT_EQ(file->size(), 10 * block);
  });
}

TEST_P(DiskTest, fua_write_reads_back) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory written(block, 2);
    Memory got(block);
    EXPECT_EQ(co_await write(*file, 0, written.span(), true), Status::ok);
    EXPECT_EQ(co_await read(*file, 0, got.span()), Status::ok);
    EXPECT_TRUE(written == got);
  });
}

TEST_P(DiskTest, buffers_of_a_vector_lie_one_behind_the_other) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory first(block, 3);
    Memory second(3 * block, 4);
    const std::array<Buffer, 2> buffers = {first.buffer(), second.buffer()};
    EXPECT_EQ(co_await write(*file, 0, std::span<const Buffer>(buffers)), Status::ok);
    Memory got(3 * block);
    EXPECT_EQ(co_await read(*file, block, got.span()), Status::ok);
    EXPECT_TRUE(second == got);
  });
}

TEST_P(DiskTest, unaligned_memory_on_a_direct_file_is_bounced) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory first(1000, 5, 3);
    Memory second(3 * 1024 * 1024 - 1000, 6, 1);  // more than one bounce buffer
    const std::array<Buffer, 2> out = {first.buffer(), second.buffer()};
    EXPECT_EQ(co_await write(*file, 0, std::span<const Buffer>(out)), Status::ok);
    Memory got(3 * 1024 * 1024, 0, 7);
    EXPECT_EQ(co_await read(*file, 0, got.span()), Status::ok);
    EXPECT_TRUE(std::ranges::equal(first.span(), got.span().first(1000)));
    EXPECT_TRUE(std::ranges::equal(second.span(), got.span().subspan(1000)));
  });
}

TEST_P(DiskTest, unaligned_range_on_a_direct_file_is_invalid) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    if (!file->geometry().is_direct) co_return;
    Memory memory(2 * block);
    EXPECT_EQ(co_await write(*file, 100, memory.span()), Status::invalid);
    EXPECT_EQ(co_await write(*file, 0, memory.span().first(100)), Status::invalid);
  });
}

TEST_P(DiskTest, buffered_file_takes_any_range) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a", {.create = true, .direct = false});
    EXPECT_FALSE(file->geometry().is_direct);
    Memory written(1000, 7, 1);
    Memory got(1000);
    EXPECT_EQ(co_await write(*file, 77, written.span()), Status::ok);
    EXPECT_EQ(co_await read(*file, 77, got.span()), Status::ok);
    EXPECT_TRUE(written == got);
  });
}

TEST_P(DiskTest, read_beyond_the_end_is_zero_up_to_a_block_and_then_invalid) {
  host_.run([&]() -> Task<void> {
    std::ofstream(host_.path("a")) << "tail";
    auto file = co_await open("a");
    const size_t unit = file->geometry().block_bytes;
    Memory got(2 * unit, 8);
    EXPECT_EQ(co_await read(*file, 0, got.span().first(unit)), Status::ok);
    EXPECT_EQ(static_cast<char>(got.span()[3]), 'l');
    for (size_t i = 4; i < unit; ++i) EXPECT_EQ(got.span()[i], std::byte{0}) << i;
    EXPECT_EQ(co_await read(*file, 0, got.span()), Status::invalid);
    EXPECT_EQ(co_await read(*file, unit, got.span().first(unit)), Status::invalid);
  });
}

TEST_P(DiskTest, what_became_smaller_is_an_error_and_not_zeroes) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await write(*co_await open("a"), 0, Memory(8 * block, 5).span()), Status::ok);
    auto file = co_await open("a");
    EXPECT_EQ(co_await host_.storage().resize(host_.path("a"), 2 * block), Status::ok);
    Memory got(4 * block, 9);
    EXPECT_EQ(co_await read(*file, block, got.span()), Status::io_error) << "the end lies inside";
    EXPECT_EQ(co_await read(*file, 3 * block, got.span()), Status::io_error) << "known to be smaller by now";
    EXPECT_EQ(co_await read(*file, 8 * block, got.span()), Status::invalid) << "never was there";
    EXPECT_EQ(co_await read(*file, 0, got.span().first(2 * block)), Status::ok);
  });
}

TEST_P(DiskTest, growth_by_another_hand_is_seen) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory got(block, 9);
    EXPECT_EQ(co_await read(*file, 0, got.span()), Status::invalid);
    EXPECT_EQ(co_await host_.storage().resize(host_.path("a"), 4 * block), Status::ok);
    EXPECT_EQ(co_await read(*file, 3 * block, got.span()), Status::ok);
    EXPECT_EQ(file->size(), 4 * block);
  });
}

TEST_P(DiskTest, punched_and_zeroed_ranges_read_as_zeroes) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory memory(16 * block, 10);
    Memory zeroes(4 * block);
    Memory got(4 * block, 11);
    EXPECT_EQ(co_await write(*file, 0, memory.span()), Status::ok);
    if (file->geometry().punch == Support::native) {
      EXPECT_EQ(co_await punch(*file, 2 * block, 4 * block), Status::ok);
      EXPECT_EQ(co_await read(*file, 2 * block, got.span()), Status::ok);
      EXPECT_TRUE(zeroes == got);
    }
    const Status status = co_await zero(*file, 8 * block, 4 * block);
    if (status != Status::unsupported) {
      EXPECT_EQ(status, Status::ok);
      EXPECT_EQ(co_await read(*file, 8 * block, got.span()), Status::ok);
      EXPECT_TRUE(zeroes == got);
    }
    EXPECT_EQ(file->size(), 16 * block);
  });
}

TEST_P(DiskTest, allocated_range_is_there_and_no_longer_sparse) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    EXPECT_EQ(co_await allocate(*file, 0, 1 << 20), Status::ok);
    EXPECT_EQ(file->size(), 1u << 20);
    struct stat info = {};
    EXPECT_EQ(::stat(host_.path("a").c_str(), &info), 0);
    EXPECT_GE(info.st_blocks * 512, 1 << 20);
  });
}

TEST_P(DiskTest, write_to_a_read_only_file_is_refused) {
  host_.run([&]() -> Task<void> {
    std::ofstream(host_.path("a")) << std::string(block, 'x');
    auto file = co_await open("a", {.write = false});
    Memory memory(block);
    EXPECT_EQ(co_await write(*file, 0, memory.span()), Status::permission);
    EXPECT_EQ(co_await read(*file, 0, memory.span()), Status::ok);
  });
}

TEST_P(DiskTest, nothing_to_do_completes) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    EXPECT_EQ(co_await write(*file, 0, std::span<const std::byte>()), Status::ok);
    EXPECT_EQ(co_await punch(*file, 0, 0), Status::ok);
  });
}

TEST_P(DiskTest, range_beyond_all_numbers_is_invalid) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    Memory memory(block);
    EXPECT_EQ(co_await write(*file, ~uint64_t{0} - block + 1, memory.span()), Status::invalid);
    EXPECT_EQ(co_await zero(*file, block, ~uint64_t{0} - block + 1), Status::invalid);
  });
}

// One of many operations in flight; the last to complete sets the event.
struct Flight : FileOp {
  Memory memory;
  Buffer one;
  size_t* left;
  Event* landed;
  Flight(Kind what, uint64_t at, uint64_t seed, size_t& count, Event& event)
      : memory(block, seed), one(memory.buffer()), left(&count), landed(&event) {
    kind = what;
    offset = at;
    buffers = {&one, 1};
    run = [](Job& job) {
      auto& self = static_cast<Flight&>(job);
      EXPECT_EQ(self.status, Status::ok);
      if (--*self.left == 0) self.landed->set();
    };
  }
};

Task<void> fly(File& file, Ready& ready, FileOp::Kind kind, size_t count, bool mixed = false) {
  Event landed(ready);
  size_t left = count;
  std::vector<std::unique_ptr<Flight>> flights;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t seed = kind == FileOp::Kind::write ? i + 1 : 0;
    flights.push_back(std::make_unique<Flight>(kind, i * block, seed, left, landed));
    flights.back()->fua = kind == FileOp::Kind::write && i % 8 == 7;
    if (mixed && i % 2 == 1) flights.back()->priority = Priority::background;
  }
  for (auto& flight : flights) file.submit(*flight);
  co_await landed.wait();
  for (size_t i = 0; kind == FileOp::Kind::read && i < count; ++i) {
    Memory expected(block, i + 1);
    EXPECT_TRUE(flights[i]->memory == expected) << i;
  }
}

TEST_P(DiskTest, thirty_two_operations_in_flight) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    co_await fly(*file, host_.machine().ready(), FileOp::Kind::write, 32);
    co_await fly(*file, host_.machine().ready(), FileOp::Kind::read, 32);
  });
}

TEST_P(DiskTest, more_operations_than_the_ring_holds_wait_in_line) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a", {.create = true, .direct = false});
    co_await fly(*file, host_.machine().ready(), FileOp::Kind::write, 32);
    EXPECT_EQ(co_await host_.storage().resize(host_.path("a"), 3000 * block), Status::ok);
    Event landed(host_.machine().ready());
    size_t left = 3000;
    std::vector<std::unique_ptr<Flight>> flights;
    for (size_t i = 0; i < 3000; ++i) {
      flights.push_back(std::make_unique<Flight>(FileOp::Kind::read, i * block, 0, left, landed));
      if (i % 3 == 0) flights.back()->priority = Priority::background;
    }
    for (auto& flight : flights) file->submit(*flight);
    co_await landed.wait();
  });
}

TEST_P(DiskTest, locked_file_is_busy_for_others) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a", {.create = true, .exclusive = true});
    auto again = co_await host_.storage().open(host_.path("a"), {.exclusive = true});
    EXPECT_EQ(status_of(again), Status::busy);
    file.reset();
    again = co_await host_.storage().open(host_.path("a"), {.exclusive = true});
    EXPECT_EQ(status_of(again), Status::ok);
  });
}

TEST_P(DiskTest, what_cannot_be_opened_says_why) {
  host_.run([&]() -> Task<void> {
    auto missing = co_await host_.storage().open(host_.path("none"), {});
    EXPECT_EQ(status_of(missing), Status::not_found);
    EXPECT_NE(missing.error().text.find("none"), std::string::npos);
    EXPECT_EQ(status_of(co_await host_.storage().open(host_.path("no/file"), {.create = true})), Status::not_found);
    EXPECT_EQ(status_of(co_await host_.storage().open("/dev/null", {})), Status::invalid);
    EXPECT_EQ(status_of(co_await host_.storage().open(host_.path("."), {.write = false})), Status::invalid);
  });
}

TEST_P(DiskTest, file_is_described_by_its_inode) {
  host_.run([&]() -> Task<void> {
    auto file = co_await open("a");
    struct stat info = {};
    EXPECT_EQ(::stat(host_.path("a").c_str(), &info), 0);
    const Geometry& geometry = file->geometry();
    EXPECT_EQ(geometry.inode, info.st_ino);
    EXPECT_EQ(geometry.device_number, info.st_dev);
    EXPECT_FALSE(geometry.is_block_device);
    EXPECT_GE(geometry.optimal_bytes, 4096u);
  });
}

// A loop device over a file; absent where loop devices cannot be made.
class LoopDevice {
 public:
  explicit LoopDevice(const std::string& backing) {
    std::ofstream(backing).close();
    std::filesystem::resize_file(backing, 16 << 20);
    const Descriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const Descriptor file(::open(backing.c_str(), O_RDWR | O_CLOEXEC));
    // Another test may take the one that is free in the same moment.
    for (int tries = 0; tries < 100; ++tries) {
      const int number = control ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
      if (number < 0) return;
      path_ = "/dev/loop" + std::to_string(number);
      if (configure(file) || errno != EBUSY) return;
    }
  }
  ~LoopDevice() {
    if (device_) ::ioctl(device_.get(), LOOP_CLR_FD);
  }
  bool is_there() const { return static_cast<bool>(device_); }
  const std::string& path() const { return path_; }

 private:
  bool configure(const Descriptor& file) {
    Descriptor device(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    loop_config config = {};
    config.fd = static_cast<uint32_t>(file.get());
    if (!device || ::ioctl(device.get(), LOOP_CONFIGURE, &config) != 0) return false;
    device_ = std::move(device);
    return true;
  }

  std::string path_;
  Descriptor device_;
};

TEST_P(DiskTest, block_device_is_exclusive_bounded_and_punched) {
  LoopDevice loop(host_.path("backing"));
  if (!loop.is_there()) GTEST_SKIP() << "no loop device";
  host_.run([&]() -> Task<void> {
    auto file = must(co_await host_.storage().open(loop.path(), {.exclusive = true}));
    EXPECT_EQ(status_of(co_await host_.storage().open(loop.path(), {.exclusive = true})), Status::busy);
    const Geometry& geometry = file->geometry();
    EXPECT_TRUE(geometry.is_block_device);
    EXPECT_EQ(geometry.bytes, 16u << 20);
    EXPECT_EQ(geometry.inode, 0u);
    EXPECT_EQ(geometry.hardware_id, "loop:" + host_.path("backing"));
    Memory written(4 * block, 12);
    Memory got(4 * block, 13);
    EXPECT_EQ(co_await write(*file, 0, written.span(), true), Status::ok);
    EXPECT_EQ(co_await flush(*file), Status::ok);
    EXPECT_EQ(co_await write(*file, 16 << 20, written.span()), Status::invalid);
    EXPECT_EQ(co_await zero(*file, 0, 2 * block), Status::ok);
    if (geometry.punch == Support::native) {
      EXPECT_EQ(co_await punch(*file, 2 * block, 2 * block), Status::ok);
    }
    EXPECT_EQ(co_await read(*file, 0, got.span()), Status::ok);
    Memory zeroes(2 * block);
    EXPECT_TRUE(std::ranges::equal(got.span().first(2 * block), zeroes.span()));
    EXPECT_EQ(co_await allocate(*file, 0, block), Status::unsupported);
  });
}

INSTANTIATE_TEST_SUITE_P(engines, DiskTest, testing::Values(DiskEngineChoice::uring, DiskEngineChoice::threads),
                         [](const auto& info) { return info.param == DiskEngineChoice::uring ? "uring" : "threads"; });

// An engine that moves as much as it likes, to see the rest being asked for.
class ShortEngine final : public DiskEngine {
 public:
  explicit ShortEngine(Ready& ready) : ready_(ready) {}
  std::string_view name() const override { return "short"; }
  void submit(FileOp& op) override {
    for (;;) {
      const Piece piece = DiskOp::of(op).next(op);
      const size_t bytes = std::min<size_t>(piece.vectors[0].iov_len, 700);
      const int number = DiskOp::of(op).file().descriptor();
      ++calls;
      const auto at = static_cast<off_t>(piece.offset);
      int64_t result = op.kind == FileOp::Kind::read ? ::pread(number, piece.vectors[0].iov_base, bytes, at)
                                                     : ::pwrite(number, piece.vectors[0].iov_base, bytes, at);
      if (calls % 3 == 0) result = -EAGAIN;
      if (DiskOp::of(op).advance(op, result)) break;
    }
    ready_.push(op);
  }
  size_t calls = 0;

 private:
  Ready& ready_;
};

TEST(DiskOpTest, short_moves_are_continued_and_interrupted_ones_repeated) {
  TestHost host;
  OpenedDisk disk;
  disk.descriptor = Descriptor(::open(host.path("a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ShortEngine engine(host.machine().ready());
  DiskFile file(host.machine().ready(), engine, std::move(disk));
  host.run([&]() -> Task<void> {
    Memory first(1500, 14);
    Memory second(2500, 15);
    const std::array<Buffer, 2> buffers = {first.buffer(), second.buffer()};
    EXPECT_EQ(co_await write(file, 0, std::span<const Buffer>(buffers)), Status::ok);
    Memory got(4000);
    EXPECT_EQ(co_await read(file, 0, got.span()), Status::ok);
    EXPECT_TRUE(std::ranges::equal(got.span().first(1500), first.span()));
    EXPECT_TRUE(std::ranges::equal(got.span().subspan(1500), second.span()));
    EXPECT_GT(engine.calls, 10u);
  });
}

TEST(DiskOpTest, engine_that_never_moves_anything_ends_in_an_error) {
  class DeadEngine final : public DiskEngine {
   public:
    explicit DeadEngine(Ready& ready) : ready_(ready) {}
    std::string_view name() const override { return "dead"; }
    void submit(FileOp& op) override {
      while (!DiskOp::of(op).advance(op, -EAGAIN)) (void)DiskOp::of(op).next(op);
      ready_.push(op);
    }

   private:
    Ready& ready_;
  };
  TestHost host;
  OpenedDisk disk;
  disk.descriptor = Descriptor(::open(host.path("a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  DeadEngine engine(host.machine().ready());
  DiskFile file(host.machine().ready(), engine, std::move(disk));
  host.run([&]() -> Task<void> {
    Memory memory(block);
    EXPECT_EQ(co_await write(file, 0, memory.span()), Status::io_error);
  });
}

}  // namespace
}  // namespace mars::io
