// Metadata stores that are lost or restored to before: registers are for programs and people, and give no right.
#include "node/resource_registers.h"
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class LostStoreFilm : public Film {
 protected:
  static constexpr const char* store_path = "var/lib/mars/meta.db";

  void lose_store(const std::string& host) {
    for (const auto& entry : disks(host).list("/var/lib/mars")) {
      if (!entry.name.starts_with("meta.db")) continue;
      EXPECT_EQ(disks(host).file_system("/").remove("var/lib/mars/" + entry.name, true), Status::ok);
    }
  }
  std::vector<std::byte> content(const std::string& host, const std::string& path) {
    const Inode* file = disks(host).file_system("/").file(path);
    std::vector<std::byte> bytes(file->size);
    file->medium.read(0, bytes);
    return bytes;
  }
  void restore(const std::string& host, const std::string& path, const std::vector<std::byte>& bytes) {
    FileSystem& files = disks(host).file_system("/");
    static_cast<void>(files.remove(path, true));
    auto file = files.create(path, true);
    ASSERT_TRUE(file.has_value());
    EXPECT_EQ(files.write(**file, 0, bytes, true), Status::ok);
  }
  std::vector<std::byte> store(const std::string& host) { return content(host, store_path); }
  void restore_store(const std::string& host, const std::vector<std::byte>& bytes) {
    lose_store(host);
    restore(host, store_path, bytes);
  }
  Hosts names(const std::string& asked) {
    Hosts names;
    for (const auto& resource : cluster().status(asked).resources) names.push_back(resource.name);
    return names;
  }
  std::string replica_file(const std::string& host) { return resource_directory(host).substr(1) + "/replica.json"; }
  void rename(const std::string& host, const std::string& from, const std::string& to) {
    ASSERT_EQ(disks(host).file_system("/").rename(from, to), Status::ok);
  }
  // b has writes that no other host has, and they are not on its data disk.
  void cast_with_writes_that_only_the_log_of_b_has() {
    expect_up_to_date();
    hand_over("b");
    isolate("b");
    disks("b").drive("/dev/sdb").stick();
    save("b", 10, 30, 'y');
    power_loss("b");
    disks("b").drive("/dev/sdb").unstick();
  }
  // That of a.
  std::vector<std::byte> cast_and_keep_the_store_of_before_b_joined() {
    cast_without_resource({"a", "b"});
    run("a", "create-resource mydata /dev/sdb");
    expect_primary("a");
    const std::vector<std::byte> before = store("a");
    EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 1; }));
    run("b", "join-resource mydata /dev/sdb");
    EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; })) << describe();
    return before;
  }
  // They come within open-wait.
  void boot_and_wait_for_the_others(const std::string& host) {
    isolate(host);
    boot(host);
    rest(4s);
    EXPECT_NE(primary(), host);
    rejoin(host);
    rest(30s);
  }
  // False: it was not killed, because there are fewer than n changes.
  bool boot_and_die(const std::string& host, uint64_t n) {
    kill_at(host, n);
    const bool has_started = cluster().start(host).has_value();
    rest(5s);
    disks(host).on_change({});
    if (is_dead(host) && has_started) cluster().bury(host);
    return is_dead(host);
  }
};

// Attacks: R5, P4, F44
TEST_F(LostStoreFilm, a_lost_metadata_store_comes_back_from_the_others_and_opens_nothing) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  stop("a");
  force("b");
  save("b", 10, 30, 'y');
  lose_store("a");
  isolate("a");
  boot("a");
  rest(60s);
  EXPECT_EQ(primary(), "b");
  expect_event("a", "the metadata store was lost");
  rejoin("a");
  EXPECT_TRUE(until([&] { return cluster().status("a").resources.size() == 1 && cluster().connected("a", "b"); }));
  expect_primary("b");
  expect_equal();
}

