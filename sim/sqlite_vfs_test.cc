#include "sim/sqlite_vfs.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "sim/world.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;

// A connection as the metadata store has it. Used inside off_load only.
class Database {
 public:
  Database(SimMachine& machine, const char* journal_mode, const char* synchronous = nullptr) {
    if (synchronous == nullptr) synchronous = std::string(journal_mode) == "DELETE" ? "EXTRA" : "FULL";
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    const bool is_open = sqlite3_open_v2("/meta.db", &handle_, flags, machine.sqlite_vfs()) == SQLITE_OK;
    is_usable_ = is_open && run(std::string("PRAGMA journal_mode=") + journal_mode) &&
                 run(std::string("PRAGMA synchronous=") + synchronous) &&
                 run("CREATE TABLE IF NOT EXISTS t(k INTEGER PRIMARY KEY, v, w)");
  }
  ~Database() { sqlite3_close(handle_); }
  bool is_usable() const { return is_usable_; }
  bool run(const std::string& sql) {
    return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  std::string text(const std::string& sql) {
    std::string answer = "error";
    sqlite3_exec(
        handle_, sql.c_str(),
        [](void* into, int, char** values, char**) {
          *static_cast<std::string*>(into) = values[0] != nullptr ? values[0] : "null";
          return 0;
        },
        &answer, nullptr);
    return answer;
  }
  // One transaction over many pages: round n writes n into every row of two columns.
  bool commit(int round) {
    const std::string n = std::to_string(round);
    return run("BEGIN IMMEDIATE") &&
           run("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<40)"
               " INSERT OR REPLACE INTO t SELECT x, " +
               n + ", zeroblob(500) FROM c") &&
           run("COMMIT");
  }

 private:
  sqlite3* handle_ = nullptr;
  bool is_usable_ = false;
};

// Commits until it is stopped by an error; `committed` is the last round that was reported done.
Task<void> write_rounds(SimMachine& machine, const char* journal_mode, int rounds, int& committed,
                        const char* synchronous = nullptr) {
  std::unique_ptr<Database> database;
  std::move_only_function<void()> open = [&] {
    database = std::make_unique<Database>(machine, journal_mode, synchronous);
  };
  co_await machine.off_load(std::move(open));
  bool ok = database->is_usable();
  for (int round = 1; ok && round <= rounds; ++round) {
    std::move_only_function<void()> commit = [&] { ok = database->commit(round); };
    co_await machine.off_load(std::move(commit));
    if (ok && machine.is_alive()) committed = round;
  }
  std::move_only_function<void()> close = [&] { database.reset(); };
  co_await machine.off_load(std::move(close));
}

struct State {
  std::string integrity;
  std::string oldest, newest, rows;
};

Task<State> read_state(SimMachine& machine, const char* journal_mode) {
  State state;
  std::move_only_function<void()> work = [&] {
    Database database(machine, journal_mode);
    state = {database.text("PRAGMA integrity_check"), database.text("SELECT coalesce(min(v), 0) FROM t"),
             database.text("SELECT coalesce(max(v), 0) FROM t"), database.text("SELECT count(*) FROM t")};
  };
  co_await machine.off_load(std::move(work));
  co_return state;
}

enum class Death { kill, power_loss };

// One life with a death at the n-th change, then what is found. Returns whether the death came.
bool die_and_look(uint64_t seed, const char* journal_mode, Death death, uint64_t n) {
  World world(seed);
  Host& host = world.host("a");
  death == Death::kill ? host.kill_at_disk_op(n) : host.power_loss_at_disk_op(n);
  SimMachine& machine = host.machine();
  int committed = 0;
  world.run(machine, write_rounds(machine, journal_mode, 6, committed));
  const bool has_died = !machine.is_alive();
  if (!has_died) host.kill();
  host.start();
  const State state = world.run(host.machine(), read_state(host.machine(), journal_mode));
  EXPECT_EQ(state.integrity, "ok");
  EXPECT_EQ(state.oldest, state.newest);  // a transaction is whole
  EXPECT_EQ(state.rows, state.newest == "0" ? "0" : "40");
  EXPECT_GE(std::atoi(state.newest.c_str()), committed);
  EXPECT_LE(std::atoi(state.newest.c_str()), committed + 1);
  return has_died;
}

class SqliteTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(, SqliteTest, testing::Values("DELETE", "TRUNCATE", "PERSIST"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(SqliteTest, committed_data_survives_power_loss_at_any_change) {
  Prng prng(1);
  for (uint64_t seed = 0; seed < 50; ++seed) die_and_look(seed, GetParam(), Death::power_loss, prng.between(1, 90));
}

TEST_P(SqliteTest, committed_data_survives_kill_at_any_change) {
  Prng prng(2);
  for (uint64_t seed = 0; seed < 20; ++seed) die_and_look(seed, GetParam(), Death::kill, prng.between(1, 90));
}

TEST_P(SqliteTest, every_change_of_two_commits_is_a_place_to_die) {
  uint64_t n = 1;
  while (n < 60 && die_and_look(77, GetParam(), Death::power_loss, n)) ++n;
  EXPECT_GE(n, 40u);
}

// Death at any moment of virtual time: also while work waits for its helper.
TEST_P(SqliteTest, committed_data_survives_power_loss_at_any_time) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    World world(seed);
    Host& host = world.host("a");
    SimMachine& machine = host.machine();
    int committed = 0;
    machine.scope().spawn(write_rounds(machine, GetParam(), 1000, committed));
    world.run_for(io::Duration(world.prng().below(20'000'000)));
    host.power_loss();
    ASSERT_TRUE(world.run_until([&] { return machine.scope().count() == 0; }, 10ms));
    host.start();
    const State state = world.run(host.machine(), read_state(host.machine(), GetParam()));
    EXPECT_EQ(state.integrity, "ok");
    EXPECT_EQ(state.oldest, state.newest);
    EXPECT_GE(std::atoi(state.newest.c_str()), committed);
  }
}

TEST(Sqlite, a_disk_that_ignores_flushes_is_caught) {
  int damaged = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    World world(seed);
    Host& host = world.host("a");
    host.disks().fail({.path = "/", .op = DiskOp::flush, .times = Fault::forever, .status = Status::ok});
    int committed = 0;
    world.run(host.machine(), write_rounds(host.machine(), "DELETE", 6, committed));
    host.power_loss();
    host.start();
    const State state = world.run(host.machine(), read_state(host.machine(), "DELETE"));
    damaged += state.integrity != "ok" || std::atoi(state.newest.c_str()) < committed;
  }
  EXPECT_GE(damaged, 10);
}

