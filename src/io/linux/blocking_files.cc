#include "io/linux/blocking_files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "io/linux/disk_open.h"
#include "io/linux/errno_status.h"

namespace mars::io::blocking {
namespace {

namespace fs = std::filesystem;

Status errno_status() { return status_from_errno(errno); }

// Hidden, so that no list of names that somebody reads takes it for one; the next write of `path` reuses what a crash
// left.
std::string temporary_name(const std::string& path) {
  const fs::path whole(path);
  return (whole.parent_path() / ("." + whole.filename().string() + ".new")).string();
}

Status write_whole(int descriptor, const Bytes& content) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::write(descriptor, content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno_status() : Status::io_error;
    done += static_cast<size_t>(count);
  }
  return Status::ok;
}

Status write_synced(const std::string& path, const Bytes& content, mode_t mode) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return errno_status();
  if (::fchmod(file.get(), mode) != 0) return errno_status();
  const Status status = write_whole(file.get(), content);
  if (status != Status::ok) return status;
  return ::fsync(file.get()) == 0 ? Status::ok : errno_status();
}

Status rename_synced(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return errno_status();
  return sync_directory_of(to);
}

}  // namespace

Result<std::vector<DirectoryEntry>> list(const std::string& directory) {
  std::error_code error;
  std::vector<DirectoryEntry> entries;
  fs::directory_iterator at(directory, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    struct stat info = {};
    if (::lstat(at->path().c_str(), &info) != 0) {
      if (errno == ENOENT) continue;  // gone since
      return errno_failure(errno, "cannot examine " + at->path().string());
    }
    DirectoryEntry& entry = entries.emplace_back();
    entry.name = at->path().filename().string();
    entry.is_directory = S_ISDIR(info.st_mode);
    entry.bytes = entry.is_directory ? 0 : static_cast<uint64_t>(info.st_size);
  }
  if (error) return errno_failure(error.value(), "cannot list " + directory);
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<bool> exists(const std::string& path) {
  struct stat info = {};
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return errno_failure(errno, "cannot look for " + path);
}

Status make_directory(const std::string& path) {
  fs::path sofar;
  for (const fs::path& part : fs::path(path)) {
    sofar /= part;
    if (part.empty() || part == "/" || part == ".") continue;
    if (::mkdir(sofar.c_str(), 0700) == 0) {
      const Status status = sync_directory_of(sofar.string());
      if (status != Status::ok) return status;
      continue;
    }
    if (errno != EEXIST) return errno_status();
  }
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return errno_status();
  return S_ISDIR(info.st_mode) ? Status::ok : Status::exists;
}

Status rename(const std::string& from, const std::string& to) {
  const Status status = rename_synced(from, to);
  if (status != Status::ok || fs::path(from).parent_path() == fs::path(to).parent_path()) return status;
  return sync_directory_of(from);
}

Status remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return errno_status();
  return sync_directory_of(path);
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  if (fs::remove_all(path, error) == 0 && !error) return Status::not_found;
  if (error) return status_from_errno(error.value());
  return sync_directory_of(path);
}

Status resize(const std::string& path, uint64_t bytes) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return errno_status();
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return errno_status();
  if (!S_ISREG(info.st_mode)) return Status::invalid;
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) return errno_status();
  return ::fsync(file.get()) == 0 ? Status::ok : errno_status();
}

Result<Space> free_space(const std::string& directory) {
  struct statvfs info = {};
  if (::statvfs(directory.c_str(), &info) != 0) return errno_failure(errno, "cannot ask for the space of " + directory);
  Space space;
  space.total_bytes = static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
  space.free_bytes = static_cast<uint64_t>(::geteuid() == 0 ? info.f_bfree : info.f_bavail) * info.f_frsize;
  return space;
}

Result<Bytes> read_file(const std::string& path, size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return errno_failure(errno, "cannot open " + path);
  constexpr size_t step = size_t{64} * 1024;
  Bytes content;
  for (;;) {
    const size_t done = content.size();
    content.resize(done + step);
    const ssize_t count = ::read(file.get(), content.data() + done, step);
    if (count < 0 && errno != EINTR) return errno_failure(errno, "cannot read " + path);
    content.resize(done + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (content.size() > bytes_max) {
      return failure(Status::invalid, fmt::format("{} is larger than {} bytes", path, bytes_max));
    }
    if (count == 0) return content;
  }
}

Status write_file(const std::string& path, const Bytes& content, bool is_secret) {
  const std::string temporary = temporary_name(path);
  const Status status = write_synced(temporary, content, is_secret ? 0600 : 0644);
  if (status == Status::ok) return rename_synced(temporary, path);
  ::unlink(temporary.c_str());
  return status;
}

Status replace_link(const std::string& link, const std::string& target) {
  struct stat info = {};
  if (::lstat(link.c_str(), &info) == 0 && !S_ISLNK(info.st_mode)) return Status::exists;
  const std::string temporary = temporary_name(link);
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT) return errno_status();
  if (::symlink(target.c_str(), temporary.c_str()) != 0) return errno_status();
  return rename_synced(temporary, link);
}

Result<Descriptor> lock_directory(const std::string& path) {
  const std::string name = path + "/lock";
  Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return errno_failure(errno, "cannot open " + name);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    const std::string text = fmt::format("{}\n", ::getpid());
    // Only a help for people: who holds the lock.
    if (::ftruncate(file.get(), 0) == 0) (void)!::pwrite(file.get(), text.data(), text.size(), 0);
    return file;
  }
  if (errno != EWOULDBLOCK) return errno_failure(errno, "cannot lock " + name);
  char text[32] = {};
  (void)!::pread(file.get(), text, sizeof text - 1, 0);
  const int holder = std::atoi(text);
  return failure(Status::busy, holder > 0 ? fmt::format("{} is in use by process {}", path, holder)
                                          : fmt::format("{} is in use by another process", path));
}

}  // namespace mars::io::blocking
