#include "front/fuse/mounts.h"

#include <charconv>

namespace mars::fuse {

namespace {

// The kernel writes blanks and backslashes in names as \ooo.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8).ptr == text.data() + i + 4) {
      plain += static_cast<char>(code);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string_view take_until(std::string_view& rest, char separator) {
  size_t end = rest.find(separator);
  std::string_view word = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return word;
}

bool take_number(std::string_view text, uint32_t& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

// "36 35 98:0 /root /path options [optional fields] - type source super-options"
bool parse_mount(std::string_view line, Mount& mount) {
  take_until(line, ' ');
  take_until(line, ' ');
  std::string_view device = take_until(line, ' ');
  std::string_view device_major = take_until(device, ':');
  if (!take_number(device_major, mount.device_major) || !take_number(device, mount.device_minor)) return false;
  mount.root = unescaped(take_until(line, ' '));
  mount.path = unescaped(take_until(line, ' '));
  size_t dash = line.find(" - ");
  if (dash == std::string_view::npos || mount.path.empty()) return false;
  line.remove_prefix(dash + 3);
  mount.type = unescaped(take_until(line, ' '));
  mount.source = unescaped(take_until(line, ' '));
  return true;
}

}  // namespace

std::vector<Mount> parse_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  while (!mountinfo.empty()) {
    Mount mount;
    if (parse_mount(take_until(mountinfo, '\n'), mount)) mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::vector<std::string> parse_swaps(std::string_view swaps) {
  std::vector<std::string> paths;
  take_until(swaps, '\n');  // the heading
  while (!swaps.empty()) {
    std::string_view line = take_until(swaps, '\n');
    if (line.starts_with('/')) paths.push_back(unescaped(line.substr(0, line.find_first_of(" \t"))));
  }
  return paths;
}

bool lies_below(std::string_view path, std::string_view directory) {
  if (!path.starts_with(directory)) return false;
  return path.size() == directory.size() || path[directory.size()] == '/';
}

}  // namespace mars::fuse
