#include "bricks/remote_messages.h"

#include <gtest/gtest.h>

#include <functional>

namespace mars::bricks {
namespace {

using Bytes = std::vector<std::byte>;
using xio::Op;

const Bytes payload(4096, std::byte{7});

RemoteWelcome a_welcome() {
  RemoteWelcome welcome;
  welcome.info = {.bytes = 1 << 30, .block_bytes = 512, .atomic_bytes = 512, .bytes_max = 1 << 19, .rotational = true};
  welcome.info.write_zeroes = xio::Support::emulated;
  welcome.in_flight_max = 64;
  return welcome;
}

RemoteRequest a_write() {
  return {.id = 9, .op = Op::write, .fua = true, .offset = 8192, .bytes = 4096, .data = payload};
}

bool is_taken(const RemoteRequest& request) { return decode_remote_request(encode(request)).has_value(); }

TEST(RemoteMessagesTest, each_comes_back_as_it_went) {
  EXPECT_EQ(decode_remote_hello(encode(RemoteHello{1, 7})).value(), (RemoteHello{1, 7}));
  EXPECT_EQ(decode_remote_welcome(encode(a_welcome())).value(), a_welcome());
  const Bytes write = encode(a_write());
  const RemoteRequest request = decode_remote_request(write).value();
  EXPECT_EQ(request.id, 9u);
  EXPECT_EQ(request.op, Op::write);
  EXPECT_TRUE(request.fua);
  EXPECT_FALSE(request.digest_only);
  EXPECT_EQ(request.offset, 8192u);
  EXPECT_TRUE(std::ranges::equal(request.data, payload));
  const Bytes read = encode(RemoteAnswer{5, Status::ok, payload});
  const RemoteAnswer answer = decode_remote_answer(read).value();
  EXPECT_EQ(answer.id, 5u);
  EXPECT_TRUE(std::ranges::equal(answer.data, payload));
}

TEST(RemoteMessagesTest, the_bytes_are_those_of_the_page) {
  const RemoteRequest digest{.id = 1, .op = Op::read, .digest_only = true, .offset = 65536, .bytes = 65536};
  std::string text;
  for (const std::byte byte : encode(digest)) {
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) & 15];
  }
  EXPECT_EQ(text, "4d58494f01000300010000000000000000000100000000000000010000020000");
}

template <class T>
void refuses_every_truncation(const Bytes& whole, Result<T> (*decode)(ByteView)) {
  ASSERT_TRUE(decode(whole).has_value());
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(decode(ByteView(whole).first(size))) << size;
  Bytes longer = whole;
  longer.push_back({});
  EXPECT_FALSE(decode(longer));
}

TEST(RemoteMessagesTest, truncated_or_too_long_is_invalid) {
  refuses_every_truncation(encode(RemoteHello{}), &decode_remote_hello);
  refuses_every_truncation(encode(a_welcome()), &decode_remote_welcome);
  refuses_every_truncation(encode(a_write()), &decode_remote_request);
  refuses_every_truncation(encode(RemoteAnswer{5, Status::ok, payload}), &decode_remote_answer);
}

TEST(RemoteMessagesTest, an_unknown_version_is_named) {
  Bytes bytes = encode(a_write());
  bytes[4] = std::byte{9};
  const Error error = decode_remote_request(bytes).error();
  EXPECT_EQ(error.status, Status::unsupported);
  EXPECT_NE(error.text.find("version 9"), std::string::npos);
  EXPECT_EQ(agreed_version({1, 5}).value(), 1);
  EXPECT_EQ(status_of(agreed_version({2, 5})), Status::unsupported);
  EXPECT_FALSE(decode_remote_hello(encode(RemoteHello{3, 2})));
}

TEST(RemoteMessagesTest, a_request_that_cannot_be_is_invalid) {
  const auto broken = [](const std::function<void(RemoteRequest&)>& change) {
    RemoteRequest request{.id = 1, .op = Op::read, .offset = 4096, .bytes = 4096};
    change(request);
    return !is_taken(request);
  };
  EXPECT_FALSE(broken([](RemoteRequest&) {}));
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.bytes = 0; }));
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.bytes = remote_data_bytes_max + 1; }));
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.offset = UINT64_MAX - 100; }));
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.fua = true; })) << "a read";
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.data = payload; })) << "a read with data";
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.op = Op::write; })) << "without data";
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.op = Op::flush; })) << "of a range";
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.op = static_cast<Op>(5); }));
  EXPECT_TRUE(broken([](RemoteRequest& r) { r.priority = static_cast<xio::Priority>(2); }));
  EXPECT_FALSE(broken([](RemoteRequest& r) { r.op = Op::discard, r.bytes = 1 << 31; })) << "ranges may be long";
}

TEST(RemoteMessagesTest, a_device_that_cannot_be_is_invalid) {
  const auto broken = [](const std::function<void(RemoteWelcome&)>& change) {
    RemoteWelcome welcome = a_welcome();
    change(welcome);
    return !decode_remote_welcome(encode(welcome));
  };
  EXPECT_FALSE(broken([](RemoteWelcome&) {}));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.info.block_bytes = 0; }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.info.block_bytes = 513; }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.info.bytes_max = 0; }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.info.bytes_max = 2 * remote_data_bytes_max; }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.info.atomic_bytes = 0; }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.info.flush = static_cast<xio::Support>(3); }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.in_flight_max = 0; }));
  EXPECT_TRUE(broken([](RemoteWelcome& w) { w.in_flight_max = remote_in_flight_max + 1; }));
}

TEST(RemoteMessagesTest, an_answer_that_cannot_be_is_invalid) {
  EXPECT_FALSE(decode_remote_answer(encode(RemoteAnswer{1, static_cast<Status>(17), {}})));
  EXPECT_FALSE(decode_remote_answer(encode(RemoteAnswer{1, Status::io_error, payload})));
  EXPECT_TRUE(decode_remote_answer(encode(RemoteAnswer{1, Status::stopped, {}})));
}

TEST(RemoteMessagesTest, any_wrong_byte_of_a_head_is_refused_or_means_something_else) {
  const Bytes whole = encode(a_write());
  for (size_t at = 0; at < 8; ++at) {
    Bytes bytes = whole;
    bytes[at] ^= std::byte{0x10};
    EXPECT_FALSE(decode_remote_request(bytes)) << at;
  }
  Bytes bytes = whole;
  bytes[remote_request_head_bytes - 1] = std::byte{1};
  EXPECT_FALSE(decode_remote_request(bytes)) << "reserved";
}

}  // namespace
}  // namespace mars::bricks
