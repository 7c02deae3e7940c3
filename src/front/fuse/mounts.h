// What /proc says about mounts and swap, as values: parsing only, no I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mars::fuse {

struct Mount {
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::string root;    // what of the file system is mounted
  std::string path;    // where
  std::string type;    // "ext4", "fuse.NAME"
  std::string source;  // "/dev/loop0", "mars"
};

// Lines of /proc/self/mountinfo; a line that does not parse is left out.
std::vector<Mount> parse_mounts(std::string_view mountinfo);

// Paths in /proc/swaps.
std::vector<std::string> parse_swaps(std::string_view swaps);

// Whether `path` is `directory` or lies below it. Both absolute, without "." and "..".
bool lies_below(std::string_view path, std::string_view directory);

}  // namespace mars::fuse
