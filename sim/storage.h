// SimStorage: the paths of a simulated host for one process, as an io::Storage. A change of a directory is atomic and
// durable when it returns; when the process dies under it, it took place or not.
#pragma once

#include <functional>
#include <string>

#include "io/storage.h"
#include "sim/disk.h"
#include "sim/machine.h"

namespace mars::sim {

class SimStorage : public io::Storage {
 public:
  explicit SimStorage(SimMachine& machine);

  Task<Result<std::unique_ptr<io::File>>> open(std::string path, io::OpenOptions options) override;
  Task<Result<std::vector<io::DirectoryEntry>>> list(std::string directory) override;
  Task<Result<bool>> exists(std::string path) override;
  Task<Status> make_directory(std::string path) override;
  Task<Status> rename(std::string from, std::string to) override;
  Task<Status> remove(std::string path) override;
  Task<Status> remove_tree(std::string path) override;
  Task<Status> resize(std::string path, uint64_t bytes) override;
  Task<Result<io::Space>> free_space(std::string directory) override;
  Task<Result<io::Bytes>> read_file(std::string path, size_t bytes_max) override;
  Task<Status> write_file(std::string path, io::Bytes content, bool is_secret) override;
  Task<Result<std::unique_ptr<io::DirectoryLock>>> lock_directory(std::string path) override;
  Task<Result<std::vector<io::BlockDevice>>> block_devices() override;
  Task<Status> replace_link(std::string link, std::string target) override;

 private:
  using Act = std::move_only_function<Status(Disks::Place&)>;
  Task<Status> look(const std::string& path, Act act);
  Task<Status> change(const std::string& path, Act act, bool follow = true);
  Status ensure_file(Disks::Place& place, const io::OpenOptions& options);

  SimMachine& machine_;
  Disks& disks_;
};

}  // namespace mars::sim
