#include <gtest/gtest.h>

#include "brick/words_for_tests.h"

namespace mars::brick::words {
namespace {

using WordsRequest = words::Request;

struct EdgeTest : testing::Test {
  void send(WordsRequest& request, const char* word, bool get = false) {
    request.word = word;
    request.get = get;
    origin.below.enter(request);
  }
  // Starts a re-wiring of `edge` and remembers how it ends.
  Result<void> rewire(Edge<Words>& edge, Output<Words>& below) {
    return edge.rewire(below, [this](Result<void> result) { outcomes.push_back(std::move(result)); });
  }
  Ready ready;
  Leaf leaf{ready};
  Leaf other{ready};
  Suffix a{ready, leaf, 'a'};
  Suffix b{ready, leaf, 'b'};
  Origin origin{a};
  std::vector<Result<void>> outcomes;
};

TEST_F(EdgeTest, a_request_goes_down_and_comes_up_once) {
  WordsRequest request;
  send(request, "x");
  EXPECT_EQ(leaf.seen, "xa");
  leaf.serve();
  EXPECT_TRUE(origin.back.empty()) << "complete() must not run the caller's code";
  ready.run();
  ASSERT_EQ(origin.back.size(), 1u);
  EXPECT_EQ(request.word, "x");
}

TEST_F(EdgeTest, the_outcome_comes_up) {
  WordsRequest request;
  send(request, "x");
  leaf.serve(Status::io_error);
  ready.run();
  EXPECT_EQ(request.status, Status::io_error);
}

TEST_F(EdgeTest, an_idle_edge_is_swapped_in_the_next_turn) {
  ASSERT_TRUE(rewire(origin.below, b));
  EXPECT_TRUE(outcomes.empty());
  ready.run();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0]);
  WordsRequest request;
  send(request, "x");
  EXPECT_EQ(leaf.seen, "xb");
  leaf.serve();
  ready.run();
}

TEST_F(EdgeTest, a_busy_edge_is_swapped_when_the_last_one_is_back_and_the_others_wait_in_order) {
  WordsRequest first, second, third;
  send(first, "1");
  ASSERT_TRUE(rewire(origin.below, b));
  send(second, "2");
  send(third, "3");
  ready.run();
  EXPECT_EQ(leaf.seen, "1a");
  EXPECT_EQ(origin.below.counts().waiting, 2u);
  leaf.serve();
  ready.run();
  EXPECT_EQ(leaf.seen, "1a2b3b");
  leaf.serve();
  ready.run();
  EXPECT_EQ(origin.back.size(), 3u);
}

TEST_F(EdgeTest, a_lent_buffer_keeps_the_old_way_until_it_is_put) {
  WordsRequest request;
  send(request, "g", true);
  leaf.serve();
  ready.run();
  EXPECT_EQ(origin.below.counts().in_flight, 0u);
  EXPECT_EQ(origin.below.counts().buffers, 1u);
  EXPECT_EQ(a.below().counts().buffers, 1u);
  ASSERT_TRUE(rewire(origin.below, b));
  ready.run();
  EXPECT_TRUE(outcomes.empty());
  send(request, "w");
  EXPECT_EQ(leaf.seen, "gawa") << "who holds a buffer passes the closed gate by the old edge";
  leaf.serve();
  ready.run();
  EXPECT_TRUE(outcomes.empty());
  request.put();
  EXPECT_EQ(leaf.pens_back, 1);
  EXPECT_EQ(a.below().counts().buffers, 0u);
  ready.run();
  EXPECT_EQ(outcomes.size(), 1u);
}

TEST_F(EdgeTest, the_deadline_opens_the_old_edge_and_says_what_was_in_the_way) {
  WordsRequest lent, stuck, waiting;
  send(lent, "g", true);
  leaf.serve();
  ready.run();
  send(stuck, "s");
  ASSERT_TRUE(rewire(origin.below, b));
  send(waiting, "w");
  origin.below.abandon();
  ready.run();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(status_of(outcomes[0]), Status::busy);
  EXPECT_EQ(outcomes[0].error().text, "not drained: 1 requests in flight and 1 supplied buffers out");
  EXPECT_EQ(leaf.seen, "gasawa");
  EXPECT_EQ(&origin.below.below(), &a);
  leaf.serve();
  ready.run();
  lent.put();
  ASSERT_TRUE(rewire(origin.below, b)) << "it may be tried again";
  ready.run();
  EXPECT_EQ(&origin.below.below(), &b);
}

TEST_F(EdgeTest, abandoning_a_drained_edge_comes_too_late) {
  ASSERT_TRUE(rewire(origin.below, b));
  origin.below.abandon();
  ready.run();
  EXPECT_TRUE(outcomes.at(0));
}

TEST_F(EdgeTest, a_second_rewiring_at_the_same_time_is_busy) {
  ASSERT_TRUE(rewire(origin.below, b));
  EXPECT_EQ(status_of(rewire(origin.below, a)), Status::busy);
  ready.run();
}