// Attacks: R5, P4, T10
TEST_F(LostStoreFilm, a_first_start_that_is_cut_off_anywhere_gives_no_right_to_the_second) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  stop("a");
  force("b");
  save("b", 10, 30, 'y');
  isolate("a");
  bool was_cut_off = true;
  for (uint64_t n = 1; was_cut_off; ++n) {
    ASSERT_LT(n, 300u);
    lose_store("a");
    was_cut_off = boot_and_die("a", n);
    if (was_cut_off) boot("a");
    rest(20s);
    ASSERT_EQ(primary(), "b") << n;
    stop("a");
  }
  boot("a");
  rejoin("a");
  EXPECT_TRUE(until([&] { return cluster().status("a").resources.size() == 1 && cluster().connected("a", "b"); }));
  expect_primary("b");
  expect_equal();
}

// In these three b is down when the store of a is lost, and marsd on a starts once more before b is back.
// Attacks: R3, R4, F44
TEST_F(LostStoreFilm, what_was_made_in_the_life_after_the_loss_is_kept_when_the_others_come_back) {
  cast({"a", "b"});
  stop("b");
  stop("a");
  lose_store("a");
  disks("a").add_device("/dev/sdc", Cluster::disk_bytes);
  boot("a");
  run("a", "create-resource made /dev/sdc");
  restart("a");
  rest(2s);
  boot("b");
  for (const std::string host : {"a", "b"}) {
    EXPECT_TRUE(until([&] { return names(host) == Hosts{"made", "mydata"}; })) << host << describe();
  }
  rest(5s);
  EXPECT_EQ(names("a"), (Hosts{"made", "mydata"}));
  EXPECT_TRUE(cluster().is_primary("a", "made"));
}

// Attacks: R1, R3, R4, F44
TEST_F(LostStoreFilm, what_was_deleted_in_the_life_after_the_loss_stays_deleted) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  stop("b");
  stop("a");
  lose_store("a");
  boot("a");
  rest(1s);
  run("a", "delete-resource mydata --force");
  restart("a");
  rest(2s);
  boot("b");
  for (const std::string host : {"a", "b"}) {
    EXPECT_TRUE(until([&] { return names(host).empty() && cluster().connected(host, host == "a" ? "b" : "a"); }))
        << host;
  }
  rest(5s);
  EXPECT_TRUE(names("a").empty() && names("b").empty());
}

// Attacks: R1, R3, R4, F44
TEST_F(LostStoreFilm, who_was_invited_in_the_life_after_the_loss_stays_a_member) {
  Cluster hosts(4711, {"a", "b", "d"});
  const auto done = [&](const std::string& host, const std::string& line) {
    const Answer answer = hosts.run(host, line);
    EXPECT_EQ(answer.code, ExitCode::done) << answer.text;
  };
  for (const char* host : {"a", "b", "d"}) {
    if (!hosts.is_up(host)) ASSERT_TRUE(hosts.start(host).has_value());
  }
  done("a", "create-cluster");
  done("b", "join-cluster " + hosts.token("a"));
  EXPECT_TRUE(hosts.wait([&] { return hosts.connected("a", "b"); }));
  hosts.stop("b");
  hosts.stop("a");
  EXPECT_EQ(hosts.host("a").disks().file_system("/").remove(store_path, true), Status::ok);
  ASSERT_TRUE(hosts.start("a").has_value());
  done("d", "join-cluster " + hosts.token("a"));
  hosts.stop("d");
  hosts.stop("a");
  ASSERT_TRUE(hosts.start("a").has_value());
  ASSERT_TRUE(hosts.start("b").has_value());
  EXPECT_TRUE(hosts.wait([&] { return hosts.connected("a", "b") && hosts.status("b").hosts.size() == 3; }));
  hosts.run_for(5s);
  EXPECT_EQ(hosts.status("a").hosts.size(), 3u);
}

