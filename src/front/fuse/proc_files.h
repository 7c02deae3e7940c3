// Small blocking helpers for /proc, /sys and directories of our own; inside off_load only.
#pragma once

#include <string>
#include <vector>

namespace mars::fuse {

// The whole of a file under /proc or /sys, at most 16 MiB; empty when it cannot be read.
std::string read_whole(const std::string& path);

// Names in a directory, sorted, without "." and ".."; empty when it cannot be read.
std::vector<std::string> names_in(const std::string& directory);

// Where a symbolic link points to; empty when it is none.
std::string link_target(const std::string& path);

// The N of "/dev/loopN" or "loopN"; -1 for anything else.
int loop_number(const std::string& name);

}  // namespace mars::fuse