TEST_F(EdgeTest, a_brick_that_promises_less_is_refused) {
  Leaf small(ready, 5);
  auto result = rewire(a.below(), small);
  EXPECT_EQ(status_of(result), Status::refused);
  EXPECT_NE(result.error().text.find("letters_max"), std::string::npos);
}

TEST_F(EdgeTest, a_circle_is_refused) {
  EXPECT_EQ(status_of(rewire(a.below(), a)), Status::refused);
  Suffix above(ready, a, 'c');
  EXPECT_EQ(status_of(rewire(a.below(), above)), Status::refused);
}

TEST_F(EdgeTest, a_path_that_does_not_fit_into_a_request_is_refused) {
  std::vector<std::unique_ptr<Suffix>> tower;
  Output<Words>* top = &leaf;
  while (origin.below.taken() + top->room() <= Trip<Words>::way_bytes) {
    tower.push_back(std::make_unique<Suffix>(ready, *top, 't'));
    top = tower.back().get();
  }
  auto result = rewire(origin.below, *top);
  EXPECT_EQ(status_of(result), Status::refused);
  EXPECT_EQ(status_of(rewire(a.below(), *top)), Status::refused) << "what lies above the edge counts too";
  while (!tower.empty()) tower.pop_back();
}

TEST_F(EdgeTest, a_held_gate_lets_nobody_through_until_it_is_released) {
  WordsRequest request;
  origin.below.hold();
  send(request, "x");
  ready.run();
  EXPECT_EQ(leaf.seen, "");
  origin.below.release();
  ready.run();
  EXPECT_EQ(leaf.seen, "xa");
  leaf.serve();
  ready.run();
}

TEST_F(EdgeTest, a_held_gate_swaps_and_stays_closed) {
  WordsRequest request;
  origin.below.hold();
  send(request, "x");
  ASSERT_TRUE(rewire(origin.below, b));
  ready.run();
  EXPECT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(leaf.seen, "");
  origin.below.release();
  ready.run();
  EXPECT_EQ(leaf.seen, "xb");
  leaf.serve();
  ready.run();
}

TEST_F(EdgeTest, who_waits_at_a_gate_can_be_turned_away) {
  WordsRequest request;
  origin.below.hold();
  send(request, "x");
  origin.below.turn_away(Status::gone);
  ready.run();
  ASSERT_EQ(origin.back.size(), 1u);
  EXPECT_EQ(request.status, Status::gone);
  origin.below.release();
  ready.run();
}

TEST_F(EdgeTest, an_origin_may_send_again_from_its_handler) {
  struct Again {
    explicit Again(Output<Words>& output) : below(On<&Again::left>{}, this, nullptr, output) {}
    void left(WordsRequest& request) {
      if (++count < 3) below.enter(request);
    }
    Input<Words> below;
    int count = 0;
  } again(leaf);
  WordsRequest request;
  again.below.enter(request);
  for (int i = 0; i < 3; ++i) {
    leaf.serve();
    ready.run();
  }
  EXPECT_EQ(again.count, 3);
}

TEST_F(EdgeTest, an_origin_may_destroy_the_request_and_itself_in_its_handler) {
  struct Short {
    explicit Short(Output<Words>& output) : below(On<&Short::left>{}, this, nullptr, output) {}
    void left(WordsRequest& request) {
      delete &request;
      delete this;
    }
    Input<Words> below;
  };
  auto* brief = new Short(a);
  brief->below.enter(*new WordsRequest);
  leaf.serve();
  ready.run();
  EXPECT_TRUE(ready.empty());
}

// Holds what came back until the next request enters.
struct Lazy final : Output<Words> {
  Lazy(Ready& ready, Output& output) : Output(ready), below(On<&Lazy::left>{}, this, this, output) {}
  words::Info info() const override { return below.info(); }
  void enter(WordsRequest& request) override {
    let_go();
    below.enter(request);
  }
  void left(WordsRequest& request) { held = &request; }
  void let_go() {
    if (held != nullptr) complete(*std::exchange(held, nullptr), Status::ok);
  }
  Input<Words> below;
  WordsRequest* held = nullptr;
};

TEST_F(EdgeTest, what_was_held_on_its_way_up_does_not_run_the_caller_inside_another_enter) {
  Lazy lazy(ready, leaf);
  Origin top(lazy);
  WordsRequest first, second;
  top.below.enter(first);
  leaf.serve();
  ready.run();
  top.below.enter(second);
  EXPECT_TRUE(top.back.empty());
  ready.run();
  EXPECT_EQ(top.back.size(), 1u);
  leaf.serve();
  ready.run();
  lazy.let_go();
  ready.run();
  EXPECT_EQ(top.back.size(), 2u);
}

}  // namespace
}  // namespace mars::brick::words
