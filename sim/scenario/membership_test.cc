// Who belongs to what: joining, leaving, deleting and coming back, while other things happen.
#include "sim/scenario/film.h"

namespace mars::sim {
namespace {

class MembershipFilm : public Film {
 protected:
  size_t replicas(const std::string& asked) {
    const auto view = cluster().status(asked);
    return view.resources.empty() ? 0 : view.resources.at(0).replicas.size();
  }
  bool knows_resource(const std::string& host) { return !cluster().status(host).resources.empty(); }
};

// Attacks: F40, LG8, SY1
TEST_F(MembershipFilm, a_join_while_segments_roll_and_are_recycled) {
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  EXPECT_TRUE(until([&] { return knows_resource("b"); }));
  begin_load(0, 200, 2ms);
  rest(500ms);
  run("b", "join-resource mydata /dev/sdb");
  EXPECT_TRUE(until([&] { return state("b") == State::up_to_date; })) << describe();
  EXPECT_GT(end_load(), 100u);
  expect_equal();
}

// Attacks: F49, MB4
TEST_F(MembershipFilm, deleting_a_live_resource_needs_an_idle_device_and_force) {
  cast({"a", "b"});
  mount("a");
  expect_exit("a", "delete-resource mydata --force", ExitCode::refused, "in use");
  expect_exit("b", "delete-resource mydata --force", ExitCode::refused, "in use");
  unmount("a");
  expect_exit("a", "delete-resource mydata", ExitCode::refused, "leave-resource");
  run("a", "delete-resource mydata --force");
  EXPECT_TRUE(until([&] { return !knows_resource("a") && !knows_resource("b"); })) << describe();
}

// Attacks: F15, F42, MB4, R4
TEST_F(MembershipFilm, a_host_that_was_off_when_its_resource_was_deleted_cleans_up_when_it_is_back) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  power_loss("b");
  run("a", "delete-resource mydata --force");
  boot("b");
  EXPECT_TRUE(until([&] { return !knows_resource("b"); })) << describe();
  EXPECT_TRUE(until([&] { return disks("b").list("/var/lib/mars/resources").empty(); }));
  EXPECT_TRUE(is_on_disk("b", 0, 20, 'x')) << "the data disk keeps what it has";
}

// Attacks: F15, MB2, MB3
TEST_F(MembershipFilm, a_dead_host_comes_back_into_a_resource_that_was_made_anew_under_its_name) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  power_loss("b");
  run("a", "delete-resource mydata --force");
  EXPECT_TRUE(until([&] { return disks("a").list("/var/lib/mars/resources").empty(); }));
  run("a", "create-resource mydata /dev/sdb");
  save("a", 10, 30, 'y');
  boot("b");
  EXPECT_TRUE(until([&] { return knows_resource("b") && replicas("b") == 1; })) << describe();
  EXPECT_TRUE(until([&] { return disks("b").list("/var/lib/mars/resources").empty(); }));
  EXPECT_EQ(primary(), "a");
  rest(1s);  // the last step of the removal
  run("b", "join-resource mydata /dev/sdb --overwrite");
  expect_equal();
}

// Attacks: F32, MB5, R1
TEST_F(MembershipFilm, a_host_with_another_name_in_its_configuration_is_the_same_host) {
  cast({"a", "b"});
  save("a", 0, 20, 'x');
  expect_up_to_date();
  stop("b");
  cluster().options("b").name = "renamed";
  cluster().options("b").advertise = {"b:7790"};
  boot("b");
  EXPECT_TRUE(until([&] { return !cluster().status("a").hosts.empty() && cluster().connected("a", "b"); }))
      << describe();
  save("a", 10, 30, 'y');
  expect_equal();
}

// Attacks: F32, MB9, P12
TEST_F(MembershipFilm, two_clusters_with_one_resource_name_do_not_meet) {
  cast_without_resource({"a"});
  Cluster other(4711, {"a", "b"});
  other.form();
  run("a", "create-resource mydata /dev/sdb");
  ASSERT_EQ(other.run("a", "create-resource mydata /dev/sdb").code, ExitCode::done);
  const Answer answer = cluster().run("a", "join-cluster " + other.token("a"));
  EXPECT_EQ(answer.code, ExitCode::refused) << answer.text;
  EXPECT_NE(cluster().status("a").cluster, other.status("a").cluster);
  save("a", 0, 10, 'x');
  EXPECT_EQ(other.on_disk("a", 0), 0);
}

