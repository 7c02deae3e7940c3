#include "bricks/fault.h"

#include <gtest/gtest.h>

#include "bricks/memory.h"
#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

using xio::Op;

struct FaultTest : testing::Test {
  Ready ready;
  Memory memory{ready, {.bytes = 8192}};
  Fault fault{ready, memory, 1};
  Sender sender{ready, fault};
};

TEST_F(FaultTest, without_rules_everything_passes) {
  EXPECT_EQ(sender.write(0, filled(1, 'x')), Status::ok);
  EXPECT_EQ(fault.injected(), 0u);
}

TEST_F(FaultTest, the_nth_of_its_operation_fails_once) {
  fault.add({.op = Op::write, .nth = 2, .status = Status::no_space});
  EXPECT_EQ(sender.write(0, filled(1, 'x')), Status::ok);
  EXPECT_EQ(sender.other(Op::flush), Status::ok);
  EXPECT_EQ(sender.write(1, filled(1, 'y')), Status::no_space);
  EXPECT_EQ(sender.write(2, filled(1, 'z')), Status::ok);
  EXPECT_EQ(memory.bytes()[1], std::byte{0}) << "it must not reach the device";
}

TEST_F(FaultTest, a_lost_answer_is_a_write_that_happened) {
  fault.add({.op = Op::write, .nth = 1, .done = true});
  EXPECT_EQ(sender.write(0, filled(1, 'x')), Status::io_error);
  EXPECT_EQ(memory.bytes()[0], std::byte{'x'});
}

TEST_F(FaultTest, chance_is_seeded) {
  fault.add({.op = Op::flush, .parts = 1, .whole = 4});
  Fault same(ready, memory, 1);
  same.add({.op = Op::flush, .parts = 1, .whole = 4});
  Sender twin(ready, same);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(sender.other(Op::flush), twin.other(Op::flush));
  EXPECT_GT(fault.injected(), 20u);
  EXPECT_LT(fault.injected(), 90u);
}

TEST_F(FaultTest, all_fail_until_the_rules_are_cleared) {
  fault.add({.op = Op::read, .parts = 1});
  EXPECT_TRUE(sender.read(0, 1).empty());
  EXPECT_TRUE(sender.read(0, 1).empty());
  fault.clear();
  EXPECT_EQ(sender.read(0, 1).size(), 1u);
}

}  // namespace
}  // namespace mars::bricks
