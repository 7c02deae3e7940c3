#include "replication/decide_start.h"

#include <gtest/gtest.h>

#include <vector>

namespace mars::replication {
namespace {

// The table of protocol.md, written down once more, independently: each row says when it applies, the first that does
// wins. `wait` stands for the rows that open, while open-wait runs.
StartAction expected(const StartFacts& facts) {
  const bool mine = facts.tail == Tail::mine;
  const bool granted = facts.tail == Tail::granted;
  struct Row {
    bool matches;
    StartAction action;
  };
  const std::vector<Row> rows = {
      {facts.is_outremembered, StartAction::rolled_back},
      {facts.is_gone && facts.is_gone_lost, StartAction::recreate_gone},
      {(!mine && !granted) || (mine && facts.is_gone), StartAction::follow},
      {facts.rival == Rival::at_end, StartAction::drop_tail},
      {facts.rival == Rival::before_data, StartAction::fork},
      {facts.is_damaged, StartAction::log_damaged},
      {mine && facts.wish != Wish::me, StartAction::keep_closed},
      {!facts.has_heard, StartAction::wait},
      {mine && facts.wish == Wish::me, StartAction::open_recovered},
      {granted && facts.wish == Wish::me, StartAction::open_granted},
      {granted && facts.wish != Wish::me, StartAction::null_reign},
  };
  for (const Row& row : rows) {
    if (row.matches) return row.action;
  }
  ADD_FAILURE() << "no row matches";
  return StartAction::follow;
}

template <class F>
void for_each_combination(F&& f) {
  for (int tail = 0; tail < 5; ++tail)
    for (int rival = 0; rival < 3; ++rival)
      for (int wish = 0; wish < 3; ++wish)
        for (int bits = 0; bits < 32; ++bits) {
          StartFacts facts;
          facts.tail = static_cast<Tail>(tail);
          facts.rival = static_cast<Rival>(rival);
          facts.wish = static_cast<Wish>(wish);
          facts.is_gone = bits & 1;
          facts.is_gone_lost = bits & 2;
          facts.is_outremembered = bits & 4;
          facts.is_damaged = bits & 8;
          facts.has_heard = bits & 16;
          f(facts);
        }
}

TEST(DecideStart, every_combination_matches_the_table) {
  int count = 0;
  for_each_combination([&](const StartFacts& facts) {
    ++count;
    EXPECT_EQ(decide_start(facts), expected(facts)) << name(decide_start(facts));
  });
  EXPECT_EQ(count, 5 * 3 * 3 * 32);
}

TEST(DecideStart, nobody_opens_without_the_token_or_beside_a_rival) {
  for_each_combination([&](const StartFacts& facts) {
    const StartAction action = decide_start(facts);
    const bool begins_epoch = action == StartAction::open_recovered || action == StartAction::open_granted ||
                              action == StartAction::null_reign;
    if (!begins_epoch) return;
    EXPECT_TRUE(facts.tail == Tail::mine || facts.tail == Tail::granted);
    EXPECT_EQ(facts.rival, Rival::none);
    EXPECT_FALSE(facts.is_outremembered || facts.is_damaged);
    EXPECT_FALSE(facts.is_gone && facts.tail == Tail::mine);
  });
}

// ---- facts

Uuid id(uint8_t n) {
  Uuid uuid;
  uuid.bytes[15] = n;
  return uuid;
}

format::BranchEpoch epoch(uint8_t n, Uuid host, uint64_t first) {
  format::BranchEpoch one;
  one.id = id(n);
  one.number = n;
  one.host = host;
  one.first = {first};
  return one;
}

format::BranchEpoch ended(format::BranchEpoch one, uint64_t end, Uuid to = {}) {
  one.ended = true;
  one.end = {end};
  one.released_to = to;
  return one;
}

const Uuid a = id(101);
const Uuid b = id(102);

Report report_of(bricks::Branch branch, uint64_t end) {
  Report report;
  report.branch = std::move(branch);
  report.durable.position = {report.branch.back().id, {end}};
  report.is_consistent = true;
  return report;
}

TEST(TailOf, an_epoch_without_release_is_its_hosts) {
  const bricks::Branch branch = {epoch(1, a, 0)};
  EXPECT_EQ(tail_of(branch, {8192}, a, Life{}), Tail::mine);
  EXPECT_EQ(tail_of(branch, {8192}, b, Life{}), Tail::foreign);
  EXPECT_EQ(tail_of({}, {}, a, Life{}), Tail::none);
}

TEST(TailOf, a_release_gives_the_token_to_one_host) {
  const bricks::Branch branch = {ended(epoch(1, a, 0), 8192, b)};
  EXPECT_EQ(tail_of(branch, {8192}, b, Life{}), Tail::granted);
  EXPECT_EQ(tail_of(branch, {8192}, a, Life{}), Tail::released_to_other);
}

TEST(TailOf, a_release_that_is_not_durable_gives_nothing) {
  const bricks::Branch branch = {ended(epoch(1, a, 0), 8192, b)};
  EXPECT_EQ(tail_of(branch, {4096}, a, Life{}), Tail::mine);
}

TEST(TailOf, what_lies_before_a_sync_gives_no_right) {
  const bricks::Branch reign = {ended(epoch(1, b, 0), 4096), epoch(2, a, 4096)};
  EXPECT_EQ(tail_of(reign, {8192}, a, Life{{}, {4096}, {}}), Tail::mine);
  EXPECT_EQ(tail_of(reign, {8192}, a, Life{{}, {6144}, {}}), Tail::foreign);
  const bricks::Branch grant = {ended(epoch(1, b, 0), 8192, a)};
  EXPECT_EQ(tail_of(grant, {8192}, a, Life{{}, {4096}, {}}), Tail::granted);
  EXPECT_EQ(tail_of(grant, {8192}, a, Life{{}, {8192}, {}}), Tail::released_to_other);
}

TEST(RivalOf, who_is_merely_ahead_in_one_epoch_is_no_rival) {
  const bricks::Branch branch = {epoch(1, a, 0)};
  EXPECT_EQ(rival_of(branch, {4096}, {4096}, report_of(branch, 8192)), Rival::none);
}

TEST(RivalOf, an_epoch_that_begins_at_my_end_takes_the_token) {
  const bricks::Branch mine = {epoch(1, a, 0)};
  const bricks::Branch theirs = {ended(epoch(1, a, 0), 8192), epoch(2, b, 8192)};
  EXPECT_EQ(rival_of(mine, {8192}, {8192}, report_of(theirs, 12288)), Rival::at_end);
}

TEST(RivalOf, an_epoch_before_my_data_is_a_fork_and_before_a_tail_without_data_is_not) {
  const bricks::Branch mine = {epoch(1, a, 0)};
  const bricks::Branch theirs = {ended(epoch(1, a, 0), 8192), epoch(2, b, 8192)};
  EXPECT_EQ(rival_of(mine, {12288}, {12288}, report_of(theirs, 12288)), Rival::before_data);
  EXPECT_EQ(rival_of(mine, {12288}, {8192}, report_of(theirs, 12288)), Rival::at_end);
}

TEST(RivalOf, who_was_forced_has_no_rival_in_the_tail_of_the_old_reign) {
  const bricks::Branch mine = {ended(epoch(1, a, 0), 8192), epoch(2, b, 8192)};
  EXPECT_EQ(rival_of(mine, {16384}, {16384}, report_of({epoch(1, a, 0)}, 12288)), Rival::none);
  const bricks::Branch reopened = {ended(epoch(1, a, 0), 12288), epoch(3, a, 12288)};
  EXPECT_EQ(rival_of(mine, {16384}, {16384}, report_of(reopened, 20480)), Rival::none);
  EXPECT_EQ(rival_of(reopened, {20480}, {20480}, report_of(mine, 16384)), Rival::before_data);
}

TEST(RivalOf, two_forced_at_the_same_point_are_each_others_rivals) {
  const bricks::Branch mine = {ended(epoch(1, a, 0), 8192), epoch(2, a, 8192)};
  const bricks::Branch theirs = {ended(epoch(1, a, 0), 8192), epoch(3, b, 8192)};
  EXPECT_EQ(rival_of(mine, {12288}, {12288}, report_of(theirs, 12288)), Rival::before_data);
  EXPECT_EQ(rival_of(theirs, {12288}, {12288}, report_of(mine, 12288)), Rival::before_data);
}

// More reigns lie between than a branch remembers (D9).
TEST(RivalOf, who_was_left_behind_has_a_rival_before_its_data_and_whoever_went_on_has_none) {
  const bricks::Branch before = {ended(epoch(1, a, 0), 8192), epoch(2, a, 8192)};
  const bricks::Branch after = {ended(epoch(5, b, 20480), 24576), epoch(6, b, 24576)};
  EXPECT_EQ(rival_of(before, {12288}, {8192}, report_of(after, 28672)), Rival::before_data);
  EXPECT_EQ(rival_of(after, {28672}, {28672}, report_of(before, 12288)), Rival::none);
  EXPECT_TRUE(have_parted(report_of(before, 12288), report_of(after, 28672)));
  const bricks::Branch beside = {epoch(4, a, 20480), epoch(9, a, 32768)};
  EXPECT_EQ(rival_of(beside, {40960}, {40960}, report_of(after, 28672)), Rival::before_data);
  EXPECT_EQ(rival_of(after, {28672}, {28672}, report_of(beside, 40960)), Rival::before_data);
  EXPECT_EQ(rival_of({}, {}, {}, report_of(after, 28672)), Rival::none);
}

TEST(Overrules, a_force_is_the_verdict_against_a_tail_and_not_against_another_force) {
  bricks::Branch forced = {ended(epoch(1, a, 0), 8192), epoch(2, b, 8192)};
  forced.back().cause = EpochCause::force;
  const bricks::Branch tail = {epoch(1, a, 0)};
  EXPECT_TRUE(overrules(report_of(forced, 12288), report_of(tail, 16384)));
  EXPECT_FALSE(overrules(report_of(tail, 16384), report_of(forced, 12288)));
  EXPECT_FALSE(overrules(report_of(forced, 12288), report_of(tail, 8192))) << "a beginning of it";
  const bricks::Branch reopened = {ended(epoch(1, a, 0), 8192), epoch(3, a, 8192)};
  EXPECT_TRUE(overrules(report_of(forced, 12288), report_of(reopened, 16384)));
  bricks::Branch other = reopened;
  other.back().cause = EpochCause::force;
  EXPECT_FALSE(overrules(report_of(forced, 12288), report_of(other, 16384)));
  bricks::Branch later = {ended(epoch(1, a, 0), 12288), epoch(4, a, 12288)};
  later.back().cause = EpochCause::force;
  EXPECT_FALSE(overrules(report_of(forced, 12288), report_of(later, 16384))) << "forced behind a tail";
}

TEST(Outremembered, a_restored_host_is_found_by_what_others_have_of_its_own_reign) {
  const bricks::Branch branch = {epoch(1, a, 0)};
  EXPECT_TRUE(is_outremembered(branch, {4096}, a, Life{id(1), {}, {}, {}}, report_of(branch, 8192)));
  EXPECT_FALSE(is_outremembered(branch, {8192}, a, Life{id(1), {}, {}, {}}, report_of(branch, 8192)));
  EXPECT_FALSE(is_outremembered(branch, {4096}, b, Life{id(1), {}, {}, {}}, report_of(branch, 8192)));
  Report being_synced = report_of(branch, 8192);
  being_synced.is_consistent = false;
  EXPECT_TRUE(is_outremembered(branch, {4096}, a, Life{id(1), {}, {}, {}}, being_synced));
  being_synced.oldest = {8192};  // it has nothing yet: it says what it was told
  EXPECT_FALSE(is_outremembered(branch, {4096}, a, Life{id(1), {}, {}, {}}, being_synced));
}

TEST(Outremembered, a_tail_of_my_own_that_another_reign_has_ended_is_not_missed) {
  const bricks::Branch mine = {ended(epoch(1, a, 0), 4096), epoch(2, b, 4096)};
  EXPECT_FALSE(is_outremembered(mine, {8192}, a, Life{id(1), {}, {}, {}}, report_of({epoch(1, a, 0)}, 65536)));
  const bricks::Branch theirs = {ended(epoch(1, a, 0), 8192), epoch(3, a, 8192)};
  EXPECT_FALSE(is_outremembered(mine, {8192}, a, Life{id(1), {}, {}, {}}, report_of(theirs, 65536)));
}

TEST(Outremembered, a_reign_that_i_began_again_behind_a_loss_hides_nothing) {
  const bricks::Branch mine = {ended(epoch(1, a, 0), 4096), epoch(2, a, 4096)};
  EXPECT_TRUE(is_outremembered(mine, {8192}, a, Life{id(1), {}, {}, {}}, report_of({epoch(1, a, 0)}, 65536)));
  EXPECT_TRUE(is_outremembered(mine, {131072}, a, Life{id(1), {}, {}, {}}, report_of({epoch(1, a, 0)}, 65536)));
}

TEST(Outremembered, what_was_given_up_by_force_is_not_missed) {
  bricks::Branch mine = {ended(epoch(1, a, 0), 4096), epoch(2, a, 4096)};
  mine.back().cause = EpochCause::force;
  EXPECT_FALSE(is_outremembered(mine, {8192}, a, Life{id(1), {}, {}, {}}, report_of({epoch(1, a, 0)}, 65536)));
}

TEST(Outremembered, a_memory_of_another_life_does_not_count) {
  const bricks::Branch branch = {epoch(1, a, 0)};
  Report peer = report_of(branch, 4096);
  peer.remembered[a] = {{{id(1), {8192}}, {}}, id(7)};
  EXPECT_TRUE(is_outremembered(branch, {4096}, a, Life{id(7), {}, {}, {}}, peer));
  EXPECT_FALSE(is_outremembered(branch, {4096}, a, Life{id(8), {}, {}, {}}, peer));
}

TEST(Outremembered, a_memory_of_a_reign_that_the_branch_has_forgotten_does_not_count) {
  bricks::Branch mine = {ended(epoch(3, a, 16384), 20480), epoch(4, a, 20480)};
  Report peer = report_of({epoch(1, a, 0)}, 12288);
  peer.remembered[a] = {{{id(1), {12288}}, {}}, id(7)};
  EXPECT_TRUE(is_outremembered(mine, {24576}, a, Life{id(7), {}, {}, {}}, peer));
  mine.front().parent = id(2);
  EXPECT_FALSE(is_outremembered(mine, {24576}, a, Life{id(7), {}, {}, {}}, peer));
  peer.remembered[a].tip.position.lsn = {20480};
  EXPECT_TRUE(is_outremembered(mine, {24576}, a, Life{id(7), {}, {}, {}}, peer));
}

TEST(Outremembered, an_epoch_that_a_rival_has_bound_is_not_missed) {
  const bricks::Branch mine = {ended(epoch(1, a, 0), 4096), epoch(2, b, 4096)};
  Report peer = report_of(mine, 8192);
  peer.remembered[a] = {{{id(1), {12288}}, {}}, id(7)};
  EXPECT_FALSE(is_outremembered(mine, {8192}, a, Life{id(7), {}, {}, {}}, peer));
}

}  // namespace
}  // namespace mars::replication
