#include "format/values.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"

namespace mars {
namespace {

using format::test::uuid_of;

constexpr const char* some_text = "01234567-89ab-cdef-0123-456789abcdef";

TEST(Uuid, text_and_bytes_have_one_order) {
  auto uuid = parse_uuid(some_text);
  ASSERT_TRUE(uuid);
  EXPECT_EQ(uuid->bytes[0], 0x01);
  EXPECT_EQ(uuid->bytes[15], 0xef);
  EXPECT_EQ(to_string(*uuid), some_text);
  EXPECT_EQ(short_text(*uuid), "01234567");
  EXPECT_LT(uuid_of(1), uuid_of(2));
}

TEST(Uuid, capitals_are_accepted) {
  EXPECT_EQ(*parse_uuid("01234567-89AB-CDEF-0123-456789ABCDEF"), *parse_uuid(some_text));
}

TEST(Uuid, anything_else_is_refused) {
  for (const char* text : {"", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcde",
                           "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-01234-56789abcdef",
                           "01234567-89ab-cdef-0123-456789abcdef ", "{1234567-89ab-cdef-0123-456789abcde}"}) {
    EXPECT_EQ(status_of(parse_uuid(text)), Status::invalid) << text;
  }
}

TEST(Uuid, random_ones_carry_version_and_variant) {
  std::array<uint8_t, 16> random;
  random.fill(0xff);
  EXPECT_EQ(to_string(Uuid::from_random(random)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_TRUE(Uuid{}.is_nil());
  EXPECT_FALSE(Uuid::from_random({}).is_nil());
}

TEST(Lsn, counts_bytes) {
  Lsn lsn{4096};
  lsn += 4096;
  EXPECT_EQ(lsn, Lsn{4096} + 4096);
  EXPECT_EQ(lsn - Lsn{4096}, 4096u);
  EXPECT_LT(Lsn{4096}, lsn);
  EXPECT_EQ(to_string(lsn), "8192");
}

TEST(Tip, has_a_text_and_sixteen_plus_eight_plus_sixteen_bytes) {
  Tip tip{{uuid_of(0xab), {8192}}, {1, 2}};
  EXPECT_EQ(to_string(tip), "abababab-abab-abab-abab-abababababab:8192:00000000000000020000000000000001");
  EXPECT_EQ(short_text(tip.position), "abababab:8192");
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write_tip(writer, tip);
  EXPECT_EQ(bytes.size(), 40u);
  Reader reader(bytes);
  EXPECT_EQ(read_tip(reader), tip);
  EXPECT_TRUE(Position{}.is_none());
}

TEST(Stamp, is_ordered_by_time_then_counter_and_printed_in_utc) {
  EXPECT_LT((Stamp{1, 9}), (Stamp{2, 0}));
  EXPECT_LT((Stamp{2, 0}), (Stamp{2, 1}));
  EXPECT_EQ(to_string(Stamp{}), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(to_string(Stamp{1'709'210'096'000'000'789, 5}), "2024-02-29T12:34:56.000000789Z");
  EXPECT_EQ(to_string(Stamp{UINT64_MAX, 0}), "2554-07-21T23:34:33.709551615Z");
}

TEST(Enumerations, have_names_and_fixed_numbers) {
  EXPECT_EQ(static_cast<int>(RecordOp::write), 1);
  EXPECT_EQ(static_cast<int>(RecordOp::size), 9);
  EXPECT_EQ(name(RecordOp::write_zeroes), "write_zeroes");
  EXPECT_FALSE(is_known(static_cast<RecordOp>(0)));
  EXPECT_FALSE(is_known(static_cast<RecordOp>(10)));
  EXPECT_TRUE(is_data(RecordOp::discard));
  EXPECT_FALSE(is_data(RecordOp::mark));
  EXPECT_EQ(name(EpochCause::force), "force");
  EXPECT_FALSE(is_known(static_cast<EpochCause>(6)));
}

}  // namespace
}  // namespace mars
