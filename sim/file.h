// SimFile: one open file or block device of one process, as an io::File. Every operation takes its drive's time, may
// hit a fault, and is in flight until it completes: when the process dies it takes place whole, in part or not at all.
#pragma once

#include <string>
#include <vector>

#include "io/file.h"
#include "io/storage.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "sim/trace.h"

namespace mars::sim {

class SimFile : public io::File {
 public:
  // The place must be a device or an existing regular file, held for the machine when `hold` is not empty.
  SimFile(SimMachine& machine, const std::string& path, Disks::Place place, io::OpenOptions options, std::string hold);
  ~SimFile() override;

  const io::Geometry& geometry() const override { return geometry_; }
  uint64_t size() const override { return inode_.size; }
  void submit(io::FileOp& op) override;

 private:
  struct Scratch;  // lies in FileOp::scratch
  static Scratch& scratch(io::FileOp& op);
  void describe(bool direct);
  Status check(const io::FileOp& op) const;
  void complete(io::FileOp& op, Status status);
  Status take_place(io::FileOp& op, Fate fate);
  Status read(io::FileOp& op);
  Status write(io::FileOp& op, Fate fate);
  // What it writes, in one piece; valid until the next call.
  std::span<const std::byte> join(const io::FileOp& op);
  Status write_torn(const io::FileOp& op, std::span<const std::byte> content);
  Status write_through(uint64_t offset, std::span<const std::byte> content, bool fua);
  Status flush(io::FileOp& op, Fate fate);
  Status change_range(const io::FileOp& op);
  void note(TraceKind kind, uint64_t a, uint64_t b);

  SimMachine& machine_;
  std::string path_;
  Disks& disks_;
  Disks::Place place_;
  Inode& inode_;
  std::string hold_;
  bool is_writable_;
  io::Geometry geometry_;
  uint64_t in_flight_ = 0;
  std::vector<std::byte> joined_;  // kept, because fresh memory is what costs
};

}  // namespace mars::sim
