#include "io/linux/pool_memory.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "io/linux/descriptor.h"
#include "io/linux/errno_status.h"

namespace mars::io {
namespace {

constexpr size_t large_page_bytes = 2u << 20;
constexpr size_t pool_bytes_min = 64u << 10;  // no pool was ever made so small

// A file in memory, at an address where large pages can be mapped.
class Mapping {
 public:
  Mapping(int file, size_t bytes) : room_bytes_(bytes + large_page_bytes) {
    void* room = ::mmap(nullptr, room_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return;
    room_ = static_cast<std::byte*>(room);
    const size_t before = large_page_bytes - reinterpret_cast<uintptr_t>(room) % large_page_bytes;
    void* data = ::mmap(room_ + before, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    if (data != MAP_FAILED) bytes_ = {static_cast<std::byte*>(data), bytes};
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (room_ != nullptr) ::munmap(room_, room_bytes_);
  }
  std::span<std::byte> bytes() const { return bytes_; }  // empty: it could not be mapped, errno says why

 private:
  std::byte* room_ = nullptr;
  size_t room_bytes_;
  std::span<std::byte> bytes_;
};

class MappedPool final : public PoolMemory {
 public:
  MappedPool(std::unique_ptr<Mapping> mapping, bool is_fresh) : mapping_(std::move(mapping)), is_fresh_(is_fresh) {}
  std::span<std::byte> bytes() override { return mapping_->bytes(); }
  bool is_fresh() const override { return is_fresh_; }

 private:
  std::unique_ptr<Mapping> mapping_;
  bool is_fresh_;
};

bool is_tmpfs(const std::string& path) {
  struct statfs info = {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == TMPFS_MAGIC;
}

bool is_pool_name(const std::string& name) {
  return !name.empty() && name.size() <= 128 && name[0] != '.' && name.find('/') == std::string::npos;
}

// FNV-1a: only has to keep the run directories of one machine apart.
uint64_t fingerprint(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

constexpr const char* shared_memory = "/dev/shm";

// Where the pool of a run directory may lie in /dev/shm.
Result<std::string> directory_in_shared_memory(const std::string& run_dir) {
  std::error_code error;
  const std::string canonical = std::filesystem::weakly_canonical(run_dir, error).string();
  if (error) return errno_failure(error.value(), "cannot resolve " + run_dir);
  return fmt::format("{}/mars-{}-{:016x}", shared_memory, ::geteuid(), fingerprint(canonical));
}

// /dev/shm is everybody's: a directory there counts only when it is ours and closed to others.
Result<void> make_private(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_failure(errno, "cannot make " + path);
  struct stat info = {};
  if (::lstat(path.c_str(), &info) != 0) return errno_failure(errno, "cannot examine " + path);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) {
    return failure(Status::permission, path + " is not a private directory of this user; remove it");
  }
  return {};
}

struct Room {
  uint64_t all_bytes = 0;
  uint64_t free_bytes = 0;
};

// Of a tmpfs; nothing of what is none.
Room room_of(const std::string& directory) {
  struct statvfs space = {};
  if (!is_tmpfs(directory) || ::statvfs(directory.c_str(), &space) != 0) return {};
  if (space.f_blocks == 0) return {0, UINT64_MAX};  // it has no limit
  return {space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize};
}

// Others live in /run, and systemd does not even reload its units when it has less than 16 MiB there.
bool has_room_to_spare(const std::string& directory, uint64_t bytes) {
  const Room room = room_of(directory);
  return room.free_bytes >= bytes + std::max<uint64_t>(64u << 20, room.all_bytes / 2);
}

bool is_there(const std::string& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0;
}

// In the run directory where that is a tmpfs with room to spare, else in /dev/shm. One that is there stays where it is.
Result<std::string> pool_path(const std::string& run_dir, const std::string& name, uint64_t bytes) {
  if (!is_pool_name(name)) return failure(Status::invalid, "not a name for a pool: " + name);
  std::string in_run = run_dir + "/" + name;
  const bool may_run = is_tmpfs(run_dir);
  if (may_run && is_there(in_run)) return in_run;
  if (!may_run && !is_tmpfs(shared_memory)) {
    return failure(Status::unsupported, "neither " + run_dir + " nor /dev/shm is a tmpfs, so there is no write cache");
  }
  Result<std::string> directory = directory_in_shared_memory(run_dir);
  if (!directory) return directory;
  const bool is_there_already = is_there(*directory + "/" + name);
  const bool goes_elsewhere = is_there_already || room_of(shared_memory).free_bytes >= bytes;
  if (may_run && (!goes_elsewhere || (!is_there_already && has_room_to_spare(run_dir, bytes)))) return in_run;
  const Result<void> made = make_private(*directory);
  if (!made && may_run) return in_run;
  if (!made) return failure(made.error());
  return *directory + "/" + name;
}

// A signal that somebody handles ends it early.
int allocate(int file, size_t at, size_t bytes) {
  int result = EINTR;
  while (result == EINTR) result = ::posix_fallocate(file, static_cast<off_t>(at), static_cast<off_t>(bytes));
  return result;
}

// Large pages, as many as the kernel has. Each stretch of memory is one segment of a request to the disk: a MiB in
// pages of 4 KiB from here and there is two or three requests, in large pages it is one. Asked for here, because
// shmem_enabled in /sys/kernel/mm/transparent_hugepage is "never" almost everywhere. What stays small works as well:
// nothing is an error, and where the kernel has to move much for them, a second of it is enough.
void take_large_pages(int file, size_t bytes) {
  constexpr int collapse = 25;  // MADV_COLLAPSE, Linux 6.1
  struct statvfs space = {};
  if (::fstatvfs(file, &space) != 0 || (space.f_blocks != 0 && space.f_bavail * space.f_frsize < bytes)) {
    return;  // 0 blocks: it has no limit
  }
  const Mapping mapping(file, bytes);
  const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  for (size_t at = 0; at + large_page_bytes <= mapping.bytes().size(); at += large_page_bytes) {
    if (std::chrono::steady_clock::now() > latest) return;
    // The first page is allocated, for to touch a hole without room for it is SIGBUS.
    if (allocate(file, at, 4096) != 0) return;
    static_cast<void>(*static_cast<volatile std::byte*>(&mapping.bytes()[at]));
    if (::madvise(&mapping.bytes()[at], large_page_bytes, collapse) != 0) return;
  }
}

// Whole or not at all: under another name until every page is there, or a later store would meet SIGBUS.
Result<Descriptor> make_pool(const std::string& path, uint64_t bytes) {
  const std::string temporary = path + ".new";
  Descriptor file(::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return errno_failure(errno, "cannot make " + temporary);
  int result = ::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  if (result == 0) take_large_pages(file.get(), bytes);
  if (result == 0) result = allocate(file.get(), 0, bytes);
  if (result == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) result = errno;
  if (result == 0) return file;
  ::unlink(temporary.c_str());
  return errno_failure(result, fmt::format("cannot allocate a pool of {} bytes at {}", bytes, path));
}

Result<std::unique_ptr<PoolMemory>> map_file(const Descriptor& file, const std::string& path, bool is_fresh) {
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return errno_failure(errno, "cannot examine " + path);
  const size_t bytes = static_cast<size_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || bytes < pool_bytes_min) return failure(Status::damaged, path + " is not a pool");
  // Fills holes that nobody should have made.
  const int result = is_fresh ? 0 : allocate(file.get(), 0, bytes);
  if (result != 0) return errno_failure(result, "cannot allocate all of " + path);
  auto mapping = std::make_unique<Mapping>(file.get(), bytes);
  if (mapping->bytes().empty()) return errno_failure(errno, "cannot map " + path);
  return std::make_unique<MappedPool>(std::move(mapping), is_fresh);
}

}  // namespace

Result<std::unique_ptr<PoolMemory>> map_pool(const std::string& run_dir, const std::string& name, uint64_t bytes) {
  const Result<std::string> path = pool_path(run_dir, name, bytes);
  if (!path) return failure(path.error());
  const Descriptor file(::open(path->c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (file) {
    auto mapped = map_file(file, *path, false);
    if (mapped) return mapped;
    if (mapped.error().status != Status::damaged) return failure(Status::io_error, mapped.error().text);
    if (::unlink(path->c_str()) != 0) return failure(Status::io_error, *path + " is no pool and cannot be removed");
  } else if (errno != ENOENT) {
    return failure(Status::io_error, errno_failure(errno, "cannot open " + *path).error().text);
  }
  if (bytes == 0) return failure(Status::invalid, "a pool of no bytes: " + *path);
  // Nothing is lost with one that is not there.
  const auto cannot_make = [](const Error& error) {
    return failure(error.status == Status::io_error ? Status::no_space : error.status, error.text);
  };
  Result<Descriptor> made = make_pool(*path, bytes);
  if (!made) return cannot_make(made.error());
  auto mapped = map_file(*made, *path, true);
  if (mapped) return mapped;
  ::unlink(path->c_str());
  return cannot_make(mapped.error());
}

Status remove_pool(const std::string& run_dir, const std::string& name) {
  const Result<std::string> path = pool_path(run_dir, name, 0);
  if (!path) return path.error().status;
  const Status status = ::unlink(path->c_str()) == 0 ? Status::ok : status_from_errno(errno);
  // The private directory goes with its last pool.
  if (!path->starts_with(run_dir + "/")) ::rmdir(std::filesystem::path(*path).parent_path().c_str());
  return status;
}

}  // namespace mars::io
