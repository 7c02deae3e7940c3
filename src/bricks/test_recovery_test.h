// A replica whose log is spoilt, and what a restart makes of it.
#pragma once

#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"

namespace mars::bricks {

class RecoveryTest : public testing::Test {
 protected:
  using Batch = TestBatches::Batch;

  void SetUp() override { ASSERT_TRUE(replica.create().has_value()); }

  Log& log() { return replica.log(); }
  sim::Disks& disks() { return replica.host().disks(); }
  // The file in which the log stands now, and the place of a batch in it.
  std::string path_of(const Batch& batch) { return log().segments().candidates(batch.header.identity.lsn)[0]->path; }
  uint64_t offset_of(const Batch& batch) {
    return log().segments().candidates(batch.header.identity.lsn)[0]->offset_of(batch.header.identity.lsn);
  }
  // Overwrites the second sector of the batch, as a tear or rot does.
  void spoil(const Batch& batch) { disks().poke(path_of(batch), offset_of(batch) + 512, filled_with(512, '?')); }
  // The state block forgets everything that it knows of the end of the log.
  void forget_hint() {
    replica.state().on_write(nullptr);
    Status status = replica.run(replica.state().update([this](format::StateBlock& state) {
      state.durable = {};
      state.branch = log().branch();
    }));
    ASSERT_EQ(status, Status::ok);
  }
  void applied_is(Tip tip) {
    const auto change = [&](format::StateBlock& state) { state.applied = tip; };
    ASSERT_EQ(replica.run(replica.state().update(change)), Status::ok);
  }
  void hint() {
    ASSERT_EQ(replica.run(replica.state().update([](format::StateBlock&) {})), Status::ok);
  }
  Lsn begin_of(const Batch& batch) { return batch.header.identity.lsn; }

  // What a restart after kill -9 finds.
  void expect_tear_at(Lsn end, Lsn peers_know = {}) {
    replica.kill();
    auto opened = replica.follow(peers_know);
    EXPECT_TRUE(opened.has_value()) << opened.error().text;
    EXPECT_FALSE(replica.recovery().is_damaged);
    EXPECT_EQ(replica.recovery().end.position.lsn, end);
  }
  void expect_damage_at(Lsn end, Lsn peers_know = {}) {
    replica.kill();
    auto opened = replica.follow(peers_know);
    EXPECT_EQ(status_of(opened), Status::damaged);
    EXPECT_TRUE(replica.recovery().is_damaged);
    EXPECT_EQ(replica.recovery().end.position.lsn, end);
    EXPECT_GT(replica.recovery().evidence, end);
  }

  sim::World world{1};
  TestReplica replica{world};
  TestBatches batches{replica};
};

}  // namespace mars::bricks
