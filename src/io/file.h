// File: whatever holds bytes at offsets: a regular file or a block device, real or simulated. Operations are submitted
// and complete once, in any order, from the ready queue of the reactor that opened the file (never inside submit()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/ready.h"
#include "base/status.h"
#include "base/task.h"

namespace mars::io {

// A piece of memory to read into or write from. Not owned.
struct Buffer {
  std::byte* data = nullptr;
  size_t bytes = 0;
};

enum class Support : uint8_t { none, emulated, native };  // who pays: nobody can, software, the device
enum class Priority : uint8_t { foreground, background };

// What a device is, asked once at open.
struct Geometry {
  uint64_t bytes = 0;          // size now; File::size() follows growth
  uint32_t block_bytes = 512;  // logical block: offsets and lengths of direct I/O are multiples of it
  uint32_t optimal_bytes = 4096;
  bool is_block_device = false;
  bool is_rotational = false;
  bool is_direct = false;         // reads and writes bypass the page cache
  Support punch = Support::none;  // native: afterwards the range reads as zeroes
  // Identity (D17): what can be known of the thing behind the path, so that it is recognised under another name.
  uint64_t device_number = 0;  // of the file system that holds a regular file; of the device itself otherwise
  uint64_t inode = 0;          // 0 for a block device
  std::string hardware_id;     // WWN, partition or LV UUID, serial; empty when nothing is known
};

// One operation. The caller owns it and its buffers until `run` is called with it; `status` is set then.
// status: ok, io_error, no_space, invalid (outside the file, unaligned), unsupported, gone (machine or file is
// closing).
struct FileOp : Job {
  enum class Kind : uint8_t { read, write, flush, punch, zero, allocate };
  Kind kind = Kind::read;
  Priority priority = Priority::foreground;
  bool fua = false;  // write: durable when it completes
  uint64_t offset = 0;
  uint64_t bytes = 0;                      // of punch, zero, allocate; read and write take the sum of their buffers
  std::span<const Buffer> buffers;         // read, write: at most File::buffers_max
  Status status = Status::ok;              // all bytes were moved, or the status says why not
  alignas(16) std::byte scratch[80] = {};  // for the implementation
};

class File {
 public:
  static constexpr size_t buffers_max = 256;
  virtual ~File() = default;  // with nothing in flight
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  virtual const Geometry& geometry() const = 0;
  virtual uint64_t size() const = 0;
  // read beyond the end of a regular file yields zeroes up to a whole block and Status::invalid further out.
  virtual void submit(FileOp& op) = 0;
};

// For activities. The spans must stay until the await returns.
Task<Status> read(File& file, uint64_t offset, std::span<std::byte> into);
Task<Status> write(File& file, uint64_t offset, std::span<const std::byte> from, bool fua = false);
Task<Status> write(File& file, uint64_t offset, std::span<const Buffer> buffers, bool fua = false);
Task<Status> flush(File& file);
Task<Status> punch(File& file, uint64_t offset, uint64_t bytes);
Task<Status> zero(File& file, uint64_t offset, uint64_t bytes);
Task<Status> allocate(File& file, uint64_t offset, uint64_t bytes);

}  // namespace mars::io
