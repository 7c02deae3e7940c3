#include "xio/request.h"

#include <gtest/gtest.h>

#include "xio/pool.h"

namespace mars::xio {
namespace {

struct RequestTest : testing::Test {
  Status check(Op op, uint64_t offset, uint32_t bytes, std::byte* data) {
    request.prepare(op, offset, bytes, data);
    return check_bounds(request, info);
  }
  std::byte data[1];
  Request request;
  Info info{.bytes = 1 << 20, .block_bytes = 512, .bytes_max = 64 << 10};
};

TEST_F(RequestTest, the_last_block_is_inside) { EXPECT_EQ(check(Op::read, (1 << 20) - 512, 512, data), Status::ok); }

TEST_F(RequestTest, beyond_the_end_is_invalid) {
  EXPECT_EQ(check(Op::read, (1 << 20) - 512, 1024, data), Status::invalid);
  EXPECT_EQ(check(Op::read, 1 << 20, 512, data), Status::invalid);
  EXPECT_EQ(check(Op::read, uint64_t{1} << 40, 512, data), Status::invalid);
}

TEST_F(RequestTest, an_end_that_overflows_is_invalid) {
  EXPECT_EQ(check(Op::write, UINT64_MAX - 511, 1024, data), Status::invalid);
  info.bytes = UINT64_MAX;
  EXPECT_EQ(check(Op::write, UINT64_MAX - 511, 1024, data), Status::invalid);
}

TEST_F(RequestTest, nothing_is_invalid) {
  EXPECT_EQ(check(Op::read, 0, 0, data), Status::invalid);
  EXPECT_EQ(check(Op::write_zeroes, 0, 0, nullptr), Status::invalid);
}

TEST_F(RequestTest, unaligned_is_invalid) {
  EXPECT_EQ(check(Op::read, 1, 512, data), Status::invalid);
  EXPECT_EQ(check(Op::read, 0, 511, data), Status::invalid);
}

TEST_F(RequestTest, too_long_is_invalid_for_transfers_only) {
  info.write_zeroes = Support::native;
  EXPECT_EQ(check(Op::write, 0, 128 << 10, data), Status::invalid);
  EXPECT_EQ(check(Op::write_zeroes, 0, 128 << 10, nullptr), Status::ok);
}

TEST_F(RequestTest, io_needs_a_buffer_and_get_does_not) {
  EXPECT_EQ(check(Op::write, 0, 512, nullptr), Status::invalid);
  request.step = Step::get;
  EXPECT_EQ(check_bounds(request, info), Status::ok);
  request.op = Op::flush;
  EXPECT_EQ(check_bounds(request, info), Status::invalid);
}

TEST_F(RequestTest, a_digest_needs_no_buffer_and_is_a_read) {
  EXPECT_EQ(check(Op::read, 0, 512, nullptr), Status::invalid);
  request.digest_only = true;
  EXPECT_EQ(check_bounds(request, info), Status::ok);
  request.op = Op::write;
  EXPECT_EQ(check_bounds(request, info), Status::invalid);
}

TEST_F(RequestTest, a_flush_has_no_bytes) {
  EXPECT_EQ(check(Op::flush, 0, 0, nullptr), Status::ok);
  EXPECT_EQ(check(Op::flush, 0, 512, nullptr), Status::invalid);
}

TEST_F(RequestTest, what_nobody_pays_for_is_unsupported) {
  EXPECT_EQ(check(Op::discard, 0, 512, nullptr), Status::unsupported);
  EXPECT_EQ(check(Op::write_zeroes, 0, 512, nullptr), Status::unsupported);
  info.discard = info.write_zeroes = Support::emulated;
  EXPECT_EQ(check(Op::discard, 0, 512, nullptr), Status::ok);
  EXPECT_EQ(check(Op::write_zeroes, 0, 512, nullptr), Status::ok);
  info.flush = Support::none;
  EXPECT_EQ(check(Op::flush, 0, 0, nullptr), Status::unsupported);
}

TEST_F(RequestTest, fua_is_for_changes_and_must_be_paid_for) {
  request.prepare(Op::read, 0, 512, data);
  request.fua = true;
  EXPECT_EQ(check_bounds(request, info), Status::invalid);
  request.op = Op::write;
  EXPECT_EQ(check_bounds(request, info), Status::ok);
  info.fua = Support::none;
  EXPECT_EQ(check_bounds(request, info), Status::unsupported);
}

TEST(InfoTest, each_promise_can_be_broken) {
  const Info promised{.bytes = 8192,
                      .block_bytes = 512,
                      .alignment = 512,
                      .atomic_bytes = 512,
                      .bytes_max = 8192,
                      .discard = Support::native,
                      .write_zeroes = Support::native};
  auto broken = [&](auto change) {
    Info offered = promised;
    change(offered);
    const char* what = stricter(promised, offered);
    return std::string(what == nullptr ? "" : what);
  };
  EXPECT_EQ(broken([](Info&) {}), "");
  EXPECT_EQ(broken([](Info& i) { i.bytes = 4096; }), "size");
  EXPECT_EQ(broken([](Info& i) { i.block_bytes = 4096; }), "block size");
  EXPECT_EQ(broken([](Info& i) { i.alignment = 4096; }), "alignment of buffers");
  EXPECT_EQ(broken([](Info& i) { i.atomic_bytes = 1; }), "atomic unit");
  EXPECT_EQ(broken([](Info& i) { i.bytes_max = 512; }), "longest request");
  EXPECT_EQ(broken([](Info& i) { i.flush = Support::none; }), "flush");
  EXPECT_EQ(broken([](Info& i) { i.fua = Support::none; }), "fua");
  EXPECT_EQ(broken([](Info& i) { i.discard = Support::none; }), "discard");
  EXPECT_EQ(broken([](Info& i) { i.write_zeroes = Support::none; }), "write_zeroes");
  EXPECT_EQ(broken([](Info& i) { i.discard = Support::emulated; }), "") << "slower is not stricter";
  EXPECT_EQ(broken([](Info& i) { i.bytes = 16384; }), "");
}

TEST(InfoTest, reads_as_one_line) {
  EXPECT_EQ(to_string(Info{.bytes = 8192, .rotational = true}),
            "size 8192, block 1, align 1, atomic 1, max 1048576, flush native, fua native, discard none, zeroes none, "
            "rotational");
}

struct Child : Request {
  int number = 0;
};

TEST(PoolTest, hands_out_what_it_has_and_no_more) {
  RequestPool<Child> pool(2);
  Child* one = pool.try_take();
  Child* two = pool.try_take();
  EXPECT_NE(one, two);
  EXPECT_EQ(pool.try_take(), nullptr);
  pool.give_back(*one);
  EXPECT_EQ(pool.free(), 1u);
  EXPECT_EQ(pool.try_take(), one);
  pool.give_back(*one);
  pool.give_back(*two);
}

TEST(PoolDeathTest, a_child_that_did_not_come_back_dies) {
  EXPECT_DEATH(
      {
        RequestPool<Child> pool(1);
        (void)pool.try_take();
      },
      "count_");
}

}  // namespace
}  // namespace mars::xio
