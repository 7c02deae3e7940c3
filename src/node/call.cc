#include "node/call.h"

#include <algorithm>
#include <utility>

#include "bricks/branch.h"
#include "control/value_text.h"
#include "control/words.h"
#include "node/forwarding.h"
#include "node/members.h"
#include "replication/decide_start.h"

namespace mars::node {

using namespace std::chrono_literals;
using replication::Report;

Call::Call(Node& its_node, control::Command its_command, Node::Listener listener, Node::Caller caller)
    : node(its_node), command(std::move(its_command)), listener_(std::move(listener)), caller_(std::move(caller)) {
  const Result<uint64_t> limit = control::parse_duration_ms(command.text("timeout"));
  if (limit && *limit > 0) deadline_ = node.machine().now() + std::chrono::milliseconds(*limit);
}

// Two hosts may have made a resource of one name at the same moment (R1): the one that is here is meant, or the uuid
// has to be given.
Result<ResourceRecord> Call::resource() {
  const std::string wanted = command.text("resource");
  const std::vector<ResourceRecord> all = list_resources(registers());
  std::vector<std::string_view> names;
  std::vector<const ResourceRecord*> found;
  for (const ResourceRecord& record : all) {
    if (to_string(record.id) == wanted) return record;
    if (record.name == wanted) found.push_back(&record);
    names.push_back(record.name);
  }
  const auto is_here = [this](const ResourceRecord* record) { return resources().file(record->id) != nullptr; };
  if (found.size() == 1) return *found.front();
  if (std::ranges::count_if(found, is_here) == 1) return **std::ranges::find_if(found, is_here);
  if (!found.empty()) {
    std::string ids;
    for (const ResourceRecord* record : found) ids += (ids.empty() ? "" : ", ") + to_string(record->id);
    return failure(Status::refused, std::to_string(found.size()) + " resources have the name \"" + wanted +
                                        "\": give the uuid of the one that is meant (" + ids + ")");
  }
  const std::string near = control::suggestion(wanted, names);
  return failure(Status::not_found,
                 "there is no resource \"" + wanted + "\"" + (near.empty() ? "; `marsadm status` lists them" : near));
}

std::string Call::why_idle(const ResourceRecord& record) {
  const auto its = report(record.id);
  return "the replica of " + record.name + " here does not run" +
         (its ? ": " + its->reason + "; " + its->next_step : "");
}

std::optional<Report> Call::report(const Uuid& id) { return resources().local_report(id); }

const Report* Call::report_of(const Uuid& id, const Uuid& host) {
  if (host == self()) {
    own_ = resources().local_report(id);
    return own_ ? &*own_ : nullptr;
  }
  const Reports::Heard* heard = resources().reports().find(id, host);
  return heard == nullptr ? nullptr : &heard->report;
}

// Whose log has parted from that of this host can hand nothing over to it. A host that answers counts before one that
// was only heard of, and of several the one that is wanted; among all histories the wish comes first.
Uuid Call::holder(const Uuid& id, bool in_any_history) {
  const auto mine = in_any_history ? std::nullopt : report(id);
  const Uuid wanted = find_designated(registers(), id).host;
  Uuid best;
  std::pair<bool, bool> least;
  for (const Uuid& host : resources().members(id)) {
    const Report* its = report_of(id, host);
    if (its == nullptr || !its->is_holder || (mine && replication::have_parted(*mine, *its))) continue;
    // The right of one that is silent went on behind the end of its log, as this host's log says (T8).
    if (mine && !is_connected(host) && replication::is_superseded(*its, host, *mine)) continue;
    std::pair rank(!is_connected(host), host != wanted);
    if (in_any_history) std::swap(rank.first, rank.second);
    if (!best.is_nil() && !(rank < least)) continue;
    best = host;
    least = rank;
  }
  return best;
}

Task<bool> Call::stays_in_use(Uuid id, Uuid host) {
  const io::Instant until = machine().now() + 3s;
  for (;;) {
    const Report* report = report_of(id, host);
    if (report == nullptr || !report->is_in_use || !is_connected(host)) co_return false;
    if (machine().now() >= until || node.is_stopping() || is_abandoned()) co_return true;
    co_await io::wait_until(machine(), node.changed(), std::min(until, machine().now() + 250ms));
  }
}

Answer Call::in_use(const ResourceRecord& record, const Uuid& host) {
  if (host != self()) {
    return refused("the device of " + record.name + " is in use on " + host_name(host), "unmount it there first");
  }
  replication::Replica* here = replica(record.id);
  const std::string users = here == nullptr ? "" : here->device().users();
  return refused("the device of " + record.name + " is in use here" + (users.empty() ? "" : ": " + users),
                 "unmount it, or end whatever has it open");
}

Task<bool> Call::wait() {
  const io::Instant now = machine().now();
  if (node.is_stopping() || is_abandoned() || (deadline_ && now >= *deadline_)) co_return false;
  io::Instant until = now + 1s;
  if (deadline_ && *deadline_ < until) until = *deadline_;
  co_await io::wait_until(machine(), node.changed(), until);
  co_return !node.is_stopping() && !is_abandoned();
}

Answer Call::over(std::string what, std::string left) {
  if (node.is_stopping()) return failed({Status::stopped, "marsd is stopping; " + what}, std::move(left));
  if (is_abandoned()) return failed({Status::stopped, "whoever asked has gone; " + what}, std::move(left));
  return {ExitCode::timed_out, std::move(what), std::move(left), {}};
}

void Call::say(std::string text, uint64_t done, uint64_t total) {
  control::Progress progress{std::move(text), done, total};
  if (progress == said_) return;
  said_ = progress;
  if (listener_) listener_(said_);
}

Answer refused(std::string text, std::string next_step) {
  return {ExitCode::refused, std::move(text), std::move(next_step), {}};
}

Answer failed(const Error& error, std::string next_step) { return Answer::of(error, std::move(next_step)); }

Answer not_written(Call& call, Status status, std::string_view what) {
  const std::string& place = call.node.options().state_directory;
  return failed({status, std::string(what) + " could not be written down (" + std::string(name(status)) + ")"},
                status == Status::no_space ? "make room on the disk of " + place + ", then repeat the command" : "");
}

Answer no_replica(const ResourceRecord& record) {
  return {ExitCode::not_found,
          "this host has no replica of " + record.name,
          "add one with `marsadm join-resource " + record.name +
              " DISK`, or run this on a host that has one: `marsadm " + "status " + record.name + "` lists them",
          {}};
}

Answer not_open(Node& node) {
  const std::string& why = node.open_problem();
  return {ExitCode::failed,
          "this host is a member of a cluster, which could not be opened" + (why.empty() ? "" : ": " + why),
          why.empty() ? "look at the log of marsd, repair what it names, and restart marsd"
                      : std::string(control::way_to_open),
          {}};
}

bool is_broken(const Report& report) { return control::row(report.state).weight == control::Weight::broken; }

Answer stuck(const Report& report, std::string what) {
  const bool is_fork = report.state == control::State::fork;
  std::string text = std::move(what) + ": " + std::string(control::name(report.state));
  if (!report.reason.empty()) text += ", " + report.reason;
  return {is_fork ? ExitCode::fork : ExitCode::failed, std::move(text), report.next_step, {}};
}

std::string only_here(Call& call, const ResourceRecord& record, const replication::Report& mine) {
  const Lsn end = mine.durable.position.lsn;
  Lsn shared;
  for (const Uuid& host : call.resources().members(record.id)) {
    const replication::Report* its = host == call.self() ? nullptr : call.report_of(record.id, host);
    if (its == nullptr || !its->is_consistent) continue;
    const auto common = bricks::common_position(mine.branch, end, its->branch, its->durable.position.lsn);
    if (common.any) shared = std::max(shared, common.mine_beyond ? common.position.lsn : end);
  }
  return shared < end ? "; " + control::size_text(end - shared) + " of its log are on no other host" : "";
}

namespace {

struct Row {
  std::string_view name;
  Runner run;
  bool needs_cluster;
};

constexpr Row rows[] = {
    {"create-cluster", &create_cluster, false},
    {"invite", &invite, true},
    {"join-cluster", &join_cluster, false},
    {"issue-client", &issue_client, true},
    {"version", &show_version, false},
    {"create-resource", &create_resource, true},
    {"join-resource", &join_resource, true},
    {"leave-resource", &leave_resource, true},
    {"delete-resource", &delete_resource, true},
    {"attach", &attach, true},
    {"detach", &detach, true},
    {"up", &up, true},
    {"down", &down, true},
    {"invalidate", &invalidate, true},
    {"pause-fetch", &turn_switch, true},
    {"resume-fetch", &turn_switch, true},
    {"pause-replay", &turn_switch, true},
    {"resume-replay", &turn_switch, true},
    {"pause-sync", &turn_switch, true},
    {"resume-sync", &turn_switch, true},
    {"set", &set_option, true},
    {"get", &get_option, true},
    {"primary", &primary, true},
    {"secondary", &secondary, true},
    {"status", &show_status, false},
    {"view", &show_status, true},
    {"wait-resource", &wait_resource, true},
    {"events", &show_events, false},
    {"graph", &show_graph, true},
    {"insert", &insert_instrument, true},
    {"remove", &remove_instrument, true},
};

bool is_not_open(Node& node) { return node.cluster() == nullptr && !node.open_problem().empty(); }

// What waits for a device at the boot may come before the network. False: the time is over, or marsd stops.
Task<bool> await_cluster(Node& node, control::Command& command, Node::Listener& listener, const Node::Caller& caller) {
  Call waiting(node, command, listener, caller);
  while (is_not_open(node)) {
    waiting.say("the cluster is not open yet");
    if (!co_await waiting.wait()) co_return false;
  }
  if (waiting.deadline()) {
    const auto left = std::max<io::Duration>(*waiting.deadline() - node.machine().now(), 1ms);
    command.args["timeout"] =
        std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(left).count()) + "ms";
  }
  co_return true;
}

bool is_question(const control::Command& command) {
  const control::CommandSpec* spec = control::find_command(command.name);
  return spec->group == control::Group::watching || command.name == "version" || command.name == "get" ||
         command.name == "graph" || command.flag("dry-run");
}

}  // namespace

