// A host dies at each change of its disks, one after the other, in everything that is short; and a disk whose flushes
// are lies must be caught.
#include "sim/storm/drill.h"

#include <gtest/gtest.h>

namespace mars::sim {
namespace {

class Drills : public testing::TestWithParam<Drill> {
 protected:
  // Every second change up to 12, the others by the other test, then few; until the command ends before the victim
  // would die.
  void run(bool is_power_loss) {
    DrillOptions options;
    options.is_power_loss = is_power_loss;
    uint64_t deaths = 0;
    for (options.change = is_power_loss ? 1 : 2; options.change < 120; options.change += options.change < 12 ? 2 : 27) {
      const DrillOutcome outcome = run_drill(GetParam(), options, reached_);
      ASSERT_EQ(outcome.problem, "") << GetParam().name << ", change " << options.change;
      if (!outcome.has_died) break;
      ++deaths;
    }
    EXPECT_GT(deaths, 0u);
  }
  Reached reached_;
};

TEST_P(Drills, power_loss_at_each_change) { run(true); }
TEST_P(Drills, kill_at_each_change) { run(false); }

INSTANTIATE_TEST_SUITE_P(each, Drills, testing::ValuesIn(drills().begin(), drills().end()),
                         [](const auto& info) { return std::string(info.param.name); });

// The negative control: where these drills find nothing, they could not find anything.
TEST(DrillsControl, a_disk_that_ignores_flushes_is_caught) {
  Reached reached;
  size_t findings = 0;
  for (const Drill& drill : drills()) {
    if (drill.name != "append" && drill.name != "handover_giver" && drill.name != "detach_primary") continue;
    for (uint64_t change = 5; change < 60 && findings == 0; change += 6) {
      const DrillOptions lying = {.change = change, .is_power_loss = true, .do_flushes_lie = true};
      const DrillOutcome outcome = run_drill(drill, lying, reached);
      findings += outcome.problem.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(findings, 0u);
}

}  // namespace
}  // namespace mars::sim
