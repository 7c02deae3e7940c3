#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <thread>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/linux/descriptor.h"
#include "io/linux/test_host.h"
#include "io/linux/watch.h"

namespace mars::io {
namespace {

class MachineTest : public testing::Test {
 protected:
  LinuxMachine& machine() { return host_.machine(); }

  TestHost host_;
};

struct Bell {
  std::vector<int>* order;
  int number;
  LinuxMachine* stops = nullptr;
  static void fire(void* context) {
    auto& self = *static_cast<Bell*>(context);
    self.order->push_back(self.number);
    if (self.stops != nullptr) self.stops->stop();
  }
};

TEST_F(MachineTest, timers_fire_in_order_of_time_then_of_arming) {
  std::vector<int> order;
  Bell one{&order, 1}, two{&order, 2}, three{&order, 3}, last{&order, 4, &machine()};
  Timer late(machine(), &Bell::fire, &last), early(machine(), &Bell::fire, &one);
  Timer middle(machine(), &Bell::fire, &two), same(machine(), &Bell::fire, &three);
  const Instant start = machine().now();
  late.arm_at(start + 20ms);
  middle.arm_at(start + 10ms);
  same.arm_at(start + 10ms);
  early.arm_at(start + 5ms);
  machine().run();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_GE(machine().now() - start, 20ms);
}

TEST_F(MachineTest, cancelled_timer_does_not_fire) {
  std::vector<int> order;
  Bell one{&order, 1}, last{&order, 2, &machine()};
  Timer first(machine(), &Bell::fire, &one), second(machine(), &Bell::fire, &last);
  first.arm_in(1ms);
  second.arm_in(3ms);
  first.cancel();
  machine().run();
  EXPECT_EQ(order, std::vector<int>{2});
}

TEST_F(MachineTest, sleep_ends_early_when_asked_to_stop) {
  host_.run([&]() -> Task<void> {
    Event stop(machine().ready());
    const Instant start = machine().now();
    EXPECT_TRUE(co_await sleep_for(machine(), 2ms, stop));
    EXPECT_GE(machine().now() - start, 2ms);
    machine().post([&] { stop.set(); });
    EXPECT_FALSE(co_await sleep_for(machine(), 3600s, stop));
    EXPECT_FALSE(co_await sleep_for(machine(), 3600s, stop));
  });
}

TEST_F(MachineTest, post_from_many_threads_runs_everything_in_the_reactor) {
  std::atomic<int> posted = 0;
  int ran = 0;
  const auto reactor = std::this_thread::get_id();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        ++posted;
        machine().post([&] {
          EXPECT_EQ(std::this_thread::get_id(), reactor);
          if (++ran == 2000) machine().stop();
        });
      }
    });
  }
  machine().run();
  EXPECT_EQ(ran, 2000);
}

TEST_F(MachineTest, stop_from_another_thread_ends_a_sleeping_reactor) {
  std::jthread thread([&] { machine().stop(); });
  machine().run();
}

TEST_F(MachineTest, long_queue_lets_timers_in_between) {
  struct Forever : Job {
    LinuxMachine* machine;
    bool done = false;
  } forever;
  forever.machine = &machine();
  forever.run = [](Job& job) {
    auto& self = static_cast<Forever&>(job);
    if (!self.done) self.machine->ready().push(self);
  };
  machine().ready().push(forever);
  Timer timer(
      machine(),
      [](void* context) {
        auto& self = *static_cast<Forever*>(context);
        self.done = true;
        self.machine->stop();
      },
      &forever);
  timer.arm_in(2ms);
  machine().run();
  EXPECT_TRUE(forever.done);
}

TEST_F(MachineTest, work_is_off_loaded_to_other_threads) {
  host_.run([&]() -> Task<void> {
    std::thread::id worker;
    std::move_only_function<void()> work = [&] { worker = std::this_thread::get_id(); };
    co_await machine().off_load(std::move(work));
    EXPECT_NE(worker, std::thread::id());
    EXPECT_NE(worker, std::this_thread::get_id());
  });
}

