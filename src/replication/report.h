// Report: what one host says to another about its replica of one resource. Sent when a session begins and when
// something in it changes; it is the hello of T10 and what status shows of others. Facts of the sender, as of now.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "bricks/branch.h"
#include "control/view.h"
#include "format/values.h"

namespace mars::replication {

inline constexpr size_t report_bytes_max = 192u << 10;

// What a host remembers of another: the largest durable position that it said it had, and as which replica. A replica
// that is invalidated or joined anew has another life, and nothing is held against it.
struct Remembered {
  Tip tip;
  Uuid life;
  friend bool operator==(const Remembered&, const Remembered&) = default;
};

struct Report {
  Uuid resource;
  Uuid life;
  bricks::Branch branch;
  Tip durable;  // end of the durable log
  Lsn oldest;   // the log can be fetched from here to `durable`
  Tip applied;
  Stamp durable_time;  // of the batch at `durable`
  Stamp applied_time;
  bool is_consistent = false;  // disk and log together are an exact version (D12); else syncing, new, or no disk
  bool is_attached = false;
  bool is_holder = false;   // has the right to write (T2)
  bool is_primary = false;  // and the device is open
  bool is_in_use = false;
  bool is_whole = true;  // the log has no damage that waits for somebody's bytes
  uint64_t volume_bytes = 0;
  std::map<Uuid, Remembered> remembered;  // by host (T10)
  // For people.
  control::State state = control::State::unknown;
  std::string reason;
  std::string next_step;
  std::string device;
  control::Switches switches;
  std::vector<control::Transfer> transfers;
  uint64_t log_bytes = 0;

  friend bool operator==(const Report&, const Report&) = default;
};

// Whoever is not attached, because it just starts or its disk is away, says nothing of what it has: that stays as it
// was heard last, unless it lives another life.
void complete(Report& report, const Report& former);

// Each has something behind the last position that both have, or it cannot be told any more: neither can hand anything
// over to the other (T9).
bool have_parted(const Report& one, const Report& other);

std::vector<std::byte> encode(const Report& report);
// invalid: malformed or out of bounds; unsupported: another version.
Result<Report> decode_report(ByteView bytes);

}  // namespace mars::replication
