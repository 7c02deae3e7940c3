#include "control/command.h"

#include <gtest/gtest.h>

#include <set>

namespace mars::control {
namespace {

Command command(std::string name, std::map<std::string, std::string> args = {}) {
  return {std::move(name), std::move(args), {}};
}

std::string complaint(Command bad) {
  Result<Command> checked = check_command(std::move(bad));
  if (checked) return "accepted";
  EXPECT_EQ(checked.error().status, Status::invalid);
  return checked.error().text;
}

TEST(command_table, holds_every_command_of_the_manual) {
  std::set<std::string_view> names;
  for (const CommandSpec& spec : command_table()) EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
  for (std::string_view name : {"create-cluster",
                                "invite",
                                "join-cluster",
                                "create-resource",
                                "join-resource",
                                "leave-resource",
                                "delete-resource",
                                "invalidate",
                                "set",
                                "get",
                                "events",
                                "issue-client",
                                "version",
                                "attach",
                                "detach",
                                "up",
                                "down",
                                "primary",
                                "secondary",
                                "pause-fetch",
                                "resume-fetch",
                                "pause-replay",
                                "resume-replay",
                                "pause-sync",
                                "resume-sync",
                                "wait-resource",
                                "view",
                                "status",
                                "graph",
                                "insert",
                                "remove"}) {
    EXPECT_EQ(names.erase(name), 1u) << name;
  }
  EXPECT_TRUE(names.empty());
}

TEST(command_table, is_well_formed) {
  for (const CommandSpec& spec : command_table()) {
    EXPECT_FALSE(spec.help.empty() || spec.long_help.empty()) << spec.name;
    EXPECT_FALSE(spec.help.ends_with('.')) << spec.name;
    EXPECT_TRUE(spec.long_help.ends_with('.')) << spec.name;
    bool was_optional = false;
    std::set<std::string_view> names;
    for (const Argument& argument : spec.positionals) {
      EXPECT_FALSE(was_optional && argument.is_required) << spec.name;
      EXPECT_NE(argument.type, ArgumentType::flag) << spec.name;
      EXPECT_TRUE(names.insert(argument.name).second) << spec.name;
      was_optional = !argument.is_required;
    }
    for (const Argument& argument : spec.options) {
      EXPECT_TRUE(names.insert(argument.name).second) << spec.name;
      EXPECT_EQ(argument.type == ArgumentType::choice, !argument.choices.empty()) << spec.name;
    }
  }
}

TEST(command_table, defaults_fit_their_own_types) {
  for (const CommandSpec& spec : command_table()) {
    Command call = command(std::string(spec.name));
    for (const Argument& argument : spec.positionals) {
      if (!argument.is_required) continue;
      const std::string fits = argument.type == ArgumentType::path ? "/x"
                               : argument.type == ArgumentType::choice
                                   ? std::string(argument.choices.substr(0, argument.choices.find('|')))
                                   : "x";
      call.args[std::string(argument.name)] = fits;
    }
    Result<Command> filled = check_command(call);
    ASSERT_TRUE(filled) << filled.error().text;
    EXPECT_TRUE(check_command(*filled)) << spec.name;
  }
}

TEST(check_command, fills_in_the_defaults) {
  Result<Command> checked = check_command(command("primary", {{"resource", "mydata"}}));
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->text("timeout"), "60s");
  EXPECT_FALSE(checked->flag("force"));
  EXPECT_FALSE(checked->has("dry-run"));
}

TEST(check_command, offers_the_nearest_word) {
  EXPECT_EQ(complaint(command("primry")), "there is no command \"primry\"; did you mean \"primary\"?");
  EXPECT_EQ(complaint(command("primary", {{"resource", "a"}, {"forc", "true"}})),
            "primary: there is no argument \"forc\"; did you mean \"force\"?");
  EXPECT_NE(complaint(command("xyzzyxyzzy")).find("create-cluster, invite"), std::string::npos);
}

TEST(check_command, says_what_is_missing) {
  EXPECT_EQ(complaint(command("set", {{"resource", "a"}, {"key", "k"}})), "set: value is missing");
}

TEST(check_command, refuses_values_that_do_not_fit) {
  const std::string long_name(64, 'a');
  for (const std::string& name :
       {std::string(), std::string("All"), std::string("all"), std::string("a/b"), long_name}) {
    EXPECT_NE(complaint(command("view", {{"resource", name}})), "accepted") << name;
  }
  EXPECT_NE(complaint(command("create-resource", {{"resource", "a"}, {"disk", "relative"}})), "accepted");
  EXPECT_NE(complaint(command("create-resource", {{"resource", "a"}, {"disk", "/x\ny"}})), "accepted");
  EXPECT_NE(complaint(command("primary", {{"resource", "a"}, {"force", "yes"}})), "accepted");
  EXPECT_NE(complaint(command("primary", {{"resource", "a"}, {"timeout", "soon"}})), "accepted");
  EXPECT_NE(complaint(command("events", {{"count", "-1"}})), "accepted");
  EXPECT_NE(complaint(command("wait-resource", {{"resource", "a"}, {"condition", "happy"}})), "accepted");
  EXPECT_NE(complaint(command("invite", {{"expires", std::string(10'000, '1')}})), "accepted");
  EXPECT_NE(complaint({"version", {}, "no/host"}), "accepted");
}

TEST(check_command, keeps_requests_waiting_for_a_minute_at_most) {
  const Command insert{"insert", {{"resource", "mydata"}, {"instrument", "trace"}, {"deadline", "60s"}}, {}};
  EXPECT_TRUE(check_command(insert));
  for (Command late : {insert, Command{"remove", {{"resource", "mydata"}, {"instrument", "trace"}}, {}}}) {
    late.args["deadline"] = "90s";
    EXPECT_NE(check_command(late).error().text.find("90s is more than 60s"), std::string::npos);
  }
}

TEST(check_command, knows_which_options_belong_together) {
  EXPECT_EQ(complaint(command("primary", {{"resource", "a"}, {"now", "true"}})), "primary: --now is for --force only");
  EXPECT_EQ(complaint(command("create-resource", {{"resource", "a"}, {"disk", "/x"}, {"create-file", "true"}})),
            "create-resource: --create-file needs --size");
}

TEST(as_typed, has_the_order_and_the_names_of_the_line) {
  const auto typed = [](Command command) { return as_typed(*check_command(std::move(command))); };
  EXPECT_EQ(typed(command("create-resource", {{"resource", "r"}, {"disk", "/d"}, {"size", "512M"}})),
            "create-resource r /d --size 512M");
  EXPECT_EQ(typed(command("primary", {{"resource", "r"}, {"force", "true"}, {"timeout", "5s"}, {"host", "b"}})),
            "primary r --force --timeout 5s --host b");
  EXPECT_EQ(typed(command("issue-client", {{"name", "b c"}, {"dir", "/etc/c"}})), "issue-client \"b c\" /etc/c");
  EXPECT_EQ(typed(command("join-cluster", {{"token", "mars1-secret"}})), "join-cluster");
}

TEST(command_json, comes_back_as_it_went) {
  Command original{"set", {{"resource", "a"}, {"key", "k\"\\"}, {"value", "ü"}}, "beta", "alice"};
  Result<Command> back = decode_command(encode(original));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, original);
}

TEST(command, who_gave_it_is_a_word_or_nothing) {
  const auto checked = [](std::string by) { return check_command({"status", {}, "", std::move(by)})->by; };
  EXPECT_EQ(checked("alice@EXAMPLE.ORG"), "alice@EXAMPLE.ORG");
  EXPECT_EQ(checked("a\n2020-01-01Z mydata: command"), "");
  EXPECT_EQ(checked(std::string(65, 'a')), "");
}

TEST(command_json, refuses_garbage) {
  for (std::string_view text :
       {"", "{", "null", "[]", "7", "\"set\"", "{}", R"({"name":7})", R"({"name":""})", R"({"name":"a","args":[]})",
        R"({"name":"a","args":{"x":1}})", R"({"name":"a","args":{"x":{}}})", R"({"name":"a","host":false})", "\xff\xfe",
        "{\"name\":\"\xc3\x28\"}", R"({"name":"a"} trailing)"}) {
    Result<Command> decoded = decode_command(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().status, Status::invalid);
  }
}

TEST(command_json, is_bounded) {
  EXPECT_FALSE(decode_command(std::string(command_bytes_max + 1, ' ')));
  EXPECT_FALSE(decode_command(std::string(60'000, '[')));
  Command many = command("set");
  for (size_t i = 0; i <= argument_count_max; ++i) many.args[std::to_string(i)] = "x";
  EXPECT_FALSE(decode_command(encode(many)));
}

TEST(command_json, every_truncation_is_refused) {
  std::string whole = encode(Command{"set", {{"resource", "a"}, {"key", "k"}}, "beta"});
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(decode_command(std::string_view(whole).substr(0, length)));
  }
}

}  // namespace
}  // namespace mars::control
