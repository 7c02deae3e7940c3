#include "bricks/trans_logger.h"

#include <gtest/gtest.h>

#include "bricks/test_batches_test.h"
#include "bricks/test_history_test.h"

namespace mars::bricks {
namespace {

using namespace std::chrono_literals;

class TransLoggerTest : public testing::Test {
 protected:
  void create(const TestReplicaOptions& options = {}) {
    replica = std::make_unique<TestReplica>(world, options);
    ASSERT_TRUE(replica->create().has_value());
  }
  sim::Disks& disks() { return replica->host().disks(); }
  Status write(uint64_t offset, char letter, size_t bytes = 4096, bool fua = false) {
    return replica->run(replica->origin().write(offset, filled_with(bytes, letter), fua));
  }
  Status other(xio::Op op, uint64_t offset = 0, uint32_t bytes = 0, bool fua = false) {
    return replica->run(replica->origin().other(op, offset, bytes, fua));
  }
  Status flush() { return other(xio::Op::flush); }
  // The letters of the sectors, '.' for zeroes.
  std::string read(uint64_t offset, uint32_t bytes) {
    std::string letters;
    const auto content = replica->run(replica->origin().read(offset, bytes));
    for (size_t at = 0; at < content.size(); at += 512) {
      letters += content[at] == std::byte{0} ? '.' : static_cast<char>(content[at]);
    }
    return letters;
  }
  Status drain() { return replica->run(replica->logger().drain()); }
  Lsn durable() { return replica->log().durable().position.lsn; }
  void stall_write_back() { disks().drive(TestReplica::data_path).stick(); }

