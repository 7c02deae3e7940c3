#include "front/fuse/proc_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace mars::fuse {

namespace {

constexpr size_t file_bytes_max = size_t{16} << 20;

}  // namespace

std::string read_whole(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string content;
  char piece[4096];
  for (ssize_t got; content.size() < file_bytes_max && (got = read(fd, piece, sizeof piece)) > 0;) {
    content.append(piece, static_cast<size_t>(got));
  }
  close(fd);
  return content;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return names;
  while (dirent* entry = readdir(stream)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

std::string link_target(const std::string& path) {
  char target[PATH_MAX];
  ssize_t bytes = readlink(path.c_str(), target, sizeof target);
  return bytes > 0 ? std::string(target, static_cast<size_t>(bytes)) : std::string();
}

int loop_number(const std::string& name) {
  std::string_view digits = name;
  if (digits.starts_with("/dev/")) digits.remove_prefix(5);
  if (!digits.starts_with("loop")) return -1;
  digits.remove_prefix(4);
  int number = -1;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool is_number = error == std::errc{} && end == digits.data() + digits.size() && number >= 0;
  return is_number ? number : -1;
}

}  // namespace mars::fuse
