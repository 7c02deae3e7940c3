#include "format/control_records.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"

namespace mars::format {
namespace {

using test::hex;
using test::uuid_of;

EpochStart some_start() {
  return {uuid_of(0xe9), 7,         uuid_of(0x40),    {2},          EpochCause::grant,
          uuid_of(0xe8), {0x10000}, {0x1111, 0x2222}, uuid_of(0x99)};
}

TEST(ControlRecords, golden_bytes) {
  EXPECT_EQ(hex(encode(some_start())),
            "e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e907000000000000004040404040404040\n"
            "404040404040404002000000000000000300000000000000e8e8e8e8e8e8e8e8\n"
            "e8e8e8e8e8e8e8e8000001000000000011110000000000002222000000000000\n"
            "99999999999999999999999999999999\n");
  EXPECT_EQ(hex(encode(Release{uuid_of(1), uuid_of(2), uuid_of(3)})),
            "0101010101010101010101010101010102020202020202020202020202020202\n"
            "03030303030303030303030303030303\n");
  EXPECT_EQ(hex(encode(Gap{uuid_of(1), uuid_of(2), {4096}})),
            "0101010101010101010101010101010102020202020202020202020202020202\n"
            "0010000000000000\n");
  EXPECT_EQ(hex(encode(VolumeCreate{3, 4096, 1 << 30})), "03000000001000000000004000000000\n");
  EXPECT_EQ(hex(encode(VolumeSize{3, 1 << 30})), "03000000000000000000004000000000\n");
  EXPECT_EQ(hex(encode(Mark{"monday"})), "6d6f6e646179\n");
}

TEST(ControlRecords, are_read_back) {
  EXPECT_EQ(decode_epoch_start(encode(some_start())), some_start());
  Release release{uuid_of(1), uuid_of(2), uuid_of(3)};
  EXPECT_EQ(decode_release(encode(release)), release);
  Gap gap{uuid_of(1), uuid_of(2), {4096}};
  EXPECT_EQ(decode_gap(encode(gap)), gap);
  VolumeCreate volume{3, 4096, 1 << 30};
  EXPECT_EQ(decode_volume_create(encode(volume)), volume);
  VolumeSize size{3, 1 << 30};
  EXPECT_EQ(decode_volume_size(encode(size)), size);
  Mark mark{"monday"};
  EXPECT_EQ(decode_mark(encode(mark)), mark);
}

TEST(ControlRecords, every_truncation_and_every_extension_is_detected) {
  auto check = [](std::vector<std::byte> bytes, auto decode) {
    auto is_accepted = [&](ByteView cut) { return decode(cut).has_value(); };
    test::every_truncation_is_detected(bytes, is_accepted);
    bytes.push_back(std::byte{0});
    EXPECT_EQ(status_of(decode(bytes)), Status::invalid);
  };
  check(encode(some_start()), decode_epoch_start);
  check(encode(Release{uuid_of(1), uuid_of(2), uuid_of(3)}), decode_release);
  check(encode(Gap{uuid_of(1), uuid_of(2), {4096}}), decode_gap);
  check(encode(VolumeCreate{3, 4096, 1 << 30}), decode_volume_create);
  check(encode(VolumeSize{3, 1 << 30}), decode_volume_size);
}

TEST(ControlRecords, an_epoch_start_must_make_sense) {
  auto status_after = [](size_t at, int value) {
    auto bytes = encode(some_start());
    bytes[at] = static_cast<std::byte>(value);
    return status_of(decode_epoch_start(bytes));
  };
  EXPECT_EQ(status_after(48, 9), Status::unsupported);  // cause
  EXPECT_EQ(status_after(48, 1), Status::invalid);      // create, but with a parent
  EXPECT_EQ(status_after(48, 2), Status::invalid);      // recover, but with a grant
  EXPECT_EQ(status_after(49, 1), Status::invalid);      // reserved
}

TEST(ControlRecords, sizes_must_be_whole_blocks) {
  EXPECT_EQ(status_of(decode_volume_create(encode(VolumeCreate{1, 512, 0}))), Status::invalid);
  EXPECT_EQ(status_of(decode_volume_create(encode(VolumeCreate{1, 1024, 4096}))), Status::invalid);
  EXPECT_EQ(status_of(decode_volume_create(encode(VolumeCreate{1, 4096, 512}))), Status::invalid);
  EXPECT_EQ(status_of(decode_volume_size(encode(VolumeSize{1, 100}))), Status::invalid);
}

TEST(ControlRecords, names_of_marks_are_bounded) {
  EXPECT_TRUE(decode_mark(encode(Mark{std::string(255, 'x')})));
  EXPECT_EQ(status_of(decode_mark(test::pattern(256))), Status::invalid);
  EXPECT_EQ(status_of(decode_mark({})), Status::invalid);
}

}  // namespace
}  // namespace mars::format
