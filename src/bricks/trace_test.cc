#include "bricks/trace.h"

#include <gtest/gtest.h>

#include "bricks/memory.h"
#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

struct TraceTest : testing::Test {
  Ready ready;
  Memory memory{ready, {.bytes = 8192}};
  Trace trace{ready, memory, 4};
  Sender sender{ready, trace};
};

TEST_F(TraceTest, shows_each_way_down_and_up) {
  EXPECT_EQ(sender.write(512, filled(512, 'x')), Status::ok);
  EXPECT_EQ(sender.write(8192, filled(512, 'x')), Status::invalid);
  EXPECT_EQ(trace.dump(),
            "#0 in write 512+512\n"
            "#1 out write 512+512 ok\n"
            "#2 in write 8192+512\n"
            "#3 out write 8192+512 invalid\n");
}

TEST_F(TraceTest, keeps_the_last_events_only) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sender.other(xio::Op::flush), Status::ok);
  EXPECT_EQ(trace.dump(), "#2 in flush 0+0\n#3 out flush 0+0 ok\n#4 in flush 0+0\n#5 out flush 0+0 ok\n");
  EXPECT_EQ(trace.events(), 6u);
}

TEST_F(TraceTest, shows_gets_digests_and_fua) {
  EXPECT_EQ(sender.get(xio::Op::write, 0, 512), Status::ok);
  EXPECT_EQ(sender.digest(0, 512), Status::ok);
  EXPECT_NE(trace.dump().find("#1 out get of write 0+512 ok\n#2 in read 0+512 digest\n"), std::string::npos);
  auto bytes = filled(512, 'x');
  sender.request.prepare(xio::Op::write, 0, 512, bytes.data());
  sender.request.fua = true;
  EXPECT_EQ(sender.send(sender.request), Status::ok);
  EXPECT_NE(trace.dump().find("#4 in write 0+512 fua\n"), std::string::npos);
}

}  // namespace
}  // namespace mars::bricks
