#include "replication/decide_handover.h"

#include <gtest/gtest.h>

namespace mars::replication {
namespace {

// A successor that is ready in every respect; each test takes one thing away.
class DecideHandover : public ::testing::Test {
 protected:
  DecideHandover() {
    format::BranchEpoch epoch;
    epoch.id.bytes[0] = 1;
    branch = {epoch};
    successor.branch = branch;
    successor.durable.position = {epoch.id, {1 << 20}};
    successor.applied = successor.durable;
    successor.is_attached = successor.is_consistent = true;
    facts = {true, true, &successor, &branch, {1 << 20}, 64 << 10};
  }
  HandoverObstacle answer() { return decide_handover(facts); }

  bricks::Branch branch;
  Report successor;
  HandoverFacts facts;
};

TEST_F(DecideHandover, a_ready_successor_may_have_it) { EXPECT_EQ(answer(), HandoverObstacle::none); }

TEST_F(DecideHandover, a_log_that_failed_takes_no_release) {
  facts.is_log_failed = true;
  EXPECT_EQ(answer(), HandoverObstacle::log_failed);
  EXPECT_NE(sentence(answer(), "b").find("force b"), std::string::npos);
}

TEST_F(DecideHandover, a_stranger_may_not) {
  facts.is_member = false;
  EXPECT_EQ(answer(), HandoverObstacle::not_member);
}

TEST_F(DecideHandover, who_was_never_heard_may_not) {
  facts.successor = nullptr;
  EXPECT_EQ(answer(), HandoverObstacle::not_connected);
}

TEST_F(DecideHandover, who_has_no_disk_may_not) {
  successor.is_attached = false;
  EXPECT_EQ(answer(), HandoverObstacle::not_attached);
}

TEST_F(DecideHandover, who_is_syncing_may_not) {
  successor.is_consistent = false;
  EXPECT_EQ(answer(), HandoverObstacle::syncing);
}

TEST_F(DecideHandover, who_has_more_than_the_holder_may_not) {
  successor.durable.position.lsn = {2 << 20};
  EXPECT_EQ(answer(), HandoverObstacle::rival);
}

TEST_F(DecideHandover, whose_switches_are_off_may_not) {
  successor.switches.replay = false;
  EXPECT_EQ(answer(), HandoverObstacle::switched_off);
}

TEST_F(DecideHandover, whose_log_has_a_hole_may_not) {
  successor.is_whole = false;
  EXPECT_EQ(answer(), HandoverObstacle::damaged);
}

TEST_F(DecideHandover, the_lag_counts_up_to_the_byte) {
  successor.applied.position.lsn = {(1 << 20) - (64 << 10)};
  EXPECT_EQ(answer(), HandoverObstacle::none);
  successor.applied.position.lsn.value -= 1;
  EXPECT_EQ(answer(), HandoverObstacle::lagging);
}

// All combinations: the first thing that is missing, in the order of the table, is the answer, and nothing else is.
TEST_F(DecideHandover, of_everything_that_is_missing_the_first_is_named) {
  const Report whole = successor;
  for (unsigned missing = 0; missing < 1u << 9; ++missing) {
    const auto lacks = [&](HandoverObstacle what) { return (missing >> (static_cast<unsigned>(what) - 1) & 1) != 0; };
    successor = whole;
    facts.is_log_failed = lacks(HandoverObstacle::log_failed);
    facts.is_member = !lacks(HandoverObstacle::not_member);
    facts.is_connected = !lacks(HandoverObstacle::not_connected);
    successor.is_attached = !lacks(HandoverObstacle::not_attached);
    successor.is_consistent = !lacks(HandoverObstacle::syncing);
    if (lacks(HandoverObstacle::rival)) successor.durable.position.lsn = {2 << 20};
    successor.switches.fetch = !lacks(HandoverObstacle::switched_off);
    successor.is_whole = !lacks(HandoverObstacle::damaged);
    if (lacks(HandoverObstacle::lagging)) successor.applied.position.lsn = {0};
    HandoverObstacle first = HandoverObstacle::none;
    for (unsigned i = static_cast<unsigned>(HandoverObstacle::lagging); i > 0; --i) {
      if (lacks(static_cast<HandoverObstacle>(i))) first = static_cast<HandoverObstacle>(i);
    }
    EXPECT_EQ(answer(), first) << "missing " << missing;
  }
}

TEST_F(DecideHandover, every_obstacle_has_a_sentence_that_names_the_host) {
  for (int i = 1; i <= static_cast<int>(HandoverObstacle::lagging); ++i) {
    EXPECT_NE(sentence(static_cast<HandoverObstacle>(i), "beta").find("beta"), std::string::npos) << i;
  }
}

}  // namespace
}  // namespace mars::replication
