#include "bricks/memory.h"

#include <gtest/gtest.h>

#include "bricks/sender_for_tests.h"

namespace mars::bricks {
namespace {

using xio::Op;
using xio::Step;

struct MemoryTest : testing::Test {
  Ready ready;
  Memory memory{ready, {.bytes = 8192, .bytes_max = 4096, .buffers = 2}};
  Sender sender{ready, memory};
};

TEST_F(MemoryTest, reads_what_was_written) {
  EXPECT_EQ(sender.write(100, filled(3, 'x')), Status::ok);
  EXPECT_EQ(sender.read(100, 3), filled(3, 'x'));
  EXPECT_EQ(sender.read(103, 1), filled(1, 0));
}

TEST_F(MemoryTest, zeroes_and_discards_read_as_zeroes) {
  EXPECT_EQ(sender.write(0, filled(8, 'x')), Status::ok);
  EXPECT_EQ(sender.other(Op::write_zeroes, 2, 2), Status::ok);
  EXPECT_EQ(sender.other(Op::discard, 4, 4), Status::ok);
  EXPECT_EQ(sender.read(0, 2), filled(2, 'x'));
  EXPECT_EQ(sender.read(2, 6), filled(6, 0));
}

TEST_F(MemoryTest, digest_is_the_hash_of_the_range) {
  EXPECT_EQ(sender.write(0, filled(4096, 'x')), Status::ok);
  EXPECT_EQ(sender.digest(0, 4096), Status::ok);
  EXPECT_EQ(sender.request.digest, hash(filled(4096, 'x')));
}

TEST_F(MemoryTest, outside_is_invalid) {
  EXPECT_EQ(sender.write(8192, filled(1, 'x')), Status::invalid);
  EXPECT_EQ(sender.write(8191, filled(2, 'x')), Status::invalid);
}

TEST_F(MemoryTest, a_write_gets_a_buffer_and_puts_it) {
  EXPECT_EQ(sender.get(Op::write, 0, 512), Status::ok);
  ASSERT_NE(sender.request.data, nullptr);
  EXPECT_EQ(memory.buffers_free(), 1u);
  std::fill_n(sender.request.data, 512, std::byte{'x'});
  sender.request.step = Step::io;
  EXPECT_EQ(sender.send(sender.request), Status::ok);
  sender.request.put();
  EXPECT_EQ(sender.request.data, nullptr);
  EXPECT_EQ(memory.buffers_free(), 2u);
  EXPECT_EQ(sender.read(0, 512), filled(512, 'x'));
}

TEST_F(MemoryTest, a_read_comes_back_filled) {
  EXPECT_EQ(sender.write(512, filled(512, 'x')), Status::ok);
  EXPECT_EQ(sender.get(Op::read, 512, 512), Status::ok);
  ASSERT_TRUE(sender.request.filled);
  EXPECT_EQ(sender.request.data[511], std::byte{'x'});
  sender.request.put();
}

TEST_F(MemoryTest, gets_wait_in_order_for_a_buffer) {
  xio::Request requests[4];
  for (xio::Request& request : requests) {
    request.prepare(Op::write, 0, 512, nullptr);
    request.step = Step::get;
    sender.enter(request);
  }
  ready.run();
  EXPECT_EQ(sender.back, 2u);
  EXPECT_EQ(memory.gets_waiting(), 2u);
  requests[0].put();
  EXPECT_EQ(sender.back, 2u) << "put() runs nobody's code";
  ready.run();
  EXPECT_EQ(sender.back, 3u);
  EXPECT_NE(requests[2].data, nullptr);
  requests[1].put();
  ready.run();
  requests[2].put();
  requests[3].put();
}

TEST_F(MemoryTest, a_get_is_shortened) {
  Memory shortening(ready, {.bytes = 4096, .buffers = 1, .get_bytes_max = 512});
  Sender alone(ready, shortening);
  EXPECT_EQ(alone.get(Op::read, 0, 2048), Status::ok);
  EXPECT_EQ(alone.request.bytes, 512u);
  alone.request.put();
}

TEST_F(MemoryTest, without_buffers_a_get_brings_none) {
  Memory plain(ready, {.bytes = 512});
  Sender alone(ready, plain);
  EXPECT_EQ(alone.get(Op::read, 0, 512), Status::ok);
  EXPECT_EQ(alone.request.data, nullptr);
  EXPECT_FALSE(alone.request.filled);
}

}  // namespace
}  // namespace mars::bricks
