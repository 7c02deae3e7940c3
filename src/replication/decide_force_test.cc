#include "replication/decide_force.h"

#include <gtest/gtest.h>

namespace mars::replication {
namespace {

constexpr int obstacles_end = static_cast<int>(ForceObstacle::holder_answers) + 1;

TEST(DecideForce, who_lacks_nothing_may) {
  EXPECT_EQ(decide_force({.is_attached = true, .is_consistent = true, .is_log_whole = true}), ForceObstacle::none);
}

TEST(DecideForce, an_accepted_loss_stands_for_the_end_of_the_log) {
  ForceFacts facts{.is_attached = true, .is_consistent = true, .is_loss_accepted = true};
  EXPECT_EQ(decide_force(facts), ForceObstacle::none);
  facts.is_loss_accepted = false;
  EXPECT_EQ(decide_force(facts), ForceObstacle::log_lost_its_end);
}

// All 256 combinations: the first obstacle in the order of the table is the answer.
TEST(DecideForce, of_all_obstacles_the_first_is_named) {
  for (unsigned facts = 0; facts < 256; ++facts) {
    const auto has = [facts](unsigned bit) { return (facts >> bit & 1) != 0; };
    const ForceFacts given{has(0), has(1), has(2), has(3), has(4), has(5), has(6), has(7)};
    const bool stands[obstacles_end] = {true, !has(0), has(1), has(2), !has(3), has(4), !has(5) && !has(6), has(7)};
    int first = 0;
    for (int i = obstacles_end - 1; i > 0; --i) {
      if (stands[i]) first = i;
    }
    EXPECT_EQ(static_cast<int>(decide_force(given)), first) << facts;
  }
}

TEST(DecideForce, every_obstacle_has_a_sentence) {
  for (int i = 1; i < obstacles_end; ++i) {
    EXPECT_FALSE(sentence(static_cast<ForceObstacle>(i), "mydata", "the disk is away", "beta").empty()) << i;
  }
  EXPECT_NE(sentence(ForceObstacle::not_attached, "mydata", "the disk is away", "").find("the disk is away"),
            std::string::npos);
  EXPECT_NE(sentence(ForceObstacle::failed, "mydata", "", "").find("marsadm attach mydata"), std::string::npos);
  EXPECT_NE(sentence(ForceObstacle::holder_answers, "mydata", "", "beta").find("beta holds"), std::string::npos);
}

}  // namespace
}  // namespace mars::replication
