// Commands about one replica of this host: its disk, its switches, its options.
#include <algorithm>
#include <utility>

#include "control/value_text.h"
#include "node/call.h"
#include "node/json.h"

namespace mars::node {

using namespace std::chrono_literals;

namespace {

// The resource and its replica here.
Result<ResourceRecord> own_resource(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) return record;
  if (call.resources().file(record->id) == nullptr) {
    const Answer none = no_replica(*record);
    return failure(Status::not_found, none.text + "; " + none.next_step);
  }
  if (call.replica(record->id) == nullptr) return failure(Status::refused, call.why_idle(*record));
  return record;
}

Task<Status> write_switches(Call& call, Uuid id, std::vector<std::string> kinds, bool is_on) {
  for (const std::string& kind : kinds) {
    const Status status = co_await write_switch(call.registers(), id, call.self(), kind, is_on);
    if (status != Status::ok) co_return status;
  }
  co_return Status::ok;
}

Task<Answer> open_disk(Call& call, ResourceRecord record, std::vector<std::string> kinds) {
  Status status = co_await write_switches(call, record.id, std::move(kinds), true);
  if (status != Status::ok) co_return not_written(call, status, "the switch");
  // What is wrong already may be right at the next attempt, which comes within a second.
  const auto before = call.report(record.id);
  const bool was_broken = before && is_broken(*before);
  const io::Instant patience = call.machine().now() + (was_broken ? 2500ms : 0ms);
  if (replication::Replica* replica = call.replica(record.id)) replica->wake();
  for (;;) {
    const auto report = call.report(record.id);
    if (!report) co_return failed({Status::gone, "the replica has gone meanwhile"});
    if (report->is_attached && report->state != control::State::disk_changed) break;
    if (is_broken(*report) && call.machine().now() >= patience)
      co_return stuck(*report, "the disk of " + record.name + " cannot be opened");
    call.say("opening the disk");
    if (!co_await call.wait())
      co_return call.over("the disk of " + record.name + " is not open yet",
                          "it is tried again every second; `marsadm detach " + record.name + "` takes that back");
  }
  co_return Answer::done(record.name + " is attached");
}

// The switch first, so that the disk is not opened again behind the closing; a refusal turns it back.
Task<Answer> close_disk(Call& call, ResourceRecord record, std::vector<std::string> kinds) {
  if (co_await call.stays_in_use(record.id, call.self())) co_return call.in_use(record, call.self());
  if (call.is_dry_run()) {
    const std::string more = kinds.empty() ? "" : "; fetch, replay and sync would be off";
    co_return Answer::done("the disk of " + record.name + " would be closed" + more);
  }
  Status status = co_await write_switch(call.registers(), record.id, call.self(), "attach", false);
  if (status != Status::ok) co_return not_written(call, status, "the switch");
  call.say("closing");
  replication::Replica* replica = call.replica(record.id);
  if (replica == nullptr) co_return failed({Status::gone, "the replica has gone meanwhile"});
  Result<void> closed = co_await replica->detach();
  if (!closed) {
    status = co_await write_switch(call.registers(), record.id, call.self(), "attach", true);
    const bool is_slow = closed.error().status == Status::timed_out;
    std::string next_step = is_slow ? "mend that, then ask again" : "unmount it, or end whatever has it open";
    if (status != Status::ok) next_step = "run `marsadm attach " + record.name + "`; then " + next_step;
    co_return refused("the disk of " + record.name + " stays attached: " + closed.error().text, next_step);
  }
  status = co_await write_switches(call, record.id, std::move(kinds), false);
  if (status != Status::ok) co_return not_written(call, status, "a switch");
  co_return Answer::done(record.name + " is detached");
}

}  // namespace

Task<Answer> attach(Call& call) {
  Result<ResourceRecord> record = own_resource(call);
  if (!record) co_return failed(record.error());
  const bool is_wanted_primary = find_designated(call.registers(), record->id).host == call.self();
  if (call.command.flag("accept-disk") && is_wanted_primary && !call.command.flag("force")) {
    co_return refused("this host is the primary of " + record->name +
                          ": it would be synced from another replica, and what is on the disk overwritten",
                      "bring the former disk back; or hand over to another host and accept the disk here as a "
                      "secondary; or give --force; if what is on the disk shall count, `marsadm delete-resource " +
                          record->name + "` and create it anew");
  }
  if (call.is_dry_run()) co_return Answer::done("the disk of " + record->name + " would be opened");
  if (call.command.flag("accept-disk")) call.replica(record->id)->accept_disk(call.command.flag("force"));
  if (call.command.flag("accept-loss")) call.replica(record->id)->accept_loss();
  std::vector<std::string> kinds = {"attach"};
  co_return co_await open_disk(call, *record, std::move(kinds));
}