Task<Answer> run_command(Node& node, control::Command command, Node::Listener listener, Node::Caller caller) {
  Result<control::Command> checked = control::check_command(std::move(command));
  if (!checked) co_return Answer{ExitCode::usage, checked.error().text, "`marsadm --help` lists the commands", {}};
  const Row* row =
      std::find_if(std::begin(rows), std::end(rows), [&](const Row& r) { return r.name == checked->name; });
  if (row == std::end(rows)) co_return failed({Status::unsupported, "this marsd has no command " + checked->name});
  if (node.is_stopping()) co_return failed({Status::stopped, "marsd is stopping"});
  if (checked->name == "wait-resource" && is_not_open(node)) {
    if (!co_await await_cluster(node, *checked, listener, caller)) co_return not_open(node);
  }
  const bool is_member = node.cluster() != nullptr;
  const bool is_closed = is_not_open(node);
  if (is_closed && (row->needs_cluster || !checked->host.empty())) co_return not_open(node);
  if (row->needs_cluster && !is_member) {
    co_return refused("this host is in no cluster",
                      "run `marsadm create-cluster`, or `marsadm join-cluster TOKEN` with a token from a member");
  }
  if (!checked->host.empty() && !is_member) {
    co_return refused("this host is in no cluster, so it cannot ask " + checked->host,
                      "run the command on that host, or make this one a member with `marsadm join-cluster TOKEN`");
  }
  std::optional<Member> other;
  if (!checked->host.empty()) {
    const Identity& own = node.cluster()->identity();
    const Result<Member> asked = member_called(node.cluster()->registers(), checked->host);
    const bool is_self =
        asked ? asked->host == own.host : checked->host == own.name && asked.error().status != Status::refused;
    if (!asked && !is_self) co_return failed(asked.error());
    if (!is_self) other = *asked;
  }
  const bool is_told = !is_question(*checked);
  std::string resource = checked->text("resource");
  if (const auto id = parse_uuid(resource); id && is_member) {
    if (const auto record = find_resource(node.cluster()->registers(), *id)) resource = record->name;
  }
  const std::string asked_by = caller.host.empty() ? "" : " (asked by " + caller.host + ")";
  const std::string given_by = checked->by.empty() ? "" : " (by " + checked->by + ")";
  const std::string what = control::as_typed(*checked) + given_by + asked_by;
  Call call(node, std::move(*checked), std::move(listener), std::move(caller));
  Task<Answer> running = other ? forward(call, std::move(*other)) : row->run(call);
  Answer answer = co_await std::move(running);
  const bool is_failed = answer.code == ExitCode::failed && answer.next_step.empty();
  if (is_failed && node.cluster() != nullptr) answer.next_step = node.cluster()->store_problem();
  if (is_told) {
    node.events().add(resource, "command " + what + ": " + std::string(control::name(answer.code)) +
                                    (answer.code == ExitCode::done ? "" : ", " + answer.text));
  }
  co_return answer;
}

}  // namespace mars::node
