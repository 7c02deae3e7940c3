// Who uses a loop device, for the operator's eyes. Blocking (reads /proc and /sys): call it inside off_load. A list
// is a snapshot, and a user outside this process's view is not in it; whether a device is in use is decided by the
// keeper.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mars::fuse {

// "mounted on /mnt", "swap", "held by dm-0", "below /dev/loop4", "in use by the btrfs UUID", "open in qemu (pid 123)";
// without the process `self` (the keeper).
std::vector<std::string> find_users(int loop_number, pid_t self);

// The mounted btrfs file systems that the device `name` ("loop3") is part of, by uuid: they have no holder, and name
// only one of their devices as the source of a mount.
std::vector<std::string> find_btrfs(const std::string& name, const std::string& below = "/sys/fs/btrfs");

// Whether all of them only have it open: a probe of udev or blkid is over in a moment. Not when there is nobody.
bool may_be_probes(const std::vector<std::string>& users);

// "mounted on /mnt, open in dd (pid 5)"; at most four of them, then "and N more".
std::string sentence(const std::vector<std::string>& users);
// What the kernel knows of and no list shows.
inline constexpr const char* unseen_user = "open in a process that cannot be seen from here";

}  // namespace mars::fuse
