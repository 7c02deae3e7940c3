#include "brick/graph.h"

#include <gtest/gtest.h>

#include "brick/words_for_tests.h"

namespace mars::brick::words {
namespace {

struct GraphTest : testing::Test {
  GraphTest() {
    CHECK(graph.add("leaf", "leaf", leaf).has_value());
    CHECK(graph.add("a", "suffix", a).has_value());
    CHECK(graph.add_origin("top", "test", origin.below).has_value());
  }
  Ready ready;
  Leaf leaf{ready};
  Suffix a{ready, leaf, 'a'};
  Origin origin{a};
  Graph<Words> graph;
};

TEST_F(GraphTest, dump_shows_wiring_and_counts) {
  words::Request request;
  origin.below.enter(request);
  EXPECT_EQ(graph.dump(),
            "leaf (leaf)\n"
            "a (suffix)\n"
            "  a.below -> leaf: 1 in flight, 0 buffers out\n"
            "top (test)\n"
            "  top.below -> a: 1 in flight, 0 buffers out\n");
  leaf.serve();
  ready.run();
}

TEST_F(GraphTest, dump_shows_a_closed_gate) {
  words::Request request;
  origin.below.hold();
  origin.below.enter(request);
  EXPECT_NE(graph.dump().find("top.below -> a: 0 in flight, 0 buffers out, gate closed, 1 waiting"), std::string::npos);
  origin.below.turn_away(Status::gone);
  ready.run();
}

TEST_F(GraphTest, a_name_stands_once) { EXPECT_EQ(status_of(graph.add("a", "leaf", leaf)), Status::exists); }

TEST_F(GraphTest, a_brick_is_put_in_and_taken_out_by_name) {
  Suffix b(ready, a, 'b');
  ASSERT_TRUE(graph.add("b", "suffix", b));
  ASSERT_TRUE(graph.check());
  ASSERT_TRUE(graph.rewire("top.below", "b"));
  ready.run();
  EXPECT_EQ(&origin.below.below(), &b);
  ASSERT_TRUE(graph.rewire("top.below", "a"));
  ready.run();
  graph.remove("b");
  EXPECT_EQ(graph.find("b"), nullptr);
}

TEST_F(GraphTest, unknown_names_are_named) {
  auto no_input = graph.rewire("nobody.below", "a");
  EXPECT_EQ(status_of(no_input), Status::not_found);
  EXPECT_NE(no_input.error().text.find("nobody.below"), std::string::npos);
  EXPECT_EQ(status_of(graph.rewire("top.below", "nobody")), Status::not_found);
  EXPECT_EQ(status_of(graph.abandon("nobody.below")), Status::not_found);
}

TEST_F(GraphTest, check_finds_a_path_that_is_too_long) {
  std::vector<std::unique_ptr<Suffix>> tower;
  Output<Words>* top = &a;
  for (int i = 0; i < 20; ++i) {
    tower.push_back(std::make_unique<Suffix>(ready, *top, 't'));
    top = tower.back().get();
    ASSERT_TRUE(graph.add("t" + std::to_string(i), "suffix", *tower.back()));
  }
  {
    Origin high(*top);
    ASSERT_TRUE(graph.add_origin("high", "test", high.below));
    EXPECT_EQ(status_of(graph.check()), Status::refused);
    graph.remove("high");
  }
  while (!tower.empty()) tower.pop_back();
}

TEST_F(GraphTest, check_finds_an_edge_that_leads_out_of_the_graph) {
  graph.remove("leaf");
  auto result = graph.check();
  EXPECT_EQ(status_of(result), Status::not_found);
  EXPECT_NE(result.error().text.find("a.below"), std::string::npos);
}

TEST_F(GraphTest, the_deadline_reaches_the_edge_by_name) {
  words::Request request;
  origin.below.enter(request);
  Status outcome = Status::ok;
  ASSERT_TRUE(graph.rewire("top.below", "leaf", [&](Result<void> result) { outcome = status_of(result); }));
  ASSERT_TRUE(graph.abandon("top.below"));
  ready.run();
  EXPECT_EQ(outcome, Status::busy);
  leaf.serve();
  ready.run();
}

}  // namespace
}  // namespace mars::brick::words
