#include "daemon/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace mars::daemon {
namespace {

const Surroundings root = {true, "Alpha.example.org", "/r", "", "", 2048u << 20};
const Surroundings user = {false, "alpha", "/h", "", "/run/user/7", 128u << 20};

Result<Invocation> read(std::vector<std::string> arguments, const Surroundings& around = root) {
  // An existing file, so that the one of this machine plays no part.
  if (std::ranges::count(arguments, "--config") == 0) arguments.insert(arguments.begin(), {"--config", "/dev/null"});
  return read_config(arguments, around);
}
Config config(std::vector<std::string> arguments, const Surroundings& around = root) {
  Result<Invocation> result = read(std::move(arguments), around);
  EXPECT_TRUE(result) << result.error().text;
  return result ? result->config : Config{};
}
std::string complaint(std::vector<std::string> arguments) {
  Result<Invocation> result = read(std::move(arguments));
  return result ? "accepted" : result.error().text;
}
std::string toml_complaint(std::string_view text) {
  Config config;
  return read_toml(text, "marsd.toml", config).text;
}

TEST(config, defaults_of_root) {
  Config plain = config({});
  EXPECT_EQ(plain.name, "alpha");
  EXPECT_EQ(plain.state_dir, "/var/lib/mars");
  EXPECT_EQ(plain.log_dir, "/var/lib/mars");
  EXPECT_EQ(plain.run_dir, "/run/mars");
  EXPECT_EQ(plain.device_dir, "/dev/mars");
  EXPECT_EQ(plain.listen, "[::]:7790");
  EXPECT_EQ(plain.stop_wait_ms, 20'000u);
}

TEST(config, defaults_of_others_lie_at_home) {
  Config plain = config({}, user);
  EXPECT_EQ(plain.state_dir, "/h/.local/state/mars");
  EXPECT_EQ(plain.run_dir, "/run/user/7/mars");
  Surroundings xdg = user;
  xdg.state_home = "/s";
  xdg.runtime_directory.clear();
  EXPECT_EQ(config({}, xdg).state_dir, "/s/mars");
  EXPECT_EQ(config({}, xdg).run_dir, "/s/mars/run");
}

TEST(config, strange_host_names_become_names) {
  auto name = [](std::string host) { return config({}, {true, std::move(host), "", "", ""}).name; };
  EXPECT_EQ(name("-My Host!.x"), "my-host-");
  EXPECT_EQ(name(""), "localhost");
  EXPECT_EQ(name("all"), "localhost");
  EXPECT_EQ(name(std::string(200, 'a')).size(), 63u);
}

TEST(config, flags_win_over_the_file) {
  std::string directory = testing::TempDir() + "mars-config-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string file = directory + "/marsd.toml";
  std::ofstream(file)
      << "name = \"beta\"\nlisten = \"10.0.0.1:1\"\nadvertise = [\"a:1\", \"b:2\"]\nmemory = \"128M\"\n";
  Config both = config({"--config", file, "--listen=[::1]:2", "--advertise", "c:3", "--advertise", "d:4"});
  std::remove(file.c_str());
  ::rmdir(directory.c_str());
  EXPECT_EQ(both.name, "beta");
  EXPECT_EQ(both.listen, "[::1]:2");
  EXPECT_EQ(both.advertise, (std::vector<std::string>{"c:3", "d:4"}));
  EXPECT_EQ(both.memory_bytes, 128u << 20);
  EXPECT_EQ(config({}).memory_bytes, 512u << 20);
  EXPECT_EQ(config({}, user).memory_bytes, 64u << 20);
}

TEST(config, every_value_that_help_lists_is_accepted) {
  for (std::string_view value : {"auto", "fuse", "nbd", "none"})
    EXPECT_EQ(config({"--front-end", std::string(value)}).front_end, value);
  for (std::string_view value : {"auto", "uring", "threads"}) EXPECT_EQ(config({"--io", std::string(value)}).io, value);
  for (std::string_view value : {"error", "warning", "info", "debug"}) {
    EXPECT_EQ(config({"--log-level", std::string(value)}).log_level, value);
  }
  Config all = config({"--nbd-listen", "[::]:10809", "--nbd-socket-mode", "0660", "--log-reserve", "1G", "--stop-wait",
                       "3s", "--state-dir", "/a/", "--log-dir", "/b", "--run-dir", "/c", "--device-dir", "/d"});
  EXPECT_EQ(all.nbd_socket_mode, 0660u);
  EXPECT_EQ(all.log_reserve_bytes, 1u << 30);
  EXPECT_EQ(all.stop_wait_ms, 3000u);
  EXPECT_EQ(all.state_dir, "/a");
  EXPECT_EQ(all.log_dir, "/b");
}

TEST(config, a_mode_in_the_file_is_octal) {
  for (const char* text : {"660", "0o660", "\"0660\""}) {
    Config read;
    EXPECT_EQ(read_toml(std::string("nbd-socket-mode = ") + text, "marsd.toml", read).status, Status::ok) << text;
    EXPECT_EQ(read.nbd_socket_mode, 0660u) << text;
  }
  EXPECT_NE(toml_complaint("nbd-socket-mode = 0x1B0").find("is no mode"), std::string::npos);
}

TEST(config, unknown_names_offer_the_nearest) {
  EXPECT_EQ(complaint({"--statedir", "/x"}), "there is no flag \"statedir\"; did you mean \"state-dir\"?");
  EXPECT_EQ(toml_complaint("\nlisten-on = \"x\""),
            "marsd.toml, line 2: there is no key \"listen-on\"; did you mean \"listen\"?");
}

TEST(config, memory_that_the_machine_does_not_have_is_refused) {
  EXPECT_EQ(complaint({"--memory", "4T"}),
            "--memory 4.0 TiB: this machine has only 2.0 GiB; give less, or leave it out");
  EXPECT_EQ(complaint({"--memory", "2G"}), "accepted");
}

TEST(config, bad_flags_are_refused) {
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{{"run"},
                                                                                   {"--"},
                                                                                   {"-x"},
                                                                                   {"--name"},
                                                                                   {"--name", "UPPER"},
                                                                                   {"--name", "all"},
                                                                                   {"--state-dir", "relative"},
                                                                                   {"--listen", "nowhere"},
                                                                                   {"--listen", "x:99999"},
                                                                                   {"--listen", ":1"},
                                                                                   {"--listen", "::1:7"},
                                                                                   {"--memory", "1M"},
                                                                                   {"--memory", "lots"},
                                                                                   {"--io", "magic"},
                                                                                   {"--nbd-socket-mode", "9"},
                                                                                   {"--nbd-socket-mode", "7777"},
                                                                                   {"--stop-wait", "soon"},
                                                                                   {"--advertise", "x"},
                                                                                   {"--front-end="},
                                                                                   {"--config"}}) {
    EXPECT_NE(complaint(bad), "accepted") << bad[0];
  }
  EXPECT_EQ(complaint({"--config", "/nowhere/x.toml"}),
            "cannot read /nowhere/x.toml: No such file or directory; make it readable, or give another with --config");
}

TEST(config, bad_files_are_refused) {
  for (std::string_view bad : {"name = ", "name = true", "name = [\"a\"]", "advertise = [1.5]", "advertise = [\"x\"]",
                               "[name]\nx = 1", "\xff\xfe", "name = \"a\"\nname = \"b\"", "memory = -1", "= 3"}) {
    EXPECT_NE(toml_complaint(bad), "ok") << bad;
  }
  EXPECT_EQ(toml_complaint("memory = 134217728"), "ok");
  EXPECT_EQ(toml_complaint(""), "ok");
}

TEST(config, help_and_version_come_first) {
  EXPECT_EQ(read({"--help", "--nonsense"})->action, Invocation::Action::show_help);
  EXPECT_EQ(read({"-h"})->action, Invocation::Action::show_help);
  EXPECT_EQ(read({"--version"})->action, Invocation::Action::show_version);
  for (const ConfigKey& key : config_keys()) EXPECT_NE(help_text().find(key.name), std::string::npos);
}

}  // namespace
}  // namespace mars::daemon
