// Opens a regular file or block device and asks the kernel what it is. Blocking: called on a helper thread.
#pragma once

#include <string>

#include "base/status.h"
#include "io/linux/disk_file.h"
#include "io/storage.h"

namespace mars::io {

Result<OpenedDisk> open_disk(const std::string& path, const OpenOptions& options);

// fsync of the directory that holds `path`: what was created, renamed or removed there is durable.
Status sync_directory_of(const std::string& path);

}  // namespace mars::io
