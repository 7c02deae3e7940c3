#include "net/outbox.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"

namespace mars::net {
namespace {

using format::FrameType;

class OutboxTest : public ::testing::Test {
 protected:
  // What the next burst puts on the wire: "type channel:payload length" per frame.
  std::string next() {
    drained.clear();
    const Outbox::Burst& burst = outbox.take(drained);
    Bytes wire;
    for (const io::Buffer& buffer : burst.buffers) wire.insert(wire.end(), buffer.data, buffer.data + buffer.bytes);
    EXPECT_EQ(wire.size(), burst.bytes);
    std::string text;
    for (size_t at = 0; at < wire.size();) {
      auto header = format::decode_frame_header(ByteView(wire).subspan(at));
      EXPECT_TRUE(header.has_value());
      if (!header) break;
      text += std::string(text.empty() ? "" : " ") + std::string(name(header->type)) + std::to_string(header->channel) +
              ":" + std::to_string(header->length);
      at += format::frame_header_bytes + header->length;
    }
    return text;
  }

  std::vector<uint32_t> drained;
  Outbox outbox{1};
  Outbox::Lane one{1}, two{2}, three{3};
};

TEST_F(OutboxTest, empty_outbox_gives_an_empty_burst) {
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(next(), "");
}

TEST_F(OutboxTest, control_goes_before_messages) {
  outbox.add_message(one, Bytes(10));
  outbox.add_control(FrameType::ping, 0, Bytes(8));
  EXPECT_EQ(next(), "ping0:8 data1:14");
  EXPECT_EQ(drained, std::vector<uint32_t>{1});
  EXPECT_TRUE(outbox.empty());
}

TEST_F(OutboxTest, small_messages_overtake_bulky_ones) {
  outbox.add_message(one, Bytes(100'000));
  outbox.add_message(two, Bytes(10));
  EXPECT_EQ(next(), "data2:14 data1:100004");
}

TEST_F(OutboxTest, channels_are_opened_in_the_order_of_their_numbers) {
  outbox.add(one, FrameType::open, Bytes(8000));
  outbox.add(two, FrameType::open, Bytes(10));
  EXPECT_EQ(next(), "open1:8000 open2:10");
}

TEST_F(OutboxTest, bulky_lanes_take_turns_by_fragments) {
  outbox.add_message(one, Bytes(600'000));
  outbox.add_message(two, Bytes(300'000));
  EXPECT_EQ(next(), "data1:262144");
  EXPECT_EQ(next(), "data2:262144");
  EXPECT_EQ(next(), "data1:262144");
  EXPECT_EQ(next(), "data2:37860 data1:75716");
  EXPECT_TRUE(outbox.empty());
}

TEST_F(OutboxTest, a_bulky_lane_is_not_starved_by_small_ones) {
  outbox.add_message(one, Bytes(600'000));
  for (int i = 0; i < 200; ++i) outbox.add_message(two, Bytes(4000));
  int bursts_without = 0;
  while (next().find("data1") == std::string::npos) ++bursts_without;
  EXPECT_LE(bursts_without, 1);
}

TEST_F(OutboxTest, order_within_a_lane_is_kept) {
  outbox.add(one, FrameType::open, Bytes(8));
  outbox.add_message(one, Bytes(5));
  outbox.add_message(one, {});
  outbox.add(one, FrameType::close, Bytes(4));
  EXPECT_EQ(next(), "open1:8 data1:9 data1:4 close1:4");
}

TEST_F(OutboxTest, cut_leaves_the_message_that_has_begun) {
  outbox.add_message(one, Bytes(300'000));
  outbox.add_message(one, Bytes(5));
  outbox.add_message(two, Bytes(5'000));
  EXPECT_EQ(next(), "data1:262144");
  outbox.cut(one);
  outbox.cut(two);
  outbox.add(one, FrameType::close, Bytes(4));
  EXPECT_EQ(next(), "data1:37860 close1:4");
}

TEST_F(OutboxTest, messages_count_until_they_have_gone_whole) {
  outbox.add(one, FrameType::open, Bytes(8));
  outbox.add_message(one, Bytes(300'000));
  outbox.add_message(one, Bytes(5));
  outbox.add_message(two, Bytes(5));
  EXPECT_EQ(outbox.message_bytes(), message_cost(300'000) + 2 * message_cost(5));
  EXPECT_EQ(next(), "open1:8 data2:9 data1:262144");
  EXPECT_EQ(outbox.message_bytes(), message_cost(300'000) + message_cost(5));
  outbox.cut(one);
  EXPECT_EQ(outbox.message_bytes(), message_cost(300'000));
  EXPECT_EQ(next(), "data1:37860");
  EXPECT_EQ(outbox.message_bytes(), 0u);
}

TEST_F(OutboxTest, dropped_lane_sends_nothing) {
  outbox.add_message(one, Bytes(5));
  outbox.drop(one);
  EXPECT_TRUE(outbox.empty());
}

}  // namespace
}  // namespace mars::net