  sim::World world{1};
  std::unique_ptr<TestReplica> replica;
};

TEST_F(TransLoggerTest, a_write_is_read_before_it_is_anywhere_else) {
  create();
  stall_write_back();
  ASSERT_EQ(write(4096, 'a'), Status::ok);
  EXPECT_EQ(read(4096, 4096), "aaaaaaaa");
}

TEST_F(TransLoggerTest, a_read_is_put_together_from_memory_and_disk) {
  create();
  ASSERT_EQ(write(0, 'd', 16384), Status::ok);
  ASSERT_EQ(drain(), Status::ok);
  ASSERT_EQ(write(512, 'm', 1024), Status::ok);
  ASSERT_EQ(other(xio::Op::discard, 3072, 512), Status::ok);
  ASSERT_EQ(write(3584, 'n', 512), Status::ok);
  EXPECT_EQ(read(0, 5120), "dmmddd.ndd");
}

TEST_F(TransLoggerTest, a_digest_sees_the_same_as_a_read) {
  create();
  ASSERT_EQ(write(0, 'd', 8192), Status::ok);
  ASSERT_EQ(drain(), Status::ok);
  ASSERT_EQ(write(1024, 'm', 1024), Status::ok);
  const auto content = replica->run(replica->origin().read(0, 8192));
  xio::Port port(replica->logger());
  Hash128 digest;
  struct Asking {
    static Task<Status> run(xio::Port& port, Hash128& digest) { co_return co_await port.digest(0, 8192, digest); }
  };
  ASSERT_EQ(replica->run(Asking::run(port, digest)), Status::ok);
  EXPECT_EQ(digest, hash(content));
}

TEST_F(TransLoggerTest, plain_writes_are_acknowledged_before_they_are_durable) {
  create();
  const Lsn before = durable();
  ASSERT_EQ(write(0, 'a'), Status::ok);
  EXPECT_EQ(durable(), before);
  ASSERT_EQ(flush(), Status::ok);
  EXPECT_GT(durable(), before);
}

TEST_F(TransLoggerTest, a_plain_write_is_durable_soon_though_nobody_asks) {
  create();
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(write(uint64_t{8192} * (i % 16), 'a', 8192), Status::ok);
    world.run_for(1ms);
  }
  const Lsn tail = replica->log().tail().position.lsn;
  world.run_for(150ms);
  EXPECT_GE(durable(), tail);
}

TEST_F(TransLoggerTest, a_write_whose_flush_is_expected_is_durable_before_it_comes) {
  create();
  for (int round = 0; round < 10; ++round) {
    const Lsn before = durable();
    ASSERT_EQ(write(0, 'a', 512), Status::ok);
    world.run_for(5ms);
    EXPECT_EQ(durable() > before, round >= 4) << round;
    ASSERT_EQ(flush(), Status::ok);
  }
}

TEST_F(TransLoggerTest, fua_is_durable_when_it_is_acknowledged) {
  create();
  ASSERT_EQ(write(0, 'a', 4096, true), Status::ok);
  ASSERT_EQ(other(xio::Op::write_zeroes, 512, 512, true), Status::ok);
  replica->power_loss();
  ASSERT_TRUE(replica->open().has_value());
  EXPECT_EQ(read(0, 2048), "a.aa");
}

TEST_F(TransLoggerTest, without_cache_every_write_waits) {
  TestReplicaOptions options;
  options.write_cache = false;
  create(options);
  const Lsn before = durable();
  ASSERT_EQ(write(0, 'a'), Status::ok);
  EXPECT_GT(durable(), before);
}

TEST_F(TransLoggerTest, without_tmpfs_every_write_waits) {
  world.host("a").set_tmpfs(false);
  create();
  ASSERT_EQ(write(0, 'a'), Status::ok);
  replica->kill();
  ASSERT_TRUE(replica->open().has_value());
  EXPECT_EQ(read(0, 512), "a");
}

TEST_F(TransLoggerTest, a_supplied_buffer_is_written_and_given_back) {
  create();
  struct Using {
    static Task<Status> run(TestOrigin& origin, uint64_t& pages_out, Pool& pool) {
      TestOrigin::Request request;
      request.prepare(xio::Op::write, 8192, 4096, nullptr);
      request.step = xio::Step::get;
      const uint64_t before = pool.free_pages();
      Status status = co_await origin.send(request);
      pages_out = before - pool.free_pages();
      std::fill_n(request.data, 4096, std::byte{'s'});
      request.step = xio::Step::io;
      request.fua = true;
      if (status == Status::ok) status = co_await origin.send(request);
      request.put();
      co_return status;
    }
  };
  uint64_t pages_out = 0;
  ASSERT_EQ(replica->run(Using::run(replica->origin(), pages_out, replica->pool())), Status::ok);
  EXPECT_EQ(pages_out, 1u);
  EXPECT_EQ(read(8192, 4096), "ssssssss");
  ASSERT_EQ(drain(), Status::ok);
  EXPECT_EQ(replica->pool().free_pages(), replica->pool().pages());
  EXPECT_EQ(replica->logger().dirty_requests(), 0u);
}

TEST_F(TransLoggerTest, a_buffer_that_was_never_used_is_given_back) {
  create();
  struct Using {
    static Task<void> run(TestOrigin& origin) {
      TestOrigin::Request request;
      request.prepare(xio::Op::write, 0, 4096, nullptr);
      request.step = xio::Step::get;
      CHECK(co_await origin.send(request) == Status::ok);
      request.put();
    }
  };
  world.run(replica->machine(), Using::run(replica->origin()));
  EXPECT_EQ(replica->pool().free_pages(), replica->pool().pages());
}

TEST_F(TransLoggerTest, little_memory_makes_slow_but_right) {
  TestReplicaOptions options;
  options.pool_bytes = 1 << 20;
  options.volume_bytes = 8 << 20;
  create(options);
  struct Writing {
    static Task<void> run(TestReplica& replica, unsigned lane, uint32_t& done) {
      for (unsigned i = 0; i < 40; ++i) {
        const uint64_t offset = ((lane * 7 + i * 3) % 16) * 131072 + (lane % 4) * 2097152;
        const auto bytes = filled_with(131072, static_cast<char>('a' + lane % 4));
        if (co_await replica.origin().write(offset, bytes) == Status::ok) ++done;
      }
    }
  };
  uint32_t done = 0;
  Scope scope(replica->machine().ready());
  for (unsigned lane = 0; lane < 16; ++lane) scope.spawn(Writing::run(*replica, lane, done));
  ASSERT_TRUE(world.run_until([&] { return scope.count() == 0; }, 60s));
  EXPECT_EQ(done, 16u * 40);
  ASSERT_EQ(drain(), Status::ok);
  for (unsigned lane = 0; lane < 4; ++lane) {
    EXPECT_EQ(replica->data(uint64_t{2097152} * lane, 2097152), filled_with(2097152, static_cast<char>('a' + lane)));
  }
}

// What the stuck one has lies between what the other one had.
TEST_F(TransLoggerTest, a_disk_that_hangs_leaves_no_holes_that_another_cannot_use) {
  TestReplicaOptions options;
  options.volume_bytes = 2 << 20;
  options.segment_bytes = 4 << 20;
  create(options);
  options.host = "b";
  options.pool = &replica->pool();
  TestReplica stuck(world, options);
  ASSERT_TRUE(stuck.create().has_value());
  stuck.host().disks().drive(TestReplica::data_path).stick();
  stall_write_back();
  for (uint64_t offset = 0; offset < 150 * 4096; offset += 4096) {
    ASSERT_EQ(write(offset, 'a'), Status::ok);
    ASSERT_EQ(stuck.run(stuck.origin().write(offset, filled_with(4096, 's'))), Status::ok);
  }
  disks().drive(TestReplica::data_path).unstick();
  ASSERT_EQ(drain(), Status::ok);
  ASSERT_EQ(replica->pool().pages() - replica->pool().free_pages(), 150u);
  Scope scope(replica->machine().ready());
  Status status = Status::stopped;
  scope.spawn([](TestOrigin& origin, Status& into) -> Task<void> {
    for (const uint64_t offset : {0, 1 << 20, 1 << 19}) {
      into = co_await origin.write_supplied(offset, filled_with(1 << 20, 'b'));
      if (into != Status::ok) co_return;
    }
  }(replica->origin(), status));
  EXPECT_TRUE(world.run_until([&] { return scope.count() == 0; }, 60s));
  EXPECT_EQ(status, Status::ok);
  EXPECT_EQ(drain(), Status::ok);
  EXPECT_EQ(replica->data(0, 2 << 20), filled_with(2 << 20, 'b'));
  stuck.host().disks().drive(TestReplica::data_path).unstick();
}

TEST_F(TransLoggerTest, drained_the_disk_is_what_was_written) {
  create();
  History history(replica->options().volume_bytes);
  {
    Workload workload(*replica, history, 3);
    workload.start(6, 150);
    workload.finish();
    EXPECT_EQ(workload.wrong_reads(), 0u);
  }
  ASSERT_EQ(drain(), Status::ok);
  EXPECT_EQ(history.accept(replica->data(0, replica->options().volume_bytes), history.size()), "");
  EXPECT_EQ(replica->logger().applied(), replica->log().durable());
  EXPECT_EQ(replica->state().value().admitted, replica->log().admitted());
}

TEST_F(TransLoggerTest, a_discard_makes_a_hole_where_the_disk_can) {
  create();
  ASSERT_EQ(write(0, 'a', 16384), Status::ok);
  ASSERT_EQ(drain(), Status::ok);
  ASSERT_EQ(other(xio::Op::discard, 4096, 4096), Status::ok);
  ASSERT_EQ(drain(), Status::ok);
  EXPECT_EQ(read(3584, 1024), "a.");
  EXPECT_EQ(read(7680, 1024), ".a");
}

TEST_F(TransLoggerTest, what_is_overwritten_in_memory_goes_to_the_disk_once) {
  TestReplicaOptions options;
  options.rest = 200ms;
  create(options);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(write(0, static_cast<char>('a' + i % 26), 4096, true), Status::ok);
  uint64_t written = 0;
  world.trace().on_event(
      [&](const sim::TraceEvent& event) { written += event.kind == sim::TraceKind::disk_write && event.a == 0; });
  ASSERT_EQ(drain(), Status::ok);
  world.trace().on_event({});
  EXPECT_LE(written, 3u) << "the data, and slots of the state block";
}

// ---- errors

TEST_F(TransLoggerTest, a_failed_log_ends_writes_and_flushes_but_not_reads) {
  create();
  ASSERT_EQ(write(0, 'a'), Status::ok);
  disks().fail({.path = "/mars/r/log/", .op = sim::DiskOp::write, .times = sim::Fault::forever});
  EXPECT_EQ(flush(), Status::io_error);
  EXPECT_TRUE(replica->logger().has_failed());
  EXPECT_EQ(write(4096, 'b'), Status::io_error);
  EXPECT_EQ(flush(), Status::io_error);
  EXPECT_EQ(read(0, 1024), "aa");
  EXPECT_EQ(drain(), Status::io_error);
}

TEST_F(TransLoggerTest, what_a_failed_log_could_not_take_is_logged_by_the_next_start) {
  create();
  ASSERT_EQ(write(0, 'a'), Status::ok);
  ASSERT_EQ(write(512, 'b', 512), Status::ok);
  disks().fail({.path = "/mars/r/log/", .op = sim::DiskOp::write, .times = sim::Fault::forever});
  EXPECT_EQ(flush(), Status::io_error);
  disks().heal();
  ASSERT_TRUE(replica->reopen().has_value());
  EXPECT_EQ(read(0, 2048), "abaa");
  EXPECT_EQ(drain(), Status::ok);
}

TEST_F(TransLoggerTest, a_failed_data_disk_leaves_data_in_memory_and_log) {
  create();
  disks().fail({.path = TestReplica::data_path, .op = sim::DiskOp::write, .times = sim::Fault::forever});
  ASSERT_EQ(write(0, 'a'), Status::ok);
  EXPECT_EQ(drain(), Status::io_error);
  EXPECT_EQ(replica->logger().disk_status(), Status::io_error);
  EXPECT_EQ(write(4096, 'b', 4096, true), Status::ok) << "the successor needs only the log";
  EXPECT_EQ(flush(), Status::ok);
  EXPECT_EQ(read(0, 512), "a");
  disks().heal();
  ASSERT_TRUE(replica->reopen().has_value());
  EXPECT_EQ(read(0, 512) + read(4096, 512), "ab");
}

TEST_F(TransLoggerTest, a_failed_data_disk_and_full_memory_give_errors) {
  TestReplicaOptions options;
  options.pool_bytes = 1 << 20;
  options.volume_bytes = 4 << 20;
  create(options);
  disks().fail({.path = TestReplica::data_path, .op = sim::DiskOp::flush, .times = sim::Fault::forever});
  Status status = Status::ok;
  uint32_t taken = 0;
  for (; status == Status::ok && taken < 100; ++taken) status = write(uint64_t{32768} * taken, 'a', 32768);
  EXPECT_EQ(status, Status::io_error);
  EXPECT_GT(taken, 8u);
  EXPECT_EQ(write(3 << 20, 'b', 32768), Status::io_error);
  EXPECT_EQ(read(0, 512), "a");
}

TEST_F(TransLoggerTest, a_full_log_disk_makes_writers_wait) {
  create();
  disks().file_system("/").set_capacity(1 << 20);
  struct Writing {
    static Task<void> run(TestReplica& replica, uint32_t& done) {
      for (unsigned i = 0; i < 100; ++i) {
        if (co_await replica.origin().write(uint64_t{32768} * (i % 4), filled_with(32768, 'a'), true) == Status::ok)
          ++done;
      }
    }
  };
  uint32_t done = 0;
  Scope scope(replica->machine().ready());
  scope.spawn(Writing::run(*replica, done));
  ASSERT_TRUE(world.run_until([&] { return replica->log().needs_space(); }, 10s));
  EXPECT_LT(done, 100u);
  for (int i = 0; i < 100 && scope.count() > 0; ++i) {
    world.run_for(100ms);
    ASSERT_EQ(replica->run(replica->log().trim(replica->logger().applied().position.lsn)), Status::ok);
  }
  EXPECT_EQ(done, 100u);
}

// ---- life

TEST_F(TransLoggerTest, stop_answers_who_waits_and_leaves_the_rest_to_the_log) {
  create();
  stall_write_back();
  ASSERT_EQ(write(0, 'a', 4096), Status::ok);
  ASSERT_EQ(flush(), Status::ok);
  disks().drive("/mars").stick();
  std::optional<Status> outcome;
  struct Flushing {
    static Task<void> run(TestOrigin& origin, std::optional<Status>& outcome) {
      outcome = co_await origin.write(4096, filled_with(512, 'b'), true);
    }
  };
  Scope scope(replica->machine().ready());
  scope.spawn(Flushing::run(replica->origin(), outcome));
  world.run_for(1ms);
  EXPECT_FALSE(outcome.has_value());
  world.after(5ms, [this] {
    disks().drive(TestReplica::data_path).unstick();
    disks().drive("/mars").unstick();
  });
  replica->close();
  EXPECT_EQ(outcome, Status::gone);
  EXPECT_EQ(scope.count(), 0u);
  ASSERT_TRUE(replica->open().has_value());
  EXPECT_EQ(read(0, 1024), "aa");
}

TEST_F(TransLoggerTest, stop_ends_though_the_log_waits_for_room) {
  create();
  disks().file_system("/").set_capacity(600 << 10);
  for (uint64_t i = 0; i < 12; ++i) ASSERT_EQ(write((i % 4) * 65536, static_cast<char>('a' + i), 65536), Status::ok);
  world.run_until([&] { return replica->log().needs_space(); }, 2s);
  replica->close();
  disks().file_system("/").set_capacity(64 << 20);
  ASSERT_TRUE(replica->open().has_value());
  EXPECT_EQ(read(0, 512) + read(65536, 512) + read(131072, 512) + read(196608, 512), "ijkl");
}

TEST_F(TransLoggerTest, a_missing_record_of_the_predecessor_is_noticed) {
  create();
  disks().drive("/mars").stick();
  for (uint64_t i = 0; i < 3; ++i) ASSERT_EQ(write(i * 4096, 'a'), Status::ok);
  replica->host().kill();
  replica->close();
  const std::span<std::byte> memory = replica->host().pools().at("pool")->span();
  const size_t second = format::pool_header_bytes + 1 * format::pool_record_bytes;
  std::fill_n(memory.begin() + second, format::pool_record_bytes, std::byte{0});
  disks().drive("/mars").unstick();
  replica->host().start();
  EXPECT_EQ(status_of(replica->open()), Status::damaged);
}

TEST_F(TransLoggerTest, everything_admitted_is_durable_at_the_position_that_is_told) {
  create();
  for (uint64_t i = 0; i < 5; ++i) ASSERT_EQ(write(i * 4096, 'a'), Status::ok);
  auto at = replica->run(replica->logger().durable_admitted());
  ASSERT_TRUE(at.has_value());
  EXPECT_EQ(*at, durable());
  EXPECT_EQ(replica->log().admitted(), replica->logger().admitted());
}

}  // namespace
}  // namespace mars::bricks
