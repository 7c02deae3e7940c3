#include "sim/storm/operators.h"

#include <algorithm>

namespace mars::sim {

using namespace std::chrono_literals;
using control::Answer;
using control::State;

namespace {

constexpr size_t given_max = 12;
const std::string name_of_it = the_resource;

bool is_leave(const std::string& line) { return line.starts_with("leave-resource"); }

bool gives_up(const std::string& line) {
  return line.starts_with("invalidate") || is_leave(line) || line.find("--accept-disk") != std::string::npos;
}

}  // namespace

// ---- giving

// What a command may take away is allowed from the moment in which it is given.
void Operators::before(const std::string& host, const std::string& line) {
  if (gives_up(line)) {
    stage_.may_abandon.insert(host);
    stage_.history.give_up(stage_.id(host));
  }
  if (is_leave(line)) stage_.maybe_left.insert(host);
  if (line.find("--accept-loss") == std::string::npos) return;
  stage_.history.forget_unflushed(stage_.id(host));
  const replication::Replica* replica = stage_.replica(host);
  if (replica == nullptr || !replica->is_attached()) return;
  // A log that could not be read to its end ends there from now on.
  if (!replica->report().is_whole) {
    stage_.may_abandon.insert(host);
    stage_.history.excuse(stage_.id(host));
  }
  // The disk may be ahead of a log that rotted: the operator takes it as it is.
  if (!stage_.rotten.contains(host)) return;
  if (const auto reign = stage_.history.number_of(replica->report().durable.position.epoch)) stage_.history.mix(*reign);
}

void Operators::give(const std::string& host, const std::string& line) {
  if (!stage_.is_alive(host) || given_.size() >= given_max) return;
  stage_.tell(host + "# marsadm " + line);
  before(host, line);
  if (gives_up(line)) stage_.giving_up.insert(host);
  given_.push_back({host, line, stage_.cluster.begin(host, line)});
}

void Operators::note(const std::string& host, const std::string& line, const Answer& answer) {
  const bool is_force = line.find("--force") != std::string::npos;
  std::string word = line.substr(0, line.find(' '));
  if (is_force) word += " --force";
  stage_.reached.count("command " + word + ": " + std::string(control::name(answer.code)));
  stage_.tell("  " + line + ": " + std::string(control::name(answer.code)) + " " + answer.text);
  // What failed may be on the disk all the same, and what has timed out goes on, beside others that are refused then.
  const bool is_certain = answer.code != control::ExitCode::failed && answer.code != control::ExitCode::timed_out &&
                          answer.text.find("giving this replica up") == std::string::npos;
  if (is_leave(line) && is_certain) stage_.maybe_left.erase(host);
  if (answer.code != control::ExitCode::done && answer.text.empty())
    stage_.broke("P13: \"" + line + "\" fails silently");
}

// Whoever should have answered may be dead: then nobody but this holds the place of the answer.
void Operators::collect() {
  for (Given& given : given_) {
    if (!given.running->answer && given.running.use_count() > 1) continue;
    if (given.running->answer) note(given.host, given.line, *given.running->answer);
    if (gives_up(given.line)) stage_.giving_up.erase(stage_.giving_up.find(given.host));
    given.running.reset();
  }
  std::erase_if(given_, [](const Given& given) { return given.running == nullptr; });
}

std::string Operators::order(const std::string& host, const std::string& line) {
  if (host.empty() || !stage_.is_responsive(host)) return host + " does not answer";
  before(host, line);
  stage_.tell(host + "# marsadm " + line);
  const auto running = stage_.cluster.begin(host, line);
  stage_.cluster.world().run_until([&] { return running->answer.has_value(); }, 120s);
  if (!running->answer) return "\"" + line + "\" on " + host + " does not end";
  note(host, line, *running->answer);
  return running->answer->code == control::ExitCode::done ? std::string() : running->answer->text;
}

// ---- at random

void Operators::act(Act act, Prng prng) {
  const std::string host = stage_.any_host(prng);
  constexpr const char* switches[] = {"pause-fetch", "resume-fetch", "pause-replay", "resume-replay",
                                      "pause-sync",  "resume-sync",  "up",           "down",
                                      "up",          "resume-fetch", "resume-replay"};
  constexpr const char* settings[] = {"write-cache off",  "write-cache on",  "flush-interval 10ms", "flush-interval 1s",
                                      "handover-lag 64K", "handover-lag 8M", "open-wait 1s",        "open-wait 10s"};
  switch (act) {
    case Act::operator_handover:
      return give(host, "primary " + name_of_it + " --timeout " + std::to_string(prng.between(1, 20)) + "s");
    case Act::operator_force:
      return force(prng);
    case Act::operator_secondary:
      return give(host, "secondary " + name_of_it + " --timeout 10s");
    case Act::operator_invalidate:
      return invalidate(prng);
    case Act::operator_switch:
      return give(host, std::string(switches[prng.below(std::size(switches))]) + " " + name_of_it);
    case Act::operator_attach:
      return give(host, (prng.chance(1, 3) ? "detach " : "attach ") + name_of_it + " --timeout 10s");
    case Act::operator_membership:
      return membership(prng);
    case Act::operator_setting:
      return give(host, "set " + name_of_it + " " + settings[prng.below(std::size(settings))]);
    case Act::operator_in_use:
      return in_use(prng);
    default:
      return give(host, illegal(prng));
  }
}

// Mostly when the holder cannot be heard: otherwise it is refused.
void Operators::force(Prng& prng) {
  const std::vector<std::string> open = stage_.open_hosts();
  std::string host = stage_.any_host(prng);
  if (!open.empty() && prng.chance(3, 4)) {
    const std::string& holder = open[prng.below(open.size())];
    while (host == holder) host = stage_.any_host(prng);
    troubles_.isolate(holder);
    stage_.cluster.run_for(io::Duration(prng.between(1, 9) * 1'000'000'000));
  }
  if (prng.chance(1, 6)) give(host, "primary " + name_of_it + " --force --dry-run");
  give(host, "primary " + name_of_it + " --force" + (prng.chance(1, 3) ? " --now" : "") + " --timeout 30s");
}

void Operators::invalidate(Prng& prng) {
  for (const std::string& host : stage_.alive()) {
    replication::Replica* replica = stage_.replica(host);
    if (replica != nullptr && replica->report().state == State::fork) {
      return give(host, "invalidate " + name_of_it + " --timeout 30s");
    }
  }
  if (prng.chance(1, 3)) give(stage_.any_host(prng), "invalidate " + name_of_it + " --timeout 30s");
}

// Nobody leaves with the last version after the other disks were replaced: it would be lost at the next join.
void Operators::membership(Prng& prng) {
  const std::string host = stage_.any_host(prng);
  if (stage_.replica(host) == nullptr) return give(host, "join-resource " + name_of_it + " /dev/sdb --overwrite");
  const bool is_elsewhere = std::ranges::any_of(stage_.hosts, [&](const std::string& other) {
    return other != host && !stage_.replaced.contains(other) && !stage_.giving_up.contains(other) &&
           !stage_.maybe_left.contains(other);
  });
  if (prng.chance(1, 2) && is_elsewhere) give(host, "leave-resource " + name_of_it + " --timeout 20s");
}

void Operators::in_use(Prng& prng) {
  for (const std::string& host : stage_.open_hosts()) {
    const bool is_mounted = prng.chance(1, 2);
    stage_.tell(is_mounted ? "mounted on " + host : "unmounted on " + host);
    stage_.cluster.set_in_use(host, name_of_it, is_mounted);
  }
}

std::string Operators::illegal(Prng& prng) const {
  constexpr const char* lines[] = {"create-cluster",
                                   "join-cluster mars1-nonsense",
                                   "create-resource mydata /dev/sdb",
                                   "create-resource other /dev/sdb",
                                   "create-resource other /dev/none",
                                   "join-resource mydata /dev/sdb",
                                   "join-resource nothing /dev/sdb",
                                   "primary nothing",
                                   "primary nothing --force",
                                   "set mydata nonsense 1",
                                   "set mydata flush-interval minus",
                                   "attach mydata --accept-loss",
                                   "delete-resource nothing",
                                   "wait-resource mydata synced --timeout 3s",
                                   "status mydata",
                                   "view mydata",
                                   "graph mydata",
                                   "events --count 5",
                                   "invite --expires 1m"};
  return lines[prng.below(std::size(lines))];
}

// ---- bringing everything back

// Who writes now, if others can follow it; else whoever holds the right; else the first that has a whole version, or
// one that has only lost the end of its log.
std::string Operators::choose_winner() {
  std::string winner;
  int best = -1;
  for (const std::string& host : stage_.hosts) {
    replication::Replica* replica = stage_.replica(host);
    if (replica == nullptr) continue;
    const replication::Report report = replica->report();
    const bool has_epoch = !report.branch.empty();
    const bool is_version = report.is_attached && report.is_consistent;
    const int worth = (report.is_primary && report.is_whole ? 16 : 0) + (report.is_holder ? 8 : 0) +
                      (is_version && report.is_whole ? 4 : 0) + (is_version ? 2 : 0) +
                      (has_epoch && report.state != State::fork ? 1 : 0);
    if (worth > best) best = worth, winner = host;
  }
  return winner;
}

// As the status says: a store that could not be written is read anew by a restart. One that was lost before knows no
// other member until then.
void Operators::restart_where_the_store_failed() {
  for (const std::string& host : stage_.hosts) {
    if (!stage_.is_responsive(host)) continue;
    node::Cluster* cluster = stage_.cluster.node(host).cluster();
    if (cluster == nullptr || cluster->store_problem().empty()) continue;
    stage_.tell("restart " + host + ": " + cluster->store_problem());
    stage_.reached.count("store: failed, and marsd restarted");
    stage_.stop(host);
    stage_.start(host);
  }
}

void Operators::recover_host(const std::string& host, const std::string& winner) {
  replication::Replica* replica = stage_.replica(host);
  if (replica == nullptr) {
    const node::Resources& here = stage_.cluster.node(host).cluster()->resources();
    if (here.ids().size() > 0) order(host, "delete-resource other --force");
    // What a restored store says of one that has left: its files are missing, and it is given up once more.
    const bool is_missed = std::ranges::any_of(here.ids(), [&](const Uuid& id) {
      return here.file(id) != nullptr && here.file(id)->record.name == name_of_it;
    });
    if (is_missed) order(host, "leave-resource " + name_of_it);
    order(host, "join-resource " + name_of_it + " /dev/sdb --overwrite");
    return;
  }
  if (SimDevice* device = stage_.cluster.device(host, name_of_it)) device->set_in_use(false);
  const replication::Report report = replica->report();
  const control::Switches& on = report.switches;
  if (!on.attach || !on.fetch || !on.replay || !on.sync) order(host, "up " + name_of_it);
  switch (report.state) {
    case State::disk_changed:
      order(host, "attach " + name_of_it + " --accept-disk --force");
      break;
    case State::writes_lost:
      order(host, "attach " + name_of_it + " --accept-loss");
      break;
    case State::log_failed:
    case State::disk_failed:
    case State::failed:
      stage_.tell("restart " + host);
      stage_.stop(host);
      stage_.start(host);
      break;
    case State::log_damaged:
      // It rotted after the log had been read: it is read anew first, as the status says.
      if (host == winner && report.next_step.find("marsadm detach") != std::string::npos) {
        order(host, "detach " + name_of_it);
        order(host, "attach " + name_of_it);
        break;
      }
      order(host, host == winner ? "attach " + name_of_it + " --accept-loss" : "invalidate " + name_of_it);
      break;
    case State::fork:
    case State::rolled_back:
      if (host != winner) order(host, "invalidate " + name_of_it);
      break;
    case State::waiting_for_peer:
      if (host != winner && report.next_step.find("invalidate") != std::string::npos) {
        order(host, "invalidate " + name_of_it);
        break;
      }
      [[fallthrough]];
    default:
      if (is_on_losing_side(host, winner)) order(host, "invalidate " + name_of_it);
      break;
  }
}

// Somebody shows a fork, and this host does not stand on the history that is kept. A replica whose leaving was ordered
// before may have gone meanwhile.
bool Operators::is_on_losing_side(const std::string& host, const std::string& winner) {
  if (host == winner || stage_.replica(winner) == nullptr || stage_.replica(host) == nullptr) return false;
  bool is_anybody_forked = false;
  for (const std::string& other : stage_.alive()) {
    replication::Replica* replica = stage_.replica(other);
    is_anybody_forked = is_anybody_forked || (replica != nullptr && replica->report().state == State::fork);
  }
  const Position kept = stage_.replica(winner)->report().durable.position;
  const Position its = stage_.replica(host)->report().durable.position;
  return is_anybody_forked && !its.is_none() && !stage_.history.contains(kept, its);
}

void Operators::recover(const std::string& winner) {
  restart_where_the_store_failed();
  for (const std::string& host : stage_.hosts) {
    if (stage_.is_responsive(host)) recover_host(host, winner);
  }
}

}  // namespace mars::sim