// Its clock goes after, so what the others remember of it seems to be the later.
// Attacks: R3, F44
TEST_F(LostStoreFilm, what_is_here_is_published_anew_when_the_others_have_brought_the_store_back) {
  cast({"a", "b"});
  stop("b");
  stop("a");
  lose_store("a");
  cluster().move_disk("a", "/dev/sdq");
  cluster().host("a").set_clock_skew(-1h);
  boot("a");
  rest(2s);
  restart("a");
  rest(2s);
  boot("b");
  EXPECT_TRUE(until([&] { return cluster().connected("a", "b"); }));
  rest(5s);
  for (const std::string host : {"a", "b"}) EXPECT_EQ(view("a", host).disk, "/dev/sdq") << host;
}

// Attacks: R5, P4, T10
TEST_F(LostStoreFilm, one_of_before_the_others_joined_does_not_open_without_hearing_them) {
  const std::vector<std::byte> before = cast_and_keep_the_store_of_before_b_joined();
  save("a", 0, 20, 'x');
  expect_up_to_date();
  power_loss("a");
  await_silence("b", "a");
  force("b");
  save("b", 10, 30, 'y');
  restore_store("a", before);
  boot_and_wait_for_the_others("a");
  expect_primary("b");
  expect_equal();
}

// Attacks: R5, P4, T10
TEST_F(LostStoreFilm, one_that_says_that_the_other_has_left_does_not_open_without_hearing_it) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  run("b", "leave-resource mydata");
  EXPECT_TRUE(until([&] { return cluster().node("a").cluster()->resources().ids().size() == 1; }));
  rest(2s);
  const std::vector<std::byte> before = store("a");
  run("b", "join-resource mydata /dev/sdb --overwrite");
  expect_up_to_date();
  power_loss("a");
  await_silence("b", "a");
  force("b");
  save("b", 10, 30, 'y');
  restore_store("a", before);
  boot_and_wait_for_the_others("a");
  expect_primary("b");
  expect_equal();
}

// Attacks: D15, T10
TEST_F(LostStoreFilm, who_was_away_while_another_joined_and_left_again_waits_for_nobody) {
  cast({"a", "b", "c"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  stop("c");
  for (int round = 0; round < 2; ++round) {
    run("b", "leave-resource mydata");
    if (round == 0) run("b", "join-resource mydata /dev/sdb --overwrite");
  }
  boot("c");
  const node::Resources& of_c = cluster().node("c").cluster()->resources();
  EXPECT_TRUE(until([&] { return of_c.awaited(of_c.ids().front()).size() == 2; }));
  run("b", "join-resource mydata /dev/sdb --overwrite");
  expect_equal();
}

// Attacks: R5, P2, D6
TEST_F(LostStoreFilm, one_of_before_this_host_joined_again_removes_nothing) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  run("b", "leave-resource mydata");
  const std::vector<std::byte> before = store("b");
  run("b", "join-resource mydata /dev/sdb --overwrite");
  cast_with_writes_that_only_the_log_of_b_has();
  restore_store("b", before);
  boot("b");
  rest(20s);
  EXPECT_FALSE(segments("b").empty());
  rejoin("b");
  expect_primary("b");
  expect_read("b", 10, 30, 'y');
  expect_equal();
}

// Attacks: R5, P2
TEST_F(LostStoreFilm, one_of_before_this_host_joined_again_removes_nothing_without_replica_json_either) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  run("b", "leave-resource mydata");
  const std::vector<std::byte> before = store("b");
  run("b", "join-resource mydata /dev/sdb --overwrite");
  cast_with_writes_that_only_the_log_of_b_has();
  const std::string file = replica_file("b");
  restore_store("b", before);
  rename("b", file, "var/lib/mars/hidden");
  boot("b");
  rest(20s);
  expect_event("b", "replica.json is missing: this replica is left alone");
  rename("b", "var/lib/mars/hidden", file);
  rejoin("b");
  expect_primary("b");
  expect_read("b", 10, 30, 'y');
  expect_equal();
}

