#include "bricks/null.h"

#include <gtest/gtest.h>

#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

struct NullTest : testing::Test {
  Ready ready;
  Null null{ready, uint64_t{1} << 50, 512};
  Sender sender{ready, null};
};

TEST_F(NullTest, reads_zeroes_whatever_was_written) {
  EXPECT_EQ(sender.write(512, filled(512, 'x')), Status::ok);
  EXPECT_EQ(sender.read(512, 512), filled(512, 0));
}

TEST_F(NullTest, digests_are_those_of_zeroes) {
  EXPECT_EQ(sender.digest(0, 9728), Status::ok);
  EXPECT_EQ(sender.request.digest, hash(filled(9728, 0)));
}

TEST_F(NullTest, everything_else_succeeds) {
  EXPECT_EQ(sender.other(xio::Op::flush), Status::ok);
  EXPECT_EQ(sender.other(xio::Op::discard, 0, 1024), Status::ok);
  EXPECT_EQ(sender.other(xio::Op::write_zeroes, 0, 1024), Status::ok);
  EXPECT_EQ(sender.get(xio::Op::write, 0, 512), Status::ok);
  EXPECT_EQ(sender.request.data, nullptr);
}

TEST_F(NullTest, has_an_end_and_blocks) {
  EXPECT_EQ(sender.write(uint64_t{1} << 50, filled(512, 'x')), Status::invalid);
  EXPECT_EQ(sender.write(0, filled(100, 'x')), Status::invalid);
}

}  // namespace
}  // namespace mars::bricks
