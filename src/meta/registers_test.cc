#include "meta/registers.h"

#include "meta/meta_test.h"

namespace mars::meta {
namespace {

using namespace std::chrono_literals;

class RegistersTest : public MetaTest {};

TEST_F(RegistersTest, what_was_set_survives_power_loss) {
  EXPECT_EQ(try_wish("a", "designated", "alpha"), Status::ok);
  EXPECT_EQ(try_fact("a", "position", "7"), Status::ok);
  world.host("a").power_loss();
  close("a");
  world.host("a").start();
  EXPECT_EQ(read("a", "designated"), "alpha");
  EXPECT_EQ(read_fact("a", "position", "a"), "7");
}

TEST_F(RegistersTest, each_start_is_a_new_life) {
  WriterId first = at("a").writer();
  close("a");
  WriterId second = at("a").writer();
  EXPECT_EQ(first.host, second.host);
  EXPECT_LT(first.incarnation, second.incarnation);
}

TEST_F(RegistersTest, nothing_is_visible_before_it_is_durable) {
  Status result = Status::stopped;
  at("a");
  auto task = [](Registers& registers, Status& out) -> Task<void> {
    out = co_await registers.set_wish("r", "k", bytes_from("v"));
  };
  machine_of("a")->scope().spawn(task(at("a"), result));
  ASSERT_TRUE(world.run_until([&] { return result == Status::ok || at("a").find("r", "k"); }));
  world.host("a").power_loss();
  close("a");
  world.host("a").start();
  EXPECT_EQ(read("a", "k"), "v");
}

TEST_F(RegistersTest, crash_at_every_disk_change_keeps_all_that_was_acknowledged) {
  for (uint64_t n = 1; n < 60; ++n) {
    const std::string host = std::string(1, 'a') + std::to_string(n);
    at(host);
    world.host(host).power_loss_at_disk_op(n);
    int acknowledged = 0;
    while (acknowledged < 5 && try_wish(host, "k", std::to_string(acknowledged + 1)) == Status::ok) ++acknowledged;
    if (world.host(host).is_running()) world.host(host).power_loss();
    close(host);
    world.host(host).start();
    std::string found = read(host, "k");
    int value = found == "-" ? 0 : std::stoi(found);
    EXPECT_TRUE(value == acknowledged || value == acknowledged + 1) << n << ": " << found << ", " << acknowledged;
    close(host);
  }
}

TEST_F(RegistersTest, crash_at_every_disk_change_of_the_first_start_is_no_damage) {
  for (uint64_t n = 1; n < 25; ++n) {
    const std::string host = std::string(1, 'a') + std::to_string(n);
    machine(host);
    world.host(host).power_loss_at_disk_op(n);
    auto opened = try_open(host);
    if (opened) world.run(machine(host), (*opened)->close());
    if (world.host(host).is_running()) world.host(host).power_loss();
    world.host(host).start();
    EXPECT_EQ(try_wish(host, "k", "v"), Status::ok) << n;
    close(host);
  }
}

TEST_F(RegistersTest, a_damaged_file_is_a_clear_error) {
  wish("a", "designated", "value-that-is-easy-to-find");
  close("a");
  auto whole = world.run(machine("a"), machine("a").storage().read_file("/meta.db", 1 << 20)).value();
  const std::string needle = "value-that-is-easy-to-find";
  auto found = std::search(whole.begin(), whole.end(), bytes_of(needle).begin(), bytes_of(needle).end());
  ASSERT_NE(found, whole.end());
  size_t place = static_cast<size_t>(found - whole.begin());
  for (size_t at : {place, size_t{0}, size_t{40}}) {
    Bytes rotten = whole;
    rotten[at] ^= std::byte{1};
    EXPECT_EQ(world.run(machine("a"), machine("a").storage().write_file("/meta.db", rotten, true)), Status::ok);
    auto opened = try_open("a");
    if (!opened) {
      EXPECT_EQ(opened.error().status, Status::damaged) << at;
      EXPECT_NE(opened.error().text.find("/meta.db"), std::string::npos);
      EXPECT_NE(opened.error().text.find("move the file away"), std::string::npos);
      continue;
    }
    EXPECT_EQ(at, 40u);  // the schema cookie: SQLite does not care, and nothing of ours is in it
    world.run(machine("a"), (*opened)->close());
  }
}

TEST_F(RegistersTest, a_file_of_another_host_is_refused) {
  at("a");
  close("a");
  Registers::Options options{"/meta.db", uuid_of("b")};
  auto opened = world.run(machine("a"), Registers::open(machine("a"), options));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().status, Status::refused);
}

TEST_F(RegistersTest, rubbish_is_refused) {
  EXPECT_EQ(try_wish("a", "", "v"), Status::invalid);
  EXPECT_EQ(try_wish("a", "UPPER", "v"), Status::invalid);
  EXPECT_EQ(try_wish("a", fact_key("x", uuid_of("b")), "v"), Status::invalid);
  EXPECT_EQ(try_wish("a", "k", std::string(format::register_value_max + 1, 'x')), Status::invalid);
  EXPECT_EQ(try_wish("a", std::string(300, 'k'), "v"), Status::invalid);
  EXPECT_EQ(world.run(*machine_of("a"), at("a").set_wish("", "k", {})), Status::invalid);
}

TEST_F(RegistersTest, an_immutable_one_stays) {
  auto set = [&](std::string_view value) {
    return world.run(*machine_of("a"), at("a").set_immutable("r", "verdict!1", bytes_from(value)));
  };
  EXPECT_EQ(set("x"), Status::ok);
  EXPECT_EQ(set("x"), Status::ok);
  EXPECT_EQ(set("y"), Status::exists);
  EXPECT_EQ(read("a", "verdict!1"), "x");
}

TEST_F(RegistersTest, an_equal_fact_is_no_write) {
  fact("a", "position", "7");
  VersionVector before = at("a").seen();
  EXPECT_EQ(try_fact("a", "position", "7"), Status::ok);
  EXPECT_EQ(at("a").seen(), before);
  EXPECT_EQ(try_fact("a", "position", "8"), Status::ok);
  EXPECT_NE(at("a").seen(), before);
}

TEST_F(RegistersTest, erased_is_gone_and_can_come_back) {
  wish("a", "k", "v");
  EXPECT_EQ(world.run(*machine_of("a"), at("a").erase_wish("r", "k")), Status::ok);
  EXPECT_EQ(read("a", "k"), "-");
  EXPECT_TRUE(at("a").list("r").empty());
  EXPECT_TRUE(at("a").scopes().empty());
  wish("a", "k", "again");
  EXPECT_EQ(read("a", "k"), "again");
}

TEST_F(RegistersTest, lists_by_prefix) {
  wish("a", "switch/a", "1");
  wish("a", "switch/b", "2");
  wish("a", "other", "3");
  EXPECT_EQ(at("a").list("r", "switch/").size(), 2u);
  EXPECT_EQ(at("a").list("r").size(), 3u);
  EXPECT_TRUE(at("a").list("unknown").empty());
  EXPECT_EQ(at("a").scopes(), std::vector<std::string>{"r"});
}

TEST_F(RegistersTest, who_asked_is_called_and_nobody_else) {
  int designated = 0, other = 0;
  Subscription first(at("a"), "r", "desig", [&] { ++designated; });
  Subscription second(at("a"), "s", "", [&] { ++other; });
  wish("a", "designated", "x");
  wish("a", "unrelated", "x");
  world.run_for(1ms);
  EXPECT_EQ(designated, 1);
  EXPECT_EQ(other, 0);
}

TEST_F(RegistersTest, a_call_may_end_another_subscription) {
  auto second = std::make_unique<Subscription>(at("a"), "", "", [] { FAIL(); });
  second.reset();
  std::unique_ptr<Subscription> third;
  int calls = 0;
  Subscription first(at("a"), "", "", [&] {
    ++calls;
    third.reset();
  });
  third = std::make_unique<Subscription>(at("a"), "", "", [] { FAIL(); });
  wish("a", "k", "v");
  world.run_for(1ms);
  EXPECT_EQ(calls, 1);
}

TEST_F(RegistersTest, a_full_disk_refuses_and_recovers) {
  at("a");
  world.host("a").disks().fail({.path = "/", .op = sim::DiskOp::write, .status = Status::no_space});
  EXPECT_EQ(try_wish("a", "k", "v"), Status::no_space);
  EXPECT_EQ(read("a", "k"), "-");
  wish("a", "k", "v");
  EXPECT_EQ(read("a", "k"), "v");
}

TEST_F(RegistersTest, a_disk_that_failed_is_not_believed_again) {
  wish("a", "k", "before");
  world.host("a").disks().fail({.path = "/", .op = sim::DiskOp::flush});
  EXPECT_EQ(try_wish("a", "k", "after"), Status::io_error);
  EXPECT_EQ(try_wish("a", "k", "after"), Status::io_error);
  EXPECT_EQ(at("a").problem().status, Status::io_error);
  EXPECT_EQ(read("a", "k"), "before");
  close("a");
  EXPECT_EQ(read("a", "k"), "before");
}

TEST_F(RegistersTest, an_answer_to_an_older_wish_does_not_outrank_a_newer_one) {
  wish("a", "designated", "b");
  const auto expect = [](Task<Status> writing, Status status) -> Task<void> {
    EXPECT_EQ(co_await std::move(writing), status);
  };
  const auto race = [&]() -> Task<void> {
    Scope scope(machine("a").ready());
    scope.spawn(expect(at("a").set_wish("r", "designated", bytes_from("c")), Status::ok));
    scope.spawn(expect(at("a").replace_wish("r", "designated", bytes_from("b"), bytes_from("a")), Status::refused));
    co_await scope.join();
  };
  world.run(machine("a"), race());
  EXPECT_EQ(read("a", "designated"), "c");
  EXPECT_EQ(world.run(machine("a"), at("a").replace_wish("r", "designated", bytes_from("c"), bytes_from("a"))),
            Status::ok);
  EXPECT_EQ(read("a", "designated"), "a");
}

TEST_F(RegistersTest, many_writers_share_one_transaction) {
  at("a");
  int done = 0;
  auto task = [](Registers& registers, int i, int& count) -> Task<void> {
    std::string key = "k" + std::to_string(i);
    Status status = co_await registers.set_wish("r", key, bytes_from("v"));
    if (status == Status::ok) ++count;
  };
  uint64_t before = world.host("a").disks().change_count();
  for (int i = 0; i < 100; ++i) machine_of("a")->scope().spawn(task(at("a"), i, done));
  ASSERT_TRUE(world.run_until([&] { return done == 100; }));
  EXPECT_LT(world.host("a").disks().change_count() - before, 150u);
}

TEST_F(RegistersTest, lives_that_are_forgotten_leave_the_store) {
  const auto with_database = [&](auto&& work) {
    world.run(machine("a"), machine("a").off_load([&] {
      auto database = Database::open("/meta.db", machine("a").sqlite_vfs(), uuid_of("a"));
      ASSERT_TRUE(database);
      work(**database);
    }));
  };
  const auto count = [&] {
    size_t lives = 0;
    with_database([&](Database& database) { lives = database.load()->lives.size(); });
    return lives;
  };
  Change old;
  for (uint64_t i = 1; i <= lives_max + 10; ++i) old.lives[{i << random_bits_of_life}] = 1;
  with_database([&](Database& database) { EXPECT_EQ(database.commit(old).status, Status::ok); });
  EXPECT_EQ(count(), lives_max + 10);
  for (int start = 0; start < 2; ++start) {
    at("a");
    close("a");
    EXPECT_EQ(count(), lives_max);
  }
}

TEST(register_map, only_what_is_new_needs_room) {
  const WriterId self{Uuid::from_random({1}), {1}};
  constexpr size_t room = 2;
  RegisterMap map;
  ChangeBuilder first(map, self, room);
  for (const char* key : {"k", "l"}) EXPECT_EQ(first.set("r", key, {}, false, {1, 0}), Status::ok);
  format::Delta news;
  map.take(first.take());
  news.registers = map.list("r", "");
  for (Register& value : news.registers) value.version = 2;
  ChangeBuilder second(map, self, room);
  EXPECT_EQ(second.apply(news), Status::ok);
  EXPECT_EQ(second.set("r", "k", {}, true, {2, 0}), Status::ok);
  EXPECT_EQ(second.set("r", "m", {}, false, {2, 0}), Status::no_space);
  news.registers[0].key = "m";
  EXPECT_EQ(second.apply(news), Status::no_space);
}

TEST(hybrid_clock, never_goes_back_and_does_not_follow_madness) {
  sim::World world(1);
  sim::SimMachine& machine = world.host("a").machine();
  HybridClock clock(machine);
  Stamp first = clock.now();
  EXPECT_LT(first, clock.now());
  clock.observe({first.physical_ns + 1'000'000'000, 5});
  EXPECT_EQ(clock.now(), (Stamp{first.physical_ns + 1'000'000'000, 6}));
  clock.observe({UINT64_MAX, UINT32_MAX});
  EXPECT_LT(clock.now().physical_ns, UINT64_MAX / 2);
  clock.observe({first.physical_ns + 2'000'000'000, UINT32_MAX});
  EXPECT_EQ(clock.now(), (Stamp{first.physical_ns + 2'000'000'001, 0}));
}

}  // namespace
}  // namespace mars::meta
