#include "front/fuse/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <span>

#include "base/hash.h"
#include "front/fuse/mounts.h"
#include "front/fuse/proc_files.h"
#include "front/fuse/users.h"

namespace mars::fuse {

namespace {

constexpr int stacked_max = 16;  // mounts over each other at one place
constexpr size_t label_name_max = 63;
const std::string any_label_prefix = "mars:";

std::string fuse_directory(const Places& places) { return places.run_directory + "/fuse"; }

// A loop device whose file lies in our run directory, or whose file's mount is detached: then only the label tells.
bool may_be_ours(const std::string& backing_file, const Places& places) {
  return lies_below(backing_file, fuse_directory(places)) || backing_file.starts_with("/disk");
}

std::string backing_file(const std::string& loop) {
  std::string path = read_whole("/sys/block/" + loop + "/loop/backing_file");
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return path;
}

struct Leftover {
  std::string name;  // "loop3"
  int fd = -1;
};

// The path of the file says nothing: it may be that of another container.
bool carries_label(int fd, const std::string& prefix) {
  loop_info64 info = {};
  if (ioctl(fd, LOOP_GET_STATUS64, &info) != 0) return false;
  const char* name = reinterpret_cast<const char*>(info.lo_file_name);
  return strncmp(name, prefix.c_str(), prefix.size()) == 0;
}

// Opened before the mounts go: the descriptor keeps the number from being given to somebody else in between.
std::vector<Leftover> find_loops(const Places& places) {
  std::vector<Leftover> found;
  for (const std::string& loop : names_in("/sys/block")) {
    if (loop_number(loop) < 0 || !may_be_ours(backing_file(loop), places)) continue;
    int fd = open(("/dev/" + loop).c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    if (carries_label(fd, label_prefix(places))) {
      found.push_back({loop, fd});
    } else {
      close(fd);
    }
  }
  return found;
}

void unmount_all(const Places& places, Swept& swept) {
  for (const Mount& mount : parse_mounts(read_whole("/proc/self/mountinfo"))) {
    if (!mount.type.starts_with("fuse") || !lies_below(mount.path, fuse_directory(places))) continue;
    if (umount2(mount.path.c_str(), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
      swept.done.push_back("unmounted the dead " + mount.path);
    } else if (errno != EINVAL && errno != ENOENT) {  // its keeper was faster; or it is a copy below another mount
      swept.left.push_back("cannot unmount " + mount.path + ": " + strerror(errno));
    }
  }
}

// Autoclear is on, so what nobody uses is gone by itself; what is used goes with its last user.
void detach(const Leftover& loop, Swept& swept) {
  ioctl(loop.fd, LOOP_CLR_FD);
  loop_info64 info = {};
  const bool is_bound = ioctl(loop.fd, LOOP_GET_STATUS64, &info) == 0 || errno != ENXIO;
  close(loop.fd);
  if (!is_bound) {
    swept.done.push_back("detached the dead /dev/" + loop.name);
    return;
  }
  std::vector<std::string> users = find_users(loop_number(loop.name), getpid());
  if (users.empty()) {
    swept.done.push_back("detached the dead /dev/" + loop.name);  // by the close just now
  } else {
    swept.left.push_back("/dev/" + loop.name + " is dead, but still " + sentence(users) +
                         "; it goes away when that ends (unmount it)");
  }
}

// The mount of a device whose marsd died is detached by its keeper, and then the path of the file begins there.
bool is_detached(const std::string& backing_file) {
  return backing_file == "/disk" || backing_file == "/disk (deleted)";
}

// Another marsd that was given the same device directory is alive there. What is not bound, or dead, is not opened.
bool is_of_another_marsd(const std::string& loop, const Places& places) {
  const std::string file = backing_file(loop.substr(loop.rfind('/') + 1));
  if (file.empty() || is_detached(file)) return false;
  const int fd = open(loop.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  const bool is_others = carries_label(fd, any_label_prefix) && !carries_label(fd, label_prefix(places));
  close(fd);
  return is_others;
}

void remove_links(const Places& places, Swept& swept) {
  for (const std::string& name : names_in(places.device_directory)) {
    const std::string link = places.device_directory + "/" + name;
    const std::string target = link_target(link);
    if (!target.starts_with("/dev/") || loop_number(target) < 0 || is_of_another_marsd(target, places)) continue;
    if (unlink(link.c_str()) == 0) swept.done.push_back("removed the stale link " + link);
  }
}

void remove_directories(const Places& places) {
  const std::string parent = fuse_directory(places);
  for (const std::string& name : names_in(parent)) rmdir((parent + "/" + name).c_str());
}

std::string resolved(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string result = real == nullptr ? path : std::string(real);
  free(real);
  return result;
}

}  // namespace

Places resolved(const Places& places) {
  Places real{resolved(places.run_directory), resolved(places.device_directory)};
  struct stat found = {};
  if (stat(real.run_directory.c_str(), &found) == 0) {
    real.run_identity = std::to_string(found.st_dev) + ":" + std::to_string(found.st_ino);
  }
  return real;
}

std::string mount_directory(const Places& places, const std::string& name) {
  return fuse_directory(places) + "/" + name;
}

std::string link_path(const Places& places, const std::string& name) { return places.device_directory + "/" + name; }

std::string label_prefix(const Places& places) {
  const std::string whose = places.run_directory + '\0' + places.run_identity;
  return any_label_prefix + to_string(hash(std::as_bytes(std::span(whose)))).substr(0, 16) + ":";
}

std::string label(const Places& places, const std::string& name) {
  return (label_prefix(places) + name).substr(0, label_name_max);
}

Swept sweep(const Places& places) {
  Swept swept;
  std::vector<Leftover> loops = find_loops(places);
  for (int i = 0; i < stacked_max; ++i) {
    size_t before = swept.done.size();
    unmount_all(places, swept);
    if (swept.done.size() == before) break;
    swept.left.clear();
  }
  for (const Leftover& loop : loops) detach(loop, swept);
  remove_links(places, swept);
  remove_directories(places);
  return swept;
}

std::string device_of_another_marsd(const std::string& link, const Places& places) {
  const std::string target = link_target(link);
  const bool is_others = target.starts_with("/dev/") && loop_number(target) >= 0 && is_of_another_marsd(target, places);
  return is_others ? target : "";
}

void remove_link(const std::string& link, const std::string& target) {
  if (!target.empty() && link_target(link) == target) unlink(link.c_str());
}

}  // namespace mars::fuse
