#include "cli/render.h"

#include <gtest/gtest.h>

#include "cli/manual.h"
#include "control/command.h"
#include "control/settings.h"

namespace mars::cli {
namespace {

using namespace control;

constexpr uint64_t now_ns = 1'700'000'000'000'000'000;

ClusterView example() {
  ReplicaView alpha;
  alpha.host = "alpha";
  alpha.role = alpha.wanted_role = Role::primary;
  alpha.state = State::up_to_date;
  alpha.device = "/dev/mars/mydata";
  alpha.is_device_open = alpha.is_in_use = true;
  ReplicaView beta;
  beta.host = "beta";
  beta.role = beta.wanted_role = Role::secondary;
  beta.state = State::replaying;
  beta.lag_bytes = 12 << 20;
  beta.lag_ms = 3200;
  beta.last_contact_ns = now_ns - 400'000'000;
  beta.transfers = {{TransferKind::replay, 13 << 20, 26 << 20, 5 << 20, {}}};
  ReplicaView gamma;
  gamma.host = "gamma";
  gamma.role = gamma.wanted_role = Role::secondary;
  gamma.state = State::disk_failed;
  gamma.next_step = "replace the disk";
  ClusterView view;
  view.cluster = "c";
  view.host = "alpha";
  view.time_ns = now_ns;
  view.hosts = {{"alpha", "1", {}, true, true, {}, {}, {}}, {"gamma", "3", {}, false, false, {}, {}, "refused"}};
  view.resources = {{"mydata", "u", 2ull << 30, 4096, "alpha", {alpha, beta, gamma}, {"two hosts have written"}}};
  view.warnings = {"no tmpfs: write-cache is off"};
  return view;
}

TEST(render, status_is_a_table_with_bars) {
  EXPECT_EQ(status_text(example()),
            "RESOURCE  HOST   ROLE       STATE        LAG              LAST CONTACT  DEVICE\n"
            "mydata    alpha  primary    up-to-date   -                this host     /dev/mars/mydata (in use)\n"
            "mydata    beta   secondary  replaying    12.0 MiB, 3.2 s  400 ms ago    -\n"
            "    replay [############------------]  50 %  13.0 MiB of 26.0 MiB, 5.0 MiB/s, 2.6 s left\n"
            "mydata    gamma  secondary  disk-failed  ?                never         -\n"
            "    disk-failed: the data disk reported an error, or takes nothing\n"
            "    what to do: replace the disk\n"
            "    ALARM: two hosts have written\n"
            "host gamma is not connected: refused\n"
            "note: no tmpfs: write-cache is off\n");
}

TEST(render, less_than_a_second_is_left) {
  ClusterView view = example();
  view.resources[0].replicas[1].transfers = {{TransferKind::fetch, 16 << 20, 48 << 20, 50 << 20, {}}};
  EXPECT_NE(status_text(view).find("50.0 MiB/s, 640 ms left"), std::string::npos) << status_text(view);
}

TEST(render, a_host_without_cluster_says_what_to_do) {
  ClusterView view;
  view.host = "alpha";
  EXPECT_NE(status_text(view).find("create-cluster"), std::string::npos);
  view.cluster = "c";
  EXPECT_NE(status_text(view).find("create-resource"), std::string::npos);
  view = ClusterView{};
  view.problem = "cannot listen at [::]:7790";
  EXPECT_NE(status_text(view).find("could not be opened: cannot listen at [::]:7790"), std::string::npos);
  EXPECT_NE(status_text(view).find("marsd tries again"), std::string::npos);
}

TEST(render, view_shows_all_that_is_known) {
  ClusterView view = example();
  view.resources[0].replicas[1].epoch = EpochView{3, "e-id", "alpha", "grant"};
  view.resources[0].replicas[1].durable_lsn = 77;
  view.resources[0].replicas[1].switches.replay = false;
  view.resources[0].replicas[1].wanted_role = Role::primary;
  view.resources[0].replicas[0].log_bytes = 64 << 20;
  view.resources[0].replicas[0].log_room_bytes = 3ull << 30;
  view.memory_bytes = 12 << 20;
  view.memory_bytes_max = 96 << 20;
  std::string text = view_text(view);
  for (std::string_view part :
       {"mydata: 2.0 GiB", "wanted primary: alpha", "beta: secondary (wanted: primary), replaying", "durable 77",
        "3 of alpha (grant), e-id", "replay OFF", "ALARM: two hosts", "/dev/mars/mydata (in use)",
        "64.0 MiB, room for 3.0 GiB more", "memory of writes on alpha: 12.0 MiB of 96.0 MiB in use"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(render, bars_do_not_promise_too_much) {
  EXPECT_EQ(bar_text(0, 100), "[------------------------]   0 %");
  EXPECT_EQ(bar_text(999, 1000), "[#######################-]  99 %");
  EXPECT_EQ(bar_text(1000, 1000), "[########################] 100 %");
  EXPECT_EQ(bar_text(2000, 1000), "[########################] 100 %");
  EXPECT_EQ(bar_text(7, 0).substr(0, 26), "[........................]");
}

TEST(render, progress_in_bytes_and_in_steps) {
  EXPECT_EQ(progress_text({"waiting for beta", 0, 0}), "waiting for beta");
  EXPECT_EQ(progress_text({"step", 1, 4}), "[######------------------]  25 %  1 of 4  step");
  EXPECT_NE(progress_text({"sync", 1 << 20, 4 << 20}).find("1.0 MiB of 4.0 MiB"), std::string::npos);
}

TEST(manual, has_every_word_of_the_tables) {
  std::string page = manual_page();
  auto has = [&](std::string_view word) {
    std::string escaped;
    for (char c : word) escaped += c == '-' ? std::string("\\-") : std::string(1, c);
    return page.find("\\fB" + escaped + "\\fR") != std::string::npos;
  };
  for (const CommandSpec& spec : command_table()) {
    EXPECT_TRUE(has(spec.name)) << spec.name;
    for (const Argument& option : spec.options) EXPECT_TRUE(has("--" + std::string(option.name))) << option.name;
  }
  for (const Setting& setting : settings_table()) EXPECT_TRUE(has(setting.name)) << setting.name;
  for (const StateRow& row : states()) EXPECT_TRUE(has(row.name)) << row.name;
}

TEST(manual, completion_knows_every_command) {
  std::string text = bash_completion();
  for (const CommandSpec& spec : command_table())
    EXPECT_NE(text.find("    " + std::string(spec.name) + ")\n"), std::string::npos) << spec.name;
}

}  // namespace
}  // namespace mars::cli
