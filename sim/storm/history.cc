#include "sim/storm/history.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.h"

namespace mars::sim {
namespace {

// magic 8 | sector 12 | reign 16 | index 28
constexpr uint64_t magic = 0xa5;

uint64_t word_of(unsigned sector, uint32_t reign, uint32_t index) {
  return magic << 56 | uint64_t{sector} << 44 | uint64_t{reign & 0xffff} << 28 | (index & 0xfffffff);
}

bool is_uniform(std::span<const std::byte> content) {
  return std::memcmp(content.data(), content.data() + 8, content.size() - 8) == 0;
}

std::string at(unsigned sector) { return "sector " + std::to_string(sector); }

}  // namespace

const History::Reign* History::find(const EpochId& id) const {
  const auto number = number_of(id);
  return number ? &reigns_[*number] : nullptr;
}

std::optional<uint32_t> History::number_of(const EpochId& id) const {
  const auto found = numbers_.find(id);
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

// ---- epochs

std::string History::learn(const bricks::Branch& branch) {
  const format::BranchEpoch* parent = nullptr;
  for (const format::BranchEpoch& epoch : branch) {
    const Reign* known = find(epoch.id);
    if (known != nullptr && (known->host != epoch.host || known->cause != epoch.cause)) {
      return "P4: epoch " + short_text(epoch.id) + " has two writers";
    }
    if (known == nullptr) {
      if (std::string wrong = begin(epoch, parent); !wrong.empty()) return wrong;
    }
    parent = &epoch;
  }
  return {};
}

// What the parent's end must hold follows from who begins the child: the same host keeps what it acknowledged, and so
// does one to whom it was handed over; a forced one keeps what it has.
std::string History::begin(const format::BranchEpoch& epoch, const format::BranchEpoch* parent) {
  Reign reign;
  reign.id = epoch.id;
  reign.host = epoch.host;
  reign.cause = epoch.cause;
  reign.of_sector.resize(sectors);
  if (parent != nullptr) {
    reign.parent = number_of(parent->id);
    reign.parent_end = parent->end;
  }
  // Two that go on from one epoch: only a force makes that possible (T2). A reign of its own in which nobody wrote is
  // dropped by a host that was deposed, and begun again, or handed to another, when the rival is given up (T9).
  const bool had_rival = std::ranges::any_of(reigns_, [&](const Reign& other) {
    return reign.parent && other.parent == reign.parent && other.cause == EpochCause::force;
  });
  for (const Reign& other : reigns_) {
    const bool is_handed_on = had_rival && reign.cause == EpochCause::grant && parent->host == other.host;
    const bool goes_on = other.host == reign.host || is_handed_on;
    const bool was_dropped = goes_on && other.writes.empty();
    const bool is_sibling = reign.parent && other.parent == reign.parent && !other.is_given_up && !was_dropped;
    if (!is_sibling || other.cause == EpochCause::force || reign.cause == EpochCause::force) continue;
    return "P4: epochs " + short_text(other.id) + " and " + short_text(reign.id) + " both follow " +
           short_text(parent->id) + ", and none was forced";
  }
  numbers_.emplace(epoch.id, static_cast<uint32_t>(reigns_.size()));
  reigns_.push_back(std::move(reign));
  if (parent == nullptr) return {};
  const Reign& before = reigns_.at(*reigns_.back().parent);
  const bool is_kept = epoch.cause != EpochCause::force || epoch.host == before.host;
  const bool keeps = is_kept && !before.is_given_up;
  return narrow(*reigns_.back().parent, parent->end, keeps ? before.acknowledged : 0,
                static_cast<uint32_t>(before.writes.size()),
                "epoch " + short_text(epoch.id) + " (" + std::string(name(epoch.cause)) + ") begins");
}

void History::forget_unflushed(const Uuid& host) {
  for (Reign& reign : reigns_) {
    if (reign.host == host) reign.acknowledged = reign.flushed;
  }
}

void History::excuse(const Uuid& host) {
  for (Reign& reign : reigns_) {
    if (reign.host == host) reign.acknowledged = reign.flushed = 0;
  }
}

void History::give_up(const Uuid& host) {
  for (Reign& reign : reigns_) reign.is_given_up = reign.is_given_up || reign.host == host;
}

// ---- the application

uint32_t History::submit(uint32_t number, unsigned first, unsigned count, bool is_zeroes) {
  Reign& reign = reigns_.at(number);
  const auto index = static_cast<uint32_t>(reign.writes.size());
  reign.writes.push_back({first, count, is_zeroes});
  for (unsigned sector = first; sector < first + count; ++sector) {
    reign.of_sector[sector].push_back(index);
    if (is_zeroes) was_zeroed_[sector] = true;
    was_touched_[sector] = true;
  }
  return index;
}

void History::fill(std::span<std::byte> bytes, uint32_t number, uint32_t index) const {
  unsigned sector = reigns_.at(number).writes.at(index).first;
  for (size_t offset = 0; offset < bytes.size(); offset += 8) {
    const uint64_t word = word_of(sector + static_cast<unsigned>(offset / sector_bytes), number, index);
    std::memcpy(bytes.data() + offset, &word, 8);
  }
}

void History::completed(uint32_t number, uint32_t index, bool is_ok, bool is_durable) {
  Reign& reign = reigns_.at(number);
  Write& write = reign.writes.at(index);
  write.is_acknowledged = is_ok;
  write.is_failed = !is_ok;
  if (is_ok) reign.acknowledged = std::max(reign.acknowledged, index + 1);
  if (is_ok && is_durable) reign.flushed = std::max(reign.flushed, index + 1);
}

void History::flushed(uint32_t number, uint32_t writes) {
  Reign& reign = reigns_.at(number);
  reign.flushed = std::max(reign.flushed, writes);
}

std::optional<uint32_t> History::last_acknowledged(uint32_t number, unsigned sector) const {
  const Reign& reign = reigns_.at(number);
  const std::vector<uint32_t>& indices = reign.of_sector[sector];
  for (auto index = indices.rbegin(); index != indices.rend(); ++index) {
    if (reign.writes[*index].is_acknowledged) return *index;
  }
  return std::nullopt;
}

// ---- what is known

void History::forget_behind(uint32_t number, Lsn end) {
  std::map<uint64_t, Bounds>& known = reigns_.at(number).known;
  known.erase(known.upper_bound(end.value), known.end());
}

std::string History::narrow(uint32_t number, Lsn lsn, uint32_t low, uint32_t high, const std::string& why) {
  std::map<uint64_t, Bounds>& known = reigns_.at(number).known;
  if (reigns_[number].is_mixed) return {};
  high = std::min(high, static_cast<uint32_t>(reigns_[number].writes.size()));
  const auto place = known.try_emplace(lsn.value).first;
  Bounds& here = place->second;
  if (place != known.begin()) low = std::max(low, std::prev(place)->second.low);
  if (const auto next = std::next(place); next != known.end()) high = std::min(high, next->second.high);
  here.low = std::max(here.low, low);
  here.high = std::min(here.high, high);
  for (auto later = std::next(place); later != known.end() && later->second.low < here.low; ++later) {
    later->second.low = here.low;
  }
  for (auto earlier = place; earlier != known.begin() && std::prev(earlier)->second.high > here.high;) {
    (--earlier)->second.high = here.high;
  }
  if (here.low <= here.high) return {};
  return "P1/P2: " + why + ": epoch " + short_text(reigns_[number].id) + " at LSN " + to_string(lsn) +
         " must hold at least " + std::to_string(here.low) + " and at most " + std::to_string(here.high) + " of " +
         std::to_string(reigns_[number].writes.size()) + " writes";
}

History::Bounds History::bounds(uint32_t number, Lsn lsn) const {
  const std::map<uint64_t, Bounds>& known = reigns_.at(number).known;
  Bounds bounds;
  const auto after = known.upper_bound(lsn.value);
  if (after != known.begin()) bounds.low = std::prev(after)->second.low;
  const auto from = known.lower_bound(lsn.value);
  if (from != known.end()) bounds.high = from->second.high;
  return bounds;
}

std::vector<History::Point> History::lineage(uint32_t number, Lsn end) const {
  std::vector<Point> points;
  points.push_back({number, end});
  for (const Reign* reign = &reigns_.at(number); reign->parent; reign = &reigns_[*reign->parent]) {
    points.push_back({*reign->parent, reign->parent_end});
  }
  std::ranges::reverse(points);
  return points;
}

uint64_t History::touched_bytes(uint64_t range_bytes) const {
  std::set<uint64_t> ranges;
  for (unsigned sector = 0; sector < sectors; ++sector) {
    if (was_touched_[sector]) ranges.insert(offset_of(sector) / range_bytes);
  }
  return ranges.size() * range_bytes;
}

// The first write onto the sector, from this index on, that is certainly in the log once later ones are.
uint32_t History::next_certain(const Reign& reign, unsigned sector, uint32_t from) const {
  const std::vector<uint32_t>& indices = reign.of_sector[sector];
  for (auto index = std::ranges::lower_bound(indices, from); index != indices.end(); ++index) {
    if (!reign.writes[*index].is_failed) return *index;
  }
  return UINT32_MAX;
}

// What the content of one sector says about how far each reign of the lineage reaches.
std::string History::check_sector(std::vector<Point>& points, unsigned sector,
                                  std::span<const std::byte> content) const {
  uint64_t word = 0;
  std::memcpy(&word, content.data(), 8);
  if (!is_uniform(content)) return "P1: " + at(sector) + " is torn";
  std::optional<Origin> origin;
  if (word != 0) {
    origin = Origin{static_cast<uint32_t>(word >> 28 & 0xffff), static_cast<uint32_t>(word & 0xfffffff)};
    const bool is_ours = word >> 56 == magic && (word >> 44 & 0xfff) == sector && origin->reign < reigns_.size() &&
                         origin->index < reigns_[origin->reign].writes.size();
    if (!is_ours) return "P11: " + at(sector) + " has bytes that nobody wrote there";
  } else if (was_zeroed_[sector]) {
    return {};
  }
  bool is_behind = !origin;
  for (Point& point : points) {
    const Reign& reign = reigns_[point.reign];
    uint32_t from = 0;
    if (origin && point.reign == origin->reign) {
      is_behind = true;
      from = origin->index + 1;
      if (point.low < from) point.low = from, point.low_sector = sector;
    } else if (!is_behind) {
      continue;
    }
    const uint32_t next = next_certain(reign, sector, from);
    if (next < point.high) point.high = next, point.high_sector = sector;
  }
  return is_behind ? std::string() : "P1: " + at(sector) + " has a write of another history";
}

std::string History::narrow_all(const std::vector<Point>& points) {
  for (const Point& point : points) {
    if (point.low == 0 && point.high == UINT32_MAX) continue;
    const std::string why = "seen in " + at(point.low_sector) + " (new) and " + at(point.high_sector) + " (old)";
    if (std::string wrong = narrow(point.reign, point.end, point.low, point.high, why); !wrong.empty()) return wrong;
  }
  return {};
}

std::string History::check_image(const Position& end, std::span<const std::byte> image) {
  CHECK(image.size() == size_t{sectors} * sector_bytes);
  const auto number = number_of(end.epoch);
  if (!number) return end.is_none() ? std::string() : "P4: nobody began epoch " + short_text(end.epoch);
  std::vector<Point> points = lineage(*number, end.lsn);
  for (unsigned sector = 0; sector < sectors; ++sector) {
    const auto content = image.subspan(size_t{sector} * sector_bytes, sector_bytes);
    if (std::string wrong = check_sector(points, sector, content); !wrong.empty()) return wrong;
  }
  return narrow_all(points);
}

std::string History::check_read(uint32_t number, unsigned sector, std::span<const std::byte> content,
                                std::optional<uint32_t> floor) {
  std::vector<Point> points = lineage(number, {UINT64_MAX});
  if (std::string wrong = check_sector(points, sector, content); !wrong.empty()) return wrong;
  const Point mine = points.back();
  points.pop_back();
  if (std::string wrong = narrow_all(points); !wrong.empty()) return wrong;
  uint64_t word = 0;
  std::memcpy(&word, content.data(), 8);
  if (floor && !was_zeroed_[sector] && mine.low <= *floor) {
    return "P2: " + at(sector) + " reads an older version than was acknowledged";
  }
  return {};
}

bool History::contains(const Position& newer, const Position& older) const {
  const auto number = number_of(newer.epoch);
  if (!number) return older.is_none();
  for (const Point& point : lineage(*number, newer.lsn)) {
    if (reigns_[point.reign].id == older.epoch) return older.lsn <= point.end;
  }
  return older.is_none();
}

bool History::is_data_lost(const Position& kept, const Position& given_up) const {
  const auto number = number_of(given_up.epoch);
  if (!number) return false;
  for (const Point& point : lineage(*number, given_up.lsn)) {
    const Position end{reigns_[point.reign].id, point.end};
    if (contains(kept, end)) continue;
    // How much of this reign the other side has.
    uint32_t has = 0;
    if (const auto other = number_of(kept.epoch)) {
      for (const Point& common : lineage(*other, kept.lsn)) {
        if (common.reign == point.reign) has = bounds(common.reign, common.end).high;
      }
    }
    if (bounds(point.reign, point.end).low > has) return true;
  }
  return false;
}

}  // namespace mars::sim
