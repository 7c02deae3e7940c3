// Version vector: of each host, up to which of its writes everything is known. A host's lives follow each other: it has
// all of its earlier writes when it begins a new incarnation (they were durable before anybody saw them), so one entry
// per host is enough; a host whose store was restored is found by its lives (R3, register_map.h).
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "format/registers.h"
#include "format/values.h"

namespace mars::meta {

struct Seen {
  Incarnation incarnation;
  uint64_t sequence = 0;
  friend auto operator<=>(const Seen&, const Seen&) = default;
};

class VersionVector {
 public:
  const Seen* find(const Uuid& host) const;
  // Everything up to and including this write is known.
  bool covers(const format::WriterId& writer, uint64_t sequence) const;
  bool covers(const VersionVector& other) const;
  void raise(const Uuid& host, Seen seen);  // never lowers
  void raise(const VersionVector& other);
  void forget(const Uuid& host) { entries_.erase(host); }

  bool empty() const { return entries_.empty(); }
  const std::map<Uuid, Seen>& entries() const { return entries_; }
  friend bool operator==(const VersionVector&, const VersionVector&) = default;

  // As it stands in a delta.
  std::vector<format::SeenUpTo> claimed() const;
  static VersionVector from(const std::vector<format::SeenUpTo>& claimed);

 private:
  std::map<Uuid, Seen> entries_;
};

}  // namespace mars::meta
