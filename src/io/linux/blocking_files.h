// The calls of Storage as plain blocking functions, for helper threads.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "io/linux/descriptor.h"
#include "io/storage.h"

namespace mars::io::blocking {

Result<std::vector<DirectoryEntry>> list(const std::string& directory);
Result<bool> exists(const std::string& path);
Status make_directory(const std::string& path);
Status rename(const std::string& from, const std::string& to);
Status remove(const std::string& path);
Status remove_tree(const std::string& path);
Status resize(const std::string& path, uint64_t bytes);
Result<Space> free_space(const std::string& directory);
Result<Bytes> read_file(const std::string& path, size_t bytes_max);
// These two write beside the path first, under a name that the path alone decides: not two at once for one path.
Status write_file(const std::string& path, const Bytes& content, bool is_secret);
Status replace_link(const std::string& link, const std::string& target);
// The descriptor holds the lock.
Result<Descriptor> lock_directory(const std::string& path);

}  // namespace mars::io::blocking
