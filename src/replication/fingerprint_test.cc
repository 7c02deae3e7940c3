#include "replication/fingerprint.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace mars::replication {
namespace {

constexpr uint64_t mib = 1u << 20;
constexpr uint32_t extent = 64u << 10;
using Extents = std::vector<format::FingerprintExtent>;

class FingerprintTest : public testing::Test {
 protected:
  static constexpr const char* path = "/dev/sdb";
  void SetUp() override {
    world.host("a").disks().add_device(path, 8 * mib);
    auto opened = world.run(machine(), machine().storage().open(path, {}));
    ASSERT_TRUE(opened.has_value());
    file = std::move(*opened);
    state.clean = true;
    state.fingerprint_extent_bytes = extent;
  }
  sim::SimMachine& machine() { return world.host("a").machine(); }
  void change(uint64_t offset) { world.host("a").disks().poke(path, offset, std::vector(512, std::byte{'!'})); }
  Hash128 look(uint64_t volume = 8 * mib) {
    return world.run(machine(), fingerprint(*file, volume, extent, state.fingerprint_extents));
  }
  void close(Extents extents) {
    state.fingerprint_extents = std::move(extents);
    state.disks = {identity_of(*file)};
    state.disks[0].fingerprint = look();
  }
  std::string found(const format::DiskIdentity& identity) {
    auto path = world.run(machine(), find_disk(machine().storage(), identity));
    return path ? *path : path.error().text;
  }
  std::string difference() { return world.run(machine(), disk_difference(*file, state, 8 * mib)); }

  sim::World world{1};
  std::unique_ptr<io::File> file;
  format::StateBlock state;
};

TEST_F(FingerprintTest, an_untouched_disk_is_the_same) {
  close({{0, 4 * mib}});
  EXPECT_EQ(difference(), "");
}

TEST_F(FingerprintTest, sees_a_change_at_either_end_and_where_the_last_writes_went) {
  for (const uint64_t offset : {uint64_t{512}, 8 * mib - 512, 4 * mib + extent - 512}) {
    close({{0, 4 * mib}});
    change(offset);
    EXPECT_NE(difference(), "") << offset;
  }
}

TEST_F(FingerprintTest, does_not_see_what_it_does_not_cover) {
  close({{0, 4 * mib}});
  change(5 * mib);
  EXPECT_EQ(difference(), "");
}

TEST_F(FingerprintTest, an_earlier_program_listed_no_extents) {
  state.fingerprint_extent_bytes = 0;
  close({});
  change(4 * mib);
  EXPECT_EQ(difference(), "");
  change(0);
  EXPECT_NE(difference(), "");
}

TEST_F(FingerprintTest, is_not_compared_after_a_crash) {
  close({{0, 4 * mib}});
  state.clean = false;
  change(0);
  EXPECT_EQ(difference(), "");
}

TEST_F(FingerprintTest, a_volume_may_end_inside_an_extent_or_before_it) {
  state.fingerprint_extents = {{0, 64 * extent - extent}, {0, 5 * mib}};
  const uint64_t volume = 64 * extent - extent / 2;
  const Hash128 before = look(volume);
  EXPECT_FALSE(before.is_zero());
  change(5 * mib);
  EXPECT_EQ(look(volume), before);
}

TEST_F(FingerprintTest, a_disk_is_found_where_it_is_now) {
  const format::DiskIdentity identity = identity_of(*file);
  EXPECT_EQ(found(identity), "/dev/sdb");
  file.reset();
  world.host("a").disks().move_device("/dev/sdb", "/dev/sdz");
  EXPECT_EQ(found(identity), "/dev/sdz");
}

TEST_F(FingerprintTest, nobody_is_found_who_is_not_there_or_has_no_name) {
  format::DiskIdentity identity = identity_of(*file);
  identity.kind = format::DiskKind::regular_file;
  EXPECT_EQ(found(identity), "not_found");
  identity = {.kind = format::DiskKind::block_device, .bytes = 8 * mib};
  EXPECT_EQ(found(identity), "not_found");
  identity.text = "naa.1";
  EXPECT_EQ(found(identity), "not_found");
}

TEST_F(FingerprintTest, all_who_have_one_identity_are_named) {
  for (const char* more : {"/dev/sdc", "/dev/sdd"}) {
    world.host("a").disks().add_device(more, 8 * mib, {.hardware_id = file->geometry().hardware_id});
  }
  EXPECT_EQ(found(identity_of(*file)),
            "/dev/sdb, /dev/sdc and /dev/sdd have the same identity \"" + file->geometry().hardware_id + "\"");
}

TEST_F(FingerprintTest, long_identities_that_differ_at_their_end_differ) {
  const std::string lv(67, 'u');
  EXPECT_EQ(identity_text(lv + "1").size(), format::disk_text_max);
  EXPECT_NE(identity_text(lv + "1"), identity_text(lv + "2"));
  EXPECT_EQ(identity_text("naa.1"), "naa.1");
}

}  // namespace
}  // namespace mars::replication
