// trans_logger and recovery against kill -9 and power loss on the simulated machine (P1, P2, D6, D11).
#include <gtest/gtest.h>

#include <cstdlib>

#include "bricks/test_history_test.h"
#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

using namespace std::chrono_literals;

// failing_log: a write or a flush of the log fails, and the process goes on until it is restarted.
enum class Crash { kill, power_loss, failing_log };

// A resource that is used, crashes, and is brought up again, several times.
class CrashRun {
 public:
  CrashRun(uint64_t seed, Crash crash, const TestReplicaOptions& options)
      : prng_(seed), crash_(crash), world_(seed), replica_(world_, options), history_(options.volume_bytes) {}

  sim::Host& host() { return replica_.host(); }
  uint64_t reads_checked = 0;

  // Empty, or what a user would complain about.
  std::string run(unsigned rounds) {
    if (auto created = replica_.create(); !created) return "create: " + created.error().text;
    for (unsigned round = 0; round < rounds; ++round) {
      if (std::string problem = use_until_crash(); !problem.empty()) return problem;
      if (std::string problem = come_back(); !problem.empty()) return problem;
      if (std::string problem = look(); !problem.empty()) return problem;
    }
    return end_cleanly();
  }

  // One crash at the n-th change of a disk; true when the workload was over before.
  std::string crash_at(uint64_t n, bool& was_over) {
    if (auto created = replica_.create(); !created) return "create: " + created.error().text;
    arm(crash_, n);
    Workload workload(replica_, history_, 7);
    workload.start(3, 80);
    workload.finish();
    was_over = replica_.machine().is_alive();
    if (was_over) happen(crash_);
    required_ = crash_ == Crash::kill ? history_.acknowledged() : history_.durable();
    replica_.close();
    may_crash_again_ = false;
    if (std::string problem = come_back(); !problem.empty()) return problem;
    return look();
  }
  // A crash at the n-th change of a disk during recovery.
  std::string crash_in_recovery_at(uint64_t n, bool& was_over) {
    if (auto created = replica_.create(); !created) return "create: " + created.error().text;
    Workload workload(replica_, history_, 11);
    workload.start(3, 20);
    world_.run_until([&] { return history_.size() > 30; });
    happen(crash_);
    workload.finish();
    required_ = crash_ == Crash::kill ? history_.acknowledged() : history_.durable();
    replica_.close();
    host().start();
    arm(crash_, n);
    was_over = replica_.open().has_value();
    if (was_over) happen(crash_);
    replica_.close();
    may_crash_again_ = false;
    if (std::string problem = come_back(); !problem.empty()) return problem;
    return look();
  }

 private:
  void happen(Crash crash) {
    if (crash == Crash::failing_log) return;
    crash == Crash::kill ? host().kill() : host().power_loss();
  }
  void arm(Crash crash, uint64_t n) {
    if (crash == Crash::failing_log) {
      const auto op = n % 2 == 0 ? sim::DiskOp::write : sim::DiskOp::flush;
      return host().disks().fail({.path = "/mars/r/log/", .op = op, .skip = n / 8});
    }
    crash == Crash::kill ? host().kill_at_disk_op(n) : host().power_loss_at_disk_op(n);
  }

  std::string use_until_crash() {
    Workload workload(replica_, history_, prng_.next());
    workload.start(static_cast<unsigned>(prng_.between(1, 6)), static_cast<unsigned>(prng_.between(5, 60)));
    if (crash_ == Crash::failing_log || prng_.chance(1, 2)) {
      arm(crash_, prng_.between(1, 250));
      world_.run_until([&] { return workload.is_done() || !replica_.machine().is_alive(); });
    } else {
      world_.run_for(io::Duration(prng_.between(1, 40'000'000)));
    }
    if (replica_.machine().is_alive()) happen(crash_);
    workload.finish();
    host().disks().on_change({});
    if (workload.wrong_reads() > 0) return "a read was wrong before the crash";
    required_ = crash_ == Crash::power_loss ? history_.durable() : history_.acknowledged();
    if (crash_ == Crash::failing_log) static_cast<void>(replica_.run(replica_.origin().flush()));
    replica_.close();
    host().disks().heal();
    return {};
  }

  std::string come_back() {
    for (unsigned attempt = 0;; ++attempt) {
      if (!host().is_running()) host().start();
      if (may_crash_again_ && attempt < 3 && crash_ != Crash::failing_log && prng_.chance(1, 2)) {
        const Crash again = crash_ == Crash::kill || prng_.chance(1, 3) ? Crash::kill : Crash::power_loss;
        arm(again, prng_.between(1, 60));
      }
      auto opened = replica_.open();
      host().disks().on_change({});
      if (opened) return {};
      const bool has_died = !replica_.machine().is_alive();
      replica_.close();
      if (!has_died) return "open: " + opened.error().text;
    }
  }

