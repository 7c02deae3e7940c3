// Commands about the bricks of a resource: what is wired, and instruments put into its edges while it runs.
#include <utility>

#include "control/value_text.h"
#include "node/call.h"
#include "node/instruments.h"

namespace mars::node {

namespace {

Result<ResourceRecord> wired_resource(Call& call) {
  Result<ResourceRecord> record = call.resource();
  if (!record) return record;
  if (call.replica(record->id) != nullptr) return record;
  if (call.resources().file(record->id) != nullptr) return failure(Status::refused, call.why_idle(*record));
  const Answer none = no_replica(*record);
  return failure(Status::not_found, none.text + "; " + none.next_step);
}

io::Duration deadline_of(Call& call) {
  const Result<uint64_t> wanted = control::parse_duration_ms(call.command.text("deadline"));
  return std::chrono::milliseconds(wanted ? *wanted : 5000);
}

Answer not_rewired(Call& call, const Error& error, const std::string& resource) {
  if (error.status != Status::busy) return failed(error);
  return refused(
      "the gate opened again after " + call.command.text("deadline") + ", nothing was changed: " + error.text,
      "repeat it, with a longer --deadline, or look with `marsadm graph " + resource + "` for what holds the requests");
}

}  // namespace

Task<Answer> show_graph(Call& call) {
  Result<ResourceRecord> record = wired_resource(call);
  if (!record) co_return failed(record.error());
  const std::string text = call.replica(record->id)->graph();
  co_return Answer::done(text.empty() ? record->name + " is detached: no bricks are wired" : text);
}

Task<Answer> insert_instrument(Call& call) {
  Result<ResourceRecord> record = wired_resource(call);
  if (!record) co_return failed(record.error());
  const std::string type = call.command.text("instrument");
  auto maker = instrument_maker(call.machine(), type, call.command.text("set"));
  if (!maker) co_return failed(maker.error(), "`marsadm insert --help` lists them with their settings");
  std::string at = call.command.text("at");
  if (at.empty()) at = call.replica(record->id)->is_primary() ? "device" : "data";
  if (call.is_dry_run()) co_return Answer::done(type + " would be put into " + at + " of " + record->name);
  call.say("waiting for the edge to drain, at most " + call.command.text("deadline"));
  replication::Replica* replica = call.replica(record->id);
  Result<std::string> name = co_await replica->insert(type, at, std::move(*maker), deadline_of(call));
  if (!name) co_return not_rewired(call, name.error(), record->name);
  Answer answer = Answer::done(*name + " is in the graph of " + record->name + ", in " + at);
  answer.next_step = "what it sees: `marsadm graph " + record->name + "`; take it out: `marsadm remove " +
                     record->name + " " + *name + "`";
  co_return answer;
}

Task<Answer> remove_instrument(Call& call) {
  Result<ResourceRecord> record = wired_resource(call);
  if (!record) co_return failed(record.error());
  const std::string name = call.command.text("instrument");
  if (call.is_dry_run()) co_return Answer::done(name + " would be taken out of the graph of " + record->name);
  call.say("waiting for the edge to drain, at most " + call.command.text("deadline"));
  Result<void> done = co_await call.replica(record->id)->take_out(name, deadline_of(call));
  if (!done) co_return not_rewired(call, done.error(), record->name);
  co_return Answer::done(name + " is taken out of the graph of " + record->name);
}

}  // namespace mars::node
