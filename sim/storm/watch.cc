#include "sim/storm/watch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "replication/sync_messages.h"
#include "sim/storm/log_overlay.h"

namespace mars::sim {

using namespace std::chrono_literals;
using control::State;
using replication::Report;

namespace {

// Whoever shows the same for so long without a reason is stuck and does not say why.
constexpr io::Duration silence_max = 90s;
constexpr uint64_t connections_max = 64;
constexpr io::Duration resumption = 15s;
constexpr uint64_t log_bytes_max = log_disk_bytes - log_reserve_bytes;
constexpr uint64_t log_bytes_limit = log_bytes_max + log_reserve_bytes / 4 * 3;  // never, not even for a moment

}  // namespace

void Watch::look() {
  stage_.bury_the_dead();
  for (const std::string& host : stage_.rotten) stage_.history.excuse(stage_.id(host));
  for (const std::string& host : stage_.hosts) {
    if (replication::Replica* replica = stage_.replica(host)) {
      look_at(host, *replica);
    } else {
      seen_[host].since = stage_.cluster.world().now();
    }
  }
  check_writers();
  check_connections();
}

void Watch::look_at(const std::string& host, replication::Replica& replica) {
  const Report report = replica.report();
  Seen& seen = seen_[host];
  if (stage_.listener) {
    stage_.tell("  " + host + " " + std::string(control::name(report.state)) + ", durable " +
                short_text(report.durable.position) + ", applied " + short_text(report.applied.position) + ", log " +
                std::to_string(report.log_bytes >> 10) + " KiB");
  }
  if (report.is_consistent) stage_.replaced.erase(host);
  check_reason(host, report, seen);
  const uint64_t movable = stage_.history.touched_bytes(replication::sync_range_bytes);
  if (replica.moved_bytes() > movable) {
    stage_.broke("P7: a sync moved " + std::to_string(replica.moved_bytes()) + " bytes to " + host + ", and only " +
                 std::to_string(movable) + " can differ");
  }
  if (!report.is_attached) return;
  if (std::string wrong = stage_.history.learn(report.branch); !wrong.empty()) stage_.broke(wrong + " (" + host + ")");
  check_log(host, report.log_bytes, seen);
  const auto reign = stage_.history.number_of(report.durable.position.epoch);
  const bool has_less =
      report.durable.position.epoch == seen.durable.epoch && report.durable.position.lsn < seen.durable.lsn;
  // A tear and this look the same: the disk is not ahead of what is left.
  if (has_less && report.is_whole && stage_.rotten.contains(host)) {
    stage_.reached.count("the end of a log rotted away unseen");
    if (reign) stage_.history.forget_behind(*reign, report.durable.position.lsn);
  }
  if (reign && report.is_primary && stage_.history.reign(*reign).host == stage_.id(host)) {
    const History::Reign& its = stage_.history.reign(*reign);
    const std::string wrong =
        stage_.history.narrow(*reign, report.durable.position.lsn, its.flushed,
                              static_cast<uint32_t>(its.writes.size()), "the durable end of the primary " + host);
    if (!wrong.empty()) stage_.broke(wrong);
  }
  check_given_up(host, report, seen);
  const uint64_t changes = stage_.cluster.host(host).disks().change_count();
  if (report.is_consistent && report.is_whole && changes != seen.changes) check_image(host, report);
  seen.changes = changes;
}

// A reign may begin in the reserve, for that it is there; then room is made.
void Watch::check_log(const std::string& host, uint64_t log_bytes, Seen& seen) {
  const io::Instant now = stage_.cluster.world().now();
  if (log_bytes <= log_bytes_max) {
    seen.large_since.reset();
  } else if (!seen.large_since) {
    seen.large_since = now;
  }
  const bool stays_large =
      seen.large_since && now - *seen.large_since > resumption && !stage_.is_late_allowed(host, *seen.large_since);
  if (log_bytes > log_bytes_limit || stays_large) {
    stage_.broke("P10: the log of " + host + " has " + std::to_string(log_bytes) + " bytes");
  }
}

// Who is stopped closes nothing: its kernel keeps what others gave up, until it goes on.
void Watch::check_connections() {
  const io::Instant now = stage_.cluster.world().now();
  for (const std::string& host : stage_.alive()) {
    if (!stage_.is_responsive(host)) stopped_at_ = now;
  }
  const size_t count = stage_.cluster.world().network().connection_count();
  if (count > connections_max && now - stopped_at_ > resumption) {
    stage_.broke("P10: " + std::to_string(count) + " connections");
  }
}

// ---- who may write

void Watch::check_writers() {
  const std::vector<std::string> open = stage_.open_hosts();
  for (size_t i = 0; i + 1 < open.size(); ++i) {
    for (size_t j = i + 1; j < open.size(); ++j) {
      stage_.reached.count("two devices open after a force");
      if (!is_forced_apart(open[i], open[j])) stage_.broke("P4: " + open[i] + " and " + open[j] + " may both write");
    }
  }
}

// Two may write at once only when one of them was forced while the other lived on.
bool Watch::is_forced_apart(const std::string& x, const std::string& y) {
  // Who is leaving has a device for a moment longer than a replica.
  if (stage_.replica(x) == nullptr || stage_.replica(y) == nullptr) return true;
  const bricks::Branch mine = stage_.replica(x)->report().branch;
  const bricks::Branch theirs = stage_.replica(y)->report().branch;
  for (const auto& [branch, other] : {std::pair{&mine, &theirs}, std::pair{&theirs, &mine}}) {
    for (const format::BranchEpoch& epoch : *branch) {
      if (epoch.cause == EpochCause::force && bricks::find_epoch(*other, epoch.id) == nullptr) return true;
    }
  }
  return false;
}

// ---- what is given up

// A host's own version goes only when the operator says so, or when nothing that was acknowledged goes with it (P6).
// While its log cannot be read to its end, nothing is given up yet.
void Watch::check_given_up(const std::string& host, const Report& report, Seen& seen) {
  if (!report.is_whole) return;
  const Position now = report.durable.position;
  const bool is_behind = seen.was_consistent && !seen.durable.is_none() && !stage_.history.contains(now, seen.durable);
  if (is_behind && !stage_.may_abandon.contains(host) && !stage_.rotten.contains(host)) {
    stage_.reached.count("a tail was dropped");
    if (stage_.history.is_data_lost(now, seen.durable)) {
      stage_.broke("P6: " + host + " went from " + short_text(seen.durable) + " to " + short_text(now) +
                   " and gave writes up that nobody gave up");
    }
  }
  const bool is_kept = !stage_.giving_up.contains(host) && !stage_.maybe_left.contains(host);
  if (report.is_consistent && now != seen.durable && is_kept) stage_.may_abandon.erase(host);
  seen.durable = now;
  seen.was_consistent = report.is_consistent;
}

void Watch::check_reason(const std::string& host, const Report& report, Seen& seen) {
  const io::Instant now = stage_.cluster.world().now();
  const bool is_same = report.state == seen.state && report.applied.position == seen.applied &&
                       report.transfers.empty() && stage_.is_responsive(host);
  seen.applied = report.applied.position;
  seen.state = report.state;
  // A marsd that begins anew shows for a moment what the one before had a reason for.
  const bool needs_none = report.state == State::up_to_date || !report.reason.empty() || !report.next_step.empty();
  const bool is_another = std::exchange(seen.starts, stage_.starts[host]) != stage_.starts[host];
  if (!is_same || needs_none || is_another) seen.since = now;
  if (now - seen.since < silence_max) return;
  stage_.broke("liveness: " + host + " is " + std::string(control::name(report.state)) + " for " +
               std::to_string((now - seen.since) / 1s) + " s and gives no reason");
}

// ---- images

std::vector<std::byte> Watch::image(const std::string& host) {
  std::vector<std::byte> image;
  image.reserve(size_t{sectors} * sector_bytes);
  for (unsigned sector = 0; sector < sectors; sector += run_sectors) {
    const io::Bytes run =
        stage_.cluster.host(host).disks().peek("/dev/sdb", offset_of(sector), uint64_t{run_sectors} * sector_bytes);
    image.insert(image.end(), run.begin(), run.end());
  }
  return image;
}

bool Watch::overlay(const std::string& host, Position from, Position to, std::span<std::byte> image) {
  return overlay_log(stage_.cluster.host(host).disks(), stage_.segment_directory(host), stage_.history, from, to,
                     image);
}

// Disk and local log together yield exactly the durable end (D12). While the log has damage that waits for somebody's
// bytes, nothing is claimed.
void Watch::check_image(const std::string& host, const Report& report) {
  const Position from = report.applied.position;
  const Position to = report.durable.position;
  std::vector<std::byte> bytes = image(host);
  if (from.lsn < to.lsn && !overlay(host, from, to, bytes)) {
    stage_.reached.count("an image that could not be checked");
    return;
  }
  stage_.reached.count("an image was checked");
  const std::string wrong = stage_.history.check_image(to, bytes);
  if (!wrong.empty()) {
    stage_.broke(wrong + " (" + host + ", applied " + short_text(from) + ", durable " + short_text(to) + ")");
  }
}

void Watch::final_look() {
  look();
  for (const std::string& host : stage_.hosts) {
    const bool is_equal = stage_.cluster.disks_equal("a", host);
    if (!is_equal) stage_.broke("P1: the disks of a and " + host + " are not equal at equal positions");
    const size_t awaited = stage_.cluster.node(host).cluster()->resources().awaited(stage_.resource).size();
    if (awaited != stage_.hosts.size()) {
      stage_.broke("liveness: " + host + " waits for " + std::to_string(awaited) + " hosts");
    }
  }
}

}  // namespace mars::sim
