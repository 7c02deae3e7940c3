#include "replication/insertions.h"

#include <gtest/gtest.h>

#include <array>

#include "bricks/delay.h"
#include "bricks/memory.h"
#include "bricks/seam.h"
#include "bricks/trace.h"
#include "sim/world.h"

namespace mars::replication {
namespace {

using namespace std::chrono_literals;
using xio::Op;

// Keeps what enters until it is told to let go.
class Valve final : public xio::Output {
 public:
  Valve(Ready& ready, xio::Output& below) : Output(ready), below_(xio::On<&Valve::left>{}, this, this, below) {}
  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override { held_.push(request); }
  void open() {
    while (xio::Request* request = held_.pop()) below_.enter(*request);
  }

 private:
  void left(xio::Request& request) { complete(request, request.status); }
  xio::Line held_;
  xio::Input<> below_;
};

struct InsertionsTest : testing::Test {
  InsertionsTest() {
    CHECK(graph.add("seam", "seam", seam).has_value());
    CHECK(graph.add("valve", "valve", valve).has_value());
    CHECK(graph.add("memory", "memory", memory).has_value());
  }
  ~InsertionsTest() override {
    for (const char* name : {"trace", "trace-2", "delay"}) {
      if (graph.find(name) != nullptr) CHECK(remove(name).has_value());
    }
  }
  Insertions::Maker trace() {
    return [this](xio::Output& below) -> Result<Instrument> {
      auto brick = std::make_unique<bricks::Trace>(machine.ready(), below);
      Instrument instrument;
      instrument.below = &brick->below();
      instrument.report = [its = brick.get()] { return its->dump(); };
      instrument.brick = std::move(brick);
      return instrument;
    };
  }
  Insertions::Maker delay(io::Duration time) {
    return [this, time](xio::Output& below) -> Result<Instrument> {
      auto brick = std::make_unique<bricks::Delay>(machine, below, bricks::DelayOptions{time, time, 1});
      Instrument instrument;
      instrument.below = &brick->below();
      instrument.button = brick.get();
      instrument.brick = std::move(brick);
      return instrument;
    };
  }
  Result<std::string> insert(std::string at, Insertions::Maker maker, std::string type = "trace") {
    return world.run(machine, insertions.insert(std::move(type), std::move(at), std::move(maker), 2s));
  }
  Result<void> remove(std::string name) { return world.run(machine, insertions.remove(std::move(name), 2s)); }
  void write() {
    request.prepare(Op::write, 0, 1, &byte);
    has_come_back = false;
    origin.enter(request);
  }
  void back(xio::Request&) { has_come_back = true; }
  bool is_back() {
    return world.run_until([&] { return has_come_back; }, 10s);
  }

  sim::World world{1};
  sim::SimMachine& machine = world.host("a").machine();
  bricks::Memory memory{machine.ready(), {.bytes = 8192}};
  Valve valve{machine.ready(), memory};
  bricks::Seam seam{machine.ready(), valve};
  brick::Graph<xio::Xio> graph;
  Insertions insertions{machine, graph};
  xio::Input<> origin{xio::On<&InsertionsTest::back>{}, this, nullptr, seam};
  xio::Request request;
  std::byte byte{};
  bool has_come_back = false;
};

TEST_F(InsertionsTest, an_instrument_sees_what_passes_its_edge_and_can_be_taken_out) {
  EXPECT_EQ(insert("seam", trace()).value_or(""), "trace");
  write();
  valve.open();
  EXPECT_NE(insertions.report().find("in write 0+1"), std::string::npos) << insertions.report();
  valve.open();
  ASSERT_TRUE(is_back());
  ASSERT_TRUE(remove("trace").has_value());
  EXPECT_EQ(insertions.report(), "");
  EXPECT_EQ(&seam.below().below(), &valve);
}

TEST_F(InsertionsTest, an_edge_that_does_not_drain_opens_again_at_the_deadline) {
  write();
  world.run_for(1ms);
  const io::Instant begun = machine.now();
  Result<std::string> name = insert("seam", trace());
  ASSERT_FALSE(name.has_value());
  EXPECT_EQ(name.error().status, Status::busy);
  EXPECT_NE(name.error().text.find("1 requests in flight"), std::string::npos) << name.error().text;
  EXPECT_GE(machine.now() - begun, 2s);
  EXPECT_LT(machine.now() - begun, 3s);
  EXPECT_FALSE(seam.below().closed());
  valve.open();
  EXPECT_TRUE(is_back());
}

TEST_F(InsertionsTest, what_is_held_back_goes_on_when_it_is_taken_out) {
  ASSERT_TRUE(insert("valve.below", delay(1h), "delay").has_value());
  world.run_for(1ms);
  write();
  valve.open();
  world.run_for(1s);
  EXPECT_FALSE(has_come_back);
  ASSERT_TRUE(remove("delay").has_value());
  EXPECT_TRUE(is_back());
}

TEST_F(InsertionsTest, two_of_a_kind_have_two_names_and_lie_above_each_other) {
  EXPECT_EQ(insert("seam", trace()).value_or(""), "trace");
  EXPECT_EQ(insert("seam", trace()).value_or(""), "trace-2");
  EXPECT_EQ(&seam.below().below(), graph.find("trace-2"));
  ASSERT_TRUE(remove("trace").has_value());
  EXPECT_EQ(&seam.below().below(), graph.find("trace-2"));
}

TEST_F(InsertionsTest, unknown_edges_and_instruments_are_told_with_those_that_are_there) {
  Result<std::string> name = insert("nowhere", trace());
  ASSERT_FALSE(name.has_value());
  EXPECT_EQ(name.error().status, Status::not_found);
  EXPECT_NE(name.error().text.find("seam.below, valve.below"), std::string::npos) << name.error().text;
  EXPECT_EQ(remove("trace").error().status, Status::not_found);
}

TEST_F(InsertionsTest, their_number_is_bounded) {
  for (size_t i = 0; i < Insertions::count_max; ++i) ASSERT_TRUE(insert("seam", trace()).has_value());
  EXPECT_EQ(insert("seam", trace()).error().status, Status::refused);
  for (size_t i = Insertions::count_max; i > 1; --i) ASSERT_TRUE(remove("trace-" + std::to_string(i)).has_value());
}

TEST_F(InsertionsTest, whoever_ends_waits_for_no_gate) {
  write();
  world.run_for(1ms);
  world.after(1ms, [this] { insertions.give_up(); });
  const io::Instant begun = machine.now();
  EXPECT_EQ(insert("seam", trace()).error().status, Status::busy);
  EXPECT_LT(machine.now() - begun, 1s);
  valve.open();
  EXPECT_TRUE(is_back());
}

}  // namespace
}  // namespace mars::replication
