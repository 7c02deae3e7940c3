#include "meta/version_vector.h"

#include <algorithm>

namespace mars::meta {

const Seen* VersionVector::find(const Uuid& host) const {
  auto at = entries_.find(host);
  return at == entries_.end() ? nullptr : &at->second;
}

bool VersionVector::covers(const VersionVector& other) const {
  return std::ranges::all_of(other.entries_, [&](const auto& entry) {
    const Seen* seen = find(entry.first);
    return seen != nullptr && *seen >= entry.second;
  });
}

bool VersionVector::is_credible() const {
  return std::ranges::all_of(entries_, [](const auto& entry) { return meta::is_credible(entry.second.incarnation); });
}

void VersionVector::raise(const Uuid& host, Seen seen) {
  auto [at, is_new] = entries_.try_emplace(host, seen);
  if (!is_new) at->second = std::max(at->second, seen);
}

void VersionVector::raise(const VersionVector& other) {
  for (const auto& [host, seen] : other.entries_) raise(host, seen);
}

std::vector<format::SeenUpTo> VersionVector::claimed() const {
  std::vector<format::SeenUpTo> claimed;
  for (const auto& [host, seen] : entries_) claimed.push_back({{host, seen.incarnation}, seen.sequence});
  return claimed;
}

VersionVector VersionVector::from(const std::vector<format::SeenUpTo>& claimed) {
  VersionVector vector;
  for (const format::SeenUpTo& entry : claimed) {
    vector.raise(entry.writer.host, {entry.writer.incarnation, entry.sequence});
  }
  return vector;
}

}  // namespace mars::meta
