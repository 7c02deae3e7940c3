// Exactly once: what a release build must catch too.
#include "brick/trip.h"

#include <gtest/gtest.h>

#include "brick/words_for_tests.h"

namespace mars::brick::words {
namespace {

using WordsRequest = words::Request;

struct TripTest : testing::Test {
  // A request that is given up while somebody holds it, as the dying half of a death test does.
  static WordsRequest& abandoned() { return *new WordsRequest; }
  Ready ready;
  Leaf leaf{ready};
  Suffix suffix{ready, leaf, 'a'};
  Origin origin{suffix};
};
using TripDeathTest = TripTest;

TEST_F(TripDeathTest, a_second_completion_dies) {
  EXPECT_DEATH(
      {
        WordsRequest& request = abandoned();
        origin.below.enter(request);
        leaf.serve();
        leaf.complete_again(request);
      },
      "holder_");
}

TEST_F(TripDeathTest, a_completion_by_who_passed_it_on_dies) {
  EXPECT_DEATH(
      {
        WordsRequest& request = abandoned();
        origin.below.enter(request);
        leaf.serve();
        ready.run();
        leaf.complete_again(request);
      },
      "holder_");
}

TEST_F(TripDeathTest, entering_while_in_flight_dies) {
  EXPECT_DEATH(
      {
        WordsRequest& request = abandoned();
        origin.below.enter(request);
        origin.below.enter(request);
      },
      "holder_");
}

TEST_F(TripDeathTest, entering_what_waits_at_a_gate_dies) {
  EXPECT_DEATH(
      {
        WordsRequest& request = abandoned();
        origin.below.hold();
        origin.below.enter(request);
        origin.below.enter(request);
      },
      "holder_");
}

TEST_F(TripDeathTest, entering_what_is_completed_but_not_back_dies) {
  EXPECT_DEATH(
      {
        WordsRequest& request = abandoned();
        origin.below.enter(request);
        leaf.serve();
        origin.below.enter(request);
      },
      "holder_");
}

TEST_F(TripDeathTest, destroying_what_is_in_flight_dies) {
  EXPECT_DEATH(
      {
        WordsRequest request;
        origin.below.enter(request);
      },
      "holder_");
}

TEST_F(TripDeathTest, destroying_a_request_whose_buffer_is_out_dies) {
  EXPECT_DEATH(
      {
        WordsRequest request;
        request.get = true;
        origin.below.enter(request);
        leaf.serve();
        ready.run();
      },
      "lent_");
}

TEST_F(TripDeathTest, destroying_a_brick_that_is_wired_dies) {
  EXPECT_DEATH(
      {
        auto gone = std::make_unique<Leaf>(ready);
        Origin above(*gone);
        gone.reset();
      },
      "is_used");
}

TEST_F(TripDeathTest, a_path_that_nobody_checked_dies_before_it_overruns) {
  EXPECT_DEATH(
      {
        std::vector<std::unique_ptr<Suffix>> tower;
        Output<Words>* top = &leaf;
        for (int i = 0; i < 20; ++i) {
          tower.push_back(std::make_unique<Suffix>(ready, *top, 't'));
          top = tower.back().get();
        }
        Origin above(*top);
        above.below.enter(abandoned());
      },
      "way_bytes");
}

struct Kept {
  int left;
};
// Holds a request until three pokes were counted on the request itself.
struct Counter final : Output<Words> {
  explicit Counter(Ready& ready) : Output(ready, room_for<Kept>) {}
  words::Info info() const override { return {}; }
  void enter(WordsRequest& request) override {
    keep(request, Kept{3});
    held = &request;
  }
  void poke() {
    if (--kept<Kept>(*held).left == 0) complete(*held, Status::ok);
  }
  WordsRequest* held = nullptr;
};

TEST_F(TripTest, what_a_brick_keeps_lies_on_the_request_and_goes_with_it) {
  Counter counter(ready);
  Origin above(counter);
  WordsRequest request;
  for (int round = 0; round < 2; ++round) {
    above.below.enter(request);
    for (int i = 0; i < 3; ++i) counter.poke();
    ready.run();
  }
  EXPECT_EQ(above.back.size(), 2u);
}

TEST_F(TripTest, a_line_is_first_in_first_out) {
  Line<Words> line;
  WordsRequest one, two;
  line.push(one);
  line.push(two);
  EXPECT_EQ(line.size(), 2u);
  EXPECT_EQ(line.pop(), &one);
  EXPECT_EQ(line.front(), &two);
  EXPECT_EQ(line.pop(), &two);
  EXPECT_EQ(line.pop(), nullptr);
  line.push(one);
  EXPECT_EQ(line.pop(), &one);
}

// Different personalities do not compile together.
struct Numbers;
struct NumbersRequest : Trip<Numbers> {};
struct Numbers {
  using Request = NumbersRequest;
  using Info = int;
  static bool holds_buffer(const NumbersRequest&) { return false; }
  static const char* stricter(int, int) { return nullptr; }
};
struct Probe {
  void left(NumbersRequest&) {}
};
template <class P>
concept connects =
    requires(Probe* probe, Output<P>& output) { Input<Numbers>(On<&Probe::left>{}, probe, nullptr, output); };
static_assert(connects<Numbers>);
static_assert(!connects<Words>);

}  // namespace
}  // namespace mars::brick::words
