#include "format/segment.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"
#include "format/seal.h"

namespace mars::format {
namespace {

using test::hex;
using test::uuid_of;

SegmentHeader some_header() { return {uuid_of(0xc1), uuid_of(0x4e), uuid_of(0xe9), 7, {0x10000}, 16 << 20, 64 << 20}; }

std::vector<std::byte> some_bytes() {
  auto bytes = encode_segment_header(some_header());
  return {bytes.begin(), bytes.end()};
}

bool is_accepted(ByteView bytes) { return decode_segment_header(bytes).has_value(); }

Status status_after(size_t at, int value) {
  auto bytes = some_bytes();
  bytes[at] = static_cast<std::byte>(value);
  seal(bytes);
  return status_of(decode_segment_header(bytes));
}

TEST(Segment, golden_bytes) {
  EXPECT_EQ(hex(some_bytes()),
            "4d41525353454731010000000000000098f68bcb4228e3096f8b41f151da08ca\n"
            "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c14e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e\n"
            "e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e907000000000000000000010000000000\n"
            "0000000100000000000000040000000000000000000000000000000000000000\n"
            "*124\n");
}

TEST(Segment, is_read_back_also_from_a_longer_file) {
  auto bytes = some_bytes();
  EXPECT_EQ(decode_segment_header(bytes), some_header());
  bytes.resize(8192, std::byte{1});
  EXPECT_EQ(decode_segment_header(bytes), some_header());
}

TEST(Segment, every_bit_flip_is_detected) { test::every_bit_flip_is_detected(some_bytes(), is_accepted); }

TEST(Segment, every_truncation_is_detected) { test::every_truncation_is_detected(some_bytes(), is_accepted); }

TEST(Segment, damage_nonsense_and_newer_versions_are_told_apart) {
  auto bytes = some_bytes();
  bytes[8] = std::byte{2};
  EXPECT_EQ(status_of(decode_segment_header(bytes)), Status::damaged);
  EXPECT_EQ(status_after(8, 2), Status::unsupported);
  EXPECT_EQ(status_after(0, 'x'), Status::invalid);
  EXPECT_EQ(status_after(10, 1), Status::invalid);
  EXPECT_EQ(status_after(4095, 1), Status::invalid);
  EXPECT_EQ(status_after(88, 1), Status::invalid);   // first LSN not at 4 KiB
  EXPECT_EQ(status_after(104, 1), Status::invalid);  // capacity
}

TEST(Segment, name_is_made_and_parsed) {
  SegmentName name{12, {0xabcd000}};
  EXPECT_EQ(to_string(name), "12-000000000abcd000.seg");
  EXPECT_EQ(parse_segment_name("12-000000000abcd000.seg"), name);
  SegmentName last{UINT64_MAX, {UINT64_MAX}};
  EXPECT_EQ(parse_segment_name(to_string(last)), last);
}

TEST(Segment, other_names_are_refused) {
  for (const char* text :
       {"", "-", ".seg", "1-.seg", "1-000000000abcd00.seg", "01-000000000abcd000.seg", "1-000000000ABCD000.seg",
        "1-000000000abcd000.seg~", "+1-000000000abcd000.seg", "1--00000000abcd000.seg", "1-000000000abcd000",
        "18446744073709551616-0000000000000000.seg"}) {
    EXPECT_EQ(status_of(parse_segment_name(text)), Status::invalid) << text;
  }
}

}  // namespace
}  // namespace mars::format
