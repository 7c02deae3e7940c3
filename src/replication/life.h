// Life: what a replica is since it was made or given up (doc/decisions/002), where its log began when it was synced
// last, the rights to write that it has given up (doc/decisions/024), and the sides of forks. A small file beside the
// state block, "UUID LSN UUID ... UUID@LSN ... doubt" and a line with its hash, in two copies, the first of which
// counts while it is whole; both are durable before this returns.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bricks/branch.h"
#include "format/values.h"
#include "io/machine.h"

namespace mars::replication {

struct Life {
  Uuid id;   // a new one when it is joined or invalidated
  Lsn born;  // what lies before it came from others: no right to write follows from that (T2)
  // Own epochs and grants to this host in histories that were given up here: others may bring them back without their
  // end.
  std::vector<Uuid> given_up;
  // Whose log goes beyond one of these is of a side of a fork that was given up here (T9).
  std::vector<Position> lost_sides;
  // Of what a replica that leaves leaves behind: its data disk has a cache that may hold what the medium has not.
  bool is_disk_doubted = false;
  friend bool operator==(const Life&, const Life&) = default;
};

// What `branch` says of rights of `self` is given up with it; the oldest are forgotten when there are very many.
void give_up_rights(Life& life, const bricks::Branch& branch, const Uuid& self);
bool has_given_up(const Life& life, const Uuid& right);

// `mine` ends at `mine_end`, parts from `other`, and is given up: where its side begins, and each force on it.
void give_up_side(Life& life, const bricks::Branch& mine, Lsn mine_end, const bricks::Branch& other, Lsn other_end);
// A log that ends at `end` is of such a side. A force that came later is another verdict.
bool is_of_lost_side(const Life& life, const bricks::Branch& branch, Lsn end);

std::string to_text(const Life& life);
// A file without a position is from before there was one: zero.
Result<Life> parse_life(std::string_view text);

// A first copy that cannot be read is written anew from the second.
Task<Result<Life>> read_life(io::Machine& machine, std::string state_directory);
Task<Status> write_life(io::Machine& machine, std::string state_directory, Life life);

// The same beside the folder of a replica that leaves: for the one that joins later.
Task<Status> leave_life(io::Machine& machine, std::string state_directory, Life life);
// As leave_life() for a replica whose log is not open: what its files and these branches, which others show, say of
// rights of `self`. A file that cannot be read says nothing.
Task<Status> leave_rights(io::Machine& machine, std::string state_directory, Uuid self,
                          std::vector<bricks::Branch> branches);
// The branch that the state block knows, when its last epoch is of this host and has not ended: the log may have writes
// that nobody else has. Empty: it is not, or there is no state block. An error: it cannot be read.
Task<Result<bricks::Branch>> own_reign(io::Machine& machine, std::string state_directory, Uuid self);
Task<Result<Life>> read_left_life(io::Machine& machine, std::string state_directory);
Task<Status> remove_left_life(io::Machine& machine, std::string state_directory);

}  // namespace mars::replication
