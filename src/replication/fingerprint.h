// How a data disk is recognised (D17): by what it is, and, after a clean close, by what it looked like. Our disks carry
// no header of ours.
#pragma once

#include <string>
#include <vector>

#include "base/task.h"
#include "format/state_block.h"
#include "io/storage.h"

namespace mars::replication {

format::DiskIdentity identity_of(const io::File& file);

// What the state block keeps of a hardware id: one that is too long ends with its hash, because often only the last
// bytes differ (a serial number).
std::string identity_text(const std::string& hardware_id);

// The path of the one block device of this machine that has this identity now. not_found: there is none, or the
// identity names no single device (of a file, of a device that has neither WWN nor UUID: a size is no name).
// exists: there are several, and the text names them; which of them is ours is not guessed.
Task<Result<std::string>> find_disk(io::Storage& storage, const format::DiskIdentity& identity);

// By what it is, without a look at its content.
bool is_other_disk(const io::File& file, const format::DiskIdentity& identity);

// Over the first and the last MiB of the volume and then its extents, in the order of the list
// (doc/format/state_block.md); what lies behind the end of the volume is left out. Zero when it cannot be read.
Task<Hash128> fingerprint(io::File& file, uint64_t volume_bytes, uint32_t extent_bytes,
                          std::vector<format::FingerprintExtent> extents);

// In what the disk differs from the one in the state block, as a part of a sentence; empty when it is the same. The
// fingerprint is compared only when the state block says clean.
Task<std::string> disk_difference(io::File& file, const format::StateBlock& state, uint64_t volume_bytes);

}  // namespace mars::replication
