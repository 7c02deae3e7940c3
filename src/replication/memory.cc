#include "replication/memory.h"

#include <algorithm>

namespace mars::replication {

namespace {

// The report shows all that was remembered, or an end of that epoch which a later one has bound.
bool shows_all(const Remembered& what, const Report& report) {
  const format::BranchEpoch* epoch = bricks::find_epoch(report.branch, what.tip.position.epoch);
  if (epoch == nullptr) return false;
  const Lsn wanted = epoch->ended ? std::min(epoch->end, what.tip.position.lsn) : what.tip.position.lsn;
  return report.durable.position.lsn >= wanted;
}

bool has_gone_elsewhere(const Memory& memory, const Report& report) {
  if (report.branch.empty() || bricks::find_epoch(report.branch, memory.what.tip.position.epoch)) return false;
  const EpochId last = report.branch.back().id;
  return std::find(memory.history.begin(), memory.history.end(), last) == memory.history.end();
}

}  // namespace

// Who is not attached, or no version of anything, says nothing of what it may lose.
void remember(Memory& memory, const Report& report) {
  if (!report.is_attached) return;
  const bool is_other_life = memory.what.life != report.life;
  if (!is_other_life && !report.is_consistent) return;
  if (!is_other_life && !shows_all(memory.what, report) && !has_gone_elsewhere(memory, report)) return;
  memory.what = {report.is_consistent ? report.durable : Tip{}, report.life};
  memory.history.clear();
  const size_t count = report.branch.size();
  for (size_t i = count - std::min(count, Memory::history_max); i < count; ++i) {
    memory.history.push_back(report.branch[i].id);
  }
}

bool is_earlier(const Remembered& now, const Memory& former) {
  const Position& then = former.what.tip.position;
  if (now.life.is_nil()) return true;
  if (now.life != former.what.life) return false;
  if (now.tip.position.is_none()) return true;
  if (now.tip.position.epoch == then.epoch) return now.tip.position.lsn < then.lsn;
  // What the history has behind that epoch, a log that has lost its end shows too.
  const auto at = std::ranges::find(former.history, then.epoch);
  return at != former.history.end() && std::find(former.history.begin(), at, now.tip.position.epoch) != at;
}

Lsn evidence_of(const bricks::Branch& branch, const Uuid& life, const Remembered& remembered) {
  const Position& position = remembered.tip.position;
  const format::BranchEpoch* epoch = bricks::find_epoch(branch, position.epoch);
  if (epoch == nullptr || remembered.life != life) return {};
  return epoch->ended ? std::min(epoch->end, position.lsn) : position.lsn;
}

}  // namespace mars::replication
