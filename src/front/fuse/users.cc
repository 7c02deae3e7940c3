#include "front/fuse/users.h"

#include <linux/major.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <set>

#include "front/fuse/mounts.h"
#include "front/fuse/proc_files.h"

namespace mars::fuse {

namespace {

constexpr size_t named_max = 4;

bool is_node_of(const std::string& path, dev_t device) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 && S_ISBLK(found.st_mode) && found.st_rdev == device;
}

// Only links that lead into /dev are looked at further: a stat of anything else could hang, on a file system whose
// server is gone or on our own.
bool is_device_open(const std::string& link, dev_t device) {
  return link_target(link).starts_with("/dev/") && is_node_of(link, device);
}

void find_processes(dev_t device, pid_t self, std::vector<std::string>& users) {
  for (const std::string& pid : names_in("/proc")) {
    if (pid[0] < '0' || pid[0] > '9' || pid == std::to_string(self)) continue;
    const std::string descriptors = "/proc/" + pid + "/fd";
    for (const std::string& fd : names_in(descriptors)) {
      if (!is_device_open(descriptors + "/" + fd, device)) continue;
      std::string command = read_whole("/proc/" + pid + "/comm");
      while (!command.empty() && command.back() == '\n') command.pop_back();
      users.push_back("open in " + (command.empty() ? "a process" : command) + " (pid " + pid + ")");
      break;
    }
  }
}

// A file system that may have several devices (btrfs) is mounted under a number of its own, 0:N, and names one of them
// as its source.
bool lies_on(const Mount& mount, dev_t device) {
  if (mount.device_major != 0) return mount.device_major == major(device) && mount.device_minor == minor(device);
  return mount.source.starts_with("/dev/") && is_node_of(mount.source, device);
}

// Where the device is mounted, as one process sees it.
std::vector<std::string> mount_paths(const std::string& pid, dev_t device) {
  std::vector<std::string> paths;
  for (const Mount& mount : parse_mounts(read_whole("/proc/" + pid + "/mountinfo"))) {
    if (lies_on(mount, device)) paths.push_back(mount.path);
  }
  return paths;
}

// Also in other mount namespaces: whoever makes one while the device is mounted has a copy of the mount, and it stays
// when the original is unmounted. One process of each namespace is asked.
void find_mounts(dev_t device, std::vector<std::string>& users) {
  std::set<std::string> asked = {link_target("/proc/self/ns/mnt")};
  std::set<std::string> named;
  for (const std::string& path : mount_paths("self", device)) {
    if (named.insert(path).second) users.push_back("mounted on " + path);
  }
  for (const std::string& pid : names_in("/proc")) {
    if (pid[0] < '0' || pid[0] > '9' || !asked.insert(link_target("/proc/" + pid + "/ns/mnt")).second) continue;
    for (const std::string& path : mount_paths(pid, device)) {
      if (named.insert(path).second) users.push_back("mounted on " + path + " in the mount namespace of pid " + pid);
    }
  }
}

// The kernel opens the device for a loop device above it; no process shows that.
void find_loops_above(const std::string& name, std::vector<std::string>& users) {
  for (const std::string& other : names_in("/sys/block")) {
    if (loop_number(other) < 0) continue;
    if (read_whole("/sys/block/" + other + "/loop/backing_file") == "/dev/" + name + "\n") {
      users.push_back("below /dev/" + other);
    }
  }
}

}  // namespace

std::vector<std::string> find_users(int loop_number, pid_t self) {
  const dev_t device = makedev(LOOP_MAJOR, static_cast<unsigned>(loop_number));
  const std::string name = "loop" + std::to_string(loop_number);
  std::vector<std::string> users;
  find_mounts(device, users);
  for (const std::string& uuid : find_btrfs(name)) users.push_back("in use by the btrfs " + uuid);
  for (const std::string& path : parse_swaps(read_whole("/proc/swaps"))) {
    if (path == "/dev/" + name) users.push_back("used as swap");
  }
  for (const std::string& holder : names_in("/sys/block/" + name + "/holders")) users.push_back("held by " + holder);
  find_loops_above(name, users);
  // A walk through all descriptors of the host, so only where nothing else tells that it is in use.
  if (users.empty()) find_processes(device, self, users);
  return users;
}

std::vector<std::string> find_btrfs(const std::string& name, const std::string& below) {
  std::vector<std::string> found;
  for (const std::string& uuid : names_in(below)) {
    const std::vector<std::string> devices = names_in(below + "/" + uuid + "/devices");
    if (std::ranges::find(devices, name) != devices.end()) found.push_back(uuid);
  }
  return found;
}

bool may_be_probes(const std::vector<std::string>& users) {
  return !users.empty() && std::ranges::all_of(users, [](const auto& user) { return user.starts_with("open in "); });
}

std::string sentence(const std::vector<std::string>& users) {
  std::string text;
  for (size_t i = 0; i < users.size() && i < named_max; ++i) text += (i > 0 ? ", " : "") + users[i];
  if (users.size() > named_max) text += " and " + std::to_string(users.size() - named_max) + " more";
  return text;
}

}  // namespace mars::fuse
