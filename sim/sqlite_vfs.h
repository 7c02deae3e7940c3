// SqliteVfs: an SQLite VFS on the disks of a simulated host for one process; registered as long as it lives. SQLite is
// used inside off_load only, which the simulation runs as one step, so everything here takes effect at once: writes go
// to the volatile cache, xSync makes durable, creating and deleting are durable when the directory was synced, as on
// Linux. Each write, sync, truncation and deletion is a change that Host::power_loss_at_disk_op counts. When the
// process is dead, SQLite gets I/O errors. No shared memory, so no WAL: journal_mode DELETE, TRUNCATE or PERSIST. Locks
// are not taken: one connection per database.
#pragma once

#include <memory>
#include <string>

#include "sim/machine.h"

struct sqlite3_vfs;

namespace mars::sim {

class SqliteVfs {
 public:
  explicit SqliteVfs(SimMachine& machine);
  ~SqliteVfs();
  const char* name() const { return name_.c_str(); }

  // For the functions that SQLite calls.
  SimMachine& machine() { return machine_; }
  Disks& disks();
  // Counts a change and says whether it takes effect.
  bool begin_change(const std::string& path, uint64_t a, uint64_t b);

 private:
  SimMachine& machine_;
  std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
};

}  // namespace mars::sim
