// FileSystem: directories, regular files and symbolic links of one simulated file system, as pure state: everything
// here takes effect at once. Latency, faults and death are the business of Disks and SimMachine. A value: a copy is a
// snapshot, which Disks::mount() can bring back.
//
// Paths are relative to the mount point, without leading or trailing slash; "" is the root directory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/status.h"
#include "io/storage.h"
#include "sim/intervals.h"
#include "sim/medium.h"

namespace mars::sim {

// A regular file or a block device.
struct Inode {
  Inode(uint64_t n, uint32_t tear_bytes, Prng prng) : number(n), medium(tear_bytes, prng) {}
  uint64_t number;
  Medium medium;
  uint64_t size = 0;
  uint64_t durable_size = 0;
  Intervals allocated;
  uint32_t links = 0;
  uint32_t opens = 0;
  bool link_is_durable = true;  // false: made without syncing the directory
};

struct FileSystemOptions {
  uint64_t capacity = uint64_t{1} << 40;
  uint32_t block_bytes = 512;  // for direct I/O, and what is torn
  bool is_direct = true;       // false: direct I/O is refused, files are opened buffered
  bool is_volatile = false;    // tmpfs: power loss empties it
};

class FileSystem {
 public:
  FileSystem(FileSystemOptions options, uint64_t device_number, Prng prng);

  const FileSystemOptions& options() const { return options_; }
  uint64_t device_number() const { return device_number_; }
  io::Space space() const { return {options_.capacity, options_.capacity - std::min(options_.capacity, used_)}; }
  void set_capacity(uint64_t bytes) { options_.capacity = bytes; }

  bool exists(const std::string& path) const { return path.empty() || entries_.contains(path); }
  bool is_directory(const std::string& path) const;
  Inode* file(const std::string& path);  // null when there is none
  const std::string* link_target(const std::string& path) const;
  std::vector<io::DirectoryEntry> list(const std::string& directory) const;

  Status make_directory(const std::string& path);  // with parents
  // durable = false: the directory is not synced; power loss may undo it until sync_directory().
  Result<Inode*> create(const std::string& path, bool durable);
  Status remove(const std::string& path, bool durable);
  Status rename(const std::string& from, const std::string& to);
  Status remove_tree(const std::string& path);
  Status link(const std::string& path, const std::string& target);
  void sync_directory(const std::string& directory);

  // Contents; they grow the file. no_space takes nothing.
  Status write(Inode& inode, uint64_t offset, std::span<const std::byte> from, bool fua);
  Status zero(Inode& inode, uint64_t offset, uint64_t bytes);
  Status allocate(Inode& inode, uint64_t offset, uint64_t bytes);
  void punch(Inode& inode, uint64_t offset, uint64_t bytes);
  void resize(Inode& inode, uint64_t bytes, bool durable);
  void end_flush(Inode& inode, uint64_t ticket);

  void opened(Inode& inode) { ++inode.opens; }
  void closed(Inode& inode);
  void power_loss();
  void forget_opens();  // of a snapshot: nobody has it open

 private:
  enum class Kind : uint8_t { directory, file, link };
  struct Entry {
    Kind kind = Kind::directory;
    uint64_t inode = 0;
    std::string target;
  };
  struct Undoable {  // a removal whose directory was not synced
    std::string path;
    uint64_t inode = 0;
  };
  static std::string parent(const std::string& path);
  bool has_parent(const std::string& path) const { return is_directory(parent(path)); }
  Status reserve(Inode& inode, uint64_t offset, uint64_t bytes);
  void release(Inode& inode, uint64_t begin, uint64_t end);
  void unlink(uint64_t number);
  void drop_if_unused(Inode& inode);

  FileSystemOptions options_;
  uint64_t device_number_;
  Prng prng_;
  uint64_t used_ = 0;
  uint64_t next_inode_ = 11;
  std::map<std::string, Entry> entries_;
  std::map<uint64_t, Inode> inodes_;
  std::vector<Undoable> removed_;
};

}  // namespace mars::sim
