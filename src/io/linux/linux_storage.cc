#include "io/linux/linux_storage.h"

#include <optional>
#include <utility>

#include "io/linux/blocking_files.h"
#include "io/linux/disk_identity.h"
#include "io/linux/disk_open.h"

namespace mars::io {
namespace {

class FileLock final : public DirectoryLock {
 public:
  explicit FileLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;
};

}  // namespace

// The function is a parameter of the coroutine and so lives in its frame as long as the thread uses it.
template <class T, class F>
Task<T> LinuxStorage::blocking(F function) {
  std::optional<T> result;
  std::move_only_function<void()> work = [&] { result.emplace(function()); };
  co_await pool_.off_load(std::move(work));
  co_return std::move(*result);
}

Task<Result<std::unique_ptr<File>>> LinuxStorage::open(std::string path, OpenOptions options) {
  auto opening = blocking<Result<OpenedDisk>>([&] { return open_disk(path, options); });
  Result<OpenedDisk> disk = co_await opening;
  if (!disk) co_return failure(disk.error());
  std::unique_ptr<File> file = std::make_unique<DiskFile>(reactor_.ready(), engine_, std::move(*disk));
  co_return file;
}

Task<Result<std::vector<DirectoryEntry>>> LinuxStorage::list(std::string directory) {
  return blocking<Result<std::vector<DirectoryEntry>>>(
      [directory = std::move(directory)] { return blocking::list(directory); });
}

Task<Result<bool>> LinuxStorage::exists(std::string path) {
  return blocking<Result<bool>>([path = std::move(path)] { return blocking::exists(path); });
}

Task<Status> LinuxStorage::make_directory(std::string path) {
  return blocking<Status>([path = std::move(path)] { return blocking::make_directory(path); });
}

Task<Status> LinuxStorage::rename(std::string from, std::string to) {
  return blocking<Status>([from = std::move(from), to = std::move(to)] { return blocking::rename(from, to); });
}

Task<Status> LinuxStorage::remove(std::string path) {
  return blocking<Status>([path = std::move(path)] { return blocking::remove(path); });
}

Task<Status> LinuxStorage::remove_tree(std::string path) {
  return blocking<Status>([path = std::move(path)] { return blocking::remove_tree(path); });
}

Task<Status> LinuxStorage::resize(std::string path, uint64_t bytes) {
  return blocking<Status>([path = std::move(path), bytes] { return blocking::resize(path, bytes); });
}

Task<Result<Space>> LinuxStorage::free_space(std::string directory) {
  return blocking<Result<Space>>([directory = std::move(directory)] { return blocking::free_space(directory); });
}

Task<Result<Bytes>> LinuxStorage::read_file(std::string path, size_t bytes_max) {
  return blocking<Result<Bytes>>([path = std::move(path), bytes_max] { return blocking::read_file(path, bytes_max); });
}

Task<Status> LinuxStorage::write_file(std::string path, Bytes content, bool is_secret) {
  return blocking<Status>([this, path = std::move(path), content = std::move(content), is_secret] {
    return replacements_.in_turn(path, [&] { return blocking::write_file(path, content, is_secret); });
  });
}

Task<Result<std::unique_ptr<DirectoryLock>>> LinuxStorage::lock_directory(std::string path) {
  auto locking = blocking<Result<Descriptor>>([&] { return blocking::lock_directory(path); });
  Result<Descriptor> descriptor = co_await locking;
  if (!descriptor) co_return failure(descriptor.error());
  std::unique_ptr<DirectoryLock> lock = std::make_unique<FileLock>(std::move(*descriptor));
  co_return lock;
}

Task<Result<std::vector<BlockDevice>>> LinuxStorage::block_devices() {
  return blocking<Result<std::vector<BlockDevice>>>([] { return list_block_devices(); });
}

Task<Status> LinuxStorage::replace_link(std::string link, std::string target) {
  return blocking<Status>([this, link = std::move(link), target = std::move(target)] {
    return replacements_.in_turn(link, [&] { return blocking::replace_link(link, target); });
  });
}

}  // namespace mars::io
