#include "replication/report.h"

#include <gtest/gtest.h>

#include "replication/sync_messages.h"

namespace mars::replication {
namespace {

Report example() {
  Report report;
  report.resource.bytes[3] = 7;
  report.life.bytes[0] = 9;
  format::BranchEpoch epoch;
  epoch.id.bytes[0] = 1;
  epoch.number = 3;
  epoch.ended = true;
  epoch.end = {8192};
  report.branch = {epoch};
  report.durable = {{epoch.id, {8192}}, {1, 2}};
  report.applied = {{epoch.id, {4096}}, {3, 4}};
  report.is_consistent = report.is_attached = true;
  report.remembered[report.life] = {report.durable, report.life};
  report.state = control::State::replaying;
  report.reason = "because";
  report.device = "/dev/mars/mydata";
  report.switches.fetch = false;
  report.transfers.push_back({control::TransferKind::sync, 1, 2, 3, "alpha"});
  return report;
}

TEST(ReportCodec, comes_back_as_it_was) {
  auto decoded = decode_report(encode(example()));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(*decoded, example());
}

TEST(ReportCodec, every_truncation_and_a_byte_too_many_are_refused) {
  auto bytes = encode(example());
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode_report(ByteView(bytes).first(length)).has_value()) << length;
  }
  bytes.push_back({});
  EXPECT_FALSE(decode_report(bytes).has_value());
}

TEST(SyncMessages, come_back_as_they_were) {
  SyncAnswer answer{
      SyncKind::bytes, 4096, 3, {example().branch[0].id, {77}}, {std::byte{1}, std::byte{2}, std::byte{3}}};
  auto decoded = decode_sync_answer(encode(answer));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->payload, answer.payload);
  EXPECT_EQ(decoded->c, answer.c);
  SyncHeader header{{{example().branch[0].id, {8192}}, {5, 6}}, example().branch, 12, 1 << 20};
  auto head = decode_sync_header(encode(header));
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->branch, header.branch);
  EXPECT_EQ(head->q, header.q);
}

TEST(SyncMessages, a_payload_of_another_length_is_refused) {
  SyncAnswer answer{SyncKind::bytes, 4096, 4, {{}, {77}}, {std::byte{1}}};
  EXPECT_FALSE(decode_sync_answer(encode(answer)).has_value());
  SyncRequest request{0, 0, {}};
  EXPECT_FALSE(decode_sync_request(encode(request)).has_value());
}

TEST(SyncMessages, a_position_that_no_log_can_have_is_refused) {
  const auto is_accepted = [](uint64_t lsn, uint64_t admitted) {
    const SyncHeader header{{{example().branch[0].id, {lsn}}, {5, 6}}, example().branch, admitted, 1 << 20};
    return decode_sync_header(encode(header)).has_value();
  };
  EXPECT_TRUE(is_accepted(4096, 12));
  EXPECT_FALSE(is_accepted(4097, 12));
  EXPECT_FALSE(is_accepted(UINT64_MAX - 4095, 12));
  EXPECT_FALSE(is_accepted(4096, UINT64_MAX));
}

}  // namespace
}  // namespace mars::replication
