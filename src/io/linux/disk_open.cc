#include "io/linux/disk_open.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/out_of_memory.h"
#include "io/linux/disk_identity.h"
#include "io/linux/errno_status.h"

namespace mars::io {
namespace {

constexpr uint32_t align_fallback = 4096;

Result<Descriptor> open_path(const std::string& path, const OpenOptions& options, int extra_flags) {
  const int flags = (options.write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | extra_flags;
  const bool is_new = options.create && options.must_be_new;
  Descriptor descriptor(is_new ? -1 : ::open(path.c_str(), flags));
  if (is_new || (!descriptor && errno == ENOENT && options.create)) {
    descriptor = Descriptor(::open(path.c_str(), flags | O_CREAT | (is_new ? O_EXCL : 0), 0600));
    if (descriptor) {
      const Status status = sync_directory_of(path);
      if (status != Status::ok) return failure(status, "cannot sync the directory of " + path);
    }
  }
  if (!descriptor) return errno_failure(errno, "cannot open " + path);
  // O_NONBLOCK was for opening what may turn out to be a pipe; io_uring would hand EAGAIN back instead of waiting.
  (void)::fcntl(descriptor.get(), F_SETFL, ::fcntl(descriptor.get(), F_GETFL) & ~O_NONBLOCK);
  return descriptor;
}

// Nobody else may have it. A file that was replaced between open and lock is not the one that the path names.
Result<void> lock_file(int descriptor, const std::string& path) {
  struct stat opened = {};
  struct stat named = {};
  bool is_ours = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  if (!is_ours && errno != EWOULDBLOCK) return errno_failure(errno, "cannot lock " + path);
  if (is_ours) {
    if (::fstat(descriptor, &opened) != 0) return errno_failure(errno, "cannot examine " + path);
    if (::stat(path.c_str(), &named) != 0 && errno != ENOENT) return errno_failure(errno, "cannot examine " + path);
    is_ours = opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
  }
  if (is_ours) return Result<void>();
  return failure(Status::busy, path + " is in use by another process or resource");
}

// Some file systems accept O_DIRECT at open and refuse the first read.
bool can_read_directly(const OpenedDisk& disk) {
  const size_t bytes = std::max<size_t>(disk.geometry.block_bytes, disk.memory_align);
  std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(bytes, bytes), &std::free);
  if (buffer == nullptr) out_of_memory();
  return ::pread(disk.descriptor.get(), buffer.get(), disk.geometry.block_bytes, 0) >= 0 || errno != EINVAL;
}

bool set_direct(int descriptor, bool on) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return ::fcntl(descriptor, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

// Turns O_DIRECT on where the file system and the device bear it, and finds the alignment that it asks for.
void try_direct(OpenedDisk& disk, const BlockQueue& queue) {
  const uint32_t buffered_block = disk.geometry.block_bytes;
  struct statx info = {};
  const bool is_known = ::statx(disk.descriptor.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
                        (info.stx_mask & STATX_DIOALIGN) != 0;
  if (is_known && info.stx_dio_offset_align == 0) return;
  if (!set_direct(disk.descriptor.get(), true)) return;
  const uint32_t logical = queue.logical_block_bytes != 0 ? queue.logical_block_bytes : align_fallback;
  disk.geometry.block_bytes = is_known ? std::max(info.stx_dio_offset_align, uint32_t{512}) : logical;
  disk.memory_align = is_known ? std::max(info.stx_dio_mem_align, uint32_t{1}) : logical;
  disk.geometry.is_direct = can_read_directly(disk);
  if (disk.geometry.is_direct) return;
  (void)set_direct(disk.descriptor.get(), false);
  disk.geometry.block_bytes = buffered_block;
  disk.memory_align = 1;
}

// Asks the file system by punching far behind the end, where nothing is.
bool can_punch(int descriptor, uint64_t size) {
  const off_t behind = static_cast<off_t>((size / align_fallback + 1) * align_fallback);
  return ::fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, behind, align_fallback) == 0;
}

Status describe_block_device(OpenedDisk& disk, const struct stat& info, const BlockQueue& queue) {
  Geometry& geometry = disk.geometry;
  geometry.is_block_device = true;
  geometry.device_number = info.st_rdev;
  int logical = 0;
  if (::ioctl(disk.descriptor.get(), BLKGETSIZE64, &geometry.bytes) != 0) return status_from_errno(errno);
  if (::ioctl(disk.descriptor.get(), BLKSSZGET, &logical) != 0) return status_from_errno(errno);
  geometry.block_bytes = static_cast<uint32_t>(logical);
  geometry.punch = queue.zeroes_natively ? Support::native : Support::none;
  geometry.hardware_id = hardware_id(info.st_rdev);
  return Status::ok;
}

void describe_file(OpenedDisk& disk, const struct stat& info, bool is_writable) {
  Geometry& geometry = disk.geometry;
  geometry.bytes = static_cast<uint64_t>(info.st_size);
  geometry.device_number = info.st_dev;
  geometry.inode = info.st_ino;
  if (is_writable && can_punch(disk.descriptor.get(), geometry.bytes)) geometry.punch = Support::native;
}

Status describe(OpenedDisk& disk, const OpenOptions& options) {
  struct stat info = {};
  if (::fstat(disk.descriptor.get(), &info) != 0) return status_from_errno(errno);
  const bool is_block_device = S_ISBLK(info.st_mode);
  if (!is_block_device && !S_ISREG(info.st_mode)) return Status::invalid;
  const BlockQueue queue = block_queue(is_block_device ? info.st_rdev : info.st_dev);
  if (is_block_device) {
    const Status status = describe_block_device(disk, info, queue);
    if (status != Status::ok) return status;
  } else {
    describe_file(disk, info, options.write);
  }
  disk.geometry.is_rotational = queue.is_rotational;
  disk.has_fua = queue.has_fua;
  if (options.direct) try_direct(disk, queue);
  const uint32_t best = std::max({align_fallback, queue.physical_block_bytes, queue.minimum_io_bytes});
  disk.geometry.optimal_bytes = std::min(best, uint32_t{1} << 20);
  return Status::ok;
}

}  // namespace

Status sync_directory_of(const std::string& path) {
  std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent.empty()) parent = ".";
  const Descriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return status_from_errno(errno);
  // EINVAL: a file system of the kernel's own (devtmpfs, proc) that has nothing to make durable.
  return ::fsync(directory.get()) == 0 || errno == EINVAL ? Status::ok : status_from_errno(errno);
}

Result<OpenedDisk> open_disk(const std::string& path, const OpenOptions& options) {
  struct stat info = {};
  const bool is_there = ::stat(path.c_str(), &info) == 0;
  // Not known to be a block device, it would be opened beside whoever has it.
  if (!is_there && errno != ENOENT) return errno_failure(errno, "cannot examine " + path);
  const bool is_block_device = is_there && S_ISBLK(info.st_mode);
  Result<Descriptor> descriptor = open_path(path, options, is_block_device && options.exclusive ? O_EXCL : 0);
  if (!descriptor) return failure(descriptor.error());
  OpenedDisk disk;
  disk.descriptor = std::move(*descriptor);
  struct stat opened = {};
  if (::fstat(disk.descriptor.get(), &opened) != 0) return errno_failure(errno, "cannot examine " + path);
  if (options.exclusive && S_ISBLK(opened.st_mode) != is_block_device) {
    return failure(Status::busy, path + " has become another file in this moment; try again");
  }
  if (options.exclusive && !is_block_device) {
    Result<void> locked = lock_file(disk.descriptor.get(), path);
    if (!locked) return failure(locked.error());
  }
  const Status status = describe(disk, options);
  if (status == Status::invalid) return failure(status, path + " is neither a regular file nor a block device");
  if (status != Status::ok) return failure(status, fmt::format("cannot examine {}: {}", path, name(status)));
  return disk;
}

}  // namespace mars::io
