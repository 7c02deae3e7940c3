#include "base/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/sync.h"

namespace mars {
namespace {

Task<int> add(int a, int b) { co_return a + b; }
Task<int> sum_to(int n) {
  if (n == 0) co_return 0;
  const int before = co_await sum_to(n - 1);
  co_return co_await add(before, n);
}
Task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }

Task<void> note(std::string& log, std::string text) {
  log += text;
  co_return;
}
Task<void> wait_for(Event& event, std::string& log, std::string text) {
  co_await event.wait();
  log += text;
}

class TaskTest : public testing::Test {
 protected:
  Ready ready;
  Scope scope{ready};
  std::string log;
};

TEST_F(TaskTest, a_task_gives_its_value_to_who_awaits_it) {
  int sum = 0;
  std::unique_ptr<int> box;
  struct Asking {
    static Task<void> run(int& sum, std::unique_ptr<int>& box) {
      sum = co_await sum_to(1000);
      box = co_await boxed(7);
    }
  };
  scope.spawn(Asking::run(sum, box));
  ready.run();
  EXPECT_EQ(sum, 500500);
  EXPECT_EQ(*box, 7);
}

TEST_F(TaskTest, a_task_starts_when_it_is_awaited_or_spawned) {
  {
    Task<void> never = note(log, "never");
    Task<void> moved = std::move(never);
  }
  scope.spawn(note(log, "a"));
  EXPECT_EQ(log, "") << "not inside spawn()";
  ready.run();
  EXPECT_EQ(log, "a");
}

TEST_F(TaskTest, activities_start_in_the_order_of_spawn) {
  for (const char* text : {"a", "b", "c"}) scope.spawn(note(log, text));
  ready.run();
  EXPECT_EQ(log, "abc");
  EXPECT_EQ(scope.count(), 0u);
}

TEST_F(TaskTest, join_waits_for_all) {
  Event event(ready);
  struct Joining {
    static Task<void> run(Scope& scope, std::string& log) {
      co_await scope.join();
      log += "joined";
    }
  };
  Scope owner(ready);
  scope.spawn(wait_for(event, log, "a"));
  scope.spawn(wait_for(event, log, "b"));
  owner.spawn(Joining::run(scope, log));
  ready.run();
  EXPECT_EQ(scope.count(), 2u);
  event.set();
  ready.run();
  EXPECT_EQ(log, "abjoined");
}

TEST_F(TaskTest, joining_an_empty_scope_goes_on_at_once) {
  struct Joining {
    static Task<void> run(Scope& scope, std::string& log) {
      co_await scope.join();
      log += "joined";
    }
  };
  Scope owner(ready);
  owner.spawn(Joining::run(scope, log));
  ready.run();
  EXPECT_EQ(log, "joined");
}

TEST_F(TaskTest, what_an_activity_holds_dies_with_it) {
  struct Guard {
    std::string& log;
    ~Guard() { log += "!"; }
  };
  struct Holding {
    static Task<void> run(Event& event, std::string& log) {
      Guard guard{log};
      co_await event.wait();
      log += "a";
    }
  };
  Event event(ready);
  scope.spawn(Holding::run(event, log));
  ready.run();
  event.set();
  ready.run();
  EXPECT_EQ(log, "a!");
}

TEST(scope, must_not_die_before_its_activities) {
  EXPECT_DEATH(
      {
        Ready ready;
        Event event(ready);
        std::string log;
        Scope scope(ready);
        scope.spawn(wait_for(event, log, "a"));
        ready.run();
        std::_Exit((scope.~Scope(), 0));
      },
      "count_ == 0");
}

}  // namespace
}  // namespace mars
