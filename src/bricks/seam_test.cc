#include "bricks/seam.h"

#include <gtest/gtest.h>

#include "bricks/memory.h"
#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

struct SeamTest : testing::Test {
  Ready ready;
  Memory one{ready, {.bytes = 8192}};
  Memory other{ready, {.bytes = 8192}};
  Seam seam{ready, one};
  Sender sender{ready, seam};
};

TEST_F(SeamTest, promises_and_moves_what_is_below) {
  EXPECT_EQ(seam.info(), one.info());
  EXPECT_EQ(sender.write(512, filled(512, 'x')), Status::ok);
  EXPECT_EQ(sender.read(512, 512), filled(512, 'x'));
  EXPECT_EQ(sender.write(8192, filled(512, 'x')), Status::invalid);
}

TEST_F(SeamTest, is_opened_below_while_nothing_changes_above) {
  EXPECT_EQ(sender.write(0, filled(512, 'a')), Status::ok);
  ASSERT_TRUE(seam.below().rewire(other).has_value());
  ready.run();
  EXPECT_EQ(sender.read(0, 512), filled(512, '\0'));
  EXPECT_FALSE(one.is_used());
}

}  // namespace
}  // namespace mars::bricks
