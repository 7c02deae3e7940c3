#include "io/linux/fair_lines.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "io/linux/test_host.h"

namespace mars::io {
namespace {

constexpr size_t block = 4096;

TEST(FairLinesTest, every_eighth_place_is_for_the_background) {
  FairLines lines;
  std::vector<Job> jobs(40);
  for (size_t i = 0; i < jobs.size(); ++i) lines.push(jobs[i], i >= 30);
  std::string order;
  while (const Job* job = lines.pop()) order += job < &jobs[30] ? 'f' : 'b';
  EXPECT_EQ(order, "fffffffbfffffffbfffffffbfffffffbffbbbbbb");
  EXPECT_TRUE(lines.empty());
}

class FairDiskTest : public testing::TestWithParam<DiskEngineChoice> {
 protected:
  void SetUp() override {
    const bool wants_ring = GetParam() == DiskEngineChoice::uring;
    if (wants_ring && host_.machine().disk_engine() != "uring") GTEST_SKIP() << host_.machine().disk_engine_note();
  }
  TestHost host_{GetParam()};
};

// A reader that never pauses, with more requests than the file has places.
struct EndlessRead : FileOp {
  EndlessRead(File& read, bool& over) : file(read), is_over(over), memory(block) {
    piece = {memory.data(), block};
    buffers = std::span(&piece, 1);
    run = [](Job& job) {
      auto& self = static_cast<EndlessRead&>(job);
      if (self.is_over) return static_cast<void>(self.has_ended = true);
      self.file.submit(self);
    };
    file.submit(*this);
  }
  File& file;
  bool& is_over;
  bool has_ended = false;
  AlignedBuffer memory;
  Buffer piece;
};

struct BackgroundWrite : FileOp {
  BackgroundWrite(Ready& ready, AlignedBuffer& memory) : done(ready), piece{memory.data(), block} {
    kind = Kind::write;
    priority = Priority::background;
    buffers = std::span(&piece, 1);
    run = [](Job& job) { static_cast<BackgroundWrite&>(job).done.set(); };
  }
  Event done;
  Buffer piece;
};

TEST_P(FairDiskTest, the_background_gets_its_turn_under_a_foreground_without_end) {
  host_.run([&]() -> Task<void> {
    auto opening = host_.storage().open(host_.path("a"), {.create = true});
    auto file = must(co_await opening);
    AlignedBuffer zeroes(block);
    EXPECT_EQ(co_await write(*file, 0, zeroes.span()), Status::ok);
    bool is_over = false;
    std::vector<std::unique_ptr<EndlessRead>> reads;
    for (int i = 0; i < 200; ++i) reads.push_back(std::make_unique<EndlessRead>(*file, is_over));
    for (int i = 0; i < 20; ++i) {
      BackgroundWrite writing(host_.machine().ready(), zeroes);
      file->submit(writing);
      co_await writing.done.wait();
      EXPECT_EQ(writing.status, Status::ok);
    }
    is_over = true;
    Event never(host_.machine().ready());
    const auto have_ended = [&] {
      return std::ranges::all_of(reads, [](const auto& read) { return read->has_ended; });
    };
    while (!have_ended()) co_await sleep_for(host_.machine(), std::chrono::milliseconds(1), never);
  });
}

INSTANTIATE_TEST_SUITE_P(engines, FairDiskTest, testing::Values(DiskEngineChoice::uring, DiskEngineChoice::threads),
                         [](const auto& info) { return info.param == DiskEngineChoice::uring ? "uring" : "threads"; });

}  // namespace
}  // namespace mars::io
