#include "format/state_block.h"

#include <gtest/gtest.h>

#include "format/hex_test.h"
#include "format/seal.h"

namespace mars::format {
namespace {

using test::hex;
using test::pattern;
using test::uuid_of;

BranchEpoch some_epoch() {
  BranchEpoch epoch;
  epoch.id = uuid_of(0xe9);
  epoch.number = 7;
  epoch.parent = uuid_of(0xe8);
  epoch.host = uuid_of(0x40);
  epoch.incarnation = {2};
  epoch.cause = EpochCause::grant;
  epoch.ended = true;
  epoch.first = {0x10000};
  epoch.end = {0x20000};
  epoch.first_previous = {0x11, 0x12};
  epoch.end_hash = {0x13, 0x14};
  epoch.released_to = uuid_of(0x41);
  epoch.grant = uuid_of(0x99);
  return epoch;
}

StateBlock small_block() {
  StateBlock block;
  block.cluster = uuid_of(0xc1);
  block.resource = uuid_of(0x4e);
  block.host = uuid_of(0x40);
  block.sequence = 4;
  block.incarnation = {2};
  block.state = ReplicaState::consistent;
  block.admitted = 42;
  block.applied = {{uuid_of(0xe9), {0x18000}}, {1, 2}};
  block.durable = {{uuid_of(0xe9), {0x20000}}, {3, 4}};
  block.branch = {some_epoch()};
  block.volumes_applied = {{0, 512, 1 << 30}};
  block.volumes_durable = {{0, 512, 1 << 30}};
  return block;
}

StateBlock full_block() {
  StateBlock block = small_block();
  block.boot_id = uuid_of(0xb0);
  block.pool_id = uuid_of(0xb1);
  block.clean = true;
  block.map = {1, {uuid_of(2), {3}}, {4}};
  Tip tip{{uuid_of(5), {6}}, {7, 8}};
  block.sweep = {true, true, uuid_of(1), 2, 3, 4, tip, {uuid_of(6), {9}}, tip, {uuid_of(7), {10}}, {uuid_of(8), {11}}};
  block.gap = {true, 1, uuid_of(9), uuid_of(10), {12}};
  block.gone = pattern(gone_bytes_max);
  block.branch.assign(branch_epochs_max, some_epoch());
  block.volumes_applied.assign(volumes_max, {1, 4096, 1 << 20});
  block.volumes_durable.assign(volumes_max, {2, 4096, 1 << 20});
  DiskIdentity disk{3, DiskKind::block_device, 1 << 30, 4, 5, std::string(disk_text_max, 'w'), {6, 7}};
  block.disks.assign(volumes_max, disk);
  block.fingerprint_extent_bytes = 65536;
  block.fingerprint_extents.assign(fingerprint_extents_max, {1, 65536});
  return block;
}

bool is_accepted(ByteView bytes) { return decode_state_block(bytes).has_value(); }

std::vector<std::byte> state_file(const std::vector<std::byte>& first, const std::vector<std::byte>& second) {
  std::vector<std::byte> file = first;
  file.insert(file.end(), second.begin(), second.end());
  return file;
}

std::vector<std::byte> slot_with_sequence(uint64_t sequence) {
  StateBlock block = small_block();
  block.sequence = sequence;
  return encode_state_block(block);
}

std::vector<std::byte> damaged(std::vector<std::byte> slot) {
  slot[40] ^= std::byte{1};
  return slot;
}

std::vector<std::byte> sealed_with(std::vector<std::byte> slot, size_t at, int value) {
  slot[at] = static_cast<std::byte>(value);
  seal(ByteSpan(slot).first(load_u32(slot.data() + 12)));
  return slot;
}

const std::vector<std::byte> never_written(state_slot_bytes);

TEST(StateBlock, golden_bytes) {
  EXPECT_EQ(hex(encode_state_block(small_block())),
            "4d4152535354413101000000bc020000fcab099daed373c59c57af3fe3b1c59a\n"
            "0400000000000000c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c14e4e4e4e4e4e4e4e\n"
            "4e4e4e4e4e4e4e4e404040404040404040404040404040400200000000000000\n"
            "*1\n"
            "00030000000000002a00000000000000e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9\n"
            "008001000000000001000000000000000200000000000000e9e9e9e9e9e9e9e9\n"
            "e9e9e9e9e9e9e9e9000002000000000003000000000000000400000000000000\n"
            "*8\n"
            "0000000000000000000000000000000000000000000000000100e9e9e9e9e9e9\n"
            "e9e9e9e9e9e9e9e9e9e90700000000000000e8e8e8e8e8e8e8e8e8e8e8e8e8e8\n"
            "e8e8404040404040404040404040404040400200000000000000030100000000\n"
            "0000000001000000000000000200000000001100000000000000120000000000\n"
            "0000130000000000000014000000000000004141414141414141414141414141\n"
            "4141999999999999999999999999999999990100000000000002000000000040\n"
            "0000000001000000000000020000000000400000000000000000000000000000\n"
            "*2026\n");
}

TEST(StateBlock, is_read_back) { EXPECT_EQ(decode_state_block(encode_state_block(small_block())), small_block()); }

TEST(StateBlock, what_stays_between_two_sweeps_is_read_back) {
  StateBlock block = small_block();
  block.state = ReplicaState::fresh;
  block.sweep = {};
  block.sweep.rewrites = true;
  block.sweep.cmax = {uuid_of(6), {9}};
  block.sweep.base = {{uuid_of(5), {6}}, {7, 8}};
  EXPECT_EQ(decode_state_block(encode_state_block(block)), block);
  block.state = ReplicaState::consistent;  // it has all of it again
  EXPECT_EQ(status_of(decode_state_block(encode_state_block(block))), Status::invalid);
}

TEST(StateBlock, all_lists_at_their_bounds_fit_into_one_slot) {
  auto bytes = encode_state_block(full_block());
  EXPECT_EQ(bytes.size(), state_slot_bytes);
  EXPECT_EQ(decode_state_block(bytes), full_block());
}

TEST(StateBlock, every_bit_flip_is_detected) {
  test::every_bit_flip_is_detected(encode_state_block(small_block()), is_accepted);
}

TEST(StateBlock, every_truncation_is_detected) {
  auto bytes = encode_state_block(small_block());
  for (size_t length = 0; length < bytes.size(); ++length) ASSERT_FALSE(is_accepted(ByteView(bytes).first(length)));
}

TEST(StateBlock, damage_nonsense_and_newer_versions_are_told_apart) {
  auto slot = slot_with_sequence(2);
  auto newer = slot;
  newer[8] = std::byte{2};
  EXPECT_EQ(status_of(decode_state_block(newer)), Status::damaged);
  EXPECT_EQ(status_of(decode_state_block(sealed_with(slot, 8, 2))), Status::unsupported);
  EXPECT_EQ(status_of(decode_state_block(sealed_with(slot, 10, 1))), Status::invalid);
  EXPECT_EQ(status_of(decode_state_block(sealed_with(slot, 0, 'x'))), Status::invalid);
  EXPECT_EQ(status_of(decode_state_block(never_written)), Status::not_found);
}

TEST(StateBlock, the_newer_valid_slot_wins) {
  EXPECT_EQ(newest_state_block(state_file(slot_with_sequence(4), slot_with_sequence(3)))->sequence, 4u);
  EXPECT_EQ(newest_state_block(state_file(slot_with_sequence(4), slot_with_sequence(5)))->sequence, 5u);
}

TEST(StateBlock, a_torn_slot_leaves_the_other) {
  EXPECT_EQ(newest_state_block(state_file(damaged(slot_with_sequence(4)), slot_with_sequence(3)))->sequence, 3u);
  EXPECT_EQ(newest_state_block(state_file(slot_with_sequence(4), damaged(slot_with_sequence(5))))->sequence, 4u);
  EXPECT_EQ(newest_state_block(state_file(slot_with_sequence(0), never_written))->sequence, 0u);
}

TEST(StateBlock, without_a_valid_slot_the_reason_is_given) {
  auto bad = damaged(slot_with_sequence(2));
  EXPECT_EQ(status_of(newest_state_block(state_file(never_written, never_written))), Status::not_found);
  EXPECT_EQ(status_of(newest_state_block(state_file(bad, never_written))), Status::damaged);
  EXPECT_EQ(status_of(newest_state_block(state_file(never_written, bad))), Status::damaged);
  EXPECT_EQ(status_of(newest_state_block(pattern(100))), Status::invalid);
}

TEST(StateBlock, a_slot_of_a_newer_version_is_not_passed_over) {
  auto newer = sealed_with(slot_with_sequence(5), 8, 2);
  EXPECT_EQ(status_of(newest_state_block(state_file(slot_with_sequence(4), newer))), Status::unsupported);
}

TEST(StateBlock, a_slot_in_the_place_of_the_other_is_refused) {
  auto moved = newest_state_block(state_file(slot_with_sequence(5), slot_with_sequence(3)));
  EXPECT_EQ(moved->sequence, 3u);
}

}  // namespace
}  // namespace mars::format