// The log has a disk of its own.
// Attacks: R5, P2
TEST_F(LostStoreFilm, a_state_directory_of_before_this_host_joined_lets_nobody_join_over_its_log) {
  stage.log_disk_bytes = 64 << 20;
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  expect_primary("a");
  EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 1; }));
  const std::vector<std::byte> before = store("b");
  run("b", "join-resource mydata /dev/sdb");
  cast_with_writes_that_only_the_log_of_b_has();
  const std::string folder = resource_directory("b").substr(1);
  restore_store("b", before);
  rename("b", folder, "var/lib/mars/hidden");
  boot("b");
  const std::string join = "join-resource mydata /dev/sdb --overwrite";
  expect_exit("b", join, ExitCode::refused, "that nothing here knows of");
  rejoin("b");
  EXPECT_TRUE(until([&] { return end(*begin("b", join)).text.find("bring that file back") != std::string::npos; }));
  rename("b", "var/lib/mars/hidden", folder);
  expect_primary("b");
  expect_read("b", 10, 30, 'y');
  expect_equal();
}

// Attacks: D15, T10, P7
TEST_F(LostStoreFilm, who_leaves_with_an_older_replica_json_is_waited_for_by_nobody) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  const std::string file = replica_file("b");
  const std::vector<std::byte> before = content("b", file);
  run("b", "leave-resource mydata");
  run("b", "join-resource mydata /dev/sdb --overwrite");
  expect_up_to_date();
  rest(2s);
  stop("b");
  lose_store("b");
  restore("b", file, before);
  boot("b");
  EXPECT_TRUE(until([&] { return end(*begin("b", "leave-resource mydata")).code == ExitCode::done; }));
  const node::Resources& of_a = cluster().node("a").cluster()->resources();
  EXPECT_TRUE(until([&] { return of_a.awaited(of_a.ids().front()).size() == 1; }));
}

// Attacks: R5, D15, P7
TEST_F(LostStoreFilm, the_log_is_kept_for_whom_only_replica_json_knows) {
  const std::vector<std::byte> before = cast_and_keep_the_store_of_before_b_joined();
  rest(2s);
  stop("b");
  for (uint64_t i = 0; i < 8; ++i) save("a", 0, 48, static_cast<char>('a' + i));
  stop("a");
  restore_store("a", before);
  boot("a");
  rest(20s);
  boot("b");
  expect_equal();
  const std::string told = cluster().events("b");
  EXPECT_EQ(told.find("sync from a begins"), told.rfind("sync from a begins")) << told;
}

// Attacks: R5, P2
TEST_F(LostStoreFilm, who_lost_replica_json_as_well_loses_nothing_else) {
  cast({"a"});
  save("a", 0, 20, 'x');
  disks("a").drive("/dev/sdb").stick();
  save("a", 10, 30, 'y');
  power_loss("a");
  disks("a").drive("/dev/sdb").unstick();
  const std::string file = replica_file("a");
  lose_store("a");
  rename("a", file, "var/lib/mars/hidden");
  for (int start = 0; start < 2; ++start) {
    boot("a");
    expect_event("a", "replica.json is missing: this replica is left alone");
    stop("a");
  }
  rename("a", "var/lib/mars/hidden", file);
  boot("a");
  EXPECT_TRUE(until([&] { return cluster().status("a").resources.size() == 1; })) << describe();
  run("a", "primary mydata");
  expect_read("a", 10, 30, 'y');
  expect_equal();
}

