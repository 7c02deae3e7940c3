#include "format/batch.h"

#include <gtest/gtest.h>

#include <functional>

#include "format/control_records.h"
#include "format/hex_test.h"
#include "format/seal.h"

namespace mars::format {
namespace {

using test::hex;
using test::pattern;
using test::uuid_of;

BatchIdentity some_identity() {
  BatchIdentity identity;
  identity.cluster = uuid_of(0xc1);
  identity.resource = uuid_of(0x4e);
  identity.epoch = uuid_of(0xe9);
  identity.epoch_number = 7;
  identity.lsn = {0x10000};
  identity.previous = {0x1111, 0x2222};
  identity.durable = {0xf000};
  identity.admitted = 42;
  identity.time = {1'000'000'001, 3};
  return identity;
}

BatchExpectation expected(const BatchIdentity& identity) {
  return {identity.cluster, identity.resource, identity.epoch, identity.lsn, identity.previous};
}

Record write_of(uint64_t offset, ByteView payload) {
  Record record;
  record.offset = offset;
  record.length = payload.size();
  record.payload_bytes = static_cast<uint32_t>(payload.size());
  record.payload_hash = hash(payload);
  return record;
}

Record range_of(RecordOp op, uint64_t offset, uint64_t length) {
  Record record;
  record.op = op;
  record.offset = offset;
  record.length = length;
  return record;
}

std::vector<std::byte> joined(const BatchComposer& composer) {
  std::vector<std::byte> bytes;
  for (ByteView piece : composer.pieces()) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

// One small write, one discard: fits into 4 KiB.
std::vector<std::byte> small_batch() {
  BatchComposer composer(512);
  auto payload = pattern(20);
  Record record = write_of(1536, payload);
  record.fua = true;
  composer.add(record, payload);
  composer.add(range_of(RecordOp::discard, 1 << 20, 1 << 30), {});
  composer.finish(some_identity());
  return joined(composer);
}

// A batch whose head was changed by `change` and sealed again: malformed, not damaged.
Status status_after(const std::function<void(ByteSpan head)>& change) {
  auto bytes = small_batch();
  ByteSpan head = ByteSpan(bytes).first(load_u32(bytes.data() + 12));
  change(head);
  seal(head);
  return status_of(verify_batch(bytes));
}

Status control_status(RecordOp op, ByteView payload, uint32_t volume = 0, BatchIdentity identity = some_identity()) {
  BatchComposer composer(512);
  composer.add_control(op, volume, payload);
  composer.finish(identity);
  return status_of(verify_batch(joined(composer)));
}

EpochStart start_of(const BatchIdentity& identity) {
  EpochStart start;
  start.id = identity.epoch;
  start.number = identity.epoch_number;
  start.host = uuid_of(0x40);
  start.incarnation = {2};
  start.cause = EpochCause::grant;
  start.parent = uuid_of(0xe8);
  start.parent_end = identity.lsn;
  start.parent_hash = identity.previous;
  start.grant = uuid_of(0x99);
  return start;
}

TEST(Batch, golden_bytes) {
  EXPECT_EQ(hex(small_batch()),
            "4d4152534241543101000000800100003497ec9c5422012bd934ba1d94179399\n"
            "00100000020000000002000000000000c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1\n"
            "4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4ee9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9\n"
            "0700000000000000000001000000000011110000000000002222000000000000\n"
            "00f00000000000002a0000000000000001ca9a3b000000000300000000000000\n"
            "*3\n"
            "0101000000000000000600000000000014000000000000008001000014000000\n"
            "7cca91ef1d98b48073bd031b3ae9844a00000000000000000000000000000000\n"
            "0200000000000000000010000000000000000040000000000000000000000000\n"
            "*1\n"
            "010e1b2835424f5c697683909daab7c4d1deebf8000000000000000000000000\n"
            "*115\n");
}

TEST(Batch, what_was_composed_is_read_back) {
  BatchComposer composer(4096);
  auto small = pattern(512);
  auto large = pattern(3 * 4096, 9);
  auto odd = pattern(5000, 77);
  composer.add(write_of(0, large), large);
  composer.add(write_of(8192, small), small);
  composer.add(range_of(RecordOp::write_zeroes, 4096, 4096), {});
  composer.add(write_of(100'000, odd), odd);
  size_t announced = composer.batch_bytes();
  BatchHeader header = composer.finish(some_identity());
  auto bytes = joined(composer);
  EXPECT_EQ(announced, bytes.size());
  EXPECT_EQ(bytes.size(), 4096u + 3 * 4096 + 2 * 4096);

  auto batch = verify_batch(bytes, expected(some_identity()));
  ASSERT_TRUE(batch) << batch.error().text;
  EXPECT_EQ(batch->header, header);
  EXPECT_EQ(std::vector(composer.records().begin(), composer.records().end()), batch->records);
  EXPECT_TRUE(std::ranges::equal(batch->payload(batch->records[0]), large));
  EXPECT_TRUE(std::ranges::equal(batch->payload(batch->records[1]), small));
  EXPECT_TRUE(std::ranges::equal(batch->payload(batch->records[3]), odd));
  EXPECT_EQ(batch->records[0].payload_offset % 4096, 0u);
  EXPECT_EQ(header.end(), Lsn{0x10000 + bytes.size()});
  EXPECT_EQ(header.tip().hash, header.hash);
}

TEST(Batch, large_payloads_are_borrowed_and_all_pieces_are_whole_blocks) {
  BatchComposer composer(512);
  auto even = pattern(8192);
  auto odd = pattern(4100);
  composer.add(write_of(0, even), even);
  composer.add(write_of(8192, odd), odd);
  composer.finish(some_identity());
  auto pieces = composer.pieces();
  ASSERT_EQ(pieces.size(), 5u);  // head, even, front of odd, end of odd, padding
  EXPECT_EQ(pieces[1].data(), even.data());
  EXPECT_EQ(pieces[2].data(), odd.data());
  for (ByteView piece : pieces) EXPECT_EQ(piece.size() % 512, 0u);
  for (size_t ours : {0u, 3u, 4u}) EXPECT_EQ(reinterpret_cast<uintptr_t>(pieces[ours].data()) % 512, 0u);
  EXPECT_TRUE(verify_batch(joined(composer)));
}

TEST(Batch, small_writes_share_the_head) {
  BatchComposer composer(4096);
  auto payload = pattern(512);
  for (uint64_t i = 0; i < 6; ++i) composer.add(write_of(i * 512, payload), payload);
  EXPECT_EQ(composer.batch_bytes(), 4096u);
  composer.finish(some_identity());
  EXPECT_EQ(composer.pieces().size(), 1u);
  EXPECT_TRUE(verify_batch(joined(composer)));
}

TEST(Batch, a_composer_is_used_again) {
  BatchComposer composer(512);
  auto payload = pattern(10'000);
  composer.add(write_of(0, payload), payload);
  composer.finish(some_identity());
  composer.clear();
  EXPECT_TRUE(composer.empty());
  auto other = pattern(20);
  Record record = write_of(1536, other);
  record.fua = true;
  composer.add(record, other);
  composer.add(range_of(RecordOp::discard, 1 << 20, 1 << 30), {});
  composer.finish(some_identity());
  EXPECT_EQ(joined(composer), small_batch());
}

TEST(Batch, limits_hold) {
  BatchComposer composer(512);
  std::vector<std::byte> mebibyte(1 << 20);
  Record record = write_of(0, mebibyte);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(composer.fits(mebibyte.size()));
    composer.add(record, mebibyte);
  }
  EXPECT_FALSE(composer.fits(1));
  EXPECT_TRUE(composer.fits(0));
  composer.finish(some_identity());
  EXPECT_TRUE(verify_batch(joined(composer)));

  composer.clear();
  while (composer.fits(0)) composer.add(range_of(RecordOp::discard, 0, 512), {});
  EXPECT_EQ(composer.records().size(), batch_records_max);
  composer.finish(some_identity());
  EXPECT_TRUE(verify_batch(joined(composer)));
}

TEST(Batch, unaligned_payloads_cannot_exceed_the_length) {
  BatchComposer composer(4096);
  auto payload = pattern(4097);
  while (composer.fits(payload.size())) composer.add(write_of(0, payload), payload);
  EXPECT_LE(composer.batch_bytes(), batch_bytes_max);
  composer.finish(some_identity());
  EXPECT_LE(composer.pieces().size(), 1024u);  // what one writev takes
  EXPECT_TRUE(verify_batch(joined(composer)));
}

TEST(Batch, every_bit_flip_is_detected) {
  test::every_bit_flip_is_detected(small_batch(), [](ByteView bytes) { return verify_batch(bytes).has_value(); });
}

TEST(Batch, every_truncation_is_detected) {
  auto is_accepted = [](ByteView bytes) { return verify_batch(bytes).has_value(); };
  test::every_truncation_is_detected(small_batch(), is_accepted);
}

TEST(Batch, flips_in_large_payloads_and_their_padding_are_detected) {
  BatchComposer composer(512);
  auto odd = pattern(4100);
  composer.add(write_of(0, odd), odd);
  composer.finish(some_identity());
  auto is_accepted = [](ByteView bytes) { return verify_batch(bytes).has_value(); };
  test::every_bit_flip_is_detected(joined(composer), is_accepted);
}

TEST(Batch, a_damaged_version_is_damage_and_a_newer_one_is_unsupported) {
  auto bytes = small_batch();
  bytes[8] = std::byte{2};
  EXPECT_EQ(status_of(verify_batch(bytes)), Status::damaged);
  EXPECT_EQ(status_after([](ByteSpan head) { head[8] = std::byte{2}; }), Status::unsupported);
  EXPECT_EQ(status_after([](ByteSpan head) { head[10] = std::byte{1}; }), Status::unsupported);    // codec
  EXPECT_EQ(status_after([](ByteSpan head) { head[256] = std::byte{77}; }), Status::unsupported);  // operation
}

TEST(Batch, what_is_whole_but_malformed_is_invalid) {
  auto set = [](size_t at, int value) {
    return status_after([=](ByteSpan head) { head[at] = static_cast<std::byte>(value); });
  };
  EXPECT_EQ(set(0, 'X'), Status::invalid);       // magic
  EXPECT_EQ(set(44, 1), Status::invalid);        // reserved
  EXPECT_EQ(set(255, 1), Status::invalid);       // reserved
  EXPECT_EQ(set(36, 1), Status::invalid);        // record count
  EXPECT_EQ(set(40, 1), Status::invalid);        // alignment
  EXPECT_EQ(set(105, 1), Status::invalid);       // LSN before `durable`
  EXPECT_EQ(set(104, 1), Status::invalid);       // LSN not at 4 KiB
  EXPECT_EQ(set(111, 0x40), Status::invalid);    // LSN beyond 2^62
  EXPECT_EQ(set(143, 0x41), Status::invalid);    // more requests than that
  EXPECT_EQ(set(257, 2), Status::invalid);       // record flags
  EXPECT_EQ(set(258, 1), Status::invalid);       // record reserved
  EXPECT_EQ(set(272, 21), Status::invalid);      // length is not the payload's
  EXPECT_EQ(set(280, 0), Status::invalid);       // payload offset
  EXPECT_EQ(set(284, 19), Status::invalid);      // payload bytes
  EXPECT_EQ(set(320 + 32, 1), Status::invalid);  // hash without payload
}

TEST(Batch, payloads_cannot_overlap_or_leave_the_batch) {
  for (uint32_t offset : {0u, 383u, 400u, 4095u, 4096u, UINT32_MAX}) {
    EXPECT_EQ(status_after([=](ByteSpan head) { store_u32(head.data() + 280, offset); }), Status::invalid) << offset;
  }
}

TEST(Batch, a_batch_of_another_history_is_refused) {
  auto bytes = small_batch();
  auto right = expected(some_identity());
  EXPECT_TRUE(verify_batch(bytes, right));
  auto wrong = right;
  wrong.cluster = uuid_of(1);
  EXPECT_EQ(status_of(verify_batch(bytes, wrong)), Status::invalid);
  wrong = right;
  wrong.resource = uuid_of(1);
  EXPECT_EQ(status_of(verify_batch(bytes, wrong)), Status::invalid);
  wrong = right;
  wrong.epoch = uuid_of(1);
  EXPECT_EQ(status_of(verify_batch(bytes, wrong)), Status::invalid);
  wrong = right;
  wrong.lsn = {0};
  EXPECT_EQ(status_of(verify_batch(bytes, wrong)), Status::invalid);
  wrong = right;
  wrong.previous = Hash128{1, 1};
  EXPECT_EQ(status_of(verify_batch(bytes, wrong)), Status::damaged);
  wrong.previous.reset();
  EXPECT_TRUE(verify_batch(bytes, wrong));
}

TEST(Batch, the_first_block_tells_how_much_to_read) {
  BatchComposer composer(512);
  auto payload = pattern(70'000);
  composer.add(write_of(0, payload), payload);
  BatchHeader header = composer.finish(some_identity());
  auto bytes = joined(composer);
  auto seen = decode_batch_header(ByteView(bytes).first(batch_block_bytes));
  ASSERT_TRUE(seen);
  EXPECT_EQ(*seen, header);
  EXPECT_EQ(status_of(decode_batch_header(ByteView(bytes).first(4095))), Status::invalid);
  for (uint32_t length : {0u, 100u, 4097u, batch_bytes_max + 4096, UINT32_MAX}) {
    store_u32(bytes.data() + 32, length);
    EXPECT_EQ(status_of(decode_batch_header(bytes)), Status::invalid) << length;
  }
}

TEST(Batch, control_records_are_checked_against_the_header) {
  BatchIdentity identity = some_identity();
  EpochStart start = start_of(identity);
  EXPECT_EQ(control_status(RecordOp::epoch, encode(start)), Status::ok);
  auto wrong = start;
  wrong.id = uuid_of(1);
  EXPECT_EQ(control_status(RecordOp::epoch, encode(wrong)), Status::invalid);
  wrong = start;
  wrong.parent_hash = {};
  EXPECT_EQ(control_status(RecordOp::epoch, encode(wrong)), Status::invalid);
  wrong = start;
  wrong.parent_end = {0};
  EXPECT_EQ(control_status(RecordOp::epoch, encode(wrong)), Status::invalid);
  wrong.cause = EpochCause::gap;  // only after a gap may an epoch begin later than its parent ended
  wrong.grant = {};
  EXPECT_EQ(control_status(RecordOp::epoch, encode(wrong)), Status::ok);
}

TEST(Batch, control_records_about_volumes_name_them) {
  EXPECT_EQ(control_status(RecordOp::volume, encode(VolumeCreate{3, 512, 1 << 20}), 3), Status::ok);
  EXPECT_EQ(control_status(RecordOp::volume, encode(VolumeCreate{3, 512, 1 << 20}), 0), Status::invalid);
  EXPECT_EQ(control_status(RecordOp::size, encode(VolumeSize{3, 1 << 20}), 3), Status::ok);
  EXPECT_EQ(control_status(RecordOp::size, encode(VolumeSize{3, 1 << 20}), 4), Status::invalid);
  EXPECT_EQ(control_status(RecordOp::mark, encode(Mark{"a"}), 1), Status::invalid);
}

TEST(Batch, a_release_stands_alone_and_a_mark_at_the_end) {
  auto payload = pattern(16);
  for (RecordOp op : {RecordOp::release, RecordOp::mark, RecordOp::epoch}) {
    auto control = op == RecordOp::release ? encode(Release{uuid_of(1), uuid_of(2), uuid_of(3)})
                   : op == RecordOp::mark  ? encode(Mark{"before the upgrade"})
                                           : encode(start_of(some_identity()));
    EXPECT_EQ(control_status(op, control), Status::ok);
    BatchComposer after(512);
    after.add(write_of(0, payload), payload);
    after.add_control(op, 0, control);
    after.finish(some_identity());
    EXPECT_EQ(verify_batch(joined(after)).has_value(), op == RecordOp::mark);
    BatchComposer before(512);
    before.add_control(op, 0, control);
    before.add(write_of(0, payload), payload);
    before.finish(some_identity());
    EXPECT_EQ(verify_batch(joined(before)).has_value(), op == RecordOp::epoch);
  }
}

}  // namespace
}  // namespace mars::format