TEST_F(MachineTest, random_bytes_differ) {
  std::array<std::byte, 32> one = {}, two = {};
  machine().random_bytes(one);
  machine().random_bytes(two);
  EXPECT_NE(one, two);
}

TEST_F(MachineTest, boot_id_is_the_same_for_all_machines_of_a_boot) {
  TestHost other;
  EXPECT_EQ(machine().boot_id(), other.machine().boot_id());
  EXPECT_NE(machine().boot_id(), (std::array<std::byte, 16>{}));
}

TEST_F(MachineTest, signal_arrives_in_the_reactor) {
  int count = 0;
  machine().on_signal(SIGUSR1, [&] {
    if (++count == 2) return machine().stop();
    ::raise(SIGUSR1);
  });
  ::raise(SIGUSR1);
  machine().run();
  EXPECT_EQ(count, 2);
}

// What a container's seccomp profile does to the calling process, for good.
bool forbid_io_uring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {std::size(program), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(DiskEngineDeathTest, threads_take_over_where_io_uring_is_forbidden) {
  const auto in_container = [] {
    if (!forbid_io_uring()) ::_exit(77);
    LinuxMachine machine(LinuxOptions{});
    const bool is_right = machine.disk_engine() == "threads" && machine.disk_engine_note().find("io_uring") == 0;
    ::_exit(is_right ? 0 : 1);
  };
  EXPECT_EXIT(in_container(), [](int status) { return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77; }, "");
}

class PoolTest : public MachineTest {
 protected:
  Result<std::unique_ptr<PoolMemory>> map(uint64_t bytes = 1 << 20) { return machine().map_pool("pool", bytes); }
  void TearDown() override { (void)machine().remove_pool("pool"); }
};

TEST_F(PoolTest, pool_survives_its_owner) {
  {
    auto pool = map();
    if (status_of(pool) == Status::unsupported) GTEST_SKIP() << pool.error().text;
    ASSERT_TRUE(pool) << pool.error().text;
    EXPECT_TRUE((*pool)->is_fresh());
    ASSERT_EQ((*pool)->bytes().size(), 1u << 20);
    EXPECT_EQ((*pool)->bytes()[12345], std::byte{0});
    (*pool)->bytes()[12345] = std::byte{42};
  }
  auto again = map(2 << 20);
  ASSERT_TRUE(again);
  EXPECT_FALSE((*again)->is_fresh());
  EXPECT_EQ((*again)->bytes().size(), 1u << 20);
  EXPECT_EQ((*again)->bytes()[12345], std::byte{42});
  EXPECT_EQ(machine().remove_pool("pool"), Status::ok);
  EXPECT_EQ(machine().remove_pool("pool"), Status::not_found);
}

// Whether the kernel has large pages or not, and whatever is left over behind the last of them.
TEST_F(PoolTest, pool_is_whole_and_zero_and_begins_where_a_large_page_can) {
  constexpr size_t large = 2 << 20;
  constexpr size_t bytes = 3 * large - 8192;
  auto pool = map(bytes);
  ASSERT_TRUE(pool) << pool.error().text;
  ASSERT_EQ((*pool)->bytes().size(), bytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*pool)->bytes().data()) % large, 0u);
  EXPECT_EQ(std::ranges::count((*pool)->bytes(), std::byte{0}), static_cast<ptrdiff_t>(bytes));
  (*pool)->bytes().back() = std::byte{42};
  pool = map(bytes);
  ASSERT_TRUE(pool);
  EXPECT_FALSE((*pool)->is_fresh());
  EXPECT_EQ((*pool)->bytes().back(), std::byte{42});
}

