#include "base/bytes.h"

#include <gtest/gtest.h>

#include <array>

namespace mars {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> result;
  for (int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

TEST(Bytes, numbers_are_little_endian) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.u8(0x01);
  writer.u16(0x0302);
  writer.u32(0x07060504);
  writer.u64(0x0f0e0d0c0b0a0908);
  EXPECT_EQ(out, bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  Reader reader(out);
  EXPECT_EQ(reader.u8(), 0x01);
  EXPECT_EQ(reader.u16(), 0x0302);
  EXPECT_EQ(reader.u32(), 0x07060504u);
  EXPECT_EQ(reader.u64(), 0x0f0e0d0c0b0a0908u);
  EXPECT_TRUE(reader.finished());
}

TEST(Bytes, a_read_past_the_end_fails_for_good) {
  auto three = bytes({1, 2, 3});
  Reader reader(three);
  EXPECT_EQ(reader.u16(), 0x0201);
  EXPECT_EQ(reader.u16(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.rest(), 0u);
  EXPECT_EQ(reader.u8(), 0);  // the third byte is not given out any more
  EXPECT_TRUE(reader.bytes(0).empty());
  EXPECT_FALSE(reader.finished());
}

TEST(Bytes, a_failed_copy_yields_zeroes) {
  auto two = bytes({1, 2});
  std::array<std::byte, 3> target{std::byte{9}, std::byte{9}, std::byte{9}};
  Reader reader(two);
  reader.copy(target);
  EXPECT_TRUE(all_zero(target));
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, reserved_bytes_must_be_zero) {
  auto some = bytes({0, 0, 0, 1});
  Reader reader(some);
  reader.reserved(3);
  EXPECT_TRUE(reader.ok());
  reader.reserved(1);
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, all_zero_sees_every_byte) {
  std::vector<std::byte> some(100);
  EXPECT_TRUE(all_zero(some));
  EXPECT_TRUE(all_zero({}));
  for (std::byte& byte : some) {
    byte = std::byte{0x80};
    EXPECT_FALSE(all_zero(some));
    byte = std::byte{0};
  }
}

TEST(Bytes, a_writer_appends_and_patches_its_own_part) {
  auto out = bytes({7});
  Writer writer(out);
  writer.u32(0);
  writer.text("ab");
  writer.zeroes(1);
  writer.patch_u32(0, 0x04030201);
  EXPECT_EQ(writer.size(), 7u);
  EXPECT_EQ(out, bytes({7, 1, 2, 3, 4, 'a', 'b', 0}));
}

TEST(BytesDeath, a_full_span_is_a_programmer_error) {
  std::array<std::byte, 3> target{};
  Writer writer(target);
  writer.u16(1);
  EXPECT_EQ(writer.size(), 2u);
  EXPECT_DEATH(writer.u16(2), "CHECK failed");
}

}  // namespace
}  // namespace mars