// Attacks: R5, P2
TEST_F(LostStoreFilm, without_host_json_nobody_is_told_to_make_a_cluster_over_what_is_here) {
  stage.log_disk_bytes = 64 << 20;
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  const std::string join = "join-cluster " + cluster().token("b");
  stop("a");
  const std::string file = "var/lib/mars/host.json", hidden = "var/lib/mars/hidden";
  rename("a", file, hidden);
  boot("a");
  EXPECT_NE(cluster().status("a").problem.find("host.json is missing, but there is"), std::string::npos);
  expect_event("a", "host.json is missing, but there is");
  expect_exit("a", "create-cluster", ExitCode::refused, "host.json is missing");
  expect_exit("a", join, ExitCode::refused, "host.json is missing");
  expect_exit("a", "create-resource other /dev/sdb", ExitCode::failed, "host.json is missing");
  // The disk of the state directory is not mounted, that of the log is.
  rename("a", "var/lib/mars/resources", "var/lib/mars/hidden-resources");
  rename("a", store_path, "var/lib/mars/hidden-store");
  expect_exit("a", "create-cluster", ExitCode::refused, "there is /log/resources/");
  stop("a");
  rename("a", "var/lib/mars/hidden-resources", "var/lib/mars/resources");
  rename("a", "var/lib/mars/hidden-store", store_path);
  boot("a");
  rest(10s);
  EXPECT_FALSE(cluster().status("a").problem.empty());
  rename("a", hidden, file);
  EXPECT_TRUE(until([&] { return cluster().connected("a", "b"); })) << describe();
  expect_primary("a");
  expect_equal();
}

// Attacks: R5
TEST_F(LostStoreFilm, a_member_without_replicas_and_without_host_json_may_begin_anew_when_its_store_is_moved_away) {
  cast_without_resource({"a", "b"});
  stop("b");
  rename("b", "var/lib/mars/host.json", "var/lib/mars/hidden");
  boot("b");
  expect_exit("b", "create-cluster", ExitCode::refused, "move /var/lib/mars/meta.db away");
  lose_store("b");
  EXPECT_TRUE(until([&] { return cluster().status("b").problem.empty(); }));
  run("b", "create-cluster");
}

// Attacks: F46
TEST_F(LostStoreFilm, a_creation_that_is_cut_off_anywhere_is_whole_or_nothing) {
  for (uint64_t n = 1;; ++n) {
    ASSERT_LT(n, 200u);
    cast_without_resource({"a", "b"});
    kill_at("a", n);
    const auto creating = begin("a", "create-resource mydata /dev/sdb");
    rest(10s);
    const bool was_cut_off = is_dead("a");
    revive("a");
    rest(2s);
    if (cluster().status("a").resources.empty()) {
      const auto left = disks("a").list("/var/lib/mars/resources");
      EXPECT_TRUE(left.empty()) << n << ": " << left.front().name;
      EXPECT_EQ(run("a", "create-resource mydata /dev/sdb").code, ExitCode::done) << n;
    }
    expect_primary("a");
    save("a", 0, 20, 'x');
    for (const auto& entry : disks("a").list("/var/lib/mars/resources")) {
      EXPECT_FALSE(entry.name.ends_with(".unfinished")) << n;
    }
    if (!was_cut_off) break;
  }
}

// c is away, and a alone has heard of its last writes: that outlives the store of a, which b gives back.
// Attacks: F26, T10, R3
TEST_F(LostStoreFilm, what_it_remembers_of_an_absent_member_comes_back_and_stays) {
  for (const bool is_away : {true, false}) {
    cast({"a", "b", "c"});
    save("a", 0, 40, 'x');
    expect_up_to_date();
    rest(15s);
    is_away ? kill("c") : static_cast<void>(run("c", "detach mydata"));
    const auto remembered = [&] {
      const meta::Registers& registers = cluster().node("b").cluster()->registers();
      const Uuid id = node::list_resources(registers).front().id;
      const Uuid of_a = cluster().node("a").cluster()->identity().host;
      const replication::Memories memories = node::find_memories(registers, id)[of_a];
      const auto is_known = [](const auto& entry) { return !entry.second.what.tip.position.is_none(); };
      return std::ranges::count_if(memories, is_known);
    };
    EXPECT_EQ(remembered(), 2);
    kill("a");
    lose_store("a");
    boot("a");
    rest(1min);
    EXPECT_EQ(remembered(), 2) << describe();
    is_away ? boot("c") : static_cast<void>(run("c", "attach mydata"));
    run("a", "primary mydata");
    expect_equal();
  }
}

}  // namespace
}  // namespace mars::sim