// Attacks: MB12, CR6
TEST_F(MembershipFilm, all_marsd_are_started_and_stopped_at_once_many_times) {
  cast({"a", "b", "c"});
  for (int round = 0; round < 6; ++round) {
    save("a", 0, 10, static_cast<char>('a' + round));
    for (const char* host : {"a", "b", "c"}) round % 2 == 0 ? stop(host) : kill(host);
    for (const char* host : {"c", "a", "b"}) boot(host);
    expect_primary("a");
  }
  expect_equal();
}

// Attacks: MB2, LM2, F14
TEST_F(MembershipFilm, whoever_leaves_frees_the_log_that_was_kept_for_it) {
  cast({"a", "b", "c"});
  cut("a", "b");
  cut("b", "c");
  save("a", 0, 400, 'x');
  EXPECT_TRUE(until([&] { return applied("c") == durable("a"); }));
  EXPECT_GT(segments("a").size(), 4u);
  run("b", "leave-resource mydata");
  heal("a", "b");
  heal("b", "c");
  EXPECT_TRUE(until([&] { return replicas("a") == 2; })) << describe();
  save("a", 0, 1, 'y');
  EXPECT_TRUE(until([&] { return segments("a").size() <= 2; })) << segments("a").size();
}

// Attacks: MB6, OP1, F29
TEST_F(MembershipFilm, a_disk_serves_one_resource_and_never_two) {
  cast({"a", "b"});
  disks("a").add_device("/dev/sdc", 1 << 20);
  run("a", "create-resource other /dev/sdc");
  EXPECT_TRUE(until([&] { return cluster().status("b").resources.size() == 2; }));
  expect_exit("b", "join-resource other /dev/sdb", ExitCode::refused, "in use");
  run("b", "detach mydata");
  expect_exit("b", "join-resource other /dev/sdb", ExitCode::refused, "mydata");
  run("b", "attach mydata");
  expect_equal();
}

// Attacks: F33, OP8, MB11
TEST_F(MembershipFilm, three_operators_change_options_at_once_and_all_hosts_agree) {
  cast({"a", "b", "c"});
  std::vector<std::shared_ptr<Running>> commands;
  for (int round = 0; round < 4; ++round) {
    for (const char* host : {"a", "b", "c"}) {
      commands.push_back(begin(host, "set mydata open-wait " + std::to_string(3 + round + host[0] % 3) + "s"));
    }
  }
  for (const auto& command : commands) EXPECT_EQ(end(*command).code, ExitCode::done);
  const auto value = [&](const char* host) { return cluster().run(host, "get mydata open-wait").text; };
  EXPECT_TRUE(until([&] { return value("a") == value("b") && value("b") == value("c"); })) << value("a") << value("b");
}

// Attacks: F34, MB11, R2, NW11
TEST_F(MembershipFilm, options_changed_on_both_sides_of_a_cut_become_one) {
  cast({"a", "b"});
  cut("a", "b");
  run("a", "set mydata open-wait 5s");
  run("b", "set mydata open-wait 6s");
  run("b", "set mydata open-wait 7s");
  heal("a", "b");
  EXPECT_TRUE(cluster().all_connected());
  EXPECT_TRUE(until([&] { return cluster().run("a", "get mydata open-wait").text == "7s"; })) << describe();
  EXPECT_EQ(cluster().run("b", "get mydata open-wait").text, "7s");
}

// Attacks: F40, SY15, MB1
TEST_F(MembershipFilm, two_hosts_join_a_resource_at_the_same_moment) {
  cast_without_resource({"a", "b", "c"});
  run("a", "create-resource mydata /dev/sdb");
  save("a", 0, 100, 'x');
  EXPECT_TRUE(until([&] { return knows_resource("b") && knows_resource("c"); }));
  const auto first = begin("b", "join-resource mydata /dev/sdb");
  const auto second = begin("c", "join-resource mydata /dev/sdb");
  EXPECT_EQ(end(*first).code, ExitCode::done);
  EXPECT_EQ(end(*second).code, ExitCode::done);
  expect_equal();
}

