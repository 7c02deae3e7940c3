// DiskFile: a regular file or block device as io::File; DiskEngine: what carries its operations to the kernel (ring.h,
// thread_disk.h). Between them stands the state of one operation, kept in FileOp::scratch so that nothing is allocated:
// an operation goes to the kernel in one piece, in several when the kernel moves less, or through a bounce buffer.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include <sys/uio.h>

#include "io/file.h"
#include "io/linux/descriptor.h"
#include "io/linux/durable_way.h"
#include "io/linux/fair_lines.h"
#include "io/time.h"

namespace mars::io {

class DiskFile;

class DiskEngine {
 public:
  virtual ~DiskEngine() = default;
  virtual std::string_view name() const = 0;
  // So many operations of one file it gets at a time: a file that hangs, on a server that is gone, may not take all
  // places, so that others go on.
  virtual uint32_t in_flight_max() const { return 64; }
  // Takes an operation that was begun (below) and completes it: op.status is set, op.run runs in the reactor.
  virtual void submit(FileOp& op) = 0;

  // The reactor's turn. Gives the kernel what was submitted; takes what has completed.
  virtual void turn() {}
  // Something has completed that turn() would take. Costs next to nothing.
  virtual bool has_completed() const { return false; }
  // Before the reactor sleeps: completions ring its doorbell from now on. False: something has completed already.
  virtual bool prepare_to_wait() { return true; }
  // How long the reactor may then sleep at a stretch.
  virtual Duration wait_max() const { return Duration::max(); }
};

// What open_disk() (disk_open.h) found.
struct OpenedDisk {
  Descriptor descriptor;
  Geometry geometry;
  uint32_t memory_align = 1;  // of buffers in direct reads and writes
  bool has_fua = false;       // the device itself makes a single write durable
};

// The next piece of a read or write for the kernel.
struct Piece {
  const iovec* vectors = nullptr;
  unsigned count = 0;
  uint64_t offset = 0;
};

// The state of an operation in flight. Used by one thread at a time.
class DiskOp {
 public:
  // `ended` runs in the reactor in place of op.run, which is in completion() until then.
  static DiskOp& begin(FileOp& op, DiskFile& file, void (*ended)(Job& op));
  static DiskOp& of(FileOp& op) { return *reinterpret_cast<DiskOp*>(op.scratch); }

  DiskFile& file() { return *file_; }
  auto completion() const { return completion_; }
  // What comes next is a flush: the second call of a FUA write (DurableWay).
  bool is_flush_due() const { return is_flush_due_; }
  int write_flags(const FileOp& op) const;  // for pwritev2
  Piece next(FileOp& op);
  // `result`: what the kernel said, bytes or -errno. True: the operation has ended and op.status is set; false: the
  // next piece is due.
  bool advance(FileOp& op, int64_t result);
  // In the reactor, after the end.
  void teach(const FileOp& op, DurableWay& way) const;

 private:
  bool end(FileOp& op, Status status);
  bool advance_move(FileOp& op, uint64_t moved);
  bool end_move(FileOp& op);
  void copy(FileOp& op, std::byte* bounce, uint64_t bytes);
  void fill_with_zeroes(FileOp& op);
  bool try_again(FileOp& op);

  DiskFile* file_ = nullptr;
  void (*completion_)(Job& op) = nullptr;
  std::byte* bounce_ = nullptr;  // owned until end()
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  iovec single_ = {};
  uint64_t piece_bytes_ = 0;
  uint32_t retries_ = 0;
  bool is_flush_due_ = false;
  DurableWay::Way way_ = DurableWay::one_call;  // of a FUA write
  Instant began_{};                             // of one whose time counts
};
static_assert(sizeof(DiskOp) <= sizeof(FileOp::scratch));

class DiskFile final : public File {
 public:
  DiskFile(Ready& ready, DiskEngine& engine, OpenedDisk disk);
  ~DiskFile() override;

  const Geometry& geometry() const override { return disk_.geometry; }
  // Asks the kernel; on any thread. What it does not say now is as it was when it said it last.
  uint64_t size() const override;
  void submit(FileOp& op) override;

  int descriptor() const { return disk_.descriptor.get(); }
  bool has_fua() const { return disk_.has_fua; }
  DurableWay& durable_way() { return durable_way_; }
  bool fits_direct(std::span<const Buffer> buffers) const;
  std::optional<uint64_t> current_size() const;  // none: the kernel does not say

 private:
  static void on_ended(Job& job);
  void pass(FileOp& op);
  Status check(const FileOp& op, uint64_t bytes);
  bool is_inside(uint64_t end);

  Ready& ready_;
  DiskEngine& engine_;
  OpenedDisk disk_;
  DurableWay durable_way_;
  mutable std::atomic<uint64_t> known_size_ = 0;
  uint32_t in_flight_ = 0;  // in the engine
  FairLines waiting_;       // for a place there
};

// The mode for fallocate(2).
int fallocate_mode(FileOp::Kind kind);

}  // namespace mars::io
