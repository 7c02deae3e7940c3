#include "sim/storm/storm.h"

#include <algorithm>

namespace mars::sim {

using namespace std::chrono_literals;

namespace {

// After the last trouble, with an operator who does what the states say.
constexpr int recovery_rounds = 12;
constexpr io::Duration recovery_round = 25s;

}  // namespace

Storm::Storm(const StormOptions& options, Reached& reached)
    : options_(options),
      stage_(options.seed, reached, options.listener),
      troubles_(stage_),
      operators_(stage_, troubles_),
      client_(stage_),
      watch_(stage_),
      neighbour_(stage_, options.seed) {}

// What is in flight comes back to those who are still there.
Storm::~Storm() {
  for (const std::string& host : stage_.hosts) {
    if (stage_.cluster.is_up(host)) stage_.cluster.stop(host);
  }
}

Outcome Storm::run() {
  stage_.set_up();
  neighbour_.set_up();
  const Plan plan = make_plan(options_.seed, options_.faults, options_.steps);
  Outcome outcome;
  for (size_t i = 0; i < plan.size() && stage_.problem.empty(); ++i) {
    if (!options_.only.empty() && !options_.only.contains(i)) continue;
    outcome.steps_done = i + 1;
    stage_.tell("-- step " + std::to_string(i) + ": " + std::string(row(plan[i].act).name));
    stage_.reached.count("did " + std::string(row(plan[i].act).name));
    perform(plan[i]);
    neighbour_.act(Prng(plan[i].seed + 1));
    watch_.look();
    operators_.collect();
  }
  if (stage_.problem.empty()) settle();
  outcome.problem = stage_.problem;
  if (!outcome.problem.empty()) {
    troubles_.mend_all();  // a host whose disk does nothing could neither tell nor end
    outcome.problem += "\n" + describe();
  }
  World& world = stage_.cluster.world();
  outcome.trace_hash = world.trace_hash();
  outcome.events = world.event_count();
  outcome.operations = client_.operations();
  outcome.virtual_ms = static_cast<uint64_t>(world.now() / 1ms);
  return outcome;
}

void Storm::perform(const Step& step) {
  Prng prng(step.seed);
  const std::string_view group = row(step.act).name;
  switch (step.act) {
    case Act::write_burst:
      return client_.burst(prng);
    case Act::read_back:
      return client_.read_back(prng);
    case Act::rest:
      return stage_.cluster.run_for(io::Duration(prng.below(prng.chance(1, 6) ? 4'000'000'000 : 400'000'000)));
    case Act::mend:
      return troubles_.mend_one(prng);
    case Act::mend_all:
      return calm(prng);
    default:
      group.starts_with("operator.") ? operators_.act(step.act, prng) : troubles_.begin(step.act, prng);
  }
}

// Everything is well for a while, and half of the time somebody looks after what is left.
void Storm::calm(Prng prng) {
  troubles_.mend_all();
  stage_.cluster.run_for(3s);
  watch_.look();
  if (prng.chance(2, 3)) operators_.recover(operators_.choose_winner());
  watch_.look();
  stage_.cluster.run_for(io::Duration(prng.between(1, 30) * 1'000'000'000));
}

bool Storm::is_up_to_date() {
  for (const std::string& host : stage_.hosts) {
    if (stage_.replica(host) == nullptr) return false;
    // What was said to it goes out only later, and can change everything then.
    if (stage_.cluster.node(host).cluster()->registers().is_rolled_back()) return false;
  }
  return stage_.open_hosts().size() == 1 && stage_.cluster.all_up_to_date(the_resource, 1ms) &&
         neighbour_.is_all_well();
}

void Storm::settle() {
  stage_.tell("-- all steps are done");
  troubles_.mend_all();
  operators_.restart_where_the_store_failed();
  if (!stage_.cluster.all_connected(120s)) return stage_.broke("liveness: the hosts do not find each other again");
  stage_.cluster.run_for(15s);
  for (int round = 0; round < recovery_rounds && stage_.problem.empty() && !is_up_to_date(); ++round) {
    troubles_.mend_all();
    const std::string winner = operators_.choose_winner();
    operators_.recover(winner);
    neighbour_.recover(round);
    watch_.look();
    if (stage_.open_hosts().empty()) {
      const std::string why = operators_.order(winner, "primary mydata");
      if (!why.empty() && round > 2) operators_.order(winner, "primary mydata --force");
    }
    for (int i = 0; i < 25 && !is_up_to_date(); ++i) {
      stage_.cluster.run_for(recovery_round / 25);
      watch_.look();
    }
    operators_.collect();
  }
  if (!stage_.problem.empty()) return;
  if (!is_up_to_date()) return stage_.broke("liveness: not everything comes up to date");
  stage_.cluster.run_for(15s);
  client_.read_back(Prng(options_.seed));
  if (!is_up_to_date()) return stage_.broke("liveness: it was up to date and is not any more");
  watch_.final_look();
  neighbour_.final_look();
}

std::string Storm::describe() {
  std::string text;
  for (const std::string& host : stage_.hosts) {
    text += "== " + host + "\n";
    replication::Replica* replica = stage_.replica(host);
    if (replica == nullptr) {
      text += stage_.is_alive(host) ? "has no replica\n" : "is down\n";
      continue;
    }
    const replication::Report report = replica->report();
    text += std::string(control::name(report.state)) + " " + report.reason + "; durable " +
            short_text(report.durable.position) + ", applied " + short_text(report.applied.position) +
            (report.is_consistent ? ", consistent" : "") + (report.is_holder ? ", holder" : "") +
            (report.is_primary ? ", primary" : "") + "\n";
    for (const control::Transfer& transfer : report.transfers) {
      text += "  " + std::string(control::name(transfer.kind)) + " " + std::to_string(transfer.done_bytes) + " of " +
              std::to_string(transfer.total_bytes) + " from " + transfer.source + "\n";
    }
    for (const format::BranchEpoch& epoch : report.branch) {
      text += "  " + std::to_string(epoch.number) + " " + short_text(epoch.id) + " " + std::string(name(epoch.cause)) +
              " by " + stage_.cluster.node(host).cluster()->resources().host_name(epoch.host) + " from " +
              to_string(epoch.first) + (epoch.ended ? " to " + to_string(epoch.end) : "") + "\n";
    }
    if (stage_.is_responsive(host)) text += stage_.cluster.events(host) + "\n";
  }
  text += neighbour_.describe();
  return text;
}

}  // namespace mars::sim
