#include "format/registers.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"

namespace mars::format {
namespace {

using test::hex;
using test::pattern;
using test::uuid_of;

Register some_register(std::string key = "designated") {
  Register value;
  value.scope = "resource/mydata";
  value.key = std::move(key);
  value.value = pattern(5);
  value.version = 3;
  value.stamp = {1'000'000'001, 2};
  value.writer = {uuid_of(0x40), {7}};
  value.sequence = 9;
  return value;
}

Delta some_delta() {
  Delta delta;
  delta.claimed = {{{uuid_of(0x40), {7}}, 9}, {{uuid_of(0x41), {1}}, 2}};
  Register deleted = some_register("old");
  deleted.value.clear();
  deleted.tombstone = true;
  delta.registers = {some_register(), deleted};
  return delta;
}

TEST(Register, golden_bytes) {
  EXPECT_EQ(hex(*encode_register(some_register())),
            "5e000000000f0a00030000000000000001ca9a3b000000000200000040404040\n"
            "4040404040404040404040400700000000000000090000000000000005000000\n"
            "7265736f757263652f6d796461746164657369676e61746564010e1b2835\n");
}

TEST(Register, is_read_back) {
  auto bytes = encode_register(some_register());
  EXPECT_EQ(bytes->size(), encoded_bytes(some_register()));
  EXPECT_EQ(decode_register(*bytes), some_register());
}

TEST(Register, every_truncation_and_every_extension_is_detected) {
  auto bytes = *encode_register(some_register());
  test::every_truncation_is_detected(bytes, [](ByteView cut) { return decode_register(cut).has_value(); });
  bytes.push_back(std::byte{0});
  EXPECT_EQ(status_of(decode_register(bytes)), Status::invalid);
}

TEST(Register, bounds_hold_both_ways) {
  auto longest = some_register(std::string(255, 'k'));
  longest.scope = std::string(255, 's');
  longest.value = pattern(64 * 1024);
  EXPECT_EQ(decode_register(*encode_register(longest)), longest);
  EXPECT_EQ(status_of(encode_register(some_register(""))), Status::invalid);
  EXPECT_EQ(status_of(encode_register(some_register(std::string(256, 'k')))), Status::invalid);
  longest.value.push_back(std::byte{1});
  EXPECT_EQ(status_of(encode_register(longest)), Status::invalid);
  auto tombstone = some_register();
  tombstone.tombstone = true;
  EXPECT_EQ(status_of(encode_register(tombstone)), Status::invalid);
}

TEST(Register, wishes_are_ordered_by_version_then_stamp_then_writer) {
  Register a = some_register();
  Register b = a;
  EXPECT_FALSE(wish_replaces(b, a));
  b.writer.host = uuid_of(0x41);
  EXPECT_TRUE(wish_replaces(b, a));
  b.stamp = {};
  EXPECT_FALSE(wish_replaces(b, a));
  b.version = 4;  // a clock in the past does not matter
  EXPECT_TRUE(wish_replaces(b, a));
}

TEST(Register, facts_are_ordered_by_incarnation_then_sequence) {
  Register a = some_register();
  Register b = a;
  b.sequence = 10;
  EXPECT_TRUE(fact_replaces(b, a));
  b.writer.incarnation = {6};
  EXPECT_FALSE(fact_replaces(b, a));
}

TEST(Delta, golden_bytes) {
  EXPECT_EQ(hex(*encode_delta(some_delta())),
            "4d415253444c5431010000000200000002000000404040404040404040404040\n"
            "4040404007000000000000000900000000000000414141414141414141414141\n"
            "41414141010000000000000002000000000000005e000000000f0a0003000000\n"
            "0000000001ca9a3b000000000200000040404040404040404040404040404040\n"
            "07000000000000000900000000000000050000007265736f757263652f6d7964\n"
            "61746164657369676e61746564010e1b283552000000010f0300030000000000\n"
            "000001ca9a3b0000000002000000404040404040404040404040404040400700\n"
            "0000000000000900000000000000000000007265736f757263652f6d79646174\n"
            "616f6c64\n");
}

TEST(Delta, is_read_back) {
  EXPECT_EQ(decode_delta(*encode_delta(some_delta())), some_delta());
  EXPECT_EQ(decode_delta(*encode_delta(Delta{})), Delta{});
}

TEST(Delta, order_of_insertion_does_not_show) {
  Delta other = some_delta();
  std::swap(other.registers[0], other.registers[1]);
  std::swap(other.claimed[0], other.claimed[1]);
  EXPECT_EQ(*encode_delta(other), *encode_delta(some_delta()));
}

TEST(Delta, every_truncation_and_every_extension_is_detected) {
  auto bytes = *encode_delta(some_delta());
  test::every_truncation_is_detected(bytes, [](ByteView cut) { return decode_delta(cut).has_value(); });
  bytes.push_back(std::byte{0});
  EXPECT_EQ(status_of(decode_delta(bytes)), Status::invalid);
}

TEST(Delta, twice_the_same_key_or_writer_is_refused) {
  Delta delta = some_delta();
  delta.registers.push_back(some_register());
  EXPECT_EQ(status_of(encode_delta(delta)), Status::invalid);
  delta = some_delta();
  delta.claimed.push_back(delta.claimed[0]);
  EXPECT_EQ(status_of(encode_delta(delta)), Status::invalid);
}

TEST(Delta, is_bounded) {
  Delta delta;
  for (int i = 0; i < 16; ++i) {
    delta.registers.push_back(some_register(std::to_string(i)));
    delta.registers.back().value = pattern(64 * 1024);
  }
  EXPECT_EQ(status_of(encode_delta(delta)), Status::no_space);
  delta.registers.pop_back();
  EXPECT_EQ(decode_delta(*encode_delta(delta))->registers.size(), 15u);
  EXPECT_EQ(status_of(decode_delta(pattern(delta_bytes_max + 1))), Status::invalid);
}

TEST(Delta, a_malformed_one_is_refused) {
  auto status_after = [](size_t at, int value) {
    auto bytes = *encode_delta(some_delta());
    bytes[at] = static_cast<std::byte>(value);
    return status_of(decode_delta(bytes));
  };
  EXPECT_EQ(status_after(0, 'x'), Status::invalid);
  EXPECT_EQ(status_after(8, 2), Status::unsupported);
  EXPECT_EQ(status_after(10, 1), Status::invalid);     // reserved
  EXPECT_EQ(status_after(15, 0xff), Status::invalid);  // number of writers
  EXPECT_EQ(status_after(19, 0xff), Status::invalid);  // number of registers
  EXPECT_EQ(status_after(20, 0x42), Status::invalid);  // order of the vector
  EXPECT_EQ(status_after(87, 0xff), Status::invalid);  // length of the first register
  EXPECT_EQ(status_after(88, 2), Status::invalid);     // its flags
}

}  // namespace
}  // namespace mars::format