// Attacks: MB1, CR1, F10
TEST_F(MembershipFilm, a_host_dies_at_many_steps_of_joining_a_resource) {
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  save("a", 0, 60, 'x');
  EXPECT_TRUE(until([&] { return knows_resource("b"); }));
  for (const uint64_t op : {1, 4, 8, 13, 21}) {
    power_loss_at("b", op);
    const auto running = begin("b", "join-resource mydata /dev/sdb --timeout 10s");
    until([&] { return is_dead("b") || running->answer.has_value(); }, 15s);
    revive("b");
    EXPECT_TRUE(until([&] { return running->answer.has_value(); }));
  }
  EXPECT_TRUE(cluster().all_connected());
  const Answer answer = cluster().run("b", "join-resource mydata /dev/sdb --overwrite");
  EXPECT_TRUE(answer.code == ExitCode::done || answer.text.find("already") != std::string::npos) << answer.text;
  expect_equal();
}

// Attacks: MB1, CR1, LM3
TEST_F(MembershipFilm, a_host_dies_at_many_steps_of_leaving_a_resource) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  for (const uint64_t op : {1, 3, 6, 10}) {
    power_loss_at("b", op);
    const auto running = begin("b", "leave-resource mydata --timeout 10s");
    until([&] { return is_dead("b") || running->answer.has_value(); }, 15s);
    revive("b");
    EXPECT_TRUE(until([&] { return running->answer.has_value(); }));
    EXPECT_TRUE(cluster().all_connected());
    rest(3s);
    if (replicas("b") == 1) run("b", "join-resource mydata /dev/sdb --overwrite");
    expect_equal();
  }
}

// Attacks: F14, KX4, P3
TEST_F(MembershipFilm, a_member_that_never_comes_back_disturbs_nobody_but_the_log) {
  cast({"a", "b", "c"});
  power_loss("c");
  begin_load(0, 60, 100ms);
  rest(30s);
  end_load();
  EXPECT_EQ(state("a"), State::up_to_date);
  expect_equal();
  restart("a");
  expect_primary("a");
  hand_over("b");
  expect_equal();
}

// Attacks: OP1, P13, OP7
TEST_F(MembershipFilm, what_a_host_without_a_replica_can_and_cannot_do) {
  cast_without_resource({"a", "b"});
  run("a", "create-resource mydata /dev/sdb");
  EXPECT_TRUE(until([&] { return knows_resource("b"); }));
  expect_exit("b", "primary mydata", ExitCode::not_found, "join-resource mydata");
  expect_exit("b", "attach mydata", ExitCode::not_found, "join-resource");
  expect_exit("b", "leave-resource mydata", ExitCode::not_found, "no replica");
  expect_exit("b", "invalidate mydata", ExitCode::not_found, "join-resource");
  run("b", "set mydata open-wait 4s");
  run("b", "secondary mydata");
  EXPECT_TRUE(until([&] { return primary().empty(); }));
  run("a", "primary mydata");
}

