#include "sim/storm/reached.h"

#include <charconv>

namespace mars::sim {
namespace {

constexpr const char* expected_states[] = {
    "command attach: done",
    "command create-resource: refused",
    "command detach: done",
    "command down: done",
    "command invalidate: done",
    "command invalidate: refused",
    "command join-cluster: usage",
    "command join-resource: done",
    "command join-resource: refused",
    "command leave-resource: done",
    "command leave-resource: refused",
    "command pause-fetch: done",
    "command pause-replay: done",
    "command pause-sync: done",
    "command primary --force: done",
    "command primary --force: failed",
    "command primary --force: refused",
    "command primary: done",
    "command primary: failed",
    "command primary: fork",
    "command primary: refused",
    "command primary: timed-out",
    "command primary: unreachable",
    "command secondary: done",
    "command secondary: refused",
    "command secondary: unreachable",
    "command set: not-found",
    "command wait-resource: timed-out",
    "crash at another file (change)",
    "crash at data disk (write)",
    "crash at log (flush)",
    "crash at log (write)",
    "crash at metadata",
    "crash at state block (flush)",
    "crash at state block (write)",
    "disk: a hole is made",
    "disk: zeroes are written",
    "fetch: the source cannot give it",
    "fork: invalidated",
    "fork: seen",
    "handover: broken off before the release",
    "handover: refused",
    "log: a write or flush failed",
    "log: damaged, with evidence behind it",
    "log: no space",
    "log: torn tail",
    "pool: acknowledged writes of a predecessor",
    "role: deposed, nothing lost",
    "role: forced",
    "role: not opened after all",
    "room: a replica's log is given up",
    "room: made for another resource",
    "segment: kept for a reader",
    "segment: recycled",
    "start: drop-tail",
    "start: fork",
    "start: keep-closed",
    "start: null-reign",
    "start: open-granted",
    "start: open-recovered",
    "start: rolled-back",
    "start: wait",
    "state: detached",
    "state: disk-changed",
    "state: fetching",
    "state: fork",
    "state: handing-over",
    "state: log-damaged",
    "state: log-failed",
    "state: opening",
    "state: paused",
    "state: replaying",
    "state: rolled-back",
    "state: syncing",
    "state: waiting-for-peer",
    "state: waiting-for-space",
    "state: writes-lost",
    "sync: begun",
    "sync: done",
    "sync: interrupted",
    "two devices open after a force",
};

}  // namespace

void Reached::add(const Reached& other) {
  for (const auto& [what, times] : other.counts_) counts_[what] += times;
}

std::vector<std::string> Reached::missing(uint64_t least) const {
  std::vector<std::string> missing;
  for (const std::string& what : expected()) {
    const auto found = counts_.find(what);
    if (found == counts_.end() || found->second < least) missing.push_back(what);
  }
  return missing;
}

std::string Reached::table() const {
  std::string text;
  for (const auto& [what, times] : counts_) {
    std::string count = std::to_string(times);
    text += std::string(count.size() < 10 ? 10 - count.size() : 0, ' ') + count + "  " + what + "\n";
  }
  return text;
}

std::string Reached::encode() const {
  std::string text;
  for (const auto& [what, times] : counts_) text += what + "\t" + std::to_string(times) + "\n";
  return text;
}

void Reached::decode(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const size_t tab = line.rfind('\t');
    uint64_t times = 0;
    if (tab != std::string_view::npos) {
      std::from_chars(line.data() + tab + 1, line.data() + line.size(), times);
      count(line.substr(0, tab), times);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

const std::vector<std::string>& Reached::expected() {
  static const std::vector<std::string> all(std::begin(expected_states), std::end(expected_states));
  return all;
}

}  // namespace mars::sim
