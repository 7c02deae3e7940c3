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

// The upper bits count the lives of a host. The lower ones are random: a host whose storage was restored counts the
// same lives again, and must not be taken for the one that it was (R3).
inline constexpr unsigned random_bits_of_life = 24;
inline constexpr uint64_t life_number_max = uint64_t{1} << 39;  // no host starts so often
constexpr uint64_t life_number(Incarnation incarnation) { return incarnation.value >> random_bits_of_life; }
// Who names a greater one lies, and its owner could begin no later one.
constexpr bool is_credible(Incarnation incarnation) { return life_number(incarnation) < life_number_max; }

struct Seen {
  Incarnation incarnation;
  uint64_t sequence = 0;
  friend auto operator<=>(const Seen&, const Seen&) = default;
};

class VersionVector {
 public:
  const Seen* find(const Uuid& host) const;
  // Everything up to and including this write is known.
  bool covers(const VersionVector& other) const;
  void raise(const Uuid& host, Seen seen);  // never lowers
  void raise(const VersionVector& other);
  void forget(const Uuid& host) { entries_.erase(host); }

  bool is_credible() const;

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