TEST_F(PoolTest, two_run_directories_have_two_pools) {
  TestHost other;
  auto mine = map();
  auto theirs = other.machine().map_pool("pool", 1 << 20);
  ASSERT_TRUE(mine && theirs);
  EXPECT_TRUE((*mine)->is_fresh());
  EXPECT_TRUE((*theirs)->is_fresh());
  EXPECT_EQ(other.machine().remove_pool("pool"), Status::ok);
}

TEST_F(PoolTest, pool_that_does_not_fit_leaves_nothing_behind) {
  EXPECT_EQ(status_of(map(uint64_t{1} << 45)), Status::no_space);
  EXPECT_EQ(machine().remove_pool("pool"), Status::not_found);
}

// What was acknowledged is in it: whoever takes another one instead loses that.
TEST_F(PoolTest, pool_that_is_there_and_cannot_be_had_is_an_error) {
  auto pool = map();
  if (status_of(pool) == Status::unsupported) GTEST_SKIP() << pool.error().text;
  ASSERT_TRUE(pool) << pool.error().text;
  (*pool)->bytes()[12345] = std::byte{42};
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Status status = status_of(map());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status, Status::io_error);
  auto again = map();
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->bytes()[12345], std::byte{42});
}

TEST_F(PoolTest, name_is_no_path) {
  EXPECT_EQ(status_of(machine().map_pool("../pool", 4096)), Status::invalid);
  EXPECT_EQ(status_of(machine().map_pool("", 4096)), Status::invalid);
  EXPECT_EQ(machine().remove_pool(".."), Status::invalid);
}

class ExecTest : public MachineTest {
 protected:
  Result<Finished> exec(std::vector<std::string> argv, Duration limit = 10s) {
    std::optional<Result<Finished>> result;
    host_.run([&]() -> Task<void> { result.emplace(co_await machine().exec(argv, limit)); });
    return std::move(*result);
  }
};

