#include "io/linux/disk_identity.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "io/linux/descriptor.h"
#include "io/linux/partition_table.h"

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

struct Node {
  std::string folder;  // in sysfs
  std::string number;  // "8:16"
  std::string dev;     // "/dev"
};

bool is_device(const std::string& path, const std::string& number) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode) &&
         number == fmt::format("{}:{}", major(info.st_rdev), minor(info.st_rdev));
}

// The path under which a device can be opened. A volume of device-mapper has a name that stays; its number does not.
std::string path_of(const Node& node) {
  const std::string volume = first_line(node.folder + "/dm/name");
  std::string named = node.dev + "/mapper/" + volume;
  if (!volume.empty() && is_device(named, node.number)) return named;
  std::error_code ignored;  // a link or ".." does not end with the kernel's name
  std::string name = std::filesystem::canonical(node.folder, ignored).filename().string();
  std::ranges::replace(name, '!', '/');  // cciss!c0d0 is /dev/cciss/c0d0
  return node.dev + "/" + name;
}

// What the partition table says. Read from the disk: links of /dev/disk come late, and not on every machine.
std::string uuid_of_partition(const Node& disk, uint32_t number) {
  const std::string path = path_of(disk);
  if (!is_device(path, disk.number)) return {};
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor) return {};
  const auto block_bytes = static_cast<uint32_t>(number_in(disk.folder + "/queue/logical_block_size"));
  const ReadAt read = [&](uint64_t offset, ByteSpan bytes) {
    return ::pread(descriptor.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(bytes.size());
  };
  return partition_uuid(read, std::max(block_bytes, 512u), number);
}

// The most specific first: what names this very volume before what names the disk behind it.
HardwareId disk_id(const std::string& disk) {
  for (const char* file : {"/dm/uuid", "/md/uuid"}) {
    if (std::string value = first_line(disk + file); says_something(value)) return {std::move(value), true};
  }
  for (const char* file : {"/wwid", "/device/wwid"}) {
    std::string value = first_line(disk + file);
    const bool is_unique = is_world_wide(value);
    if (says_something(value)) return {std::move(value), is_unique};
  }
  // Virtual machines often give one serial number to all their disks; and a file's name says nothing of its content.
  for (const char* file : {"/serial", "/device/serial"}) {
    if (std::string value = first_line(disk + file); says_something(value)) return {std::move(value), false};
  }
  const std::string backing = first_line(disk + "/loop/backing_file");
  return {backing.empty() ? "" : "loop:" + backing, false};
}

// A partition is its number on its disk. Where the disk has no name that is its alone, the UUID in the table is added:
// a copy of the disk has it, too, so it finds nothing, but another disk at the same path is not taken for ours.
HardwareId read_id(const std::string& folder, const std::string& dev) {
  if (!exists(folder + "/partition")) return disk_id(folder);
  const std::string disk = folder + "/..";
  const auto number = static_cast<uint32_t>(number_in(folder + "/partition"));
  HardwareId id = disk_id(disk);
  std::string uuid;
  if (!id.is_unique) uuid = uuid_of_partition({disk, first_line(disk + "/dev"), dev}, number);
  if (id.text.empty() && uuid.empty()) return id;
  id.text += fmt::format("{}part{}{}{}", id.text.empty() ? "" : "-", number, uuid.empty() ? "" : "-", uuid);
  return id;
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

std::string hardware_id(const std::string& folder, const std::string& dev) { return read_id(folder, dev).text; }

std::string hardware_id(uint64_t device_number) { return hardware_id(sysfs_path(device_number)); }

std::vector<BlockDevice> list_block_devices(const std::string& sysfs, const std::string& dev) {
  std::vector<BlockDevice> devices;
  std::error_code error;
  for (std::filesystem::directory_iterator at(sysfs + "/class/block", error), end; !error && at != end;
       at.increment(error)) {
    const std::string folder = at->path().string();
    // A path of a multipath disk has no number, because nobody can open it.
    const std::string number = first_line(folder + "/dev");
    // First, so that no foreign disk is read for an id that could not be used: it may hang.
    const std::string disk = exists(folder + "/partition") ? folder + "/.." : folder;
    if (number.empty() || !disk_id(disk).is_unique) continue;
    devices.push_back({path_of({folder, number, dev}), read_id(folder, dev).text});
  }
  std::ranges::sort(devices, {}, &BlockDevice::path);
  return devices;
}

}  // namespace mars::io
