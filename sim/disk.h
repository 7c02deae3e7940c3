// Disks: everything of a simulated host that has bytes: file systems under their mount points and block devices under
// their paths, with drives (latency), faults and damage. Belongs to the Host, so it survives every process; what it
// loses with power is said in medium.h and file_system.h.
//
// A new host has "/" (1 TiB, direct I/O with blocks of 512 bytes), and on volatile memory "/run", "/tmp" and "/dev".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "base/status.h"
#include "io/storage.h"
#include "sim/drive.h"
#include "sim/file_system.h"

namespace mars::sim {

class SimMachine;

// change = create, rename, remove, resize, link, make directory.
enum class DiskOp : uint8_t { read, write, flush, change };

// The operations on a path that go wrong. A path that ends in "/" means everything below it, so "/" is the whole host.
struct Fault {
  static constexpr uint64_t forever = UINT64_MAX;
  std::string path;
  DiskOp op = DiskOp::write;
  uint64_t skip = 0;  // so many go well before
  uint64_t times = 1;
  // ok is a lie: success is reported and nothing happens (a lost write, a flush that flushes nothing; FUA counts as
  // flush). A write that fails leaves a part of its sectors; what a failed flush covered is never durable by a later
  // flush.
  Status status = Status::io_error;
  uint64_t misdirect = 0;  // a write with status ok lands so many bytes further on
};

struct DeviceOptions {
  uint32_t block_bytes = 512;
  bool is_rotational = false;
  io::Support punch = io::Support::native;
  bool can_zero = true;  // false: FileOp::zero is unsupported
  DriveSpeed speed = {};
  std::string hardware_id = {};  // empty: one that no other device of any host has
};

class Disks {
 public:
  Disks(std::string host, Prng prng);  // `host` makes its devices' identities differ from those of other hosts
  Disks(const Disks&) = delete;
  Disks& operator=(const Disks&) = delete;
  ~Disks();

  void add_device(const std::string& path, uint64_t bytes, DeviceOptions options = {});
  void remove_device(const std::string& path);  // it must not be open
  // The same drive under another path and number, as after a reboot; it must not be open, and `to` must be free.
  void move_device(const std::string& from, const std::string& to);
  void mount(const std::string& path, FileSystemOptions options, DriveSpeed speed = {});
  void mount(const std::string& path, FileSystem content, DriveSpeed speed = {});
  // What was below is gone from sight, and returned; open files go on. The directory stays, empty.
  FileSystem unmount(const std::string& path);
  FileSystem& file_system(const std::string& mount_point);
  // Copies of the disks' state as it is now (what is cached stays cached); for "restore to an earlier moment".
  FileSystem snapshot(const std::string& mount_point);
  Inode snapshot_device(const std::string& path);
  void restore_device(const std::string& path, const Inode& snapshot);

  // Damage.
  void fail(Fault fault) { faults_.push_back(std::move(fault)); }
  void heal() { faults_.clear(); }
  void flip(const std::string& path, uint64_t offset, unsigned bit = 0);  // bit rot
  void break_sector(const std::string& path, uint64_t offset);            // reads fail until it is written
  Drive& drive(const std::string& path);                                  // of the device or file system at this path

  // A look from outside, at once: what is read back now, and what is durable.
  io::Bytes peek(const std::string& path, uint64_t offset, uint64_t bytes);
  const Medium& content(const std::string& path);
  io::Bytes peek_durable(const std::string& path, uint64_t offset, uint64_t bytes);
  // Overwrites, durably; for tests that damage.
  void poke(const std::string& path, uint64_t offset, std::span<const std::byte> bytes);
  uint64_t file_bytes(const std::string& path);
  bool exists(const std::string& path);
  std::vector<io::DirectoryEntry> list(const std::string& directory);
  std::vector<io::BlockDevice> block_devices() const;

  // Changes (writes, flushes, changes of directories; SQLite's too) that took effect so far. `at_change` is called with
  // the number of the one that is about to; what it kills, catches that change in flight.
  uint64_t change_count() const { return change_count_; }
  void on_change(std::function<void(uint64_t)> at_change) { at_change_ = std::move(at_change); }

  // For the other parts of sim/.
  struct Place {
    FileSystem* file_system = nullptr;  // null: a device
    std::string path;                   // inside the file system
    Drive* drive = nullptr;
    struct Device* device = nullptr;
  };
  Place place_of(const std::string& path, bool follow = true);  // follow: a symbolic link that is the last component
  void count_change(std::string_view path, std::string_view how = {});
  // What was changed last: where a host stood when it died at a change.
  const std::string& last_change() const { return last_change_; }
  // The fault that hits this operation, if any; counts it.
  struct Hit {
    bool is_hit = false;
    Status status = Status::ok;
    uint64_t misdirect = 0;
  };
  Hit hit(const std::string& path, DiskOp op);
  bool flush_lies(const std::string& path) const;
  void power_loss();
  Prng& prng() { return prng_; }
  // Exclusive holders: of inodes (opened exclusively) and of directories (locked). False: somebody else has it.
  bool try_hold(const std::string& what, SimMachine& holder);
  void let_go(const std::string& what) { holders_.erase(what); }
  void let_go_all(SimMachine& holder);

 private:
  struct Mount;
  Mount& mount_of(const std::string& path, std::string& rest);
  Inode& inode_of(const std::string& path);

  std::string host_;
  Prng prng_;
  std::map<std::string, std::unique_ptr<Mount>> mounts_;  // "" is the root
  std::map<std::string, std::unique_ptr<struct Device>> devices_;
  std::vector<std::unique_ptr<Mount>> unmounted_;  // open files may still refer to them
  std::vector<Fault> faults_;
  std::map<std::string, SimMachine*> holders_;
  std::function<void(uint64_t)> at_change_;
  uint64_t change_count_ = 0;
  std::string last_change_;
  uint64_t next_device_number_ = 0x801;
};

// A block device.
struct Device {
  std::string path;
  DeviceOptions options;
  uint64_t device_number;
  Drive drive;
  Inode inode;
};

}  // namespace mars::sim
