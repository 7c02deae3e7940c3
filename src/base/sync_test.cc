#include "base/sync.h"

#include <gtest/gtest.h>

#include <string>

#include "base/task.h"

namespace mars {
namespace {

class SyncTest : public testing::Test {
 protected:
  Ready ready;
  Scope scope{ready};
  std::string log;
};

Task<void> wait_event(Event& event, std::string& log, char letter) {
  co_await event.wait();
  log += letter;
}
Task<void> wait_notifier(Notifier& notifier, std::string& log, char letter) {
  co_await notifier.wait();
  log += letter;
}
Task<void> take(Semaphore& semaphore, uint64_t units, std::string& log, char letter) {
  co_await semaphore.acquire(units);
  log += letter;
}
Task<void> consume(Queue<int>& queue, std::string& log) {
  while (auto value = co_await queue.pop()) log += std::to_string(*value);
  log += "end";
}

TEST_F(SyncTest, an_event_stays_set) {
  Event event(ready);
  scope.spawn(wait_event(event, log, 'a'));
  ready.run();
  event.set();
  EXPECT_EQ(log, "") << "nobody's code runs inside set()";
  ready.run();
  scope.spawn(wait_event(event, log, 'b'));
  ready.run();
  EXPECT_EQ(log, "ab");
  event.reset();
  scope.spawn(wait_event(event, log, 'c'));
  ready.run();
  EXPECT_EQ(log, "ab");
  event.set();
  ready.run();
}

TEST_F(SyncTest, a_notifier_wakes_who_waits_now) {
  Notifier notifier(ready);
  notifier.notify();
  scope.spawn(wait_notifier(notifier, log, 'a'));
  scope.spawn(wait_notifier(notifier, log, 'b'));
  ready.run();
  EXPECT_EQ(log, "");
  notifier.notify();
  scope.spawn(wait_notifier(notifier, log, 'c'));
  ready.run();
  EXPECT_EQ(log, "ab");
  notifier.notify();
  ready.run();
  EXPECT_EQ(log, "abc");
}

TEST_F(SyncTest, a_semaphore_serves_in_the_order_of_arrival) {
  Semaphore semaphore(ready, 3);
  scope.spawn(take(semaphore, 2, log, 'a'));
  scope.spawn(take(semaphore, 3, log, 'b'));
  scope.spawn(take(semaphore, 1, log, 'c'));
  ready.run();
  EXPECT_EQ(log, "a") << "one unit is free, but b was first";
  EXPECT_FALSE(semaphore.try_acquire(1));
  semaphore.release(2);
  ready.run();
  EXPECT_EQ(log, "ab");
  semaphore.release(3);
  ready.run();
  EXPECT_EQ(log, "abc");
  EXPECT_EQ(semaphore.free(), 2u);
  EXPECT_TRUE(semaphore.try_acquire(2));
}

TEST_F(SyncTest, a_queue_gives_values_in_order_and_then_its_end) {
  Queue<int> queue(ready);
  scope.spawn(consume(queue, log));
  ready.run();
  for (int i = 1; i <= 3; ++i) queue.push(i);
  ready.run();
  EXPECT_EQ(log, "123");
  queue.push(4);
  queue.close();
  queue.push(5);
  ready.run();
  EXPECT_EQ(log, "1234end");
}

TEST_F(SyncTest, try_pop_does_not_wait) {
  Queue<int> queue(ready);
  EXPECT_FALSE(queue.try_pop().has_value());
  queue.push(1);
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.try_pop(), 1);
}

}  // namespace
}  // namespace mars
