// LinuxStorage: io::Storage on the file systems of this host. Every call runs on a helper thread: none blocks the
// reactor.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

#include "io/linux/disk_file.h"
#include "io/linux/reactor.h"
#include "io/linux/thread_pool.h"
#include "io/storage.h"

namespace mars::io {

// One thread at a time for each path.
class PathTurns {
 public:
  template <class F>
  auto in_turn(const std::string& path, F function) {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [&] { return taken_.insert(path).second; });
    lock.unlock();
    const auto result = function();
    lock.lock();
    taken_.erase(path);
    free_.notify_all();
    return result;
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  std::set<std::string> taken_;
};

class LinuxStorage final : public Storage {
 public:
  LinuxStorage(Reactor& reactor, DiskEngine& engine)
      : reactor_(reactor), engine_(engine), pool_(reactor, threads_max) {}

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) override;
  Task<Result<std::vector<DirectoryEntry>>> list(std::string directory) override;
  Task<Result<bool>> exists(std::string path) override;
  Task<Status> make_directory(std::string path) override;
  Task<Status> rename(std::string from, std::string to) override;
  Task<Status> remove(std::string path) override;
  Task<Status> remove_tree(std::string path) override;
  Task<Status> resize(std::string path, uint64_t bytes) override;
  Task<Result<Space>> free_space(std::string directory) override;
  Task<Result<Bytes>> read_file(std::string path, size_t bytes_max) override;
  Task<Status> write_file(std::string path, Bytes content, bool is_secret) override;
  Task<Result<std::unique_ptr<DirectoryLock>>> lock_directory(std::string path) override;
  Task<Result<std::vector<BlockDevice>>> block_devices() override;
  Task<Status> replace_link(std::string link, std::string target) override;

 private:
  // A file system or disk that hangs keeps a thread for each call, and must not keep the others from theirs.
  static constexpr size_t threads_max = 64;

  template <class T, class F>
  Task<T> blocking(F function);

  Reactor& reactor_;
  DiskEngine& engine_;
  PathTurns replacements_;  // of whoever writes NAME.new: two threads never write the same one
  ThreadPool pool_;
};

}  // namespace mars::io
