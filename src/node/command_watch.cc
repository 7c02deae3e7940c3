// Commands that look and wait, and change nothing.
#include <algorithm>
#include <map>
#include <utility>

#include "control/value_text.h"
#include "node/call.h"
#include "node/forwarding.h"
#include "node/json.h"
#include "node/members.h"
#include "node/status.h"

namespace mars::node {

Task<Answer> show_status(Call& call) {
  control::ClusterView view = status_of(call.node);
  const std::string wanted = call.command.text("resource");
  if (!wanted.empty()) {
    Result<control::ClusterView> one = control::only(std::move(view), wanted);
    if (!one) co_return failed(one.error());
    view = std::move(*one);
  }
  Answer answer;
  answer.data = control::to_json(view);
  co_return answer;
}

Task<Answer> show_events(Call& call) {
  const Result<uint64_t> count = control::parse_count(call.command.text("count"));
  Answer answer;
  Json list = Json::array();
  std::string wanted = call.command.text("resource");
  Error unknown = Status::ok;
  if (!wanted.empty() && call.node.cluster() != nullptr) {
    const Result<ResourceRecord> record = call.resource();
    if (record) wanted = record->name;  // it may be given by its uuid
    if (!record) unknown = record.error();
  } else if (!wanted.empty()) {
    unknown = {Status::not_found, "this host is in no cluster; `marsadm events` lists what happened here"};
  }
  const std::vector<EventLine> lines = call.node.events().newest(wanted, count ? *count : 50);
  // What happened to one that is deleted is still told.
  if (lines.empty() && unknown.status != Status::ok) co_return failed(unknown);
  for (const EventLine& line : lines) {
    const std::string time = control::rfc3339(line.time_ns);
    list.push_back({{"time", time}, {"resource", line.resource}, {"text", line.text}});
    answer.text += time.substr(0, 19) + "Z " + (line.resource.empty() ? "" : line.resource + ": ") + line.text + "\n";
  }
  if (answer.text.ends_with('\n')) answer.text.pop_back();
  Json data = {{"events", std::move(list)}};
  answer.data = control::write_json(data);
  co_return answer;
}

namespace {

using replication::Report;

enum class Condition : uint8_t { synced, consistent, attached, detached, primary, secondary };

std::optional<Condition> condition_of(const std::string& word) {
  constexpr std::string_view words[] = {"synced", "consistent", "attached", "detached", "primary", "secondary"};
  const auto found = std::find(std::begin(words), std::end(words), word);
  if (found == std::end(words)) return std::nullopt;
  return static_cast<Condition>(found - std::begin(words));
}

constexpr io::Duration parted_patience = std::chrono::seconds(2);

// What is waited for: of which hosts, and up to where.
struct Goal {
  ResourceRecord record;
  Condition condition = Condition::synced;
  std::vector<Uuid> hosts;
  bool is_one = false;               // only the host that was named
  std::optional<uint64_t> admitted;  // what the device had taken when the command began, where the primary is here
  std::optional<Lsn> target;         // where that is in the log
  std::map<Uuid, Lsn> begun;         // where each host was when it was seen first
};

bool holds(Call& call, const Goal& goal, const Uuid& host) {
  const Report* report = call.report_of(goal.record.id, host);
  if (report == nullptr || !call.is_connected(host)) return false;
  switch (goal.condition) {
    case Condition::synced:
      return goal.target && report->is_attached && report->is_consistent &&
             report->applied.position.lsn >= *goal.target;
    case Condition::consistent:
      return report->is_attached && report->is_consistent && report->state != control::State::fork;
    case Condition::attached:
      return report->is_attached;
    case Condition::detached:
      return !report->is_attached;
    case Condition::primary:
      return report->is_primary;
    case Condition::secondary:
      return !report->is_primary;
  }
  return false;
}

// Empty: reached. Otherwise the hosts that are not there yet.
std::string missing(Call& call, const Goal& goal) {
  std::string names;
  size_t count = 0;
  for (const Uuid& host : goal.hosts) {
    if (holds(call, goal, host)) continue;
    names += (names.empty() ? "" : ", ") + call.host_name(host);
    const Report* report = call.report_of(goal.record.id, host);
    if (!call.is_connected(host))
      names += " (does not answer)";
    else if (report != nullptr && is_broken(*report))
      names += " (" + std::string(control::name(report->state)) + ")";
    ++count;
  }
  const bool is_any = goal.condition == Condition::primary && !goal.is_one;
  return is_any && count < goal.hosts.size() ? "" : names;
}

// Of the host that is furthest behind: what of its sync is done, or of the log that it has to apply.
control::Progress how_far(Call& call, Goal& goal) {
  control::Progress furthest;
  for (const Uuid& host : goal.hosts) {
    const Report* report = call.report_of(goal.record.id, host);
    if (report == nullptr || !report->is_attached || !call.is_connected(host) || holds(call, goal, host)) continue;
    control::Progress its;
    if (!report->is_consistent) {
      if (goal.condition != Condition::synced && goal.condition != Condition::consistent) continue;
      const auto sync = std::ranges::find(report->transfers, control::TransferKind::sync, &control::Transfer::kind);
      if (sync != report->transfers.end()) its = {"", sync->done_bytes, sync->total_bytes};
    } else if (goal.condition == Condition::synced && goal.target) {
      const Lsn now = report->applied.position.lsn;
      const Lsn from = goal.begun.try_emplace(host, now).first->second;
      if (from < *goal.target && now >= from) its = {"", now - from, *goal.target - from};
    }
    its.done = std::min(its.done, its.total);
    if (its.total - its.done > furthest.total - furthest.done) furthest = its;
  }
  return furthest;
}

void learn_target(Call& call, Goal& goal) {
  if (goal.target) return;
  const Uuid holder = call.holder(goal.record.id);
  // What was acknowledged a moment ago is in memory, and counts.
  if (const replication::Replica* replica = call.resources().find(goal.record.id);
      replica != nullptr && replica->is_attached() && holder == call.self()) {
    if (!goal.admitted) goal.admitted = replica->admitted();
    if (replica->logged() >= *goal.admitted) goal.target = replica->report().durable.position.lsn;
    return;
  }
  const Report* report = holder.is_nil() ? nullptr : call.report_of(goal.record.id, holder);
  if (report != nullptr && report->is_attached && call.is_connected(holder)) goal.target = report->durable.position.lsn;
}

// Whose side is undecided becomes nothing.
std::optional<Answer> forked(Call& call, const Goal& goal) {
  if (goal.condition != Condition::synced && goal.condition != Condition::consistent) return std::nullopt;
  for (const Uuid& host : goal.hosts) {
    const Report* report = call.report_of(goal.record.id, host);
    if (report != nullptr && report->state == control::State::fork) return stuck(*report, goal.record.name);
  }
  return std::nullopt;
}

// Positions of two histories cannot be compared. A tail without data goes by itself in a moment.
std::optional<Answer> parted(Call& call, const Goal& goal) {
  if (goal.condition != Condition::synced) return std::nullopt;
  const std::string& name = goal.record.name;
  const Uuid holder = call.holder(goal.record.id);
  std::optional<Report> leader;
  if (const Report* its = call.report_of(goal.record.id, holder)) leader = *its;
  for (const Uuid& host : goal.hosts) {
    const Report* report = call.report_of(goal.record.id, host);
    if (report == nullptr || !leader || !replication::have_parted(*report, *leader)) continue;
    return Answer{ExitCode::fork,
                  name + ": the logs of " + call.host_name(host) + " and " + call.host_name(holder) + " have parted",
                  "ask a host of the side that is kept, or decide which one it is: see `marsadm status " + name + "`",
                  {}};
  }
  return std::nullopt;
}

Result<Goal> goal_of(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) return failure(record.error());
  Goal goal;
  goal.record = *record;
  const auto condition = condition_of(call.command.text("condition"));
  if (!condition) return failure(Status::invalid, "an unknown condition");
  goal.condition = *condition;
  goal.hosts = call.resources().members(record->id);
  const std::string name = call.command.text("host");
  if (name.empty()) return goal;
  const auto member = member_called(call.registers(), name);
  if (status_of(member) == Status::refused) return failure(member.error());
  const bool has_replica = member && std::find(goal.hosts.begin(), goal.hosts.end(), member->host) != goal.hosts.end();
  if (!has_replica) {
    return failure(Status::not_found, "host \"" + name + "\" has no replica of " + record->name + "; `marsadm status " +
                                          record->name + "` lists those that have one");
  }
  goal.hosts = {member->host};
  goal.is_one = true;
  return goal;
}

// The primary alone knows what is durable there at this moment; what others have heard may be older, and then a replica
// would seem to have everything.
bool should_ask(Call& call, const Goal& goal) {
  const Uuid holder = call.holder(goal.record.id);
  return goal.condition == Condition::synced && !call.is_from_afar() && !holder.is_nil() && holder != call.self() &&
         call.is_connected(holder);
}

// Who leaves meanwhile is not waited for.
void keep_members(Call& call, Goal& goal) {
  const std::vector<Uuid> members = call.resources().members(goal.record.id);
  std::erase_if(goal.hosts, [&](const Uuid& host) { return std::ranges::find(members, host) == members.end(); });
}

// Whoever was asked may not have heard yet of a replica that is known here.
bool is_known_to_sync(Call& call, const Goal& goal) {
  return std::ranges::all_of(goal.hosts, [&](const Uuid& host) {
    const Report* report = call.report_of(goal.record.id, host);
    // Of one that is not connected here, what was heard may be old.
    return report == nullptr || report->is_consistent || (host != call.self() && !call.is_connected(host));
  });
}

}  // namespace

