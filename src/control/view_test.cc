#include "control/view.h"

#include <gtest/gtest.h>

namespace mars::control {
namespace {

constexpr uint64_t some_time = 1'700'000'000'123'456'789;

ReplicaView busy_replica() {
  ReplicaView replica;
  replica.host = "beta";
  replica.role = Role::secondary;
  replica.wanted_role = Role::primary;
  replica.state = State::syncing;
  replica.reason = "first sync";
  replica.next_step = "wait";
  replica.switches = {true, false, true, false};
  replica.epoch = EpochView{3, "e", "alpha", "grant"};
  replica.received_lsn = 9;
  replica.durable_lsn = 8;
  replica.applied_lsn = 0;
  replica.lag_bytes = UINT64_MAX;
  replica.lag_ms = 1500;
  replica.applied_time_ns = 1'767'000'000'000'000'000;
  replica.last_contact_ns = some_time;
  replica.disk = "/dev/sdb";
  replica.device = "/dev/mars/mydata";
  replica.front_end = "fuse";
  replica.is_device_open = true;
  replica.is_in_use = true;
  replica.log_bytes = 64;
  replica.log_room_bytes = 66;
  replica.dirty_bytes = 65;
  replica.transfers = {{TransferKind::fetch, 1, 2, 3, "gamma"}, {TransferKind::sync, 4, 0, 0, {}}};
  return replica;
}

ClusterView full_view() {
  ClusterView view;
  view.cluster = "c0ffee";
  view.problem = "the port is taken";
  view.host = "alpha";
  view.time_ns = some_time;
  view.version = "0.1.0";
  view.warnings = {"no tmpfs"};
  view.memory_bytes = 67;
  view.memory_bytes_max = 68;
  view.hosts = {{"alpha", "u1", {"[::1]:7790"}, true, true, {}, "0.1.0"},
                {"beta", "u2", {}, false, false, some_time, {}}};
  ReplicaView bare;
  bare.host = "alpha";
  view.resources = {{"mydata", "u3", 2ull << 30, 4096, "alpha", {bare, busy_replica()}, {"fork"}},
                    {"other", "u4", 0, 0, {}, {}, {}}};
  return view;
}

TEST(view, comes_back_as_it_went) {
  std::string json = to_json(full_view());
  EXPECT_EQ(json.find('\n'), std::string::npos);
  Result<ClusterView> back = cluster_view_from_json(json);
  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(*back, full_view());
}

TEST(view, json_is_what_programs_rely_on) {
  std::string json = to_json(full_view());
  for (std::string_view part :
       {R"("version":1)", R"("lag_bytes":18446744073709551615)", R"("last_contact":"2023-11-14T22:13:20.123456789Z")",
        R"("state":"syncing")", R"("role":"secondary")", R"("size_bytes":2147483648)", R"("kind":"fetch")"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part;
  }
  EXPECT_NE(to_json(full_view().resources[0]).find(R"("version":1)"), std::string::npos);
}

TEST(view, a_state_of_a_newer_version_is_shown_as_unknown) {
  std::string json = to_json(full_view());
  json.replace(json.find("\"syncing\""), 9, "\"dancing\"");
  Result<ClusterView> back = cluster_view_from_json(json);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->resources[0].replicas[1].state, State::unknown);
}

TEST(view, switches_are_turned_on_one_by_one) {
  EXPECT_EQ(commands_to_resume({}, "r"), "");
  EXPECT_EQ(commands_to_resume({.replay = false}, "r"), "`marsadm resume-replay r`");
  EXPECT_EQ(commands_to_resume({.attach = false, .sync = false}, "r"),
            "`marsadm attach r` and `marsadm resume-sync r`");
}

TEST(view, refuses_garbage) {
  EXPECT_EQ(status_of(cluster_view_from_json(R"({"version":2})")), Status::unsupported);
  for (std::string_view text :
       {"", "[]", R"({"version":1,"hosts":{}})", R"({"version":1,"hosts":[7]})", R"({"version":1,"resources":[[]]})",
        R"({"version":1,"time":"yesterday"})", R"({"version":1,"resources":[{"replicas":[{"state":4}]}]})",
        R"({"version":1,"resources":[{"replicas":[{"role":"king"}]}]})",
        R"({"version":1,"resources":[{"replicas":[{"lag_bytes":1.5}]}]})",
        R"({"version":1,"resources":[{"replicas":[{"transfers":[3]}]}]})",
        R"({"version":1,"resources":[{"replicas":[{"epoch":3}]}]})",
        R"({"version":1,"resources":[{"replicas":[{"switches":[]}]}]})",
        R"({"version":1,"resources":[{"block_bytes":4294967296}]})", R"({"version":1,"warnings":[1]})"}) {
    EXPECT_EQ(status_of(cluster_view_from_json(text)), Status::invalid) << text;
  }
  EXPECT_TRUE(cluster_view_from_json(R"({"version":1,"of_tomorrow":[1,2]})"));
}

ClusterView open_view() {
  ClusterView view = full_view();
  view.problem.clear();
  return view;
}

TEST(view, only_one_resource) {
  Result<ClusterView> one = only(open_view(), "other");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->resources.size(), 1u);
  EXPECT_EQ(one->hosts.size(), 2u);
  Result<ClusterView> none = only(open_view(), "mydta");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().status, Status::not_found);
  EXPECT_EQ(none.error().text, "there is no resource \"mydta\"; did you mean \"mydata\"?");
}

// Two hosts may have made resources of one name; the alarm gives the uuids.
TEST(view, only_one_resource_by_its_uuid) {
  ClusterView view = open_view();
  view.resources[1].name = view.resources[0].name;
  Result<ClusterView> one = only(view, "u4");
  ASSERT_TRUE(one);
  ASSERT_EQ(one->resources.size(), 1u);
  EXPECT_EQ(one->resources[0].uuid, "u4");
  Result<ClusterView> both = only(view, view.resources[0].name);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->resources.size(), 2u);
}

TEST(view, where_nothing_could_be_opened_no_resource_is_said_to_be_gone) {
  EXPECT_EQ(status_of(only(full_view(), "mydata")), Status::io_error);
  ClusterView view = open_view();
  view.cluster.clear();
  EXPECT_EQ(status_of(only(std::move(view), "mydata")), Status::refused);
}

TEST(states, have_unique_names_and_explanations) {
  for (const StateRow& entry : states()) {
    EXPECT_EQ(find_state(entry.name), entry.state);
    EXPECT_FALSE(entry.help.empty());
  }
  EXPECT_FALSE(find_state("dancing"));
}

}  // namespace
}  // namespace mars::control
