#include "io/linux/disk_identity.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace mars::io {
namespace {

std::string sysfs_path(uint64_t device_number) {
  return fmt::format("/sys/dev/block/{}:{}", major(device_number), minor(device_number));
}

// The first line without surrounding blanks; empty when the file is not there.
std::string first_line(const std::string& path) {
  std::ifstream stream(path);
  std::string line;
  std::getline(stream, line);
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(" \t") - begin + 1);
}

uint64_t number_in(const std::string& path) { return std::strtoull(first_line(path).c_str(), nullptr, 10); }

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// Firmware fills in zeroes, blanks and rubbish where it knows nothing; what we take is shown and stored as text.
bool says_something(const std::string& value) {
  if (!std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; })) return false;
  const size_t kind = value.find('.');  // naa.5000..., eui.0025..., t10.ATA ...
  const size_t begin = kind == 3 || kind == 4 ? kind + 1 : 0;
  return value.find_first_not_of("0xX -", begin) != std::string::npos;
}

struct HardwareId {
  std::string text;
  bool is_unique = false;  // no two things of this machine have it at different times
};

// What the maker registered. A vendor's own text (t10., nvme.) is as good as the serial number in it.
bool is_world_wide(const std::string& wwid) {
  return wwid.starts_with("naa.") || wwid.starts_with("eui.") || wwid.starts_with("uuid.");
}

// `folder`: the device's in sysfs; that of a partition lies in its disk's.
HardwareId read_id(const std::string& folder) {
  std::string suffix;
  std::string disk = folder;
  if (exists(folder + "/partition")) {
    suffix = fmt::format("-part{}", number_in(folder + "/partition"));
    disk = folder + "/..";
  }
  // The most specific first: what names this very volume before what names the disk behind it.
  for (const char* file : {"/dm/uuid", "/md/uuid"}) {
    const std::string value = first_line(disk + file);
    if (says_something(value)) return {value + suffix, true};
  }
  for (const char* file : {"/wwid", "/device/wwid"}) {
    const std::string value = first_line(disk + file);
    if (says_something(value)) return {value + suffix, is_world_wide(value)};
  }
  // Virtual machines often give one serial number to all their disks; and a file's name says nothing of its content.
  for (const char* file : {"/serial", "/device/serial"}) {
    const std::string value = first_line(disk + file);
    if (says_something(value)) return {value + suffix, false};
  }
  const std::string backing = first_line(disk + "/loop/backing_file");
  return {backing.empty() ? "" : "loop:" + backing + suffix, false};
}

// The path under which a device can be opened. A volume of device-mapper has a name that stays; its number does not.
std::string node_of(const std::string& folder, const std::string& number, const std::string& dev) {
  const std::string volume = first_line(folder + "/dm/name");
  struct stat info = {};
  const std::string named = dev + "/mapper/" + volume;
  if (!volume.empty() && ::stat(named.c_str(), &info) == 0 && S_ISBLK(info.st_mode) &&
      number == fmt::format("{}:{}", major(info.st_rdev), minor(info.st_rdev))) {
    return named;
  }
  std::string name = std::filesystem::path(folder).filename().string();
  std::ranges::replace(name, '!', '/');  // cciss!c0d0 is /dev/cciss/c0d0
  return dev + "/" + name;
}

}  // namespace

BlockQueue block_queue(uint64_t device_number) {
  BlockQueue result;
  std::string queue = sysfs_path(device_number) + "/queue/";
  if (!exists(queue)) queue = sysfs_path(device_number) + "/../queue/";  // a partition
  if (!exists(queue)) return result;
  result.logical_block_bytes = static_cast<uint32_t>(number_in(queue + "logical_block_size"));
  result.physical_block_bytes = static_cast<uint32_t>(number_in(queue + "physical_block_size"));
  result.minimum_io_bytes = static_cast<uint32_t>(number_in(queue + "minimum_io_size"));
  result.is_rotational = number_in(queue + "rotational") != 0;
  // A loop device claims the first without the second and then refuses.
  result.zeroes_natively =
      number_in(queue + "write_zeroes_max_bytes") != 0 && number_in(queue + "discard_max_bytes") != 0;
  result.has_fua = number_in(queue + "fua") != 0 || first_line(queue + "write_cache") == "write through";
  return result;
}

std::string hardware_id(const std::string& folder) { return read_id(folder).text; }

std::string hardware_id(uint64_t device_number) { return hardware_id(sysfs_path(device_number)); }

std::vector<BlockDevice> list_block_devices(const std::string& sysfs, const std::string& dev) {
  std::vector<BlockDevice> devices;
  std::error_code error;
  for (std::filesystem::directory_iterator at(sysfs + "/class/block", error), end; !error && at != end;
       at.increment(error)) {
    const std::string folder = at->path().string();
    // A path of a multipath disk has no number, because nobody can open it.
    const std::string number = first_line(folder + "/dev");
    HardwareId id = read_id(folder);
    if (!number.empty() && id.is_unique) devices.push_back({node_of(folder, number, dev), std::move(id.text)});
  }
  std::ranges::sort(devices, {}, &BlockDevice::path);
  return devices;
}

}  // namespace mars::io
