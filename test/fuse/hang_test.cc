// A disk that does not answer, below marsd's own disk engines: a loop device whose server holds every request.
#include <array>
#include <memory>
#include <vector>

#include "io/linux/test_host.h"
#include "test/fuse/served.h"

namespace mars::test {
namespace {

constexpr size_t block = 4096;

struct Read : io::FileOp {
  explicit Read(uint64_t at) : memory(static_cast<std::byte*>(std::aligned_alloc(block, block))) {
    piece = {memory.get(), block};
    offset = at;
    buffers = std::span(&piece, 1);
    run = [](Job& job) { static_cast<Read&>(job).has_ended = true; };
  }
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> memory;
  io::Buffer piece;
  bool has_ended = false;
};

class FuseHang : public FuseTest, public testing::WithParamInterface<io::DiskEngineChoice> {};

// More reads than an engine has places at all.
TEST_P(FuseHang, a_disk_that_hangs_keeps_no_other_file_from_its_own) {
  Served served(root_);
  served.open();
  io::TestHost host(GetParam());
  if (GetParam() == io::DiskEngineChoice::uring && host.machine().disk_engine() != "uring") {
    GTEST_SKIP() << host.machine().disk_engine_note();
  }
  std::vector<std::unique_ptr<Read>> reads;
  host.run([&]() -> Task<void> {
    io::OpenOptions options;
    options.write = false;
    auto opening = host.storage().open(served.loop(), options);
    const std::unique_ptr<io::File> hanging = io::must(co_await opening);
    EXPECT_EQ(served.ask("hold"), "HOLDING");
    for (uint64_t i = 0; i < 1500; ++i) {
      reads.push_back(std::make_unique<Read>(i * block));
      hanging->submit(*reads.back());
    }
    auto making = host.storage().open(host.path("other"), {.create = true});
    const std::unique_ptr<io::File> other = io::must(co_await making);
    const Read content(0);
    const auto bytes = std::span<const std::byte>(content.memory.get(), block);
    for (uint64_t i = 0; i < 100; ++i) {
      EXPECT_EQ(co_await io::write(*other, i * block, bytes, i % 10 == 0), Status::ok);
    }
    EXPECT_FALSE(reads.front()->has_ended);
    served.post("release");
    Event never(host.machine().ready());
    while (!std::ranges::all_of(reads, [](const auto& read) { return read->has_ended; })) {
      co_await io::sleep_for(host.machine(), std::chrono::milliseconds(10), never);
    }
    for (const auto& read : reads) EXPECT_EQ(read->status, Status::ok);
  });
  EXPECT_EQ(served.next_line(), "RELEASED");
}

INSTANTIATE_TEST_SUITE_P(engines, FuseHang, testing::Values(io::DiskEngineChoice::uring, io::DiskEngineChoice::threads),
                         [](const auto& engine) {
                           return engine.param == io::DiskEngineChoice::uring ? "uring" : "threads";
                         });

}  // namespace
}  // namespace mars::test
