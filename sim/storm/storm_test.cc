// Storms with fixed seeds, and that a seed repeats. Fresh seeds are run by ./soak and by the tests of mars-sim.
#include "sim/storm/storm.h"

#include <gtest/gtest.h>

namespace mars::sim {
namespace {

Outcome run(uint64_t seed, const std::string& faults = "all", std::set<size_t> only = {}) {
  StormOptions options;
  options.seed = seed;
  options.faults = *parse_faults(faults);
  options.only = std::move(only);
  options.steps = options.only.empty() ? 100 : 150;
  Reached reached;
  Storm storm(options, reached);
  return storm.run();
}

class Storms : public testing::TestWithParam<uint64_t> {};

TEST_P(Storms, every_promise_holds) {
  const Outcome outcome = run(GetParam());
  EXPECT_EQ(outcome.problem, "");
  EXPECT_GT(outcome.events, 5000u);
}

INSTANTIATE_TEST_SUITE_P(seeds, Storms, testing::Range(uint64_t{1}, uint64_t{9}));

TEST(StormRepeat, a_seed_does_the_same_again_and_another_does_not) {
  for (const uint64_t seed : {1001, 1002}) {
    const Outcome first = run(seed);
    EXPECT_EQ(run(seed).trace_hash, first.trace_hash) << seed;
    EXPECT_NE(run(seed + 10).trace_hash, first.trace_hash) << seed;
  }
}

TEST(StormRepeat, without_faults_everything_is_written_and_nothing_is_lost) {
  const Outcome outcome = run(5, "none");
  EXPECT_EQ(outcome.problem, "");
  EXPECT_GT(outcome.operations, 400u);
}

// Found with fresh seeds, as short as they could be made.
std::string again(uint64_t seed, std::string_view steps) { return run(seed, "all", *parse_steps(steps)).problem; }

TEST(StormFound, a_release_that_nobody_saw_holds_nothing_back_when_its_tail_is_dropped) {
  EXPECT_EQ(again(880000129, "9-17,45-53,90-98,126-143"), "");
}

TEST(StormFound, the_pool_proves_that_the_log_was_longer) { EXPECT_EQ(again(770000387, "4-8,27-28,34"), ""); }

TEST(StormFound, a_damaged_log_has_no_clean_end) { EXPECT_EQ(again(880001296, "13-14,19-20,23-56,61-64,69-72"), ""); }

TEST(StormFound, the_last_one_does_not_leave_with_a_damaged_log) {
  EXPECT_EQ(again(990000665, "0-7,12-15,60-63,68-71,81-116,126-147"), "");
}

TEST(StormFound, own_writes_may_be_gone_after_an_invalidate) {
  EXPECT_EQ(again(770000125, "16-19,38-41,44-45,108-109,114-115,120-123,126-127,130-135"), "");
}

TEST(StormFound, who_is_sent_the_log_over_a_slow_link_holds_no_file_when_it_is_given_up) {
  EXPECT_EQ(again(2000060111, "6-26,54-107"), "");
}

TEST(StormFound, nobody_leaves_with_the_last_version_when_the_other_disks_were_replaced) {
  EXPECT_EQ(again(1796079561231, "36-39,44-47,120-144"), "");
}

TEST(StormFound, what_a_log_did_not_take_when_it_failed_stays_in_the_pool) {
  EXPECT_EQ(again(2000010006, "95,100,114,117,120,134-135"), "");
}

TEST(StormFound, a_sync_whose_log_nobody_can_read_any_more_begins_again) { EXPECT_EQ(run(2000081093).problem, ""); }

TEST(StormFound, a_step_that_reads_the_log_holds_up_a_sync_that_replaces_it) {
  EXPECT_EQ(again(2000200573, "0-71"), "");
}

TEST(StormFound, who_leaves_a_damaged_history_is_synced) { EXPECT_EQ(again(2000401015, "14-57"), ""); }

TEST(StormFound, a_state_directory_that_cannot_be_read_for_a_moment_needs_no_restart) {
  EXPECT_EQ(again(6100005232, "80,85,89,105,108"), "");
  EXPECT_EQ(again(6100005232, "50-51,61,65,82,85,89,91,108"), "");  // the log disk's own
}

TEST(StormFound, where_the_end_rotted_away_lies_another_batch_of_the_same_reign) {
  EXPECT_EQ(again(33000004898, "93-128,147-148"), "");
}

TEST(StormFound, who_does_not_see_the_same_wish_hands_the_right_to_and_fro_a_few_times_only) {
  EXPECT_EQ(again(33000006588, "0-103"), "");
}

TEST(StormFound, a_replica_that_left_a_damaged_history_can_be_attached_again) {
  EXPECT_EQ(again(38000001631, "0-147"), "");
}

TEST(StormFound, what_a_rolled_back_store_was_told_comes_out_when_its_witness_did_not_come_back) {
  EXPECT_EQ(again(1796053848294, "4,8,34,54,58,68,95,97-98,101,110,115,127,129-132,142"), "");
}

TEST(StormFound, whose_store_is_not_open_yet_is_asked_later) { EXPECT_EQ(again(42000000923, "66,104,106"), ""); }

TEST(StormPlan, leaving_a_step_out_changes_no_other_step) {
  const Plan plan = make_plan(3, all_faults(), 40);
  const Plan longer = make_plan(3, all_faults(), 80);
  for (size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(plan[i].act, longer[i].act);
    EXPECT_EQ(plan[i].seed, longer[i].seed);
  }
}

TEST(StormPlan, faults_are_chosen_by_group_and_by_name) {
  EXPECT_EQ(parse_faults("all")->size(), all_faults().size());
  EXPECT_TRUE(parse_faults("none")->empty());
  EXPECT_EQ(*parse_faults("host.kill"), Faults{Act::host_kill});
  EXPECT_TRUE(parse_faults("disk")->contains(Act::disk_rot));
  EXPECT_FALSE(parse_faults("-disk")->contains(Act::disk_rot));
  EXPECT_TRUE(parse_faults("-disk")->contains(Act::host_kill));
  EXPECT_FALSE(parse_faults("dsk").has_value());
}

TEST(StormPlan, steps_are_read_as_they_are_printed) {
  const std::set<size_t> steps = {0, 1, 2, 7, 9, 10};
  EXPECT_EQ(steps_text(steps), "0-2,7,9-10");
  EXPECT_EQ(*parse_steps("0-2,7,9-10"), steps);
  EXPECT_FALSE(parse_steps("1-x").has_value());
}

TEST(StormReached, counts_survive_being_told_and_what_is_missing_is_named) {
  Reached reached;
  reached.count("state: fork", 3);
  reached.count("log: torn tail");
  Reached told;
  told.decode(reached.encode());
  EXPECT_EQ(told.counts(), reached.counts());
  EXPECT_GE(Reached::expected().size(), 60u);
  EXPECT_EQ(told.missing(1).size(), Reached::expected().size() - 2);
  EXPECT_EQ(told.missing(2).size(), Reached::expected().size() - 1);
}

}  // namespace
}  // namespace mars::sim
