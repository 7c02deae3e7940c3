// Who is primary. A planned handover is a wish (T6): it is written, and whoever has the right to write acts on it.
#include <utility>

#include "node/call.h"
#include "node/json.h"
#include "node/text.h"

namespace mars::node {

namespace {

// What forbids to begin with it at all; done: nothing does.
Answer may_become_primary(Call& call, const ResourceRecord& record) {
  const auto report = call.report(record.id);
  if (!report) {
    return refused("this host has no replica of " + record.name,
                   "add one with `marsadm join-resource " + record.name + " DISK`");
  }
  const control::Switches& on = report->switches;
  for (const auto& [is_on, kind] : {std::pair{on.attach, "attach"}, {on.fetch, "fetch"}, {on.replay, "replay"}}) {
    if (!is_on) {
      return refused(std::string(kind) + " of " + record.name + " is switched off here",
                     "run `marsadm up " + record.name + "`");
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
Answer may_ask_holder(Call& call, const ResourceRecord& record) {
  const Uuid holder = call.holder(record.id);
  if (holder.is_nil() || holder == call.self() || call.is_connected(holder)) return Answer::done();
  return {ExitCode::unreachable,
          call.host_name(holder) + " has the right to write " + record.name + " and does not answer",
          "mend the network; if that host is lost, see what would be missing with `marsadm primary " + record.name +
              " --force --dry-run`",
          {}};
}

std::string progress_text(Call& call, const ResourceRecord& record) {
  const Uuid holder = call.holder(record.id);
  if (holder == call.self()) return "opening the device";
  if (holder.is_nil()) return "the right to write is on its way";
  const replication::Report* report = call.report_of(record.id, holder);
  const bool is_going = report != nullptr && report->state == control::State::handing_over;
  return is_going ? call.host_name(holder) + " hands over" : "waiting for " + call.host_name(holder);
}

Task<Answer> wait_primary(Call& call, ResourceRecord record, Uuid request) {
  for (;;) {
    const auto report = call.report(record.id);
    if (!report) co_return failed({Status::gone, "the replica has gone meanwhile"});
    if (report->is_primary) break;
    const replication::Designated wish = find_designated(call.registers(), record.id);
    if (wish.request == request && !wish.refusal.empty()) {
      co_return refused("the handover of " + record.name + " was refused: " + wish.refusal,
                        "nothing was changed; mend this and repeat the command");
    }
    if (wish.request != request) co_return refused("another command for " + record.name + " came after this one");
    if (is_broken(*report)) co_return stuck(*report, record.name + " does not become primary here");
    call.say(progress_text(call, record));
    if (co_await call.wait()) continue;
    const Answer silent = may_ask_holder(call, record);
    if (silent.code != ExitCode::done && !call.node.is_stopping()) co_return silent;
    co_return call.over(record.name + " is not primary here yet");
  }
  const std::string device = call.report(record.id)->device;
  co_return Answer::done(record.name + " is primary here" + (device.empty() ? "" : " as " + device));
}

Task<Answer> force(Call& call, ResourceRecord record) {
  replication::Replica* replica = call.replica(record.id);
  if (replica == nullptr) co_return refused("this host has no replica of " + record.name + " that could be opened");
  call.say("asking which writes will be missing");
  const bool is_dry_run = call.is_dry_run();
  Result<replication::LossStatement> loss = co_await replica->force(is_dry_run, call.command.flag("now"));
  if (!loss) co_return failed(loss.error());
  if (loss->is_refused) co_return refused(loss->text);
  Json data = {{"loss_bytes", loss->bytes}, {"loss_ms", loss->milliseconds}, {"loss", loss->text}};
  Answer answer = Answer::done((is_dry_run ? "" : record.name + " is forced primary here; ") + loss->text);
  answer.data = control::write_json(data);
  if (is_dry_run) co_return answer;
  answer.next_step = "when the former primary comes back and has written more, run `marsadm invalidate " + record.name +
                     "` on the side that is given up";
  co_return answer;
}

}  // namespace

Task<Answer> primary(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  if (call.command.flag("force")) co_return co_await force(call, *record);
  const auto report = call.report(record->id);
  const bool is_wanted = find_designated(call.registers(), record->id).host == call.self();
  if (report && report->is_primary && is_wanted) co_return Answer::done(record->name + " is primary here already");
  Answer answer = may_become_primary(call, *record);
  if (answer.code == ExitCode::done) answer = may_ask_holder(call, *record);
  if (answer.code != ExitCode::done) co_return answer;
  if (call.is_dry_run()) co_return Answer::done(record->name + " would become primary here");
  const Uuid request = random_uuid(call.machine());
  replication::Designated wish{call.self(), request, {}};
  const Status status = co_await write_designated(call.registers(), record->id, std::move(wish));
  if (status != Status::ok) co_return failed({status, "the wish could not be written down"});
  if (replication::Replica* replica = call.replica(record->id)) replica->wake();
  co_return co_await wait_primary(call, *record, request);
}

Task<Answer> secondary(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  const Answer silent = may_ask_holder(call, *record);
  if (silent.code != ExitCode::done) co_return silent;
  const Uuid holder = call.holder(record->id);
  if (!holder.is_nil() && co_await call.stays_in_use(record->id, holder)) {
    co_return refused("the device of " + record->name + " is in use on " + call.host_name(holder),
                      "unmount it there first");
  }
  if (call.is_dry_run()) co_return Answer::done("no host would be primary of " + record->name);
  const Uuid request = random_uuid(call.machine());
  replication::Designated wish{{}, request, {}};
  const Status status = co_await write_designated(call.registers(), record->id, std::move(wish));
  if (status != Status::ok) co_return failed({status, "the wish could not be written down"});
  if (replication::Replica* replica = call.replica(record->id)) replica->wake();
  for (;;) {
    const replication::Designated now = find_designated(call.registers(), record->id);
    if (now.request == request && !now.refusal.empty()) {
      co_return refused(record->name + " stays primary: " + now.refusal, "unmount the device first");
    }
    bool is_open = false;
    for (const Uuid& host : call.resources().members(record->id)) {
      const replication::Report* its = call.report_of(record->id, host);
      is_open = is_open || (its != nullptr && its->is_primary);
    }
    if (!is_open) co_return Answer::done("no host is primary of " + record->name);
    call.say("closing the device");
    if (!co_await call.wait()) co_return call.over("the device of " + record->name + " is still open");
  }
}

}  // namespace mars::node
