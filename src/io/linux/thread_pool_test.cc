#include "io/linux/thread_pool.h"

#include <pthread.h>

#include <gtest/gtest.h>

#include <semaphore>

#include "io/linux/test_host.h"

namespace mars::io {
namespace {

// While it lives no thread can be started: no address space has room for its stack.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    CHECK(pthread_getattr_default_np(&former_) == 0);
    pthread_attr_t huge;
    CHECK(pthread_attr_init(&huge) == 0 && pthread_attr_setstacksize(&huge, size_t{1} << 50) == 0);
    CHECK(pthread_setattr_default_np(&huge) == 0);
    pthread_attr_destroy(&huge);
  }
  ~NoMoreThreads() {
    pthread_setattr_default_np(&former_);
    pthread_attr_destroy(&former_);
  }

 private:
  pthread_attr_t former_;
};

TEST(ThreadPoolTest, what_finds_no_further_thread_waits_for_the_one_that_is_there) {
  TestHost host;
  ThreadPool pool(host.machine().reactor(), 4);
  std::binary_semaphore goes_on(0);
  bool is_done = false;
  host.run([&]() -> Task<void> {
    Scope scope(host.machine().ready());
    Yield yield(host.machine().ready());
    scope.spawn(pool.off_load([&] { goes_on.acquire(); }));
    co_await yield;
    {
      NoMoreThreads none;
      scope.spawn(pool.off_load([&] { is_done = true; }));
      co_await yield;
    }
    goes_on.release();
    co_await scope.join();
  });
  EXPECT_TRUE(is_done);
}

}  // namespace
}  // namespace mars::io
