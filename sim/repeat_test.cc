// A whole life of three hosts, twice from each seed: the same events, to the last byte count.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/aligned.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;

constexpr size_t record_bytes = 4096;

// A process that logs what it receives, counts it in a database, and sends its own records to a neighbour.
class Talker {
 public:
  Talker(SimMachine& machine, std::string neighbour)
      : machine_(machine), neighbour_(std::move(neighbour)), stop_(machine.ready()), scope_(machine.ready()) {
    scope_.spawn(serve());
    scope_.spawn(talk());
  }
  bool is_over() const { return scope_.count() == 0; }

 private:
  // Each activity ends at the first `gone` of a dead machine.
  Task<void> serve() {
    auto listener = co_await machine_.network().listen("[::]:7", 0600);
    io::OpenOptions options{.create = true};
    auto file = co_await machine_.storage().open("/log", options);
    AlignedBuffer record(record_bytes);
    while (listener && file && machine_.is_alive()) {
      auto stream = co_await (*listener)->accept();
      Status status = stream ? Status::ok : Status::gone;
      while (status == Status::ok) {
        status = co_await io::read_all(**stream, record.span());
        if (status == Status::ok) status = co_await io::write(**file, (*file)->size(), record.span());
        if (status == Status::ok) status = co_await io::flush(**file);
        if (status == Status::ok) co_await count();
      }
    }
  }
  Task<void> count() {
    std::move_only_function<void()> work = [&] {
      sqlite3* database = nullptr;
      const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      if (sqlite3_open_v2("/count.db", &database, flags, machine_.sqlite_vfs()) == SQLITE_OK) {
        sqlite3_exec(database,
                     "PRAGMA journal_mode=TRUNCATE; CREATE TABLE IF NOT EXISTS n(x); INSERT INTO n VALUES(random())",
                     nullptr, nullptr, nullptr);
      }
      sqlite3_close(database);
    };
    co_await machine_.off_load(std::move(work));
  }
  Task<void> talk() {
    AlignedBuffer record(record_bytes);
    while (machine_.is_alive()) {
      auto stream = co_await machine_.network().connect(neighbour_ + ":7");
      machine_.random_bytes(record.span().first(8));
      Status status = stream ? Status::ok : Status::gone;
      while (status == Status::ok) {
        status = co_await io::write_all(**stream, record.span());
        if (status == Status::ok) static_cast<void>(co_await io::sleep_for(machine_, 1ms, stop_));
      }
      static_cast<void>(co_await io::sleep_for(machine_, 10ms, stop_));
    }
  }

  SimMachine& machine_;
  std::string neighbour_;
  Event stop_;
  Scope scope_;
};

class Ring {
 public:
  explicit Ring(uint64_t seed) : world_(seed), prng_(seed) {
    for (int i : {0, 1, 2}) talkers_[i] = std::make_unique<Talker>(host(i).machine(), names[(i + 1) % 3]);
  }
  ~Ring() {
    for (int i : {0, 1, 2}) bury(i, true);
  }
  void accident() {
    const int i = static_cast<int>(prng_.below(3));
    switch (prng_.below(4)) {
      case 0:
        return world_.network().cut(names[i], names[(i + 1) % 3]);
      case 1:
        return world_.network().heal(names[i], names[(i + 1) % 3]);
      default:
        bury(i, prng_.chance(1, 2));
    }
    host(i).start();
    talkers_[i] = std::make_unique<Talker>(host(i).machine(), names[(i + 1) % 3]);
  }
  World& world() { return world_; }

 private:
  static constexpr const char* names[] = {"a", "b", "c"};
  Host& host(int i) { return world_.host(names[i]); }
  void bury(int i, bool with_power) {
    with_power ? host(i).power_loss() : host(i).kill();
    EXPECT_TRUE(world_.run_until([&] { return talkers_[i]->is_over(); }, 1s));
    talkers_[i].reset();
  }

  World world_;
  Prng prng_;
  std::array<std::unique_ptr<Talker>, 3> talkers_;
};

std::pair<uint64_t, uint64_t> life(uint64_t seed) {
  Ring ring(seed);
  for (int round = 0; round < 8; ++round) {
    ring.world().run_for(50ms);
    ring.accident();
  }
  return {ring.world().trace_hash(), ring.world().event_count()};
}

TEST(Repeat, three_hosts_with_accidents_do_the_same_again) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto first = life(seed);
    EXPECT_EQ(life(seed), first);
    EXPECT_GE(first.second, 5000u);
    hashes.insert(first.first);
  }
  EXPECT_EQ(hashes.size(), 3u);
}

}  // namespace
}  // namespace mars::sim
