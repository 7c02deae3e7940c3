// Call: one command that runs, and what all commands share: whom it is about, how it waits, how it refuses.
#pragma once

#include <optional>
#include <string>

#include "control/answer.h"
#include "control/command.h"
#include "node/node.h"

namespace mars::node {

using control::Answer;
using control::ExitCode;

class Call {
 public:
  Call(Node& node, control::Command command, Node::Listener listener, Node::Caller caller);

  Node& node;
  const control::Command command;

  io::Machine& machine() { return node.machine(); }
  Cluster& cluster() { return *node.cluster(); }
  meta::Registers& registers() { return node.cluster()->registers(); }
  Resources& resources() { return node.cluster()->resources(); }
  const Uuid& self() { return node.cluster()->identity().host; }
  std::string host_name(const Uuid& host) { return resources().host_name(host); }
  bool is_dry_run() const { return command.flag("dry-run"); }

  // The resource of the argument "resource", by name or uuid; not_found names the nearest.
  Result<ResourceRecord> resource();
  // Its replica here, asked for anew after each co_await; null: none, or the log disk or its file is missing.
  replication::Replica* replica(const Uuid& id) { return resources().find(id); }
  // One that is here but null: why, and what to do.
  std::string why_idle(const ResourceRecord& record);
  // What this host's replica says of itself now.
  std::optional<replication::Report> report(const Uuid& id);
  // The report of any host that is known, this one included; null: none.
  const replication::Report* report_of(const Uuid& id, const Uuid& host);
  // Who has the right to write the history of this host, or any, as far as known; nil: nobody that is known.
  Uuid holder(const Uuid& id, bool in_any_history = false);
  bool is_connected(const Uuid& host) { return host == self() || resources().is_connected(host); }

  // Somebody has its device open there. The list of users is up to 2 s old, so an unmount of just now is waited for.
  Task<bool> stays_in_use(Uuid id, Uuid host);
  // What the command ends with then; names who uses it, as far as this host knows.
  Answer in_use(const ResourceRecord& record, const Uuid& host);
  // Until something has changed. False: the time is over, nobody waits any more, or marsd stops; then see over().
  Task<bool> wait();
  std::optional<io::Instant> deadline() const { return deadline_; }
  // What the command ends with then. `left`: what goes on, or was left behind, and how to take it back.
  Answer over(std::string what, std::string left = "it goes on by itself; watch it with `marsadm status`");
  // Another member has asked this host.
  bool is_from_afar() const { return !caller_.host.empty(); }
  // Whoever gave the command has gone.
  bool is_abandoned() const { return caller_.gone != nullptr && caller_.gone->is_set(); }
  void say(std::string text, uint64_t done = 0, uint64_t total = 0);

 private:
  Node::Listener listener_;
  const Node::Caller caller_;
  std::optional<io::Instant> deadline_;
  std::optional<replication::Report> own_;
  control::Progress said_;
};

Answer refused(std::string text, std::string next_step = {});
Answer failed(const Error& error, std::string next_step = {});
// What is wanted did not get into the registers.
Answer not_written(Call& call, Status status, std::string_view what);
// Where the command is about a replica of this host.
Answer no_replica(const ResourceRecord& record);
// A member whose cluster could not be opened.
Answer not_open(Node& node);
// What the operator reads when a replica stays in a state that somebody has to end.
Answer stuck(const replication::Report& report, std::string what);
bool is_broken(const replication::Report& report);
// The part of a sentence that says how much of the log here no other consistent replica has, as far as it was heard;
// empty: nothing.
std::string only_here(Call& call, const ResourceRecord& record, const replication::Report& mine);

using Runner = Task<Answer> (*)(Call& call);

// command_cluster.cc
Task<Answer> create_cluster(Call& call);
Task<Answer> invite(Call& call);
Task<Answer> join_cluster(Call& call);
Task<Answer> issue_client(Call& call);
Task<Answer> show_version(Call& call);
// command_resource.cc
Task<Answer> create_resource(Call& call);
Task<Answer> join_resource(Call& call);
Task<Answer> leave_resource(Call& call);
Task<Answer> delete_resource(Call& call);
// command_replica.cc
Task<Answer> attach(Call& call);
Task<Answer> detach(Call& call);
Task<Answer> up(Call& call);
Task<Answer> down(Call& call);
Task<Answer> invalidate(Call& call);
Task<Answer> turn_switch(Call& call);
Task<Answer> set_option(Call& call);
Task<Answer> get_option(Call& call);
// command_role.cc
Task<Answer> primary(Call& call);
Task<Answer> secondary(Call& call);
// command_watch.cc
Task<Answer> show_status(Call& call);
Task<Answer> wait_resource(Call& call);
Task<Answer> show_events(Call& call);
// command_graph.cc
Task<Answer> show_graph(Call& call);
Task<Answer> insert_instrument(Call& call);
Task<Answer> remove_instrument(Call& call);

// Checks it against the table, finds its runner and runs it.
Task<Answer> run_command(Node& node, control::Command command, Node::Listener listener, Node::Caller caller);

}  // namespace mars::node
