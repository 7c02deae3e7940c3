// Name servers that do not answer, as a lookup that hangs for as long as a test wants.
#include "io/linux/resolver.h"

#include <condition_variable>
#include <mutex>
#include <optional>

#include "io/linux/test_host.h"

namespace mars::io {
namespace {

using Found = Result<std::vector<SocketAddress>>;

// The name servers of a test; its lookups may outlive it, as those of the C library outlive a process's last turn.
struct NameServers {
  std::mutex mutex;
  std::condition_variable answer;
  bool are_up = false;
  int late_answers = 0;  // so many lookups of slow names end
  std::map<Address, int> asked, answered;

  Found lookup(const Address& address) {
    std::unique_lock lock(mutex);
    ++asked[address];
    const int number = asked[address];
    if (address.starts_with("slow")) answer.wait(lock, [&] { return are_up || late_answers >= number; });
    answer.wait(lock, [&] { return are_up || !address.starts_with("hangs"); });
    ++answered[address];
    return resolve("127.0.0.1:7", false);
  }
  void come_up() {
    std::scoped_lock lock(mutex);
    are_up = true;
    answer.notify_all();
  }
  void answer_late() {
    std::scoped_lock lock(mutex);
    ++late_answers;
    answer.notify_all();
  }
  bool has_answered(const Address& address) {
    std::scoped_lock lock(mutex);
    return answered[address] > 0;
  }
  int asked_for(const Address& address) {
    std::scoped_lock lock(mutex);
    return asked[address];
  }
};

class ResolverTest : public testing::Test {
 protected:
  ~ResolverTest() override { servers_->come_up(); }

  void make(Duration patience) {
    resolver_.emplace(host_.machine(), host_.machine().reactor(), patience,
                      [servers = servers_](const Address& address) { return servers->lookup(address); });
  }
  Task<void> find(Address address, std::optional<Found>& into) { into = co_await resolver_->find(address); }

  TestHost host_;
  std::shared_ptr<NameServers> servers_ = std::make_shared<NameServers>();
  std::optional<Resolver> resolver_;
};

TEST_F(ResolverTest, nobody_waits_longer_than_his_patience) {
  make(20ms);
  host_.run([&]() -> Task<void> {
    const Found found = co_await resolver_->find("hangs:1");
    EXPECT_EQ(status_of(found), Status::unreachable);
    EXPECT_EQ(found.error().text, "no name server answers for hangs:1");
  });
  resolver_.reset();  // returns although the lookup still hangs
}

TEST_F(ResolverTest, names_that_hang_keep_nobody_from_others) {
  make(10s);
  host_.run([&]() -> Task<void> {
    std::optional<Found> hanging, other;
    Scope scope(host_.machine().ready());
    scope.spawn(find("hangs:1", hanging));
    scope.spawn(find("hangs:1", hanging));
    scope.spawn(find("hangs:2", hanging));
    auto finding = find("answers:1", other);
    co_await finding;
    EXPECT_TRUE(other->has_value());
    EXPECT_FALSE(hanging);
    servers_->come_up();
    co_await scope.join();
    EXPECT_TRUE(hanging->has_value());
  });
  EXPECT_EQ(servers_->asked_for("hangs:1"), 1) << "two who ask for one name share its answer";
}

TEST_F(ResolverTest, who_asks_again_gets_the_answer_that_came_late) {
  make(20ms);
  host_.run([&]() -> Task<void> {
    std::optional<Found> first;
    auto finding = find("hangs:1", first);
    co_await finding;
    EXPECT_EQ(status_of(*first), Status::unreachable);
    servers_->come_up();
    Found again = co_await resolver_->find("hangs:1");
    while (!again) again = co_await resolver_->find("hangs:1");
    EXPECT_EQ(address_text(again->front()), "127.0.0.1:7");
  });
}

// The first of two name servers is dead: each answer takes longer than anybody waits for it.
TEST_F(ResolverTest, an_answer_that_comes_too_late_is_kept_for_who_asks_next) {
  make(20ms);
  host_.run([&]() -> Task<void> {
    Event never(host_.machine().ready());
    Found found = co_await resolver_->find("slow:1");
    EXPECT_EQ(status_of(found), Status::unreachable);
    servers_->answer_late();
    while (!servers_->has_answered("slow:1")) co_await sleep_for(host_.machine(), 1ms, never);
    // Until the reactor has the answer, too: who asks at once would still share the lookup that he gave up.
    co_await sleep_for(host_.machine(), 100ms, never);
    found = co_await resolver_->find("slow:1");
    while (!found && servers_->asked_for("slow:1") == 1) found = co_await resolver_->find("slow:1");
    EXPECT_TRUE(found.has_value()) << "asked again, and the second lookup does not end";
  });
}

TEST_F(ResolverTest, dies_with_answers_on_their_way) {
  make(1ms);
  host_.run([&]() -> Task<void> {
    for (int i = 0; i < 8; ++i) {
      const Found found = co_await resolver_->find("hangs:" + std::to_string(i));
      EXPECT_FALSE(found);
    }
  });
  servers_->come_up();
  resolver_.reset();
}

}  // namespace
}  // namespace mars::io
