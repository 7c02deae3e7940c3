#include "sim/storm/drill.h"

namespace mars::sim {

using namespace std::chrono_literals;

namespace {

constexpr Drill table[] = {
    {"append", "", "", "a"},
    {"fetch", "", "", "b"},
    {"join_target", "b: leave-resource mydata", "b: join-resource mydata /dev/sdb --overwrite", "b"},
    {"join_source", "b: leave-resource mydata", "b: join-resource mydata /dev/sdb --overwrite", "a"},
    {"leave", "", "b: leave-resource mydata", "b"},
    {"sync_target", "", "b: invalidate mydata", "b"},
    {"sync_source", "", "b: invalidate mydata", "a"},
    {"handover_giver", "", "b: primary mydata", "a"},
    {"handover_taker", "", "b: primary mydata", "b"},
    {"force", "a: secondary mydata", "b: primary mydata --force --now", "b"},
    {"secondary", "", "a: secondary mydata", "a"},
    {"metadata", "", "b: set mydata flush-interval 50ms", "b"},
    {"detach", "", "b: detach mydata", "b"},
    {"attach", "b: detach mydata", "b: attach mydata", "b"},
    {"detach_primary", "", "a: detach mydata", "a"},
};

// "b: join" -> {"b", "join"}
std::pair<std::string, std::string> split(std::string_view order) {
  const size_t colon = order.find(": ");
  return {std::string(order.substr(0, colon)), std::string(order.substr(colon + 2))};
}

}  // namespace

std::span<const Drill> drills() { return table; }

DrillOutcome run_drill(const Drill& drill, const DrillOptions& options, Reached& reached) {
  StormOptions storm;
  storm.seed = 5000 + options.change;
  return Storm(storm, reached).drill(drill, options);
}

DrillOutcome Storm::drill(const Drill& drill, const DrillOptions& options) {
  const std::string victim(drill.victim);
  stage_.set_up();
  Host& host = stage_.cluster.host(victim);
  if (options.do_flushes_lie) {
    host.disks().fail({.path = "/", .op = DiskOp::flush, .times = Fault::forever, .status = Status::ok});
  }
  for (uint64_t i = 0; i < 3; ++i) client_.burst(Prng(options.change + i));
  if (!drill.before.empty()) {
    const auto [where, line] = split(drill.before);
    operators_.order(where, line);
  }
  options.is_power_loss ? host.power_loss_at_disk_op(options.change) : host.kill_at_disk_op(options.change);
  if (!drill.command.empty()) {
    const auto [where, line] = split(drill.command);
    operators_.give(where, line);
  }
  for (uint64_t i = 0; i < 40 && stage_.is_alive(victim); ++i) {
    if (drill.command.empty()) client_.burst(Prng(options.change * 100 + i));
    stage_.cluster.run_for(50ms);
    watch_.look();
    operators_.collect();
  }
  DrillOutcome outcome;
  outcome.has_died = !stage_.is_alive(victim);
  if (stage_.problem.empty()) settle();
  outcome.problem = stage_.problem;
  if (!outcome.problem.empty()) outcome.problem += "\n" + describe();
  return outcome;
}

}  // namespace mars::sim