Task<Answer> up(Call& call) {
  Result<ResourceRecord> record = own_resource(call);
  if (!record) co_return failed(record.error());
  if (call.is_dry_run()) {
    co_return Answer::done("the disk of " + record->name + " would be opened; fetch, replay and sync would be on");
  }
  std::vector<std::string> kinds = {"fetch", "replay", "sync", "attach"};
  co_return co_await open_disk(call, *record, std::move(kinds));
}

Task<Answer> detach(Call& call) {
  Result<ResourceRecord> record = own_resource(call);
  if (!record) co_return failed(record.error());
  std::vector<std::string> none;
  co_return co_await close_disk(call, *record, std::move(none));
}

Task<Answer> down(Call& call) {
  Result<ResourceRecord> record = own_resource(call);
  if (!record) co_return failed(record.error());
  std::vector<std::string> kinds = {"fetch", "replay", "sync"};
  co_return co_await close_disk(call, *record, std::move(kinds));
}

// Refused where nobody could give the content back.
Task<Answer> invalidate(Call& call) {
  Result<ResourceRecord> record = own_resource(call);
  if (!record) co_return failed(record.error());
  if (co_await call.stays_in_use(record->id, call.self())) co_return call.in_use(*record, call.self());
  const auto mine = call.report(record->id);
  if (!mine) co_return failed({Status::gone, "the replica has gone meanwhile"});
  if (!mine->is_attached) {
    co_return refused("the disk of " + record->name + " is not attached here",
                      "run `marsadm attach " + record->name + "` first");
  }
  bool has_source = false, has_silent_source = false;
  for (const Uuid& host : call.resources().members(record->id)) {
    const replication::Report* report = host == call.self() ? nullptr : call.report_of(record->id, host);
    if (report == nullptr || !report->is_consistent) continue;
    (call.is_connected(host) ? has_source : has_silent_source) = true;
  }
  if (!has_source) {
    if (has_silent_source) {
      co_return Answer{ExitCode::unreachable,
                       "no host with a consistent replica of " + record->name + " answers",
                       "mend the network, then repeat the command",
                       {}};
    }
    co_return refused(
        "no other host has a consistent replica of " + record->name + ": this would be the end of its content",
        "wait until another replica is consistent");
  }
  const std::string lost = only_here(call, *record, *mine);
  if (call.is_dry_run()) co_return Answer::done("this host's version of " + record->name + " would be given up" + lost);
  call.say("putting the log aside");
  replication::Replica* replica = call.replica(record->id);
  if (replica == nullptr) co_return failed({Status::gone, "the replica has gone meanwhile"});
  std::function<bool()> is_over = [&call] { return call.is_abandoned(); };
  Result<void> done = co_await replica->invalidate(std::move(is_over));
  if (!done) co_return failed(done.error());
  co_return Answer{ExitCode::done,
                   "this host gives up its own version of " + record->name + " and follows the others" + lost,
                   "watch its sync with `marsadm status " + record->name + "`",
                   {}};
}

Task<Answer> turn_switch(Call& call) {
  Result<ResourceRecord> record = own_resource(call);
  if (!record) co_return failed(record.error());
  const std::string& command = call.command.name;
  const bool is_on = command.starts_with("resume-");
  const std::string kind = command.substr(command.find('-') + 1);
  const Status status = co_await write_switch(call.registers(), record->id, call.self(), kind, is_on);
  if (status != Status::ok) co_return not_written(call, status, "the switch");
  if (replication::Replica* replica = call.replica(record->id)) replica->wake();
  co_return Answer::done(kind + " of " + record->name + " is " + (is_on ? "on" : "off"));
}

Task<Answer> set_option(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  const std::string key = call.command.text("key");
  Result<std::string> value = control::check_setting(key, call.command.text("value"));
  if (!value) co_return failed(value.error());
  const Status status = co_await write_option(call.registers(), record->id, key, *value);
  if (status != Status::ok) co_return not_written(call, status, "the option");
  if (replication::Replica* replica = call.replica(record->id)) replica->apply_settings();
  co_return Answer::done(key + " = " + control::setting_text(*control::find_setting(key), *value));
}

Task<Answer> get_option(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) co_return failed(record.error());
  const std::map<std::string, std::string> stored = find_options(call.registers(), record->id);
  const std::string key = call.command.text("key");
  Answer answer;
  Json data = Json::object();
  for (const control::Setting& setting : control::settings_table()) {
    const std::string name(setting.name);
    if (!key.empty() && key != name) continue;
    const auto found = stored.find(name);
    const std::string value = found == stored.end() ? std::string(setting.default_value) : found->second;
    const std::string text = control::setting_text(setting, value);
    data[name] = text;
    answer.text += key.empty() ? name + " = " + text + "\n" : text;
  }
  if (!key.empty() && control::find_setting(key) == nullptr) co_return failed(control::check_setting(key, "").error());
  if (answer.text.ends_with('\n')) answer.text.pop_back();
  answer.data = control::write_json(data);
  co_return answer;
}

}  // namespace mars::node
