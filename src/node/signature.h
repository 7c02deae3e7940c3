// Signature: what is on a disk, by the marks that filesystems, volume managers and partition tables leave near its
// beginning. For the refusal of `join-resource`: better one mark too many than somebody's data lost.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/task.h"
#include "io/file.h"

namespace mars::node {

inline constexpr size_t signature_bytes = 256u << 10;  // of the disk's beginning are looked at

// "an ext4 filesystem", "an LVM physical volume" ...; empty: nothing that is known. `head`: the first bytes.
std::string recognise(ByteView head);

Task<Result<std::string>> recognise(io::File& file);

}  // namespace mars::node
