// Several resources on one log disk: who makes room for whom, and who is given up for it.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class SharedLogFilm : public Film {
 protected:
  // "other" beside mydata, primary on a, too.
  void cast_with_other(Hosts hosts, Hosts with_other) {
    cast(std::move(hosts));
    const std::string log_of_mydata = disks("a").list("/log/resources").at(0).name;
    for (const std::string& host : with_other) {
      disks(host).add_device("/dev/sdc", 1 << 20);
      run(host, (host == "a" ? "create-resource other /dev/sdc" : "join-resource other /dev/sdc"));
    }
    for (const io::DirectoryEntry& entry : disks("a").list("/log/resources")) {
      if (entry.name != log_of_mydata) log_of_other_ = "/log/resources/" + entry.name + "/log";
    }
    for (const std::string& host : with_other) {
      EXPECT_TRUE(until([&] { return cluster().state(host, "other") == State::up_to_date; })) << describe();
    }
  }
  // So many times the same 120 blocks of "other", each time flushed.
  void overflow_other(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (uint64_t block = 0; block < 120; ++block) {
        ASSERT_EQ(cluster().write("a", "other", block, static_cast<char>('a' + round)), Status::ok) << describe();
        if (block % 40 == 39) ASSERT_EQ(cluster().flush("a", "other"), Status::ok) << describe();
      }
    }
  }
  void overflow(int rounds) {
    for (int round = 0; round < rounds; ++round) save("a", 0, 120, static_cast<char>('A' + round));
  }
  bool are_others_equal(const Hosts& hosts) {
    return until([&] {
      return std::ranges::all_of(
          hosts, [&](const std::string& host) { return cluster().state(host, "other") == State::up_to_date; });
    });
  }
  size_t spares_of_other() {
    size_t count = 0;
    for (const io::DirectoryEntry& entry : disks("a").list(log_of_other_)) count += entry.name.starts_with("spare");
    return count;
  }
  size_t given_up(const std::string& host) {
    const std::string events = cluster().events(host);
    size_t count = 0;
    for (size_t at = 0; (at = events.find("the log is not kept any longer for", at)) != std::string::npos; ++at)
      ++count;
    return count;
  }
  // Of mydata: the first one only.
  bool was_synced_once(const std::string& host) {
    const std::string events = cluster().events(host);
    const size_t first = events.find("mydata: sync from ");
    return first != std::string::npos && events.find("mydata: sync from ", first + 1) == std::string::npos;
  }

 private:
  std::string log_of_other_;
};

// Attacks: G4, D15, F16, P9
TEST_F(SharedLogFilm, the_longest_log_goes_whichever_resource_needs_room) {
  stage.log_disk_bytes = 8 << 20;
  stage.log_disks = {"a"};
  cast_with_other({"a", "b", "c"}, {"a", "b"});
  isolate("b");
  overflow_other(7);
  EXPECT_EQ(given_up("a"), 0u) << "the disk is too small for this film\n" << describe();
  isolate("c");
  overflow(6);
  expect_state("a", State::up_to_date);
  expect_event("a", "other: the log disk is full: the log is not kept any longer for b");
  expect_no_event("a", "the log is not kept any longer for c");
  rejoin("c");
  rejoin("b");
  expect_equal();
  EXPECT_TRUE(was_synced_once("c")) << describe();
  EXPECT_TRUE(are_others_equal({"a", "b"})) << describe();
}

// Attacks: G4, F16, P9
TEST_F(SharedLogFilm, spare_files_of_another_resource_go_before_anybody_is_given_up) {
  stage.log_disk_bytes = 6 << 20;
  cast_with_other({"a", "b"}, {"a", "b"});
  overflow_other(4);
  EXPECT_TRUE(are_others_equal({"a", "b"}));
  EXPECT_TRUE(until([&] { return spares_of_other() >= 2; })) << describe();
  isolate("b");
  for (int round = 0; round < 30 && spares_of_other() > 0 && given_up("a") == 0; ++round) overflow(1);
  EXPECT_EQ(given_up("a"), 0u) << describe();
  EXPECT_EQ(spares_of_other(), 0u) << describe();
  rejoin("b");
  expect_equal();
  EXPECT_TRUE(was_synced_once("b")) << describe();
}

// Attacks: F16, P9
TEST_F(SharedLogFilm, who_is_detached_keeps_no_spare_files_from_the_others) {
  stage.log_disk_bytes = 6 << 20;
  cast_with_other({"a", "b"}, {"a", "b"});
  overflow_other(4);
  EXPECT_TRUE(until([&] { return spares_of_other() >= 2; })) << describe();
  run("a", "detach other");
  EXPECT_EQ(spares_of_other(), 0u);
  run("a", "attach other");
  EXPECT_TRUE(until([&] { return cluster().device("a", "other")->is_open(); })) << describe();
  overflow_other(1);
  EXPECT_TRUE(are_others_equal({"a", "b"})) << describe();
}

// Attacks: G4, F16, P6
TEST_F(SharedLogFilm, nobody_is_given_up_where_that_frees_nothing) {
  stage.log_disk_bytes = 3 << 20;
  cast({"a", "b"});
  isolate("b");
  save("a", 0, 10, 'x');
  rest(3s);
  EXPECT_EQ(applied("a"), durable("a"));
  disks("a").drive("/dev/sdb").stick();
  begin_load(0, 200, 1ms);
  expect_state("a", State::waiting_for_space);
  rest(20s);
  EXPECT_EQ(given_up("a"), 0u) << describe();
  disks("a").drive("/dev/sdb").unstick();
  rest(5s);
  expect_state("a", State::up_to_date);
  end_load();
  rejoin("b");
  expect_equal();
}

// Attacks: P13, F16
TEST_F(SharedLogFilm, who_waits_for_room_hears_which_log_fills_the_disk) {
  stage.log_disk_bytes = 4 << 20;
  stage.log_disks = {"a"};
  cast_with_other({"a", "b"}, {"a"});
  disks("a").drive("/dev/sdc").stick();
  overflow_other(2);
  isolate("b");
  disks("a").drive("/dev/sdb").stick();
  begin_load(0, 200, 1ms);
  expect_state("a", State::waiting_for_space);
  EXPECT_NE(view("a").reason.find("the longest log there is that of other"), std::string::npos) << describe();
  disks("a").drive("/dev/sdc").unstick();
  disks("a").drive("/dev/sdb").unstick();
  rest(5s);
  expect_state("a", State::up_to_date);
  end_load();
  rejoin("b");
  expect_equal();
}

// Attacks: G4, P9, F16, P7
TEST_F(SharedLogFilm, two_who_need_room_at_once_both_get_it) {
  stage.log_disk_bytes = 6 << 20;
  stage.log_disks = {"a"};
  cast_with_other({"a", "b"}, {"a", "b"});
  isolate("b");
  for (int round = 0; round < 12; ++round) {
    overflow(1);
    overflow_other(1);
  }
  expect_state("a", State::up_to_date);
  EXPECT_GE(given_up("a"), 2u) << describe();
  rejoin("b");
  expect_equal();
  EXPECT_TRUE(are_others_equal({"a", "b"})) << describe();
}

}  // namespace
}  // namespace mars::sim
