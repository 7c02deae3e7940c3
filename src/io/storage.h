// Storage: paths of one machine. Everything that changes a directory is durable when it returns: the directory was
// synced.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "io/file.h"

namespace mars::io {

using Bytes = std::vector<std::byte>;

struct OpenOptions {
  bool write = true;
  bool create = false;       // a regular file that is not there yet is made (empty); its directory is synced
  bool must_be_new = false;  // with create: what is there already is Status::exists, and left alone
  bool exclusive = false;    // nobody else may have it: O_EXCL on a block device, a lock on a file; else Status::busy
  bool direct = true;        // bypass the page cache where the file system can; Geometry::is_direct says what came out
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  uint64_t bytes = 0;
};

struct Space {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for us
};

struct BlockDevice {
  std::string path;
  std::string hardware_id;  // Geometry::hardware_id, never empty
};

// Held while the directory is ours; released when it dies, also by kill -9.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

// Every function: not_found, exists, permission, no_space, io_error, busy as one expects; texts name the path.
class Storage {
 public:
  virtual ~Storage() = default;

  virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) = 0;
  // Sorted by name.
  virtual Task<Result<std::vector<DirectoryEntry>>> list(std::string directory) = 0;
  virtual Task<Result<bool>> exists(std::string path) = 0;
  // With parents, mode 0700; no error when it is there.
  virtual Task<Status> make_directory(std::string path) = 0;
  virtual Task<Status> rename(std::string from, std::string to) = 0;  // replaces `to`
  virtual Task<Status> remove(std::string path) = 0;                  // a file
  virtual Task<Status> remove_tree(std::string path) = 0;             // a directory with what is in it
  virtual Task<Status> resize(std::string path, uint64_t bytes) = 0;  // a regular file, sparse growth
  virtual Task<Result<Space>> free_space(std::string directory) = 0;
  // Small files whole: at most `bytes_max`, else too large = Status::invalid. Writing is atomic: temporary, fsync,
  // rename.
  virtual Task<Result<Bytes>> read_file(std::string path, size_t bytes_max) = 0;
  virtual Task<Status> write_file(std::string path, Bytes content, bool is_secret) = 0;  // mode 0600 or 0644
  // busy when another process holds it.
  virtual Task<Result<std::unique_ptr<DirectoryLock>>> lock_directory(std::string path) = 0;
  // The block devices of this machine whose hardware_id names one thing in the world (WWN, UUID of a volume, a
  // partition of such), sorted by path. Not among them: what has only a serial number or is a loop device over a named
  // file. Two devices with one identity are both there.
  virtual Task<Result<std::vector<BlockDevice>>> block_devices() = 0;
  // A symbolic link that replaces whatever link is there, atomically (/dev/mars/NAME).
  virtual Task<Status> replace_link(std::string link, std::string target) = 0;
};

}  // namespace mars::io
