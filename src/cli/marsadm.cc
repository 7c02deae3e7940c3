#include "cli/marsadm.h"

#include <fmt/core.h>

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/manual.h"
#include "cli/render.h"
#include "control/version.h"
#include "control/view.h"

namespace mars::cli {

namespace {

using control::Answer;
using control::ExitCode;

// Shows what a command is at: one line that changes on a terminal, else a line whenever something new happens.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(const Terminal& terminal) : terminal_(terminal) {}

  void show(const control::Progress& progress) {
    if (terminal_.is_tty) {
      terminal_.err("\r\033[K" + progress_text(progress));
      is_shown_ = true;
      return;
    }
    uint64_t tenth = progress.total == 0 ? 0 : progress.done / (progress.total / 10 + 1);
    if (progress.text == last_text_ && tenth == last_tenth_) return;
    last_text_ = progress.text;
    last_tenth_ = tenth;
    terminal_.err(progress_text(progress) + "\n");
  }
  void clear() {
    if (is_shown_) terminal_.err("\r\033[K");
  }

 private:
  const Terminal& terminal_;
  bool is_shown_ = false;
  std::string last_text_;
  uint64_t last_tenth_ = 0;
};

// Programs get the answer itself, with its data, whatever the outcome.
int finish_json(const Answer& answer, const Terminal& terminal) {
  std::string line = control::encode(answer);
  constexpr std::string_view head = "{\"answer\":";
  terminal.out(line.substr(head.size(), line.size() - head.size() - 1) + "\n");
  return static_cast<int>(answer.code);
}

int finish(const Answer& answer, const control::Command& command, bool is_json, const Terminal& terminal) {
  if (is_json) return finish_json(answer, terminal);
  if (answer.code == ExitCode::done) {
    if (!answer.text.empty()) terminal.out(answer.text + (answer.text.ends_with('\n') ? "" : "\n"));
  } else {
    terminal.err(fmt::format("marsadm {}: {}: {}\n", command.name, name(answer.code), answer.text));
  }
  if (!answer.next_step.empty()) terminal.err(fmt::format("  what to do: {}\n", answer.next_step));
  return static_cast<int>(answer.code);
}

// marsd renews its snapshot several times in a second, and another of its threads hands it out.
constexpr uint64_t old_ns = 10'000'000'000;

Result<control::ClusterView> read_view(Client& client, const std::string& resource, const Terminal& terminal) {
  Result<std::string> json = client.status();
  if (!json) return failure(json.error());
  Result<control::ClusterView> view = control::cluster_view_from_json(*json);
  if (const uint64_t now = terminal.wall_ns ? terminal.wall_ns() : 0;
      view && view->time_ns != 0 && now > view->time_ns + old_ns) {
    view->warnings.push_back(
        fmt::format("this is {} s old: marsd does not get on; look at its log, and if it stays so, "
                    "kill it (what was acknowledged is kept)",
                    (now - view->time_ns) / 1'000'000'000));
  }
  if (view && !resource.empty()) return control::only(std::move(*view), resource);
  return view;
}

// status, view and version are answered from marsd's snapshot, so that they work while it is busy.
int show(Client& client, const Invocation& invocation, const Terminal& terminal) {
  const control::Command& command = invocation.command;
  Result<control::ClusterView> view = read_view(client, command.text("resource"), terminal);
  if (!view) return finish(answer_of(view.error()), command, invocation.is_json, terminal);
  if (command.name == "version") {
    Answer answer = Answer::done(fmt::format("marsadm {}\nmarsd {}", control::version, view->version));
    for (const control::HostView& host : view->hosts) {
      if (!host.is_self)
        answer.text += fmt::format("\nmarsd on {} {}", host.name, host.version.empty() ? "?" : host.version);
    }
    answer.data = fmt::format(R"({{"marsadm":"{}","marsd":"{}"}})", control::version, view->version);
    return finish(answer, command, invocation.is_json, terminal);
  }
  if (invocation.is_json) {
    terminal.out(control::to_json(*view) + "\n");
  } else {
    terminal.out(command.name == "status" ? status_text(*view) : view_text(*view));
  }
  return 0;
}

int say_mistake(const Invocation& invocation, const Terminal& terminal) {
  if (invocation.is_json) return finish_json({ExitCode::usage, invocation.text, invocation.next_step, {}}, terminal);
  terminal.err(fmt::format("marsadm: {}\n  {}\n", invocation.text, invocation.next_step));
  return static_cast<int>(ExitCode::usage);
}

int print_names(Client& client, Action what, const Terminal& terminal) {
  Result<control::ClusterView> view = read_view(client, {}, terminal);
  if (!view) return static_cast<int>(answer_of(view.error()).code);
  if (what == Action::host_names) {
    for (const control::HostView& host : view->hosts) terminal.out(host.name + "\n");
  } else {
    for (const control::ResourceView& resource : view->resources) terminal.out(resource.name + "\n");
  }
  return 0;
}

std::string socket_of(const Invocation& invocation, const Terminal& terminal) {
  if (!invocation.socket.empty()) return invocation.socket;
  return terminal.environment_socket.empty() ? std::string(default_socket) : terminal.environment_socket;
}

int run_command(Client& client, Invocation& invocation, const Terminal& terminal) {
  control::Command& command = invocation.command;
  if (command.name == "status" || command.name == "view" || command.name == "version") {
    return show(client, invocation, terminal);
  }
  if (command.text("token") == "-") {
    std::string word;
    *terminal.in >> word;
    if (word.empty()) {
      Answer answer{ExitCode::usage, "there is no token on standard input", "run `marsadm invite` on a member", {}};
      return finish(answer, command, invocation.is_json, terminal);
    }
    command.args["token"] = word;
  }
  if (terminal.user) command.by = terminal.user();
  ProgressDisplay display(terminal);
  Answer answer = client.run(command, [&](const control::Progress& progress) {
    if (!invocation.is_json) display.show(progress);
  });
  display.clear();
  return finish(answer, command, invocation.is_json, terminal);
}

}  // namespace

int run_marsadm(std::vector<std::string> arguments, const Terminal& terminal) {
  Invocation invocation = parse_arguments(std::move(arguments));
  Client client(socket_of(invocation, terminal));
  switch (invocation.action) {
    case Action::print:
      terminal.out(invocation.text);
      return 0;
    case Action::mistake:
      return say_mistake(invocation, terminal);
    case Action::manual:
      terminal.out(manual_page());
      return 0;
    case Action::completion:
      terminal.out(bash_completion());
      return 0;
    case Action::resource_names:
    case Action::host_names:
      return print_names(client, invocation.action, terminal);
    case Action::command:
      break;
  }
  return run_command(client, invocation, terminal);
}

}  // namespace mars::cli
