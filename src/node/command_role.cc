// Who is primary. A planned handover is a wish (T6): it is written, and whoever has the right to write acts on it.
#include <algorithm>
#include <optional>
#include <utility>

#include "node/call.h"
#include "node/json.h"
#include "node/text.h"
#include "replication/decide_handover.h"

namespace mars::node {

namespace {

// What forbids to begin with it at all; done: nothing does.
Answer may_become_primary(Call& call, const ResourceRecord& record) {
  const auto report = call.report(record.id);
  if (!report) return no_replica(record);
  const control::Switches& on = report->switches;
  for (const auto& [is_on, kind] : {std::pair{on.attach, "attach"}, {on.fetch, "fetch"}, {on.replay, "replay"}}) {
    if (!is_on) {
      const control::Switches needed = {.attach = on.attach, .fetch = on.fetch, .replay = on.replay};
      return refused(std::string(kind) + " of " + record.name + " is switched off here",
                     "run " + control::commands_to_resume(needed, record.name));
    }
  }
  if (report->state == control::State::fork) return stuck(*report, record.name + " cannot become primary here");
  if (!report->is_attached) {
    return refused("the disk of " + record.name + " is not attached here: " + report->reason, report->next_step);
  }
  if (!report->is_consistent) {
    return refused("the replica of " + record.name + " here is not consistent: its sync is not done",
                   "wait with `marsadm wait-resource " + record.name + " consistent`");
  }
  return Answer::done();
}

// Nobody can hand over what a silent host holds.
Answer may_ask(Call& call, const ResourceRecord& record, const Uuid& holder) {
  if (holder.is_nil() || holder == call.self() || call.is_connected(holder)) return Answer::done();
  return {ExitCode::unreachable,
          call.host_name(holder) + " has the right to write " + record.name + " and does not answer",
          "mend the network; if that host is lost, see what would be missing with `marsadm primary " + record.name +
              " --force --dry-run`",
          {}};
}

// It ends by itself when there is room again: what is given up for it may be on its way already.
bool waits_for_space(const replication::Report* report) {
  return report != nullptr && report->state == control::State::waiting_for_space;
}

// The answers of all members are known, so whoever has the device open would be known as well; and with their logs,
// whoever has the right to write.
bool knows_all(Call& call, const Uuid& id, bool with_logs) {
  return std::ranges::all_of(call.resources().members(id), [&](const Uuid& host) {
    const replication::Report* its = call.report_of(id, host);
    return its != nullptr && call.is_connected(host) && (its->is_attached || !with_logs);
  });
}

// Some log that is known ends with the release to this host. Where none does nobody has the right any more.
bool is_right_on_its_way(Call& call, const ResourceRecord& record) {
  return std::ranges::any_of(call.resources().members(record.id), [&](const Uuid& host) {
    const replication::Report* its = call.report_of(record.id, host);
    return its != nullptr && !its->branch.empty() && its->branch.back().released_to == call.self();
  });
}

std::string progress_text(Call& call, const ResourceRecord& record) {
  const Uuid holder = call.holder(record.id);
  for (const Uuid& host : {call.self(), holder}) {
    const replication::Report* report = host.is_nil() ? nullptr : call.report_of(record.id, host);
    if (!waits_for_space(report)) continue;
    return std::string(control::name(report->state)) + " on " + call.host_name(host) + ": " + report->reason;
  }
  if (holder == call.self()) return "opening the device";
  if (holder.is_nil() && !knows_all(call, record.id, true)) return "nobody who answers has the right to write";
  if (holder.is_nil() && !is_right_on_its_way(call, record)) return "nobody has the right to write any more";
  if (holder.is_nil()) return "the right to write is on its way";
  const replication::Report* report = call.report_of(record.id, holder);
  const bool is_going = report != nullptr && report->state == control::State::handing_over;
  if (report != nullptr && is_broken(*report)) {
    return "waiting for " + call.host_name(holder) + ", which is " + std::string(control::name(report->state)) + ": " +
           report->reason;
  }
  return is_going ? call.host_name(holder) + " hands over" : "waiting for " + call.host_name(holder);
}

// Who reigns in a history that another one contradicts obeys no wish until the operator has decided (T2).
std::optional<Answer> may_not_close(Call& call, const ResourceRecord& record) {
  for (const Uuid& host : call.resources().members(record.id)) {
    const replication::Report* report = call.is_connected(host) ? call.report_of(record.id, host) : nullptr;
    if (report == nullptr || !report->is_primary || report->state != control::State::fork) continue;
    return stuck(*report,
                 "the device of " + record.name + " on " + call.host_name(host) + " cannot be closed this way");
  }
  return std::nullopt;
}

// Nobody has the device open, as far as it is known: of a host that cannot be asked what it said last counts, unless
// the right to write has gone elsewhere since.
bool is_device_open(Call& call, const Uuid& id, const Uuid& holder) {
  return std::ranges::any_of(call.resources().members(id), [&](const Uuid& host) {
    const replication::Report* its = call.report_of(id, host);
    return its != nullptr && its->is_primary && (holder.is_nil() || host == holder || call.is_connected(host));
  });
}

// A wish that is left behind hands over by surprise at a later umount (T6): whoever gives up takes it back. Says what
// was done.
Task<std::string> take_back(Call& call, ResourceRecord record, Uuid request, replication::Designated former) {
  replication::Designated mine = find_designated(call.registers(), record.id);
  const char* const newer = "another command came after this one";
  if (mine.request != request) co_return newer;
  const std::string back_to = former.host.is_nil() ? "nobody" : call.host_name(former.host);
  former.request = random_uuid(call.machine());
  former.refusal.clear();
  const Status status = co_await replace_designated(call.registers(), record.id, std::move(mine), std::move(former));
  if (status == Status::refused) co_return newer;
  if (status != Status::ok) co_return "the wish could not be taken back; look at `marsadm view " + record.name + "`";
  if (replication::Replica* replica = call.replica(record.id)) replica->wake();
  co_return "the wish was taken back: wanted as primary is " + back_to + ", as before";
}

// Unless nothing can stop it any more.
Task<std::string> give_up_primary(Call& call, ResourceRecord record, Uuid request, replication::Designated former) {
  const std::string& name = record.name;
  if (former.host == call.self()) {
    co_return "this host was wanted as primary before, and still is; `marsadm secondary " + name + "` takes that back";
  }
  const Uuid holder = call.holder(record.id);
  const bool knows = holder.is_nil() && knows_all(call, record.id, true);
  if (knows && !is_right_on_its_way(call, record)) {
    const std::string left = co_await take_back(call, record, request, std::move(former));
    co_return "nobody has the right to write any more (it was given up with a log or a disk): run `marsadm primary " +
        name + " --force` on a host that has everything; " + left;
  }
  if (holder == call.self() || knows) {
    co_return "the right to write is on its way here, and this host becomes primary by itself; to give it back, run "
              "`marsadm primary " +
        name + "` on the other host";
  }
  co_return co_await take_back(call, record, request, std::move(former));
}

// Sentences that one reads one after the other.
Answer with(Answer answer, const std::string& left) {
  answer.next_step = left + (answer.next_step.empty() ? "" : "; " + answer.next_step);
  return answer;
}

Task<Answer> wait_primary(Call& call, ResourceRecord record, Uuid request, replication::Designated former) {
  for (;;) {
    const auto report = call.report(record.id);
    if (!report) co_return failed({Status::gone, "the replica has gone meanwhile"});
    if (report->is_primary) break;
    const replication::Designated wish = find_designated(call.registers(), record.id);
    if (wish.request == request && !wish.refusal.empty()) {
      co_return refused("the handover of " + record.name + " was refused: " + wish.refusal,
                        former.host.is_nil() && !wish.host.is_nil()
                            ? "mend this and repeat the command; until then " + call.host_name(wish.host) +
                                  " is wanted as primary again, and opens its device"
                            : "nothing was changed; mend this and repeat the command");
    }
    if (wish.request != request) {
      co_return refused("another command for " + record.name + " came after this one",
                        "look at `marsadm status " + record.name + "`");
    }
    if (is_broken(*report) && !waits_for_space(&*report)) {
      const Answer answer = stuck(*report, record.name + " does not become primary here");
      co_return with(answer, co_await give_up_primary(call, record, request, former));
    }
    const std::string last = progress_text(call, record);
    call.say(last);
    if (co_await call.wait()) continue;
    const Answer silent = may_ask(call, record, call.holder(record.id));
    const std::string next_step = waits_for_space(&*report) ? report->next_step + "; " : "";
    const std::string left = next_step + co_await give_up_primary(call, record, request, former);
    if (silent.code != ExitCode::done && !call.node.is_stopping()) co_return with(silent, left);
    co_return call.over(record.name + " is not primary here yet (" + last + ")", left);
  }
  const std::string device = call.report(record.id)->device;
  co_return Answer::done(record.name + " is primary here" + (device.empty() ? "" : " as " + device));
}

Task<Answer> force(Call& call, ResourceRecord record) {
  replication::Replica* replica = call.replica(record.id);
  if (call.resources().file(record.id) == nullptr) co_return no_replica(record);
  if (replica == nullptr) co_return refused(call.why_idle(record));
  call.say("asking which writes will be missing");
  const bool is_dry_run = call.is_dry_run();
  replication::ForceOrder order;
  order.is_dry_run = is_dry_run;
  order.now = call.command.flag("now");
  order.is_over = [&call] { return call.is_abandoned(); };
  order.tell = [&call](const std::string& text) { call.say(text); };
  Result<replication::LossStatement> loss = co_await replica->force(std::move(order));
  if (!loss) {
    const auto after = call.report(record.id);
    const bool has_step = after && loss.error().status == Status::io_error;
    co_return failed(loss.error(), has_step ? after->next_step : "");
  }
  Json data = {{"loss_bytes", loss->bytes}, {"loss_ms", loss->milliseconds}, {"loss", loss->text}};
  Answer answer = Answer::done((is_dry_run ? "" : record.name + " is forced primary here; ") + loss->text);
  answer.data = control::write_json(data);
  if (is_dry_run) co_return answer;
  const auto report = call.report(record.id);
  if (report && !report->is_primary && is_broken(*report)) {
    co_return stuck(*report,
                    record.name + " is forced primary here, but its device does not open (" + loss->text + ")");
  }
  answer.next_step = "when the former primary comes back and has written more, run `marsadm invalidate " + record.name +
                     "` on the side that is given up";
  co_return answer;
}

}  // namespace

namespace {

// What the holder would look at, by what it has said of itself (T4). That it lags goes away by waiting.
Task<Answer> plan_primary(Call& call, ResourceRecord record) {
  const Answer would = Answer::done(record.name + " would become primary here");
  const Uuid holder = call.holder(record.id);
  if (holder.is_nil() || holder == call.self()) co_return would;
  // Of two that hold the right after a force, the one that is not the rival hands over.
  const auto holds = [&](const Uuid& host) {
    const replication::Report* its = call.is_connected(host) ? call.report_of(record.id, host) : nullptr;
    return its != nullptr && its->is_holder;
  };
  if (std::ranges::count_if(call.resources().members(record.id), holds) > 1) co_return would;
  if (auto fork = may_not_close(call, record)) co_return std::move(*fork);
  if (co_await call.stays_in_use(record.id, holder)) co_return call.in_use(record, holder);
  const auto mine = call.report(record.id);
  const replication::Report* its = call.report_of(record.id, holder);
  if (!mine || its == nullptr) co_return would;
  replication::HandoverFacts facts;
  facts.is_member = facts.is_connected = true;
  facts.successor = &*mine;
  facts.branch = &its->branch;
  // What it has shipped since its last report is here already.
  facts.durable_end = std::max(its->durable.position.lsn, mine->durable.position.lsn);
  facts.is_log_failed = its->state == control::State::log_failed;
  facts.lag_max = ~uint64_t{0};
  const auto obstacle = replication::decide_handover(facts);
  if (obstacle == replication::HandoverObstacle::none) co_return would;
  co_return refused("the handover of " + record.name + " would be refused", sentence(obstacle, "this host"));
}

}  // namespace

Task<Answer> primary(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  if (call.command.flag("force")) co_return co_await force(call, *record);
  const auto report = call.report(record->id);
  const bool is_wanted = find_designated(call.registers(), record->id).host == call.self();
  // In a fork its device is just being closed, and the wish of the other side may not be here yet.
  const bool is_primary = report && report->is_primary && report->state != control::State::fork;
  if (is_primary && is_wanted) co_return Answer::done(record->name + " is primary here already");
  Answer answer = may_become_primary(call, *record);
  if (answer.code == ExitCode::done) answer = may_ask(call, *record, call.holder(record->id));
  if (answer.code != ExitCode::done) co_return answer;
  if (call.is_dry_run()) co_return co_await plan_primary(call, *record);
  const Uuid request = random_uuid(call.machine());
  replication::Designated former = find_designated(call.registers(), record->id);
  replication::Designated wish{call.self(), request, {}};
  const Status status = co_await write_designated(call.registers(), record->id, std::move(wish));
  if (status != Status::ok) co_return not_written(call, status, "the wish");
  if (replication::Replica* replica = call.replica(record->id)) replica->wake();
  co_return co_await wait_primary(call, *record, request, std::move(former));
}

Task<Answer> secondary(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  if (auto fork = may_not_close(call, *record)) co_return std::move(*fork);
  const Uuid holder = call.holder(record->id, true);  // that nobody is to write is for all
  const Answer silent = may_ask(call, *record, holder);
  if (silent.code != ExitCode::done) co_return silent;
  if (!holder.is_nil() && co_await call.stays_in_use(record->id, holder)) co_return call.in_use(*record, holder);
  if (call.is_dry_run()) co_return Answer::done("no host would be primary of " + record->name);
  const Uuid request = random_uuid(call.machine());
  replication::Designated former = find_designated(call.registers(), record->id);
  replication::Designated wish{{}, request, {}};
  const Status status = co_await write_designated(call.registers(), record->id, std::move(wish));
  if (status != Status::ok) co_return not_written(call, status, "the wish");
  if (replication::Replica* replica = call.replica(record->id)) replica->wake();
  for (;;) {
    const replication::Designated now = find_designated(call.registers(), record->id);
    if (now.request == request && !now.refusal.empty()) {
      const bool is_used = now.refusal.starts_with("the device is in use");
      co_return refused(record->name + " stays primary: " + now.refusal,
                        is_used ? "unmount the device first" : "mend that, then ask again");
    }
    const bool is_known = !holder.is_nil() || knows_all(call, record->id, false);
    const bool is_open = is_device_open(call, record->id, holder);
    if (!is_open && is_known) co_return Answer::done("no host is primary of " + record->name);
    call.say(is_open ? "closing the device" : "waiting for the members that may have it open");
    if (co_await call.wait()) continue;
    const std::string left = co_await take_back(call, *record, request, former);
    if (!is_open && !call.node.is_stopping()) {
      co_return Answer{ExitCode::unreachable,
                       "nobody knows whether a host is primary of " + record->name + ": not all members answer",
                       left,
                       {}};
    }
    co_return call.over("the device of " + record->name + " is still open", left);
  }
}

}  // namespace mars::node
