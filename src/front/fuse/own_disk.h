// Whether a disk lies on a device of this marsd: such a resource would wait for another one of the same process, or for
// itself. Blocking (stat, and /sys): call it inside off_load.
#pragma once

#include <string>
#include <vector>

#include "front/fuse/sweep.h"

namespace mars::fuse {

// The files of all loop devices below a block device: of itself, of the disk of a partition, of what a volume is made
// of. `folder`: of the device in sysfs.
std::vector<std::string> loop_files_below(const std::string& folder);

// The disk may be a block device under any name, or a file, which need not be there yet, on a file system that is
// mounted from one.
bool lies_on_own_device(const std::string& disk, const Places& places);

}  // namespace mars::fuse