Task<Answer> wait_resource(Call& call) {
  Result<Goal> goal = goal_of(call);
  if (!goal) co_return failed(goal.error());
  while (should_ask(call, *goal)) {
    Reply reply = co_await ask(call, call.holder(goal->record.id));
    const bool is_over = call.is_abandoned() || call.node.is_stopping();
    if (!reply.is_from_there && !reply.was_cut_off && !is_over) break;
    if (reply.was_cut_off && !is_over) {
      if (!co_await call.wait()) break;
      continue;
    }
    if (is_over || reply.answer.code != ExitCode::done || is_known_to_sync(call, *goal)) {
      co_return std::move(reply.answer);
    }
    if (!co_await call.wait()) break;
  }
  const std::string condition = call.command.text("condition");
  std::optional<io::Instant> parted_since;
  for (;;) {
    Result<ResourceRecord> record = call.resource();
    if (!record) co_return failed(record.error());
    if (record->id != goal->record.id) co_return failed({Status::not_found, record->name + " is another resource now"});
    keep_members(call, *goal);
    if (goal->hosts.empty()) co_return failed({Status::not_found, "whoever was waited for has left " + record->name});
    learn_target(call, *goal);
    // Before anything else: positions of two histories cannot be compared.
    if (auto fork = forked(call, *goal)) co_return std::move(*fork);
    auto other_side = parted(call, *goal);
    if (!other_side) parted_since.reset();
    if (other_side && !parted_since) parted_since = call.machine().now();
    if (other_side && call.machine().now() - *parted_since >= parted_patience) co_return std::move(*other_side);
    const std::string rest = missing(call, *goal);
    if (rest.empty() && !other_side) co_return Answer::done(goal->record.name + ": " + condition);
    const bool has_no_target = goal->condition == Condition::synced && !goal->target;
    const std::string what = goal->admitted ? "waiting for the log" : "waiting for the primary to be known";
    const control::Progress far = how_far(call, *goal);
    call.say(has_no_target ? what : "waiting for " + rest, far.done, far.total);
    if (!co_await call.wait()) {
      if (other_side) co_return call.over(other_side->text, other_side->next_step);
      co_return call.over(goal->record.name + " is not " + condition + " yet: " + rest,
                          "look at `marsadm status " + goal->record.name + "`");
    }
  }
}

}  // namespace mars::node