TEST(Sqlite, synchronous_full_may_lose_the_last_commit_with_delete) {
  int lost = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    World world(seed);
    Host& host = world.host("a");
    int committed = 0;
    world.run(host.machine(), write_rounds(host.machine(), "DELETE", 3, committed, "FULL"));
    host.power_loss();
    host.start();
    const State state = world.run(host.machine(), read_state(host.machine(), "DELETE"));
    EXPECT_EQ(state.integrity, "ok");
    EXPECT_GE(std::atoi(state.newest.c_str()), committed - 1);
    lost += std::atoi(state.newest.c_str()) < committed;
  }
  EXPECT_GE(lost, 1);
}

TEST(Sqlite, a_full_disk_fails_the_commit_and_keeps_the_data) {
  World world(4);
  Host& host = world.host("a");
  int committed = 0;
  world.run(host.machine(), write_rounds(host.machine(), "DELETE", 2, committed));
  host.disks().file_system("/").set_capacity(40 << 10);
  int second = 0;
  world.run(host.machine(), write_rounds(host.machine(), "DELETE", 1, second));
  EXPECT_EQ(second, 0);
  host.disks().file_system("/").set_capacity(1 << 30);
  const State state = world.run(host.machine(), read_state(host.machine(), "DELETE"));
  EXPECT_EQ(state.integrity, "ok");
  EXPECT_EQ(state.newest, "2");
}

}  // namespace
}  // namespace mars::sim
