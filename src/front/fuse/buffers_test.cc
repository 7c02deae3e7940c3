#include "front/fuse/buffers.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

namespace mars::fuse {
namespace {

TEST(Buffers, every_piece_is_a_piece_of_its_own_and_begins_at_a_page) {
  Buffers buffers;
  ASSERT_EQ(buffers.allocate(4, 3), Status::ok);
  for (size_t i = 0; i < 4; ++i) std::memset(buffers.small(i), static_cast<int>(i), Buffers::small_bytes);
  std::byte* large[3];
  for (size_t i = 0; i < 3; ++i) {
    large[i] = buffers.take_large();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(large[i]) % Buffers::page_bytes, 0u);
    std::memset(large[i] - Buffers::page_bytes, static_cast<int>(10 + i), Buffers::page_bytes + Buffers::large_bytes);
  }
  EXPECT_EQ(buffers.free_large(), 0u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(buffers.small(i)[Buffers::small_bytes - 1], std::byte(i));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(large[i][Buffers::large_bytes - 1], std::byte(10 + i));
}

TEST(Buffers, the_last_one_given_back_is_taken_first) {
  Buffers buffers;
  ASSERT_EQ(buffers.allocate(1, 3), Status::ok);
  std::byte* first = buffers.take_large();
  buffers.give_large(first);
  EXPECT_EQ(buffers.take_large(), first);
}

}  // namespace
}  // namespace mars::fuse
