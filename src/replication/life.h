// Life: what a replica is since it was made or given up (doc/decisions/002), and where its log began when it was synced
// last (doc/decisions/024). A small file beside the state block: "UUID LSN", whole and durable before this returns.
#pragma once

#include <string>
#include <string_view>

#include "format/values.h"
#include "io/machine.h"

namespace mars::replication {

struct Life {
  Uuid id;   // a new one when it is joined or invalidated
  Lsn born;  // what lies before it came from others: no right to write follows from that (T2)
  friend bool operator==(const Life&, const Life&) = default;
};

std::string to_text(const Life& life);
// A file without a position is from before there was one: zero.
Result<Life> parse_life(std::string_view text);

Task<Result<Life>> read_life(io::Machine& machine, std::string state_directory);
Task<Status> write_life(io::Machine& machine, std::string state_directory, Life life);

}  // namespace mars::replication
