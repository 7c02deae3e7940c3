#include "bricks/known_bytes.h"

#include <gtest/gtest.h>

#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

struct KnownBytesTest : testing::Test {
  void begin(uint64_t offset, uint64_t bytes, char letter) {
    auto data = filled(bytes, letter);
    known.begin(offset, bytes, data.data(), ++number);
  }
  void end(uint64_t offset, uint64_t bytes, uint64_t begun, bool succeeded = true) {
    known.end(offset, bytes, begun, ++number, succeeded);
  }
  // The first wrong offset of a read that goes down now.
  std::optional<uint64_t> wrong(uint64_t offset, uint64_t bytes, char letter) {
    compared = 0;
    return known.mismatch(offset, filled(bytes, letter), ++number, compared);
  }
  uint64_t number = 0;
  uint64_t compared = 0;
  KnownBytes known{4096, 512};
};

TEST_F(KnownBytesTest, what_was_never_written_is_not_compared) {
  EXPECT_EQ(wrong(0, 4096, '?'), std::nullopt);
  EXPECT_EQ(compared, 0u);
}

TEST_F(KnownBytesTest, what_was_written_is_compared) {
  begin(512, 512, 'a');
  end(512, 512, 1);
  EXPECT_EQ(wrong(0, 4096, 'a'), std::nullopt);
  EXPECT_EQ(compared, 512u);
  EXPECT_EQ(wrong(0, 4096, 'b'), 512u);
}

TEST_F(KnownBytesTest, zeroes_are_content) {
  known.begin(0, 512, nullptr, ++number);
  end(0, 512, 1);
  EXPECT_EQ(wrong(0, 512, 'a'), 0u);
}

TEST_F(KnownBytesTest, a_write_in_flight_is_not_compared) {
  begin(0, 512, 'a');
  EXPECT_EQ(wrong(0, 512, 'b'), std::nullopt);
}

TEST_F(KnownBytesTest, a_read_that_met_a_write_is_not_compared) {
  begin(0, 512, 'a');
  const uint64_t read_went_down = ++number;
  end(0, 512, 1);
  EXPECT_EQ(known.mismatch(0, filled(512, 'b'), read_went_down, compared), std::nullopt);
}

TEST_F(KnownBytesTest, a_failed_write_leaves_nothing_known) {
  begin(0, 512, 'a');
  end(0, 512, 1, false);
  EXPECT_EQ(wrong(0, 512, 'b'), std::nullopt);
}

TEST_F(KnownBytesTest, overlapping_writes_leave_nothing_known_in_either_order) {
  begin(0, 512, 'a');
  begin(0, 512, 'b');
  end(0, 512, 1);
  end(0, 512, 2);
  EXPECT_EQ(wrong(0, 512, 'c'), std::nullopt);
  begin(0, 512, 'a');
  const uint64_t first = number;
  begin(0, 512, 'b');
  const uint64_t second = number;
  end(0, 512, second);
  end(0, 512, first);
  EXPECT_EQ(wrong(0, 512, 'c'), std::nullopt);
}

TEST_F(KnownBytesTest, a_part_of_a_known_unit_keeps_it_known) {
  begin(0, 512, 'a');
  end(0, 512, 1);
  begin(100, 10, 'b');
  end(100, 10, number);
  EXPECT_EQ(wrong(100, 10, 'b'), std::nullopt);
  EXPECT_EQ(compared, 10u);
  EXPECT_EQ(wrong(0, 512, 'a'), 100u);
}

TEST_F(KnownBytesTest, a_digest_needs_all_of_its_range) {
  begin(0, 1024, 'a');
  end(0, 1024, 1);
  EXPECT_EQ(known.digest(0, 1024, ++number), hash(filled(1024, 'a')));
  EXPECT_EQ(known.digest(0, 2048, ++number), std::nullopt);
}

}  // namespace
}  // namespace mars::bricks
