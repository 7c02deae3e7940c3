#include "bricks/branch.h"

#include <gtest/gtest.h>

namespace mars::bricks {
namespace {

EpochId id(uint8_t number) {
  EpochId id;
  id.bytes.fill(number);
  return id;
}

format::BranchEpoch epoch(uint8_t number, uint64_t first, uint64_t end = 0) {
  format::BranchEpoch epoch;
  epoch.id = id(number);
  epoch.number = number;
  epoch.first = {first};
  epoch.ended = end > 0;
  epoch.end = {end};
  return epoch;
}

// A batch with one control record, as the log would bring it.
class Control {
 public:
  Control(EpochId epoch, uint64_t number, uint64_t lsn, Hash128 previous, RecordOp op, ByteView payload) {
    format::BatchIdentity identity;
    identity.cluster = identity.resource = id(99);
    identity.epoch = epoch;
    identity.epoch_number = number;
    identity.lsn = {lsn};
    identity.previous = previous;
    composer_.add_control(op, 0, payload);
    composer_.finish(identity);
    batch = *format::verify_batch(composer_.pieces()[0]);
  }
  format::Batch batch;

 private:
  format::BatchComposer composer_{4096};
};

Control epoch_start(uint8_t number, uint64_t lsn, uint8_t parent) {
  format::EpochStart start;
  start.id = id(number);
  start.number = number;
  start.host = id(50);
  start.cause = parent == 0 ? EpochCause::create : EpochCause::recover;
  if (parent != 0) start.parent = id(parent);
  start.parent_end = {lsn};
  start.parent_hash = {parent, parent};
  return Control(id(number), number, lsn, start.parent_hash, RecordOp::epoch, format::encode(start));
}

TEST(branch, an_epoch_start_ends_its_parent) {
  Branch branch;
  ASSERT_EQ(extend(branch, epoch_start(1, 0, 0).batch), Status::ok);
  ASSERT_EQ(extend(branch, epoch_start(2, 8192, 1).batch), Status::ok);
  ASSERT_EQ(branch.size(), 2u);
  EXPECT_TRUE(branch[0].ended);
  EXPECT_EQ(branch[0].end, Lsn{8192});
  EXPECT_EQ(branch[0].end_hash, (Hash128{1, 1}));
  EXPECT_FALSE(branch[1].ended);
  EXPECT_EQ(extend(branch, epoch_start(2, 8192, 1).batch), Status::ok) << "read again";
  EXPECT_EQ(branch.size(), 2u);
}

TEST(branch, an_epoch_of_another_parent_is_refused) {
  Branch branch{epoch(1, 0)};
  EXPECT_EQ(extend(branch, epoch_start(3, 8192, 2).batch), Status::refused);
  EXPECT_EQ(branch.size(), 1u);
}

TEST(branch, a_release_ends_its_epoch) {
  Branch branch{epoch(1, 0)};
  const auto payload = format::encode(format::Release{id(4), id(50), id(51)});
  const Control release(id(1), 1, 4096, {7, 7}, RecordOp::release, payload);
  ASSERT_EQ(extend(branch, release.batch), Status::ok);
  EXPECT_TRUE(branch[0].ended);
  EXPECT_EQ(branch[0].end, Lsn{8192});
  EXPECT_EQ(branch[0].released_to, id(51));
  EXPECT_EQ(branch[0].grant, id(4));
}

TEST(branch, the_owner_of_a_byte_is_the_youngest_epoch_that_begins_before_it) {
  const Branch branch{epoch(1, 0, 8192), epoch(2, 8192)};
  EXPECT_EQ(epoch_at(branch, {0})->id, id(1));
  EXPECT_EQ(epoch_at(branch, {8191})->id, id(1));
  EXPECT_EQ(epoch_at(branch, {8192})->id, id(2));
  EXPECT_EQ(epoch_at({epoch(1, 4096)}, {0}), nullptr);
}

TEST(branch, a_cut_opens_the_epoch_that_holds_the_end) {
  Branch branch{epoch(1, 0, 8192), epoch(2, 8192)};
  cut(branch, {8192});
  ASSERT_EQ(branch.size(), 1u);
  EXPECT_FALSE(branch[0].ended);
}

TEST(branch, a_cut_at_a_release_keeps_it) {
  Branch branch{epoch(1, 0, 8192), epoch(2, 8192)};
  branch[0].released_to = id(51);
  cut(branch, {8192});
  ASSERT_EQ(branch.size(), 1u);
  EXPECT_TRUE(branch[0].ended);
  EXPECT_EQ(branch[0].released_to, id(51));
}

TEST(branch, volumes_follow_their_records) {
  std::vector<format::VolumeState> volumes;
  const auto created = format::encode(format::VolumeCreate{0, 512, 4096});
  apply_volume_record(volumes, Control(id(1), 1, 0, {}, RecordOp::volume, created).batch);
  const auto grown = format::encode(format::VolumeSize{0, 8192});
  apply_volume_record(volumes, Control(id(1), 1, 4096, {}, RecordOp::size, grown).batch);
  ASSERT_EQ(volumes.size(), 1u);
  EXPECT_EQ(volumes[0], (format::VolumeState{0, 512, 8192}));
}

// ---- where two histories part

struct Meeting {
  const char* what;
  Branch mine;
  uint64_t mine_end;
  Branch peer;
  uint64_t peer_end;
  uint64_t common;
  bool mine_beyond;
  bool peer_beyond;
};

TEST(branch, histories_part_where_they_differ) {
  const std::vector<Meeting> meetings = {
      {"equal", {epoch(1, 0)}, 100, {epoch(1, 0)}, 100, 100, false, false},
      {"the peer is ahead", {epoch(1, 0)}, 100, {epoch(1, 0)}, 200, 100, false, true},
      {"the peer is an epoch ahead", {epoch(1, 0)}, 100, {epoch(1, 0, 100), epoch(2, 100)}, 200, 100, false, true},
      {"I am ahead", {epoch(1, 0, 100), epoch(2, 100)}, 200, {epoch(1, 0)}, 50, 50, true, false},
      {"I was forced behind its end", {epoch(1, 0, 80), epoch(3, 80)}, 90, {epoch(1, 0)}, 100, 80, true, true},
      {"two children", {epoch(1, 0, 80), epoch(2, 80)}, 90, {epoch(1, 0, 80), epoch(3, 80)}, 90, 80, true, true},
      {"its child begins inside my tail", {epoch(1, 0)}, 100, {epoch(1, 0, 60), epoch(2, 60)}, 70, 60, true, true},
  };
  for (const Meeting& meeting : meetings) {
    const Common common = common_position(meeting.mine, {meeting.mine_end}, meeting.peer, {meeting.peer_end});
    EXPECT_TRUE(common.any) << meeting.what;
    EXPECT_EQ(common.position.lsn.value, meeting.common) << meeting.what;
    EXPECT_EQ(common.mine_beyond, meeting.mine_beyond) << meeting.what;
    EXPECT_EQ(common.peer_beyond, meeting.peer_beyond) << meeting.what;
    EXPECT_EQ(common.forked(), meeting.mine_beyond && meeting.peer_beyond) << meeting.what;
  }
  EXPECT_FALSE(common_position({epoch(1, 0)}, {100}, {epoch(2, 0)}, {100}).any);
}

}  // namespace
}  // namespace mars::bricks
