#include "front/fuse/own_disk.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "front/fuse/mounts.h"
#include "front/fuse/proc_files.h"

namespace mars::fuse {

namespace {

constexpr int levels_max = 8;  // of volumes over volumes

void collect(const std::string& folder, int levels, std::vector<std::string>& files) {
  if (levels == 0) return;
  std::string file = read_whole(folder + "/loop/backing_file");
  while (!file.empty() && file.back() == '\n') file.pop_back();
  if (!file.empty()) files.push_back(std::move(file));
  if (!read_whole(folder + "/partition").empty()) collect(folder + "/..", levels - 1, files);
  for (const std::string& part : names_in(folder + "/slaves")) collect(folder + "/slaves/" + part, levels - 1, files);
}

}  // namespace

std::vector<std::string> loop_files_below(const std::string& folder) {
  std::vector<std::string> files;
  collect(folder, levels_max, files);
  return files;
}

bool lies_on_own_device(const std::string& disk, const Places& places) {
  struct stat found = {};
  const std::string directory = disk.substr(0, disk.rfind('/') + 1);
  if (stat(disk.c_str(), &found) != 0 && stat(directory.c_str(), &found) != 0) return false;
  const dev_t device = S_ISBLK(found.st_mode) ? found.st_rdev : found.st_dev;
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  const std::vector<std::string> files = loop_files_below("/sys/dev/block/" + number);
  const std::string own = places.run_directory + "/fuse";
  return std::ranges::any_of(files, [&](const std::string& file) { return lies_below(file, own); });
}

}  // namespace mars::fuse
