#include "xio/port.h"

#include <gtest/gtest.h>

#include <array>

#include "base/task.h"

namespace mars::xio {
namespace {

// Answers everything at once and remembers the last request's fields.
struct Recorder final : Output {
  using Output::Output;
  Info info() const override { return {.bytes = 1 << 20, .write_zeroes = Support::emulated}; }
  void enter(Request& request) override {
    ++entered;
    op = request.op;
    offset = request.offset;
    bytes = request.bytes;
    fua = request.fua;
    priority = request.priority;
    if (request.digest_only) request.digest = {7, 9};
    complete(request, answer);
  }
  int entered = 0;
  Op op{};
  uint64_t offset = 0;
  uint32_t bytes = 0;
  bool fua = false;
  Priority priority{};
  Status answer = Status::ok;
};

struct PortTest : testing::Test {
  // Runs one await to its end.
  template <class F>
  Status run(F&& make_io) {
    Status outcome = Status::stopped;
    scope.spawn(await(make_io, outcome));
    ready.run();
    return outcome;
  }
  template <class F>
  static Task<void> await(F& make_io, Status& outcome) {
    outcome = co_await make_io();
  }
  Ready ready;
  Scope scope{ready};
  Recorder device{ready};
  Port port{device};
  std::array<std::byte, 512> buffer{};
};

TEST_F(PortTest, each_operation_arrives_as_itself) {
  EXPECT_EQ(run([&] { return port.read(512, buffer); }), Status::ok);
  EXPECT_EQ(device.op, Op::read);
  EXPECT_EQ(device.offset, 512u);
  EXPECT_EQ(device.bytes, 512u);
  EXPECT_EQ(run([&] { return port.write(0, buffer, true); }), Status::ok);
  EXPECT_EQ(device.op, Op::write);
  EXPECT_TRUE(device.fua);
  EXPECT_EQ(run([&] { return port.flush(); }), Status::ok);
  EXPECT_EQ(device.op, Op::flush);
  EXPECT_EQ(run([&] { return port.write_zeroes(0, 1 << 20); }), Status::ok);
  EXPECT_EQ(device.op, Op::write_zeroes);
}

TEST_F(PortTest, a_digest_comes_back) {
  Hash128 digest;
  EXPECT_EQ(run([&] { return port.digest(0, 4096, digest); }), Status::ok);
  EXPECT_EQ(digest, (Hash128{7, 9}));
}

TEST_F(PortTest, an_error_comes_back) {
  device.answer = Status::io_error;
  EXPECT_EQ(run([&] { return port.flush(); }), Status::io_error);
}

TEST_F(PortTest, what_does_not_fit_never_enters) {
  EXPECT_EQ(run([&] { return port.read(1 << 20, buffer); }), Status::invalid);
  EXPECT_EQ(run([&] { return port.write_zeroes(0, uint64_t{1} << 32); }), Status::invalid);
  EXPECT_EQ(run([&] { return port.discard(0, 512); }), Status::unsupported);
  EXPECT_EQ(device.entered, 0);
}

TEST_F(PortTest, a_background_port_says_so) {
  Port quiet(device, Priority::background);
  EXPECT_EQ(run([&] { return quiet.read(0, buffer); }), Status::ok);
  EXPECT_EQ(device.priority, Priority::background);
}

Task<void> several(Port& port, int& done) {
  for (int i = 0; i < 100; ++i) {
    if (co_await port.flush() == Status::ok) ++done;
  }
}

TEST_F(PortTest, activities_share_a_port) {
  int done = 0;
  for (int i = 0; i < 3; ++i) scope.spawn(several(port, done));
  ready.run();
  EXPECT_EQ(done, 300);
}

}  // namespace
}  // namespace mars::xio