  std::string look() {
    if (replica_.state().value().admitted > replica_.log().admitted()) return "the state block is ahead of the log";
    if (crash_ == Crash::failing_log) {  // what was recovered must not depend on what a failed flush left in a cache
      replica_.power_loss();
      if (auto opened = replica_.open(); !opened) return "open: " + opened.error().text;
    }
    content_ = replica_.run(replica_.origin().read(0, static_cast<uint32_t>(replica_.options().volume_bytes)));
    if (content_.empty()) return "the device cannot be read";
    return history_.accept(content_, required_);
  }

  std::string end_cleanly() {
    if (Status status = replica_.run(replica_.logger().drain()); status != Status::ok) return "drain failed";
    replica_.close();
    if (replica_.data(0, replica_.options().volume_bytes) != content_) return "the data disk differs after a drain";
    if (auto opened = replica_.open(); !opened) return "open after a clean end: " + opened.error().text;
    required_ = 0;
    return look();
  }

  Prng prng_;
  const Crash crash_;
  sim::World world_;
  TestReplica replica_;
  History history_;
  uint64_t required_ = 0;
  bool may_crash_again_ = true;
  std::vector<std::byte> content_;
};

// MARS_SEEDS=n: so many per test.
uint64_t seeds(uint64_t usual) {
  const char* wanted = std::getenv("MARS_SEEDS");
  return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}
uint64_t first_seed() {
  const char* wanted = std::getenv("MARS_FIRST_SEED");
  return wanted == nullptr ? 1 : std::strtoull(wanted, nullptr, 10);
}

void survives(Crash crash, const TestReplicaOptions& options, uint64_t usual) {
  const uint64_t first = first_seed();
  for (uint64_t seed = first; seed < first + seeds(usual); ++seed) {
    CrashRun run(seed, crash, options);
    ASSERT_EQ(run.run(3), "") << "seed " << seed;
  }
}

TEST(trans_logger_crash, every_acknowledged_write_survives_kill) { survives(Crash::kill, {}, 15); }
TEST(trans_logger_crash, flushed_writes_survive_power_loss) { survives(Crash::power_loss, {}, 15); }

TEST(trans_logger_crash, every_acknowledged_write_survives_a_failing_log) { survives(Crash::failing_log, {}, 15); }

TEST(trans_logger_crash, disks_with_blocks_of_4096) {
  TestReplicaOptions options;
  options.block_bytes = options.log_block_bytes = 4096;
  survives(Crash::power_loss, options, 8);
  survives(Crash::kill, options, 8);
}

TEST(trans_logger_crash, without_write_cache_every_acknowledged_write_survives_power_loss) {
  TestReplicaOptions options;
  options.write_cache = false;
  survives(Crash::power_loss, options, 8);
}

TEST(trans_logger_crash, small_files_and_little_in_flight) {
  TestReplicaOptions options;
  options.segment_bytes = 192 << 10;
  options.in_flight_bytes_max = 64 << 10;
  survives(Crash::power_loss, options, 8);
  survives(Crash::kill, options, 8);
}

TEST(trans_logger_crash, a_crash_at_every_step) {
  for (const Crash crash : {Crash::kill, Crash::power_loss}) {
    bool was_over = false;
    uint64_t n = 1;
    for (; !was_over; ++n) {
      CrashRun run(n, crash, {});
      ASSERT_EQ(run.crash_at(n, was_over), "") << "change " << n << (crash == Crash::kill ? ", kill" : ", power loss");
    }
    EXPECT_GT(n, 20u);
  }
}

TEST(trans_logger_crash, a_crash_at_every_step_of_recovery) {
  for (const Crash crash : {Crash::kill, Crash::power_loss}) {
    bool was_over = false;
    uint64_t n = 1;
    for (; !was_over; ++n) {
      CrashRun run(n, crash, {});
      ASSERT_EQ(run.crash_in_recovery_at(n, was_over), "") << "change " << n;
    }
    EXPECT_GT(n, 10u);
  }
}

// The test itself is tested: a disk that forgets what it said was flushed must be found out.
TEST(trans_logger_crash, a_disk_that_ignores_flush_is_caught) {
  uint64_t caught = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CrashRun run(seed, Crash::power_loss, {});
    run.host().disks().fail(
        {.path = "/", .op = sim::DiskOp::flush, .times = sim::Fault::forever, .status = Status::ok});
    if (!run.run(3).empty()) ++caught;
  }
  EXPECT_GE(caught, 8u);
}

}  // namespace
}  // namespace mars::bricks
