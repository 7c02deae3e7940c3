// An outer and an inner edge are re-wired 10,000 times each under a load that keeps 32 requests outstanding, with
// supplied buffers, io issued later than get, and fewer buffers than requests. Everything is seeded; a turn is one run
// of the ready queue, and whatever waits, waits in turns.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/prng.h"
#include "brick/graph.h"
#include "bricks/check.h"
#include "bricks/memory.h"
#include "bricks/trace.h"

namespace mars::bricks {
namespace {

using xio::Op;
using xio::Step;

constexpr uint32_t block = 512;
constexpr uint32_t bytes_max = 2048;

// What the load sends: also says since when it stands where it is.
struct Item : xio::Request {
  enum class State { idle, below, got, done } state = State::idle;
  uint64_t since = 0;
  std::vector<std::byte> own = std::vector<std::byte>(bytes_max);
};

// Keeps each request for some turns and passes them on in any order. Notes how long they waited at the gate above.
class Scatter final : public xio::Output {
 public:
  Scatter(Ready& ready, xio::Output& below, const uint64_t& turn, Prng prng)
      : Output(ready), below_(xio::On<&Scatter::left>{}, this, this, below), turn_(turn), prng_(prng) {}
  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override {
    longest_wait_ = std::max(longest_wait_, turn_ - static_cast<Item&>(request).since);
    held_.push_back(&static_cast<Item&>(request));
  }
  void release_some() {
    for (uint64_t most = prng_.below(held_.size() + 1); most > 0; --most) {
      std::swap(held_[prng_.below(held_.size())], held_.back());
      Item& item = *held_.back();
      held_.pop_back();
      item.since = turn_;
      below_.enter(item);
    }
  }
  uint64_t longest_wait() const { return longest_wait_; }
  xio::Edge& below() { return below_; }

 private:
  void left(xio::Request& request) { complete(request, request.status); }
  xio::Input<> below_;
  const uint64_t& turn_;
  Prng prng_;
  std::vector<Item*> held_;
  uint64_t longest_wait_ = 0;
};

// Shows a window of the device that begins at `start`. Watches that io with a supplied buffer comes by the way by which
// the get came.
class Shift final : public xio::Output {
 public:
  Shift(Ready& ready, xio::Output& below, uint64_t start, uint64_t bytes)
      : Output(ready), below_(xio::On<&Shift::left>{}, this, this, below), start_(start), bytes_(bytes) {}
  xio::Info info() const override {
    auto info = below_.info();
    info.bytes = bytes_;
    return info;
  }
  void enter(xio::Request& request) override {
    const Aspect aspect{request.offset};
    if (request.step == Step::get) lent_.erase(&request);
    if (request.supplier != nullptr && !lent_.contains(&request)) ++strangers_;
    request.offset += start_;
    below_.enter(request, aspect);
  }
  uint64_t strangers() const { return strangers_; }

 private:
  struct Aspect {
    uint64_t offset_above;
  };
  void left(xio::Request& request, Aspect aspect) {
    if (request.supplier != nullptr) lent_.insert(&request);
    request.offset = aspect.offset_above;
    complete(request, request.status);
  }
  xio::Input<Aspect> below_;
  const uint64_t start_, bytes_;
  std::set<const xio::Request*> lent_;
  uint64_t strangers_ = 0;
};

// 32 requests, each of which is started again as soon as it is through: own buffers, or get, later io, later put.
class Load {
 public:
  Load(xio::Output& below, const uint64_t& turn, Prng prng)
      : below_(xio::On<&Load::left>{}, this, nullptr, below), turn_(turn), prng_(prng), items_(32) {}

  void step(bool may_start) {
    for (Item& item : items_) {
      if (item.state == Item::State::idle && may_start) start(item);
      if (item.state == Item::State::got && prng_.chance(1, 3)) io(item);
      if (item.state == Item::State::done && prng_.chance(1, 2)) finish(item);
    }
  }
  bool is_idle() const {
    return std::all_of(items_.begin(), items_.end(), [](const Item& i) { return i.state == Item::State::idle; });
  }
  uint64_t finished() const { return finished_; }
  uint64_t supplied() const { return supplied_; }
  uint64_t failed() const { return failed_; }

