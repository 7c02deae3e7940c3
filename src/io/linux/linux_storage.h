// LinuxStorage: io::Storage on the file systems of this host. Every call runs on a helper thread: none blocks the
// reactor.
#pragma once

#include <mutex>

#include "io/linux/disk_file.h"
#include "io/linux/reactor.h"
#include "io/linux/thread_pool.h"
#include "io/storage.h"

namespace mars::io {

class LinuxStorage final : public Storage {
 public:
  LinuxStorage(Reactor& reactor, DiskEngine& engine) : reactor_(reactor), engine_(engine), pool_(reactor, 2) {}

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
  template <class T, class F>
  Task<T> blocking(F function);

  Reactor& reactor_;
  DiskEngine& engine_;
  std::mutex temporary_names_;  // held by whoever writes NAME.new: two threads never write the same one
  ThreadPool pool_;
};

}  // namespace mars::io
