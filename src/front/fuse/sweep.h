// Sweep: what a killed marsd left behind, taken away at the next start. Touches only what lies in this marsd's own
// directories, and loop devices that carry its label; may be interrupted and repeated at any point. Blocking: call
// it inside off_load, before the first device is opened and while the run directory is locked or otherwise known as
// ours.
#pragma once

#include <string>
#include <vector>

namespace mars::fuse {

// Where the front end of one marsd lives. Both absolute and, because the kernel reports them so, without symbolic
// links.
struct Places {
  std::string run_directory;     // mounts lie in <run>/fuse/<resource>
  std::string device_directory;  // links <device>/<resource>
  // Which directory the run directory is, because two containers may each have one at the same path; by resolved().
  std::string run_identity = {};
};
// Follows symbolic links; the directories must exist. Blocking.
Places resolved(const Places& places);

std::string mount_directory(const Places& places, const std::string& name);
std::string link_path(const Places& places, const std::string& name);
// What the loop devices of this marsd are called in the kernel; begins with label_prefix(). At most 63 bytes.
std::string label(const Places& places, const std::string& name);
std::string label_prefix(const Places& places);

// Sentences for the log: what was cleaned up, and what is still there and why. Both empty after a clean end.
struct Swept {
  std::vector<std::string> done;
  std::vector<std::string> left;
};
Swept sweep(const Places& places);

// Where the link leads when that is the device of a marsd with another run directory that was given the same device
// directory; empty otherwise. Blocking.
std::string device_of_another_marsd(const std::string& link, const Places& places);

// Removes the link of one device if it leads to that device; what is no link stays, and so does all when `target` is
// empty. Blocking.
void remove_link(const std::string& link, const std::string& target);

}  // namespace mars::fuse
