// What a host remembers of another's replica (T10): the evidence against a log that tore, rotted or was restored behind
// its host's back (D10). Pure functions on values.
#pragma once

#include <map>
#include <vector>

#include "bricks/branch.h"
#include "replication/report.h"

namespace mars::replication {

struct Memory {
  static constexpr size_t history_max = 16;

  Remembered what;
  std::vector<EpochId> history;  // the youngest epochs of its branch then: tells going back from going elsewhere
  friend bool operator==(const Memory&, const Memory&) = default;
};
using Memories = std::map<Uuid, Memory>;  // by the host that is remembered

// Takes a new report into the memory of its sender. What it had stays remembered when it shows less of the same
// history; it is let go when the sender has begun another life, or stands on a history that the old one did not know.
void remember(Memory& memory, const Report& report);

// Of the same life, and remember() never goes from `former` to it; or nothing at all.
bool is_earlier(const Remembered& now, const Memory& former);

// Where on `branch` the remembered position lies, for the replica that lives this life: the log was durable up to
// there. Zero: nothing that counts on this branch.
Lsn evidence_of(const bricks::Branch& branch, const Uuid& life, const Remembered& remembered);

}  // namespace mars::replication