 private:
  void start(Item& item) {
    constexpr Op ops[] = {Op::read, Op::write, Op::write, Op::read, Op::write_zeroes, Op::flush};
    const Op op = ops[prng_.below(6)];
    const uint32_t bytes = op == Op::flush ? 0 : block * static_cast<uint32_t>(1 + prng_.below(bytes_max / block));
    const uint64_t offset = op == Op::flush ? 0 : block * prng_.below((below_.info().bytes - bytes) / block + 1);
    const bool brings_buffer = op == Op::read || op == Op::write;
    item.prepare(op, offset, bytes, brings_buffer ? item.own.data() : nullptr);
    if (brings_buffer && prng_.chance(2, 3)) {
      item.step = Step::get;
      item.data = nullptr;
    } else if (op == Op::read && prng_.chance(1, 4)) {
      item.digest_only = true;
    } else if (op == Op::write) {
      fill(item);
    }
    send(item);
  }
  void fill(Item& item) {
    for (uint32_t i = 0; i < item.bytes; i += 8) {
      const uint64_t word = prng_.next();
      std::memcpy(item.data + i, &word, 8);
    }
  }
  void io(Item& item) {
    if (item.op == Op::write) fill(item);
    item.step = Step::io;
    send(item);
  }
  void send(Item& item) {
    item.state = Item::State::below;
    item.since = turn_;
    below_.enter(item);
  }
  void left(xio::Request& request) {
    Item& item = static_cast<Item&>(request);
    if (item.status != Status::ok) ++failed_;
    if (item.supplier != nullptr && item.step == Step::get) ++supplied_;
    const bool through = item.step == Step::io || (item.filled && prng_.chance(1, 2));
    item.state = through ? Item::State::done : Item::State::got;
  }
  void finish(Item& item) {
    item.put();
    item.state = Item::State::idle;
    ++finished_;
  }

  xio::Input<> below_;
  const uint64_t& turn_;
  Prng prng_;
  std::vector<Item> items_;
  uint64_t finished_ = 0;
  uint64_t supplied_ = 0;
  uint64_t failed_ = 0;
};

struct Bench {
  static constexpr uint64_t window = 128 << 10;

  // Wires `edge` to the other of the two as soon as it is wired to one of them.
  void alternate(xio::Edge& edge, xio::Output& one, xio::Output& other, uint64_t& done) {
    if (edge.rewiring() || done == rewirings) return;
    auto result = edge.rewire(&edge.below() == &one ? other : one, [&done](Result<void> outcome) {
      ASSERT_TRUE(outcome);
      ++done;
    });
    ASSERT_TRUE(result) << result.error().text;
  }
  void alternate_both() {
    alternate(check.below(), scatter, trace, outer);
    alternate(scatter.below(), once, outer_half, inner);
  }
  void take_turn(bool may_start) {
    load.step(may_start);
    scatter.release_some();
    late.release_some();
    ready.run();
    ++turn;
  }

  // Re-wires both edges that often, then lets everything come back; false when that takes too long.
  bool run() {
    const uint64_t limit = 100 * rewirings;
    while ((outer < rewirings || inner < rewirings) && turn < limit) {
      alternate_both();
      take_turn(true);
    }
    while (!load.is_idle() && turn < limit) take_turn(false);
    return load.is_idle();
  }

  explicit Bench(uint64_t seed, uint64_t times) : rewirings(times), prng(seed) {}
  const uint64_t rewirings;
  uint64_t outer = 0;
  uint64_t inner = 0;
  uint64_t turn = 0;
  Prng prng;
  Ready ready;
  Memory memory{ready,
                {.bytes = window + uint64_t{2} * block, .block_bytes = block, .bytes_max = bytes_max, .buffers = 12}};
  Scatter late{ready, memory, turn, prng.fork()};
  Shift once{ready, late, uint64_t{2} * block, window};
  Shift inner_half{ready, late, block, window + block};
  Shift outer_half{ready, inner_half, block, window};
  Scatter scatter{ready, once, turn, prng.fork()};
  Trace trace{ready, scatter};
  Check check{ready, scatter, {.compare = true}};
  Load load{check, turn, prng.fork()};
};

TEST(RewireTest, ten_thousand_times_under_load) {
  Bench bench(20, 10'000);
  EXPECT_TRUE(bench.run());
  std::printf("%s", bench.check.report().c_str());
  std::printf("%lu turns, %lu requests through, %lu buffers supplied\n", bench.turn, bench.load.finished(),
              bench.load.supplied());
  std::printf("longest wait at a gate: outer %lu turns, inner %lu turns\n", bench.scatter.longest_wait(),
              bench.late.longest_wait());
  EXPECT_EQ(bench.outer, 10'000u);
  EXPECT_EQ(bench.inner, 10'000u);
  EXPECT_EQ(bench.load.failed(), 0u);
  EXPECT_EQ(bench.check.in_flight(), 0u);
  EXPECT_EQ(bench.check.counts().in, bench.check.counts().out);
  EXPECT_EQ(bench.check.faults(), 0u);
  EXPECT_GT(bench.check.bytes_compared(), 1u << 20);
  EXPECT_EQ(bench.once.strangers() + bench.inner_half.strangers() + bench.outer_half.strangers(), 0u);
  EXPECT_EQ(bench.memory.buffers_free(), 12u);
  EXPECT_LT(bench.scatter.longest_wait(), 200u);
  EXPECT_LT(bench.late.longest_wait(), 200u);
}

TEST(RewireTest, a_seed_gives_one_run_and_another_seed_another) {
  Bench one(1, 100), same(1, 100), other(2, 100);
  EXPECT_TRUE(one.run() && same.run() && other.run());
  EXPECT_EQ(one.check.report(), same.check.report());
  EXPECT_NE(one.check.report(), other.check.report());
}

}  // namespace
}  // namespace mars::bricks
