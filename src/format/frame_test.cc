#include "format/frame.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"

namespace mars::format {
namespace {

using test::hex;
using test::uuid_of;

FrameHeader some_frame() { return {1, FrameType::data, 0, 5, 2 << 20}; }

Hello some_hello() { return {1, 1, PeerRole::host, uuid_of(0xc1), uuid_of(0x40), {3}, "alpha"}; }

Status status_after(size_t at, int value) {
  auto bytes = encode_frame_header(some_frame());
  bytes[at] = static_cast<std::byte>(value);
  return status_of(decode_frame_header(bytes));
}

TEST(Frame, golden_bytes) {
  EXPECT_EQ(hex(encode_frame_header(some_frame())), "4d415246010006000500000000002000\n");
  EXPECT_EQ(hex(encode(some_hello())),
            "0100010001050000c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c14040404040404040\n"
            "404040404040404003000000000000000000000000000000616c706861\n");
  EXPECT_EQ(hex(encode(Farewell{Status::refused, "not a member"})), "0a000c006e6f742061206d656d626572\n");
}

TEST(Frame, header_is_read_back) { EXPECT_EQ(decode_frame_header(encode_frame_header(some_frame())), some_frame()); }

TEST(Frame, a_malformed_header_is_refused) {
  EXPECT_EQ(status_after(0, 'x'), Status::invalid);
  EXPECT_EQ(status_after(4, 2), Status::unsupported);  // version
  EXPECT_EQ(status_after(6, 0), Status::unsupported);  // type
  EXPECT_EQ(status_after(6, 9), Status::unsupported);
  EXPECT_EQ(status_after(7, 1), Status::invalid);   // flags
  EXPECT_EQ(status_after(12, 1), Status::invalid);  // one byte more than 2 MiB
  EXPECT_EQ(status_after(15, 0xff), Status::invalid);
  EXPECT_EQ(status_after(6, 1), Status::invalid);  // a hello of 2 MiB
  auto bytes = encode_frame_header(some_frame());
  test::every_truncation_is_detected(bytes, [](ByteView cut) { return decode_frame_header(cut).has_value(); });
}

TEST(Frame, a_session_takes_frames_of_its_version_only) {
  FrameHeader header = some_frame();
  header.version = 2;
  EXPECT_EQ(status_of(decode_frame_header(encode_frame_header(header), 1)), Status::unsupported);
  EXPECT_TRUE(decode_frame_header(encode_frame_header(header), 2));
  FrameHeader refusal{1, FrameType::refusal, 0, 0, 4};
  EXPECT_TRUE(decode_frame_header(encode_frame_header(refusal), 2));
}

TEST(Hello, is_read_back) {
  EXPECT_EQ(decode_hello(encode(some_hello())), some_hello());
  Hello longest = some_hello();
  longest.host_name = std::string(host_name_max, 'h');
  EXPECT_EQ(decode_hello(encode(longest)), longest);
}

TEST(Hello, every_truncation_is_detected) {
  test::every_truncation_is_detected(encode(some_hello()), [](ByteView cut) { return decode_hello(cut).has_value(); });
}

TEST(Hello, a_newer_peer_may_append) {
  auto bytes = encode(some_hello());
  bytes.push_back(std::byte{1});
  EXPECT_EQ(status_of(decode_hello(bytes)), Status::invalid);
  bytes[2] = std::byte{2};
  auto hello = decode_hello(bytes);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->version_max, 2);
}

TEST(Hello, a_malformed_one_is_refused) {
  auto status_after = [](size_t at, int value) {
    auto bytes = encode(some_hello());
    bytes[at] = static_cast<std::byte>(value);
    return status_of(decode_hello(bytes));
  };
  EXPECT_EQ(status_after(0, 0), Status::invalid);  // version 0
  EXPECT_EQ(status_after(0, 2), Status::invalid);  // min > max
  EXPECT_EQ(status_after(4, 0), Status::invalid);  // role
  EXPECT_EQ(status_after(4, 4), Status::invalid);
  EXPECT_EQ(status_after(5, 64), Status::invalid);  // length of the name
  EXPECT_EQ(status_after(6, 1), Status::invalid);   // reserved
  EXPECT_EQ(status_after(48, 1), Status::invalid);  // reserved
}

TEST(Hello, the_highest_common_version_is_agreed) {
  Hello peer = some_hello();
  EXPECT_EQ(agreed_version(peer), 1);
  peer.version_max = 9;
  EXPECT_EQ(agreed_version(peer), wire_version_max);
  peer.version_min = 2;
  auto agreed = agreed_version(peer);
  EXPECT_EQ(status_of(agreed), Status::unsupported);
  EXPECT_EQ(agreed.error().text, "host alpha speaks protocol version 2 to 9, this host 1");
}

TEST(Farewell, is_read_back_and_bounded) {
  Farewell farewell{Status::refused, "not a member"};
  EXPECT_EQ(decode_farewell(encode(farewell)), farewell);
  EXPECT_EQ(decode_farewell(encode(Farewell{Status::gone, std::string(5000, 'x')}))->text.size(), 1024u);
  auto bytes = encode(farewell);
  test::every_truncation_is_detected(bytes, [](ByteView cut) { return decode_farewell(cut).has_value(); });
  bytes[1] = std::byte{0xff};
  EXPECT_EQ(status_of(decode_farewell(bytes)), Status::invalid);
}

}  // namespace
}  // namespace mars::format