// Attacks: P6, MB2, F14
TEST_F(MembershipFilm, of_the_last_two_copies_that_can_be_reached_one_stays) {
  cast({"a", "b", "c"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("a");
  await_silence("b", "a");
  const auto one = begin("b", "leave-resource mydata --timeout 20s");
  const auto other = begin("c", "leave-resource mydata --timeout 20s");
  EXPECT_TRUE(until([&] { return one->answer && other->answer; }));
  EXPECT_GT(replicas("b") + replicas("c"), 0u) << one->answer->text << "; " << other->answer->text;
}

// Attacks: P6, MB2, D17
TEST_F(MembershipFilm, who_is_connected_and_has_no_copy_is_no_reason_to_leave) {
  cast({"a", "b", "c"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  hand_over("c");
  rest(15s);  // the others remember that c had everything
  stop("c");
  disks("c").remove_device("/dev/sdb");
  disks("c").add_device("/dev/sdb", Cluster::disk_bytes);
  boot("c");
  expect_state("c", State::disk_changed);
  run("a", "pause-sync mydata");
  run("a", "invalidate mydata");
  expect_exit("b", "leave-resource mydata --timeout 20s", ExitCode::refused, "only good copy");
  run("a", "up mydata");
  EXPECT_TRUE(until([&] { return state("a") == State::up_to_date; })) << describe();
  EXPECT_TRUE(is_on_disk("a", 0, 40, 'x'));
}

// It went with the disk that was accepted.
// Attacks: T6, D17, P13
TEST_F(MembershipFilm, a_right_that_nobody_has_any_more_is_not_on_its_way) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  power_loss("a");
  disks("a").remove_device("/dev/sdb");
  disks("a").add_device("/dev/sdb", Cluster::disk_bytes);
  boot("a");
  run("a", "attach mydata --accept-disk --force");
  EXPECT_TRUE(until([&] { return state("a") == State::up_to_date; })) << describe();
  const Answer answer = end(*begin("b", "primary mydata --timeout 20s"), 60s);
  EXPECT_NE(answer.code, ExitCode::done);
  EXPECT_NE(answer.next_step.find("primary mydata --force"), std::string::npos) << answer.text << answer.next_step;
  run("b", "primary mydata --force");
  expect_equal();
}

// Attacks: P10, D6
TEST_F(MembershipFilm, memory_of_a_history_that_was_given_up_is_free_again) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  write("a", 10, 30, 'y');
  kill("a");
  disks("a").remove_device("/dev/sdb");
  disks("a").add_device("/dev/sdb", Cluster::disk_bytes);
  boot("a");
  EXPECT_TRUE(until([&] { return state("a") == State::disk_changed; })) << describe();
  EXPECT_GT(cluster().status("a").memory_bytes.value_or(0), 0u);
  run("a", "attach mydata --accept-disk --force");
  EXPECT_TRUE(until([&] { return state("a") == State::up_to_date; })) << describe();
  EXPECT_EQ(cluster().status("a").memory_bytes, 0u);
}

// Attacks: P10
TEST_F(MembershipFilm, what_was_left_behind_of_a_deleted_resource_goes) {
  const auto left_files = [this] {
    size_t count = 0;
    for (const io::DirectoryEntry& entry : disks("b").list("/var/lib/mars/resources")) {
      count += entry.name.ends_with(".left");
    }
    return count;
  };
  cast({"a", "b"});
  run("b", "leave-resource mydata");
  restart("b");
  EXPECT_EQ(left_files(), 1u) << "who joins again needs it";
  run("a", "delete-resource mydata --force");
  rest(3s);
  restart("b");
  EXPECT_EQ(left_files(), 0u);
}

// Attacks: P6, MB2, D17
TEST_F(MembershipFilm, a_detached_copy_may_be_the_only_one) {
  cast({"a", "b"});
  save("a", 0, 40, 'x');
  expect_up_to_date();
  run("b", "detach mydata");
  power_loss("a");
  disks("a").remove_device("/dev/sdb");
  disks("a").add_device("/dev/sdb", Cluster::disk_bytes);
  const auto leave = begin("b", "leave-resource mydata --timeout 20s");  // it still takes a for what it was
  boot("a");
  EXPECT_TRUE(until([&] { return leave->answer.has_value(); }));
  EXPECT_EQ(leave->answer->code, ExitCode::refused) << leave->answer->text;
  run("a", "attach mydata --accept-disk --force");
  run("b", "up mydata");
  EXPECT_TRUE(until([&] { return state("a") == State::up_to_date; })) << describe();
  EXPECT_TRUE(is_on_disk("a", 0, 40, 'x'));
}

// Attacks: P6, P4, OP7
TEST_F(MembershipFilm, a_host_that_leaves_is_not_forced_at_the_same_moment) {
  for (int round = 0; round < 4; ++round) {
    cast({"a", "b", "c"});
    save("a", 0, 40, 'x');
    expect_up_to_date();
    power_loss("a");
    await_silence("b", "a");
    allow_two_primaries();
    const auto leave = begin("b", "leave-resource mydata --timeout 20s");
    if (round > 0) rest(round * 3ms);
    const auto forced = begin("b", "primary mydata --force --now --timeout 20s");
    EXPECT_TRUE(until([&] { return leave->answer && forced->answer; }));
    const bool has_left = leave->answer->code == ExitCode::done;
    const bool is_forced = forced->answer->code == ExitCode::done;
    EXPECT_FALSE(has_left && is_forced) << leave->answer->text << "; " << forced->answer->text;
    EXPECT_EQ(primary() == "b", is_forced);
  }
}

// Attacks: P6, T4, MB1
TEST_F(MembershipFilm, the_successor_of_a_handover_does_not_leave_with_the_right) {
  for (int round = 0; round < 6; ++round) {
    cast({"a", "b"});
    save("a", 0, 40, 'x');
    const auto handover = begin("b", "primary mydata --timeout 30s");
    rest(round * 20ms);
    const auto leave = begin("b", "leave-resource mydata --timeout 20s");
    EXPECT_TRUE(until([&] { return leave->answer && handover->answer; }));
    EXPECT_TRUE(until([&] { return !primary().empty(); })) << leave->answer->text << "; " << handover->answer->text;
  }
}

// Attacks: F46, P12, P10
TEST_F(MembershipFilm, a_crowd_of_strangers_at_the_port_costs_members_nothing) {
  cast({"a", "b"});
  SimMachine& stranger = cluster().world().host("x").machine();
  std::vector<std::unique_ptr<io::Stream>> crowd;
  for (int i = 0; i < 60; ++i) {
    auto stream = cluster().world().run(stranger, stranger.network().connect("a:7790"));
    if (stream) crowd.push_back(std::move(*stream));
  }
  EXPECT_GT(crowd.size(), 10u);
  save("a", 0, 30, 'x');
  hand_over("b");
  expect_equal();
  rest(20s);
  restart("b");
  expect_primary("b");
  expect_equal();
}

}  // namespace
// Attacks: P9, DV21, IF10
TEST_F(MembershipFilm, who_leaves_while_its_disk_hangs_holds_up_no_other_resource) {
  cast({"a", "b"});
  disks("b").add_device("/dev/sdc", 1 << 20);
  disks("b").drive("/dev/sdb").stick();
  save("a", 0, 20, 'x');
  const auto closing = begin("b", "detach mydata");
  rest(1s);
  expect_exit("b", "leave-resource mydata --timeout 5s", ExitCode::timed_out, "goes on");
  run("b", "create-resource other /dev/sdc");
  expect_exit("b", "leave-resource mydata --timeout 5s", ExitCode::refused, "giving this replica up");
  expect_exit("b", "join-resource mydata /dev/sdc", ExitCode::refused, "just being given up");
  disks("b").drive("/dev/sdb").unstick();
  end(*closing);
  expect_event("b", "this host has left");
  run("b", "join-resource mydata /dev/sdb --overwrite");
  expect_equal();
}

// Attacks: P6, P13, F46
TEST_F(MembershipFilm, a_leave_that_could_not_be_written_down_is_true_or_not_at_the_next_start) {
  size_t left = 0;
  size_t stayed = 0;
  for (const char* path : {"/var/lib/mars/meta.db", "/var/lib/mars/meta.db-journal"}) {
    for (const DiskOp op : {DiskOp::write, DiskOp::flush, DiskOp::change}) {
      for (const uint64_t skip : {0, 1, 2}) {
        cast({"a", "b"});
        save("a", 0, 20, 'x');
        expect_up_to_date();
        disks("b").fail({.path = path, .op = op, .skip = skip});
        const Answer answer = end(*begin("b", "leave-resource mydata"));
        disks("b").heal();
        if (answer.code == ExitCode::done) continue;
        EXPECT_EQ(answer.code, ExitCode::failed) << answer.text;
        EXPECT_NE(answer.text.find("only the next start of marsd tells"), std::string::npos) << answer.text;
        // Until then it follows, and can never become primary.
        save("a", 20, 30, 'y');
        expect_exit("b", "primary mydata", ExitCode::failed, "restart marsd");
        cut("a", "b");
        await_silence("b", "a");
        expect_exit("b", "primary mydata --force", ExitCode::failed, "restart marsd");
        heal("a", "b");
        restart("b");
        rest(1s);
        ++(replicas("b") == 1 ? left : stayed);
        if (replicas("b") == 1) run("b", "join-resource mydata /dev/sdb --overwrite");
        expect_equal();
      }
    }
  }
  EXPECT_GT(left, 0u);
  EXPECT_GT(stayed, 0u);
}

}  // namespace mars::sim
