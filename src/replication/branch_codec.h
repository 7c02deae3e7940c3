// A branch list on the wire, as it stands in reports and sync headers.
#pragma once

#include "base/bytes.h"
#include "bricks/branch.h"

namespace mars::replication {

void write_branch(Writer& writer, const bricks::Branch& branch);
// Fails the reader when the list is out of bounds.
bricks::Branch read_branch(Reader& reader);

}  // namespace mars::replication
