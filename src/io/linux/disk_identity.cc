#include "io/linux/disk_identity.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/core.h>
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

std::string hardware_id(uint64_t device_number) {
  const std::string self = sysfs_path(device_number);
  std::string suffix;
  std::string disk = self;
  if (exists(self + "/partition")) {
    suffix = fmt::format("-part{}", number_in(self + "/partition"));
    disk = self + "/..";
  }
  // The most specific first: what names this very volume before what names the disk behind it.
  for (const char* file : {"/dm/uuid", "/md/uuid", "/wwid", "/device/wwid", "/serial", "/device/serial"}) {
    const std::string value = first_line(disk + file);
    if (!value.empty()) return value + suffix;
  }
  const std::string backing = first_line(disk + "/loop/backing_file");
  return backing.empty() ? "" : "loop:" + backing + suffix;
}

}  // namespace mars::io