TEST_F(ExecTest, output_and_exit_code_are_collected) {
  const auto finished = exec({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(finished) << finished.error().text;
  EXPECT_EQ(finished->exit_code, 3);
  EXPECT_EQ(finished->output, "out\nerr\n");
}

TEST_F(ExecTest, arguments_see_no_shell) {
  const auto finished = exec({"echo", "$HOME;", "a b"});
  EXPECT_EQ(finished->output, "$HOME; a b\n");
}

TEST_F(ExecTest, killed_program_says_by_what) {
  EXPECT_EQ(exec({"/bin/sh", "-c", "kill -TERM $$"})->exit_code, 128 + SIGTERM);
}

TEST_F(ExecTest, program_that_takes_too_long_is_killed_with_its_children) {
  const Instant start = machine().now();
  const auto finished = exec({"/bin/sh", "-c", "sleep 1000 & echo started; wait"}, 50ms);
  EXPECT_EQ(status_of(finished), Status::timed_out);
  EXPECT_LT(machine().now() - start, 30s);
}

TEST_F(ExecTest, grandchild_that_holds_the_output_does_not_delay) {
  const Instant start = machine().now();
  const auto finished = exec({"/bin/sh", "-c", "sleep 60 & echo done"}, 120s);
  ASSERT_TRUE(finished) << finished.error().text;
  EXPECT_EQ(finished->output, "done\n");
  EXPECT_LT(machine().now() - start, 30s);
}

TEST_F(ExecTest, output_is_bounded) {
  const auto finished = exec({"/bin/sh", "-c", "head -c 300000 /dev/zero"});
  EXPECT_EQ(finished->output.size(), 64u * 1024);
  EXPECT_EQ(finished->exit_code, 0);
}

TEST_F(ExecTest, missing_program_is_named) {
  const auto finished = exec({"/no/such/program"});
  EXPECT_EQ(status_of(finished), Status::not_found);
  EXPECT_NE(finished.error().text.find("/no/such/program"), std::string::npos);
  EXPECT_EQ(status_of(exec({})), Status::invalid);
}

TEST_F(ExecTest, no_descriptor_is_inherited) {
  const Descriptor forgotten(::fcntl(STDERR_FILENO, F_DUPFD, 77));  // not close-on-exec
  const std::string script = "[ -e /proc/$$/fd/" + std::to_string(forgotten.get()) + " ] || echo none";
  EXPECT_EQ(exec({"/bin/sh", "-c", script})->output, "none\n");
}

class WatchTest : public MachineTest {
 protected:
  void SetUp() override {
    int ends[2];
    CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    read_end_ = Descriptor(ends[0]);
    write_end_ = Descriptor(ends[1]);
  }
  static void on_readable(void* self) {
    auto& test = *static_cast<WatchTest*>(self);
    char byte = 0;
    while (::read(test.read_end_.get(), &byte, 1) == 1) ++test.bytes_;
    ++test.calls_;
    test.machine().stop();
  }
  void send() { CHECK(::write(write_end_.get(), "x", 1) == 1); }

  Descriptor read_end_;
  Descriptor write_end_;
  int calls_ = 0;
  int bytes_ = 0;
};

TEST_F(WatchTest, readable_descriptor_calls_once_per_arm) {
  Watch watch(machine(), read_end_.get(), &WatchTest::on_readable, this);
  send();
  watch.arm();
  EXPECT_TRUE(watch.is_armed());
  machine().run();
  EXPECT_FALSE(watch.is_armed());
  send();
  machine().post([&] { machine().stop(); });
  machine().run();
  EXPECT_EQ(calls_, 1);
  watch.arm();
  machine().run();
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(bytes_, 2);
}

TEST_F(WatchTest, cancelled_watch_is_silent_and_can_be_armed_again) {
  Watch watch(machine(), read_end_.get(), &WatchTest::on_readable, this);
  watch.arm();
  watch.cancel();
  send();
  machine().post([&] { machine().stop(); });
  machine().run();
  EXPECT_EQ(calls_, 0);
  watch.arm();
  machine().run();
  EXPECT_EQ(calls_, 1);
}

TEST_F(WatchTest, watch_may_die_armed_and_in_its_own_call) {
  auto armed = std::make_unique<Watch>(machine(), read_end_.get(), &WatchTest::on_readable, this);
  armed->arm();
  armed.reset();
  struct Owner {
    std::unique_ptr<Watch> watch;
    LinuxMachine* machine;
  } owner{nullptr, &machine()};
  const auto die = [](void* self) {
    static_cast<Owner*>(self)->watch.reset();
    static_cast<Owner*>(self)->machine->stop();
  };
  owner.watch = std::make_unique<Watch>(machine(), read_end_.get(), die, &owner);
  owner.watch->arm();
  send();
  machine().run();
  EXPECT_EQ(owner.watch, nullptr);
  EXPECT_EQ(calls_, 0);
}

TEST_F(WatchTest, end_of_the_other_side_is_readable) {
  Watch watch(machine(), read_end_.get(), &WatchTest::on_readable, this);
  watch.arm();
  write_end_.reset();
  machine().run();
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(bytes_, 0);
}

TEST_F(WatchTest, child_is_reaped_and_its_exit_told) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  struct Result {
    LinuxMachine* machine;
    int exit_code = -1;
  } result{&machine()};
  const auto on_exit = [](void* self, int exit_code) {
    static_cast<Result*>(self)->exit_code = exit_code;
    static_cast<Result*>(self)->machine->stop();
  };
  ChildWatch watch(machine(), child, open_child(child), on_exit, &result);
  EXPECT_FALSE(watch.has_ended());
  watch.send_signal(SIGTERM);
  machine().run();
  EXPECT_TRUE(watch.has_ended());
  EXPECT_EQ(result.exit_code, 128 + SIGTERM);
  EXPECT_EQ(::kill(child, 0), -1);
}

}  // namespace
}  // namespace mars::io
