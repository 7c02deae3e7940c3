#include "bricks/check.h"

#include <gtest/gtest.h>

#include "bricks/memory.h"
#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

using xio::Op;

// Does what a defect would do.
class Defect final : public xio::Output {
 public:
  Defect(Ready& ready, xio::Output& below) : Output(ready), below_(xio::On<&Defect::left>{}, this, this, below) {}
  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override {
    if (loses) return lost.push(request);
    below_.enter(request);
  }
  void find_again() {
    while (xio::Request* request = lost.pop()) complete(*request, Status::gone);
  }
  bool loses = false;
  bool completes_twice = false;
  bool flips = false;
  bool moves = false;
  xio::Line lost;

 private:
  void left(xio::Request& request) {
    if (flips && request.digest_only) request.digest.low ^= 1;
    if (flips && request.op == Op::read && request.data != nullptr) request.data[request.bytes - 1] ^= std::byte{1};
    if (moves) request.offset += 512;
    complete(request, request.status);
    if (completes_twice) complete(request, request.status);
  }
  xio::Input<> below_;
};

struct CheckTest : testing::Test {
  Ready ready;
  Memory memory{ready, {.bytes = 8192}};
  Defect defect{ready, memory};
  Check check{ready, defect, {.compare = true}};
  Sender sender{ready, check};
};

TEST_F(CheckTest, counts_each_operation_in_and_out) {
  EXPECT_EQ(sender.write(0, filled(512, 'x')), Status::ok);
  EXPECT_EQ(sender.write(8192, filled(512, 'x')), Status::invalid);
  EXPECT_EQ(sender.get(Op::read, 0, 512), Status::ok);
  EXPECT_EQ(check.report(),
            "get of read: in 1, out 1, failed 0\n"
            "write: in 2, out 2, failed 1\n"
            "faults 0, compared 0 bytes\n");
}

TEST_F(CheckTest, what_is_right_is_compared) {
  EXPECT_EQ(sender.write(0, filled(512, 'x')), Status::ok);
  EXPECT_EQ(sender.read(0, 1024).size(), 1024u);
  EXPECT_EQ(sender.digest(0, 512), Status::ok);
  EXPECT_EQ(check.bytes_compared(), 1024u);
  EXPECT_EQ(check.faults(), 0u);
}

TEST_F(CheckTest, a_wrong_byte_is_found) {
  EXPECT_EQ(sender.write(0, filled(512, 'x')), Status::ok);
  defect.flips = true;
  EXPECT_EQ(sender.read(0, 512).size(), 512u);
  EXPECT_EQ(check.faults(), 1u);
  EXPECT_NE(check.report().find("first fault: #3 read 0+512 came back with a wrong byte at 511"), std::string::npos);
}

TEST_F(CheckTest, a_wrong_digest_is_found) {
  EXPECT_EQ(sender.write(0, filled(512, 'x')), Status::ok);
  defect.flips = true;
  EXPECT_EQ(sender.digest(0, 512), Status::ok);
  EXPECT_EQ(check.faults(), 1u);
}

TEST_F(CheckTest, bytes_that_rot_below_are_found) {
  EXPECT_EQ(sender.write(0, filled(512, 'x')), Status::ok);
  memory.bytes()[7] = std::byte{'y'};
  EXPECT_EQ(sender.read(0, 512).size(), 512u);
  EXPECT_EQ(check.faults(), 1u);
}

TEST_F(CheckTest, fields_that_come_back_changed_are_found) {
  defect.moves = true;
  EXPECT_EQ(sender.write(0, filled(512, 'x')), Status::ok);
  EXPECT_EQ(check.faults(), 1u);
}

TEST_F(CheckTest, a_lost_request_stands_in_the_report) {
  defect.loses = true;
  EXPECT_EQ(sender.other(Op::write_zeroes, 512, 1024), Status::stopped);
  EXPECT_EQ(check.in_flight(), 1u);
  EXPECT_EQ(check.report(),
            "write_zeroes: in 1, out 0, failed 0\n"
            "faults 0, compared 0 bytes\n"
            "in flight: #1 write_zeroes 512+1024\n");
  defect.find_again();
  ready.run();
  EXPECT_EQ(check.in_flight(), 0u);
}

TEST_F(CheckTest, more_than_it_can_watch_pass_unwatched) {
  Check small(ready, memory, {.compare = true, .in_flight_max = 0});
  Sender above(ready, small);
  EXPECT_EQ(above.write(0, filled(512, 'x')), Status::ok);
  EXPECT_NE(small.report().find("passed unwatched: 1"), std::string::npos) << small.report();
}

TEST_F(CheckTest, a_second_completion_dies) {
  defect.completes_twice = true;
  EXPECT_DEATH((void)sender.write(0, filled(512, 'x')), "holder_");
}

}  // namespace
}  // namespace mars::bricks
