#include "front/nbd/nbd_protocol.h"

#include <gtest/gtest.h>

namespace mars::nbd {
namespace {

Bytes bytes(std::initializer_list<int> values) {
  Bytes result;
  for (int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

struct Case {
  const char* what;
  Command command;
  uint16_t flags;
  uint64_t offset;
  uint32_t length;
  Errno verdict;
};

constexpr uint32_t mib = 1u << 20;

Shape full_shape() {
  xio::Info info;
  info.bytes = 64 * mib;
  info.block_bytes = 512;
  info.discard = info.write_zeroes = xio::Support::emulated;
  return shape_of(info, false);
}

constexpr Case cases[] = {
    {"read", Command::read, 0, 0, 4096, Errno::none},
    {"longest read", Command::read, 0, 0, 32 * mib, Errno::none},
    {"too long read", Command::read, 0, 0, 32 * mib + 512, Errno::invalid},
    {"last block", Command::read, 0, 64 * mib - 512, 512, Errno::none},
    {"read beyond the end", Command::read, 0, 64 * mib - 512, 1024, Errno::invalid},
    {"read far beyond the end", Command::read, 0, UINT64_MAX - 511, 512, Errno::invalid},
    {"empty read", Command::read, 0, 0, 0, Errno::invalid},
    {"unaligned offset", Command::read, 0, 1, 512, Errno::invalid},
    {"unaligned length", Command::read, 0, 0, 513, Errno::invalid},
    {"read in one chunk", Command::read, command_df, 0, mib, Errno::none},
    {"too long for one chunk", Command::read, command_df, 0, 2 * mib, Errno::overflow},
    {"write", Command::write, 0, 0, 512, Errno::none},
    {"write with FUA", Command::write, command_fua, 0, 512, Errno::none},
    {"write beyond the end", Command::write, 0, 64 * mib, 512, Errno::no_space},
    {"write with an unknown flag", Command::write, 1 << 9, 0, 512, Errno::invalid},
    {"write with a read's flag", Command::write, command_df, 0, 512, Errno::invalid},
    {"flush", Command::flush, 0, 0, 0, Errno::none},
    {"flush of a range", Command::flush, 0, 0, 512, Errno::invalid},
    {"trim", Command::trim, command_fua, 0, 64 * mib, Errno::none},
    {"zeroes", Command::write_zeroes, command_fua | command_no_hole, 0, 64 * mib, Errno::none},
    {"zeroes beyond the end", Command::write_zeroes, 0, 512, 64 * mib, Errno::no_space},
    {"fast zeroes where they are slow", Command::write_zeroes, command_fast_zero, 0, 512, Errno::not_supported},
    {"cache", static_cast<Command>(5), 0, 0, 512, Errno::invalid},
    {"block status", static_cast<Command>(7), 0, 0, 512, Errno::invalid},
    {"unknown command", static_cast<Command>(999), 0, 0, 512, Errno::invalid},
};

TEST(judge, cases) {
  for (const Case& one : cases) {
    const Request request{one.flags, static_cast<uint16_t>(one.command), 1, one.offset, one.length};
    EXPECT_EQ(judge(request, full_shape(), true, mib), one.verdict) << one.what;
  }
}

TEST(judge, df_needs_structured_replies) {
  const Request request{command_df, 0, 1, 0, 512};
  EXPECT_EQ(judge(request, full_shape(), false, mib), Errno::invalid);
}

TEST(judge, fast_zeroes_where_they_are_native) {
  Shape shape = full_shape();
  shape.is_fast_zero_native = true;
  const Request request{command_fast_zero, static_cast<uint16_t>(Command::write_zeroes), 1, 0, 512};
  EXPECT_EQ(judge(request, shape, true, mib), Errno::none);
}

TEST(judge, a_read_only_export_permits_no_change) {
  xio::Info info;
  info.bytes = mib;
  info.discard = info.write_zeroes = xio::Support::native;
  const Shape shape = shape_of(info, true);
  EXPECT_TRUE(shape.flags & read_only);
  for (const Command command : {Command::write, Command::trim, Command::write_zeroes}) {
    EXPECT_EQ(judge({0, static_cast<uint16_t>(command), 1, 0, 512}, shape, true, mib), Errno::perm);
  }
  EXPECT_EQ(judge({0, static_cast<uint16_t>(Command::read), 1, 0, 512}, shape, true, mib), Errno::none);
}

TEST(judge, what_nobody_pays_for_is_neither_offered_nor_done) {
  xio::Info info;
  info.bytes = mib;
  info.flush = info.fua = xio::Support::none;
  const Shape shape = shape_of(info, false);
  EXPECT_EQ(shape.flags, has_flags | can_multi_conn);
  EXPECT_EQ(judge({command_fua, 1, 1, 0, 512}, shape, true, mib), Errno::invalid);
  EXPECT_EQ(judge({0, static_cast<uint16_t>(Command::trim), 1, 0, 512}, shape, true, mib), Errno::invalid);
  EXPECT_EQ(judge({0, static_cast<uint16_t>(Command::flush), 1, 0, 0}, shape, true, mib), Errno::invalid);
}

TEST(decoders, every_truncation_is_refused) {
  const Bytes go = bytes({0, 0, 0, 2, 'a', 'b', 0, 1, 0, 3});
  auto request = decode_info_request(go);
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->name, "ab");
  EXPECT_EQ(request->infos, std::vector<uint16_t>{3});
  for (size_t size = 0; size < go.size(); ++size) {
    EXPECT_FALSE(decode_info_request(ByteView(go).first(size)).has_value()) << size;
  }
  Bytes longer = go;
  longer.push_back({});
  EXPECT_FALSE(decode_info_request(longer).has_value());
}

TEST(decoders, a_name_that_claims_too_much_is_refused) {
  EXPECT_FALSE(decode_info_request(bytes({255, 255, 255, 255, 'a', 0, 0})).has_value());
  EXPECT_FALSE(decode_info_request(bytes({0, 0, 0, 3, 'a', 0, 0})).has_value());
}

TEST(decoders, wrong_magic_is_no_request) {
  Bytes header(request_header_bytes);
  EXPECT_FALSE(decode_request(header).has_value());
  EXPECT_FALSE(decode_option_header(header).has_value());
}

TEST(decoders, a_request_is_read_big_endian) {
  const Bytes header =
      bytes({0x25, 0x60, 0x95, 0x13, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0});
  const auto request = decode_request(header);
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->flags, command_fua);
  EXPECT_TRUE(request->is(Command::write));
  EXPECT_EQ(request->cookie, 0x0102030405060708u);
  EXPECT_EQ(request->offset, 4096u);
  EXPECT_EQ(request->length, 512u);
}

TEST(encoders, replies_have_their_golden_bytes) {
  Bytes reply(reply_head_bytes_max);
  reply.resize(put_simple_reply(reply, Errno::io, 7));
  EXPECT_EQ(reply, bytes({0x67, 0x44, 0x66, 0x98, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7}));
  reply.resize(reply_head_bytes_max);
  reply.resize(put_data_chunk(reply, 7, true, 512, 3));
  EXPECT_EQ(reply,
            bytes({0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 2, 0}));
  reply.resize(reply_head_bytes_max);
  reply.resize(put_error_chunk(reply, 7, false, 512, Errno::io));
  EXPECT_EQ(reply, bytes({0x66, 0x8e, 0x33, 0xef, 0, 0, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0,
                          0,    0,    14,   0,    0, 0, 5,    0, 0, 0, 0, 0, 0, 0, 0, 2, 0}));
}

}  // namespace
}  // namespace mars::nbd
