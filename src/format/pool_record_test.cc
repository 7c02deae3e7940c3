#include "format/pool_record.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"
#include "format/seal.h"

namespace mars::format {
namespace {

using test::hex;
using test::uuid_of;

PoolHeader some_header() { return {uuid_of(0xb1), uuid_of(0xb0), 4096, 1000, 100}; }

PoolRecord some_record() {
  PoolRecord record;
  record.pool_id = uuid_of(0xb1);
  record.boot_id = uuid_of(0xb0);
  record.resource = uuid_of(0x4e);
  record.epoch = uuid_of(0xe9);
  record.sequence = 42;
  record.fua = true;
  record.volume = 1;
  record.offset = 8192;
  record.length = 4096;
  record.first_page = 3;
  record.payload_bytes = 4096;
  record.payload_hash = {5, 6};
  return record;
}

struct alignas(8) Slot {
  std::array<std::byte, pool_record_bytes> bytes{};
};

Slot some_slot() {
  Slot slot;
  store_pool_record(slot.bytes, some_record());
  return slot;
}

Status header_status_after(size_t at, int value) {
  auto bytes = encode_pool_header(some_header());
  bytes[at] = static_cast<std::byte>(value);
  seal(bytes);
  return status_of(decode_pool_header(bytes));
}

Status record_status_after(size_t at, int value) {
  Slot slot = some_slot();
  slot.bytes[at] = static_cast<std::byte>(value);
  seal(slot.bytes);
  return status_of(load_pool_record(slot.bytes));
}

TEST(PoolHeader, golden_bytes) {
  EXPECT_EQ(hex(encode_pool_header(some_header())),
            "4d415253504f4c31010000000000000078f71b9b6112938f1b371023ec357e37\n"
            "b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0\n"
            "00100000e8030000640000000000000000000000000000000000000000000000\n"
            "*125\n");
}

TEST(PoolHeader, is_read_back_and_lays_out_the_file) {
  EXPECT_EQ(decode_pool_header(encode_pool_header(some_header())), some_header());
  EXPECT_EQ(pool_record_offset(some_header(), 0), 4096u);
  EXPECT_EQ(pool_record_offset(some_header(), 1), 4096u + 192);
  EXPECT_EQ(pool_page_offset(some_header(), 0), 4096u + 5 * 4096);  // 100 records of 192 bytes take five pages
  EXPECT_EQ(pool_file_bytes(some_header()), 4096u + 5 * 4096 + 1000 * 4096);
}

TEST(PoolHeader, every_bit_flip_and_every_truncation_is_detected) {
  auto bytes = encode_pool_header(some_header());
  auto is_accepted = [](ByteView view) { return decode_pool_header(view).has_value(); };
  test::every_bit_flip_is_detected({bytes.begin(), bytes.end()}, is_accepted);
  test::every_truncation_is_detected(bytes, is_accepted);
}

TEST(PoolHeader, damage_nonsense_and_newer_versions_are_told_apart) {
  EXPECT_EQ(header_status_after(8, 2), Status::unsupported);
  EXPECT_EQ(header_status_after(0, 'x'), Status::invalid);
  EXPECT_EQ(header_status_after(10, 1), Status::invalid);
  EXPECT_EQ(header_status_after(65, 0), Status::invalid);    // page bytes
  EXPECT_EQ(header_status_after(4095, 1), Status::invalid);  // reserved
}

TEST(PoolRecord, golden_bytes) {
  EXPECT_EQ(hex(some_slot().bytes),
            "4d415253505243310100010101000000433377a0fd855aad7975a12661b772be\n"
            "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1\n"
            "4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4ee9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9\n"
            "2a00000000000000002000000000000000100000000000000300000000100000\n"
            "0500000000000000060000000000000000000000000000000000000000000000\n"
            "*1\n");
}

TEST(PoolRecord, is_read_back) {
  EXPECT_EQ(load_pool_record(some_slot().bytes), some_record());
  PoolRecord discard = some_record();
  discard.op = RecordOp::discard;
  discard.length = UINT64_MAX - discard.offset;
  discard.first_page = 0;
  discard.payload_bytes = 0;
  discard.payload_hash = {};
  Slot slot;
  store_pool_record(slot.bytes, discard);
  EXPECT_EQ(load_pool_record(slot.bytes), discard);
}

TEST(PoolRecord, a_slot_is_free_until_stored_and_after_clearing) {
  Slot slot;
  EXPECT_EQ(status_of(load_pool_record(slot.bytes)), Status::not_found);
  slot = some_slot();
  clear_pool_record(slot.bytes);
  EXPECT_EQ(status_of(load_pool_record(slot.bytes)), Status::not_found);
  store_pool_record(slot.bytes, some_record());
  EXPECT_EQ(load_pool_record(slot.bytes), some_record());
}

TEST(PoolRecord, every_bit_flip_is_detected) {
  Slot slot = some_slot();
  auto is_accepted = [](const std::vector<std::byte>& bytes) {
    return load_pool_record(std::span<const std::byte, pool_record_bytes>(bytes)).has_value();
  };
  test::every_bit_flip_is_detected({slot.bytes.begin(), slot.bytes.end()}, is_accepted);
}

TEST(PoolRecord, damage_nonsense_and_newer_versions_are_told_apart) {
  Slot slot = some_slot();
  slot.bytes[100] ^= std::byte{1};
  EXPECT_EQ(status_of(load_pool_record(slot.bytes)), Status::damaged);
  EXPECT_EQ(record_status_after(8, 2), Status::unsupported);
  EXPECT_EQ(record_status_after(10, 4), Status::unsupported);  // a control record
  EXPECT_EQ(record_status_after(11, 2), Status::invalid);      // flags
  EXPECT_EQ(record_status_after(0, 'x'), Status::invalid);
  EXPECT_EQ(record_status_after(191, 1), Status::invalid);  // reserved
  EXPECT_EQ(record_status_after(124, 1), Status::invalid);  // payload is not the length
}

TEST(PoolRecord, must_lie_inside_its_pool) {
  EXPECT_TRUE(fits_pool(some_record(), some_header()));
  PoolRecord record = some_record();
  record.first_page = 999;
  EXPECT_TRUE(fits_pool(record, some_header()));
  record.first_page = 1000;
  EXPECT_FALSE(fits_pool(record, some_header()));
  record = some_record();
  record.boot_id = uuid_of(1);
  EXPECT_FALSE(fits_pool(record, some_header()));
}

}  // namespace
}  // namespace mars::format
