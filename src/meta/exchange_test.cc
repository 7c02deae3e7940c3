#include "meta/exchange.h"

#include "meta/meta_test.h"

namespace mars::meta {
namespace {

using namespace std::chrono_literals;

class ExchangeTest : public MetaTest {
 protected:
  void expect_equal(const std::string& a, const std::string& b) {
    EXPECT_EQ(at(a).seen(), at(b).seen());
    EXPECT_EQ(at(a).newer_than({}), at(b).newer_than({}));
  }
  io::Bytes close_and_copy_a() {
    close("a");
    return world.run(machine("a"), machine("a").storage().read_file("/meta.db", 1 << 20)).value();
  }
  void restore_a(const io::Bytes& store) {
    close("a");
    ASSERT_EQ(world.run(machine("a"), machine("a").storage().write_file("/meta.db", store, true)), Status::ok);
  }
  void immutable(const std::string& host, const std::string& key) {
    EXPECT_EQ(world.run(*machine_of(host), at(host).set_immutable("r", key, bytes_from("x"))), Status::ok);
  }
};

TEST_F(ExchangeTest, both_sides_learn) {
  wish("a", "x", "1");
  fact("b", "position", "2");
  meet("a", "b");
  EXPECT_EQ(read("b", "x"), "1");
  EXPECT_EQ(read_fact("a", "position", "b"), "2");
  expect_equal("a", "b");
}

TEST_F(ExchangeTest, passes_on_what_came_from_third_hosts) {
  wish("a", "key-of-the-future", "1");
  meet("a", "b");
  meet("b", "c");
  EXPECT_EQ(read("c", "key-of-the-future"), "1");
}

TEST_F(ExchangeTest, any_order_of_meetings_ends_equal) {
  const std::vector<std::pair<std::string, std::string>> pairs = {{"a", "b"}, {"b", "c"}, {"a", "c"}};
  Prng prng(7);
  for (int round = 0; round < 40; ++round) {
    for (const std::string host : {"a", "b", "c"}) {
      if (prng.chance(1, 2)) wish(host, "k" + std::to_string(prng.below(3)), host + std::to_string(round));
      if (prng.chance(1, 3)) fact(host, "position", std::to_string(round));
      if (prng.chance(1, 9)) EXPECT_EQ(world.run(*machine_of(host), at(host).erase_wish("r", "k0")), Status::ok);
      if (prng.chance(1, 9)) close(host);
    }
    const auto& [x, y] = pairs[prng.below(3)];
    meet(x, y);
  }
  for (int i = 0; i < 2; ++i) {
    for (const auto& [x, y] : pairs) meet(x, y);
  }
  expect_equal("a", "b");
  expect_equal("b", "c");
}

TEST_F(ExchangeTest, an_older_value_that_comes_later_is_passed_over) {
  for (const auto& [newer, older] : {std::pair{"a", "b"}, std::pair{"b", "a"}}) {
    const std::string key = std::string("written-twice-by-") + newer;
    wish(newer, key, "first");
    wish(newer, key, "second");
    wish(older, key, "other");
    meet("a", "b");
    EXPECT_EQ(read("a", key), "second");
    EXPECT_EQ(read("b", key), "second");
  }
}

TEST_F(ExchangeTest, a_clock_in_the_future_does_not_win_for_ever) {
  at("a");
  world.host("b").set_clock_skew(std::chrono::hours(24 * 365));
  wish("b", "designated", "beta");
  meet("a", "b");
  EXPECT_EQ(read("a", "designated"), "beta");
  wish("a", "designated", "alpha");
  meet("a", "b");
  EXPECT_EQ(read("a", "designated"), "alpha");
  EXPECT_EQ(read("b", "designated"), "alpha");
}

TEST_F(ExchangeTest, only_news_is_sent) {
  for (int i = 0; i < 50; ++i) wish("a", "k" + std::to_string(i), "v");
  meet("a", "b");
  wish("a", "k7", "new");
  std::vector<format::Delta> news = at("a").newer_than(at("b").seen());
  ASSERT_EQ(news.size(), 1u);
  ASSERT_EQ(news[0].registers.size(), 1u);
  EXPECT_EQ(news[0].registers[0].key, "k7");
}

TEST_F(ExchangeTest, only_the_last_part_of_a_long_delta_claims_anything) {
  const std::string large(60'000, 'x');
  for (int i = 0; i < 20; ++i) wish("a", "k" + std::to_string(i), large);
  std::vector<format::Delta> parts = at("a").newer_than({});
  ASSERT_GT(parts.size(), 2u);
  for (size_t i = 0; i + 1 < parts.size(); ++i) EXPECT_TRUE(parts[i].claimed.empty());
  EXPECT_EQ(VersionVector::from(parts.back().claimed), at("a").seen());
  // An interrupted series: what came stays, and the rest comes the next time.
  EXPECT_EQ(world.run(*machine_of("b"), at("b").apply(parts[0])), Status::ok);
  EXPECT_FALSE(at("b").seen().covers(at("a").seen()));
  meet("a", "b");
  expect_equal("a", "b");
}

TEST_F(ExchangeTest, somebody_elses_fact_is_not_taken) {
  format::Delta forged;
  forged.registers.resize(1);
  forged.registers[0].scope = "r";
  forged.registers[0].key = fact_key("position", uuid_of("a"));
  forged.registers[0].version = 1;
  forged.registers[0].writer = {uuid_of("c"), {99}};
  forged.registers[0].sequence = 1;
  EXPECT_EQ(world.run(*machine_of("b"), at("b").apply(forged)), Status::ok);
  EXPECT_EQ(read_fact("b", "position", "a"), "-");
  EXPECT_EQ(at("b").illegitimate(), 1u);
}

TEST_F(ExchangeTest, a_rolled_back_store_is_found_and_replaced) {
  wish("a", "early", "1");
  fact("a", "position", "1");
  const io::Bytes old = close_and_copy_a();
  fact("a", "position", "2");
  wish("a", "late", "1");
  meet("a", "b");
  restore_a(old);
  WriterId restored = at("a").writer();
  wish("a", "after", "1");
  fact("a", "position", "3");
  Conversation from_b(at("b")), from_a(at("a"));
  Error error = world.run(*machine_of("a"), from_a.on_message(*from_b.next_message()));
  EXPECT_EQ(error.status, Status::ok);
  EXPECT_TRUE(at("a").is_rolled_back());
  meet("a", "b");
  EXPECT_FALSE(at("a").is_rolled_back());
  EXPECT_GT(at("a").writer().incarnation, restored.incarnation);
  EXPECT_EQ(read("a", "late"), "1");
  EXPECT_EQ(read("b", "after"), "1");
  EXPECT_EQ(read_fact("a", "position", "a"), "3");
  EXPECT_EQ(read_fact("b", "position", "a"), "3");
  expect_equal("a", "b");
  meet("a", "c");
  expect_equal("a", "c");
}

TEST_F(ExchangeTest, what_a_restored_host_wrote_apart_from_the_others_reaches_all) {
  at("a");
  const io::Bytes old = close_and_copy_a();
  wish("a", "seen-by-b-only", "1");
  meet("a", "b");
  restore_a(old);
  wish("a", "seen-by-c-only", "1");
  meet("a", "c");
  meet("a", "b");
  meet("a", "c");
  for (const std::string host : {"a", "b", "c"}) {
    EXPECT_EQ(read(host, "seen-by-b-only"), "1") << host;
    EXPECT_EQ(read(host, "seen-by-c-only"), "1") << host;
  }
}

TEST_F(ExchangeTest, a_lost_store_comes_back_from_a_peer) {
  fact("a", "position", "1");
  meet("a", "b");
  close("a");
  ASSERT_EQ(world.run(machine("a"), machine("a").storage().remove("/meta.db")), Status::ok);
  EXPECT_EQ(read_fact("a", "position", "a"), "-");
  meet("b", "a");
  EXPECT_EQ(read_fact("a", "position", "a"), "1");
  expect_equal("a", "b");
}

TEST_F(ExchangeTest, what_was_written_in_an_earlier_life_since_the_store_was_lost_stays) {
  fact("a", "position", "1");
  wish("a", "erased", "1");
  meet("a", "b");
  close("a");
  ASSERT_EQ(world.run(machine("a"), machine("a").storage().remove("/meta.db")), Status::ok);
  fact("a", "position", "2");
  wish("a", "k", "1");
  immutable("a", "deleted!0");
  wish("c", "of-a-third-host", "1");
  meet("a", "c");
  close("a");
  EXPECT_EQ(world.run(*machine_of("b"), at("b").erase_wish("r", "erased")), Status::ok);
  meet("a", "b");
  for (const std::string host : {"a", "b"}) {
    EXPECT_EQ(read_fact(host, "position", "a"), "2") << host;
    EXPECT_EQ(read(host, "k"), "1") << host;
    EXPECT_EQ(read(host, "deleted!0"), "x") << host;
    EXPECT_EQ(read(host, "of-a-third-host"), "1") << host;
    EXPECT_EQ(read(host, "erased"), "-") << host;
  }
  close("a");
  meet("a", "b");
  expect_equal("a", "b");
}

TEST_F(ExchangeTest, nothing_comes_back_from_the_dead_with_a_restored_store) {
  wish("a", "erased", "1");
  wish("a", "changed", "1");
  fact("a", "position", "1");
  const io::Bytes old = close_and_copy_a();
  EXPECT_EQ(world.run(*machine_of("a"), at("a").erase_wish("r", "erased")), Status::ok);
  wish("a", "changed", "2");
  fact("a", "position", "2");
  meet("a", "b");
  restore_a(old);
  for (int i = 0; i < 3; ++i) {
    at("a");
    close("a");
  }
  meet("a", "b");
  for (const std::string host : {"a", "b"}) {
    EXPECT_EQ(read(host, "erased"), "-") << host;
    EXPECT_EQ(read(host, "changed"), "2") << host;
    EXPECT_EQ(read_fact(host, "position", "a"), "2") << host;
  }
  expect_equal("a", "b");
}

TEST_F(ExchangeTest, of_two_that_remember_a_restored_host_the_one_with_the_later_fact_is_believed) {
  at("a");
  const io::Bytes old = close_and_copy_a();
  for (const std::string peer : {"b", "c"}) {
    fact("a", "position", peer);
    meet("a", peer);
    close("a");
  }
  ASSERT_EQ(world.run(machine("a"), machine("a").storage().write_file("/meta.db", old, true)), Status::ok);
  meet("a", "b");
  EXPECT_EQ(read_fact("a", "position", "a"), "b");
  meet("a", "c");
  meet("a", "b");
  for (const std::string host : {"a", "b", "c"}) EXPECT_EQ(read_fact(host, "position", "a"), "c") << host;
}

TEST_F(ExchangeTest, when_who_remembers_more_has_gone_another_is_asked_after_a_while) {
  at("a");
  const io::Bytes old = close_and_copy_a();
  fact("a", "position", "1");
  meet("a", "b");
  restore_a(old);
  wish("a", "k", "1");
  {
    Conversation from_b(at("b")), from_a(at("a"), uuid_of("b"));
    EXPECT_EQ(world.run(*machine_of("a"), from_a.on_message(*from_b.next_message())).status, Status::ok);
    world.run_for(100s);
    EXPECT_FALSE(at("a").may_ask_anybody());
  }
  EXPECT_EQ(at("a").witness(), uuid_of("b"));
  meet("a", "c");
  EXPECT_TRUE(at("a").is_rolled_back());
  EXPECT_EQ(read("c", "k"), "-");
  bool is_told = false;
  const auto listen = [&]() -> Task<void> {
    co_await at("a").changed().wait();
    is_told = true;
  };
  machine("a").scope().spawn(listen());
  world.run_for(31s);
  EXPECT_TRUE(is_told);
  meet("a", "c");
  EXPECT_FALSE(at("a").is_rolled_back());
  EXPECT_EQ(read("c", "k"), "1");
  meet("a", "b");
  for (const std::string host : {"a", "b"}) {
    EXPECT_EQ(read(host, "k"), "1") << host;
    EXPECT_EQ(read_fact(host, "position", "a"), "1") << host;
  }
}

// b keeps what a wrote in the life that c has not seen, and c has seen a later one.
TEST_F(ExchangeTest, an_immutable_one_of_a_restored_host_reaches_those_who_saw_it_apart) {
  at("a");
  const io::Bytes old = close_and_copy_a();
  immutable("a", "seen-by-b-only!0");
  meet("a", "b");
  restore_a(old);
  for (int i = 0; i < 3; ++i) {
    at("a");
    close("a");
  }
  wish("a", "seen-by-c-only", "1");
  meet("a", "c");
  meet("a", "b");
  meet("b", "c");
  EXPECT_EQ(read("c", "seen-by-b-only!0"), "x");
  expect_equal("b", "c");
}

TEST_F(ExchangeTest, a_life_that_nobody_can_have_come_to_is_not_believed) {
  format::Delta forged;
  forged.claimed = {{{uuid_of("a"), {UINT64_MAX}}, 1}};
  Bytes message = *Conversation(at("b")).next_message();
  message.resize(8);  // the head of a vector
  Bytes body = *format::encode_delta(forged);
  message.insert(message.end(), body.begin(), body.end());
  Conversation conversation(at("a"));
  EXPECT_EQ(world.run(*machine_of("a"), conversation.on_message(message)).status, Status::invalid);
  EXPECT_FALSE(at("a").is_rolled_back());
  EXPECT_EQ(world.run(*machine_of("c"), at("c").apply(forged)), Status::invalid);
  EXPECT_EQ(world.run(*machine_of("a"), at("a").merge(forged)), Status::invalid);
  WriterId before = at("a").writer();
  close("a");
  EXPECT_LT(before.incarnation, at("a").writer().incarnation);
}

TEST_F(ExchangeTest, rubbish_ends_the_conversation) {
  Conversation conversation(at("a"));
  auto answer = [&](Bytes message) {
    return world.run(*machine_of("a"), conversation.on_message(std::move(message))).status;
  };
  EXPECT_EQ(answer({}), Status::invalid);
  EXPECT_EQ(answer(bytes_from("garbage garbage")), Status::invalid);
  Conversation peer(at("b"));
  Bytes vector = *peer.next_message();
  for (size_t length = 0; length < vector.size(); ++length) {
    Bytes cut(vector.begin(), vector.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_NE(answer(cut), Status::ok) << length;
  }
  Bytes newer = vector;
  newer[4] = std::byte{2};
  EXPECT_EQ(answer(newer), Status::unsupported);
  Bytes delta_first = vector;
  delta_first[6] = std::byte{2};
  EXPECT_EQ(answer(delta_first), Status::invalid);
  Bytes snapshot = vector;
  snapshot[6] = std::byte{5};
  EXPECT_EQ(answer(snapshot), Status::invalid);
  EXPECT_EQ(answer(vector), Status::ok);
}

}  // namespace
}  // namespace mars::meta
