#include "cli/arguments.h"

#include <gtest/gtest.h>

namespace mars::cli {
namespace {

control::Command command(std::vector<std::string> arguments) {
  Invocation invocation = parse_arguments(std::move(arguments));
  EXPECT_EQ(invocation.action, Action::command) << invocation.text;
  return invocation.command;
}
std::string complaint(std::vector<std::string> arguments) {
  Invocation invocation = parse_arguments(std::move(arguments));
  EXPECT_EQ(invocation.action, Action::mistake);
  return invocation.text + "; " + invocation.next_step;
}

TEST(arguments, become_a_command) {
  control::Command primary = command({"primary", "mydata", "--force", "--timeout", "5s"});
  EXPECT_EQ(primary.name, "primary");
  EXPECT_EQ(primary.args,
            (std::map<std::string, std::string>{{"resource", "mydata"}, {"force", "true"}, {"timeout", "5s"}}));
  EXPECT_EQ(command({"set", "mydata", "write-cache", "off"}).text("value"), "off");
  EXPECT_EQ(command({"status"}).args.size(), 0u);
  EXPECT_EQ(command({"join-cluster", "-"}).text("token"), "-");
}

TEST(arguments, global_options_stand_anywhere) {
  for (const std::vector<std::string>& line :
       std::vector<std::vector<std::string>>{{"--json", "--socket", "/s", "status"},
                                             {"status", "--json", "--socket", "/s"},
                                             {"--socket=/s", "status", "--json"}}) {
    Invocation invocation = parse_arguments(line);
    EXPECT_EQ(invocation.command.name, "status");
    EXPECT_TRUE(invocation.is_json);
    EXPECT_EQ(invocation.socket, "/s");
  }
}

TEST(arguments, every_command_has_help) {
  for (const control::CommandSpec& spec : control::command_table()) {
    Invocation help = parse_arguments({std::string(spec.name), "--help"});
    EXPECT_EQ(help.action, Action::print);
    EXPECT_NE(help.text.find(spec.help), std::string::npos) << spec.name;
    for (const control::Argument& option : spec.options)
      EXPECT_NE(help.text.find("--" + std::string(option.name)), std::string::npos);
    EXPECT_NE(parse_arguments({"--help"}).text.find(spec.name), std::string::npos);
  }
}

TEST(arguments, version_needs_nothing) {
  Invocation version = parse_arguments({"--version"});
  EXPECT_EQ(version.action, Action::print);
  EXPECT_TRUE(version.text.starts_with("marsadm "));
}

TEST(arguments, mistakes_are_explained) {
  EXPECT_NE(complaint({"statsu"}).find("did you mean \"status\"?"), std::string::npos);
  EXPECT_NE(complaint({"primary", "a", "--forc"}).find("did you mean \"force\"?"), std::string::npos);
  EXPECT_NE(complaint({"primary"}).find("resource"), std::string::npos);
  EXPECT_NE(complaint({"primary", "a", "b"}).find('b'), std::string::npos);
  EXPECT_NE(complaint({"primary", "A/B"}).find("no name"), std::string::npos);
  EXPECT_NE(complaint({"primary", "a", "--now"}).find("--force"), std::string::npos);
  EXPECT_NE(complaint({"primary", "a", "--timeout", "soon"}).find("number"), std::string::npos);
  EXPECT_NE(complaint({"primary", "a", "--timeout"}).find("--timeout"), std::string::npos);
  EXPECT_NE(complaint({"wait-resource", "a", "happy"}).find("synced|consistent"), std::string::npos);
  EXPECT_NE(complaint({"create-resource", "a", "disk"}).find("absolute path"), std::string::npos);
  EXPECT_NE(complaint({}).find("marsadm --help"), std::string::npos);
  EXPECT_NE(complaint({"--nonsense"}).find("marsadm --help"), std::string::npos);
  EXPECT_NE(complaint({""}).find("there is no command"), std::string::npos);
}

TEST(arguments, a_flag_takes_no_value) {
  for (const char* flag : {"--force=false", "--force=0", "--force=", "--force=true", "--dry-run=no", "--json=false"}) {
    const Invocation said = parse_arguments({"primary", "r", flag});
    EXPECT_EQ(said.action, Action::mistake) << flag;
    EXPECT_NE(said.text.find("takes no value"), std::string::npos) << said.text;
  }
}

TEST(arguments, hidden_helpers) {
  EXPECT_EQ(parse_arguments({"man"}).action, Action::manual);
  EXPECT_EQ(parse_arguments({"completion", "bash"}).action, Action::completion);
  EXPECT_EQ(parse_arguments({"completion", "resources"}).action, Action::resource_names);
  EXPECT_EQ(parse_arguments({"completion", "hosts"}).action, Action::host_names);
  EXPECT_EQ(parse_arguments({"--help"}).text.find("completion"), std::string::npos);
}

}  // namespace
}  // namespace mars::cli
