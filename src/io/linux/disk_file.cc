#include "io/linux/disk_file.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/out_of_memory.h"
#include "io/linux/errno_status.h"
#include "io/linux/reactor.h"

namespace mars::io {
namespace {

constexpr uint64_t bounce_bytes_max = uint64_t{1} << 20;
constexpr uint64_t bounce_align = 4096;
constexpr uint64_t piece_bytes_max = uint64_t{1} << 30;
constexpr uint32_t retries_max = 1000;

// The kernel reads an array of Buffer as an array of iovec.
static_assert(sizeof(Buffer) == sizeof(iovec) && offsetof(Buffer, data) == offsetof(iovec, iov_base) &&
              offsetof(Buffer, bytes) == offsetof(iovec, iov_len));

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

bool is_move(FileOp::Kind kind) { return kind == FileOp::Kind::read || kind == FileOp::Kind::write; }

uint64_t bytes_of(const FileOp& op) {
  if (!is_move(op.kind)) return op.bytes;
  uint64_t sum = 0;
  for (const Buffer& buffer : op.buffers) sum += buffer.bytes;
  return sum;
}

// Of an open file a device that fails, went away or became smaller says many things, and all mean the same. Only a file
// can ask for room that may come.
Status operation_status(int number, bool is_block_device) {
  const Status status = status_from_errno(number);
  const bool is_asked_wrongly = status == Status::unsupported || status == Status::invalid || number == EBADF;
  if (is_asked_wrongly) return status;
  return status == Status::no_space && !is_block_device ? status : Status::io_error;
}

}  // namespace

int fallocate_mode(FileOp::Kind kind) {
  switch (kind) {
    case FileOp::Kind::punch:
      return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    case FileOp::Kind::zero:
      return FALLOC_FL_ZERO_RANGE;
    default:
      return 0;
  }
}

DiskOp& DiskOp::begin(FileOp& op, DiskFile& file, void (*ended)(Job& op)) {
  DiskOp& self = *new (op.scratch) DiskOp;
  self.file_ = &file;
  self.completion_ = std::exchange(op.run, ended);
  self.total_ = bytes_of(op);
  if (is_move(op.kind) && file.geometry().is_direct && !file.fits_direct(op.buffers)) {
    const uint64_t bytes = round_up(std::min(self.total_, bounce_bytes_max), bounce_align);
    self.bounce_ = static_cast<std::byte*>(std::aligned_alloc(bounce_align, bytes));
    if (self.bounce_ == nullptr) out_of_memory();
  }
  if (op.kind == FileOp::Kind::write && op.fua && !file.has_fua()) {
    self.way_ = file.durable_way().next(self.total_);
    self.began_ = monotonic_now();
  }
  return self;
}

void DiskOp::teach(const FileOp& op, DurableWay& way) const {
  if (began_ != Instant{} && op.status == Status::ok) way.took(way_, total_, monotonic_now() - began_);
}

int DiskOp::write_flags(const FileOp& op) const { return op.fua && way_ == DurableWay::one_call ? RWF_DSYNC : 0; }

Piece DiskOp::next(FileOp& op) {
  Piece piece;
  piece.offset = op.offset + done_;
  if (bounce_ != nullptr) {
    piece_bytes_ = std::min(total_ - done_, bounce_bytes_max);
    if (op.kind == FileOp::Kind::write) copy(op, bounce_, piece_bytes_);
    single_ = {bounce_, piece_bytes_};
    piece.vectors = &single_;
    piece.count = 1;
    return piece;
  }
  size_t index = 0;
  uint64_t skip = done_;
  while (skip >= op.buffers[index].bytes) skip -= op.buffers[index++].bytes;
  const Buffer& first = op.buffers[index];
  if (skip > 0 || first.bytes > piece_bytes_max) {
    piece_bytes_ = std::min(first.bytes - skip, piece_bytes_max);
    single_ = {first.data + skip, piece_bytes_};
    piece.vectors = &single_;
    piece.count = 1;
    return piece;
  }
  piece_bytes_ = total_ - done_;
  piece.vectors = reinterpret_cast<const iovec*>(&first);
  piece.count = static_cast<unsigned>(op.buffers.size() - index);
  return piece;
}

bool DiskOp::advance(FileOp& op, int64_t result) {
  if (result == -EAGAIN || result == -EINTR) return try_again(op);
  if (result < 0) {
    return end(op, operation_status(static_cast<int>(-result), file_->geometry().is_block_device));
  }
  if (!is_move(op.kind) || is_flush_due_) return end(op, Status::ok);
  return advance_move(op, static_cast<uint64_t>(result));
}

bool DiskOp::advance_move(FileOp& op, uint64_t moved) {
  if (bounce_ != nullptr && op.kind == FileOp::Kind::read) copy(op, bounce_, moved);
  done_ += moved;
  if (done_ == total_) return end_move(op);
  if (moved == piece_bytes_) return false;
  if (op.kind == FileOp::Kind::read) {
    const std::optional<uint64_t> size = file_->current_size();
    if (size && op.offset + done_ >= *size) {
      // The rest of the last block of a file is zero. What became smaller in the meantime says nothing of what was
      // there.
      const Geometry& geometry = file_->geometry();
      const bool is_last_block =
          !geometry.is_block_device && op.offset + total_ <= round_up(*size, geometry.block_bytes);
      if (!is_last_block) return end(op, Status::io_error);
      fill_with_zeroes(op);
      return end(op, Status::ok);
    }
  }
  // The kernel stopped in the middle. A direct piece has to start at a block again: what lies between is moved twice.
  if (file_->geometry().is_direct) {
    const uint64_t excess = done_ % file_->geometry().block_bytes;
    done_ -= excess;
    moved -= std::min(moved, excess);
  }
  return moved > 0 ? false : try_again(op);
}

bool DiskOp::end_move(FileOp& op) {
  is_flush_due_ = op.kind == FileOp::Kind::write && op.fua && way_ == DurableWay::two_calls;
  return is_flush_due_ ? false : end(op, Status::ok);
}

bool DiskOp::try_again(FileOp& op) { return ++retries_ > retries_max ? end(op, Status::io_error) : false; }

bool DiskOp::end(FileOp& op, Status status) {
  std::free(std::exchange(bounce_, nullptr));
  op.status = status;
  return true;
}

// Between the bounce buffer and the caller's buffers, from done_ on.
void DiskOp::copy(FileOp& op, std::byte* bounce, uint64_t bytes) {
  uint64_t skip = done_;
  for (const Buffer& buffer : op.buffers) {
    if (bytes == 0) return;
    if (skip >= buffer.bytes) {
      skip -= buffer.bytes;
      continue;
    }
    const uint64_t count = std::min(buffer.bytes - skip, bytes);
    if (op.kind == FileOp::Kind::read) {
      std::memcpy(buffer.data + skip, bounce, count);
    } else {
      std::memcpy(bounce, buffer.data + skip, count);
    }
    bounce += count;
    bytes -= count;
    skip = 0;
  }
}

void DiskOp::fill_with_zeroes(FileOp& op) {
  uint64_t skip = done_;
  for (const Buffer& buffer : op.buffers) {
    const uint64_t kept = std::min<uint64_t>(skip, buffer.bytes);
    skip -= kept;
    if (kept < buffer.bytes) std::memset(buffer.data + kept, 0, buffer.bytes - kept);
  }
}

DiskFile::DiskFile(Ready& ready, DiskEngine& engine, OpenedDisk disk)
    : ready_(ready), engine_(engine), disk_(std::move(disk)), known_size_(disk_.geometry.bytes) {}

DiskFile::~DiskFile() { CHECK(in_flight_ == 0); }

std::optional<uint64_t> DiskFile::current_size() const {
  uint64_t bytes = 0;
  struct stat info = {};
  if (disk_.geometry.is_block_device) {
    if (::ioctl(descriptor(), BLKGETSIZE64, &bytes) != 0) return std::nullopt;
  } else {
    if (::fstat(descriptor(), &info) != 0) return std::nullopt;
    bytes = static_cast<uint64_t>(info.st_size);
  }
  known_size_ = bytes;
  return bytes;
}

uint64_t DiskFile::size() const {
  const std::optional<uint64_t> now = current_size();
  return now ? *now : known_size_.load();
}

void DiskFile::submit(FileOp& op) {
  const uint64_t bytes = bytes_of(op);
  op.status = check(op, bytes);
  if (op.status != Status::ok || (bytes == 0 && op.kind != FileOp::Kind::flush)) {
    ready_.push(op);
    return;
  }
  if (in_flight_ >= engine_.in_flight_max()) return waiting_.push(op, op.priority == Priority::background);
  pass(op);
}

void DiskFile::pass(FileOp& op) {
  ++in_flight_;
  DiskOp::begin(op, *this, &DiskFile::on_ended);
  engine_.submit(op);
}

void DiskFile::on_ended(Job& job) {
  FileOp& op = static_cast<FileOp&>(job);
  DiskOp& state = DiskOp::of(op);
  DiskFile& file = state.file();
  op.run = state.completion();
  state.teach(op, file.durable_way_);
  --file.in_flight_;
  if (Job* next = file.waiting_.pop()) file.pass(static_cast<FileOp&>(*next));
  op.run(op);  // perhaps the end of the file, too
}

Status DiskFile::check(const FileOp& op, uint64_t bytes) {
  if (op.kind == FileOp::Kind::flush) return Status::ok;
  if (op.buffers.size() > buffers_max) return Status::invalid;
  constexpr uint64_t limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (op.offset > limit || bytes > limit - op.offset) return Status::invalid;
  const uint64_t block = disk_.geometry.block_bytes;
  const bool is_aligned = op.offset % block == 0 && bytes % block == 0;
  if (!is_aligned && (disk_.geometry.is_block_device || (disk_.geometry.is_direct && is_move(op.kind)))) {
    return Status::invalid;
  }
  const bool may_grow = !disk_.geometry.is_block_device && op.kind != FileOp::Kind::read;
  if (may_grow || bytes == 0 || is_inside(op.offset + bytes)) return Status::ok;
  const bool has_shrunk = op.offset + bytes <= round_up(disk_.geometry.bytes, block);
  return has_shrunk ? Status::io_error : Status::invalid;
}

bool DiskFile::is_inside(uint64_t end) {
  const uint64_t block = disk_.geometry.block_bytes;
  return end <= round_up(known_size_, block) || end <= round_up(size(), block);
}

bool DiskFile::fits_direct(std::span<const Buffer> buffers) const {
  const uint64_t align = disk_.memory_align;
  const uint64_t block = disk_.geometry.block_bytes;
  for (const Buffer& buffer : buffers) {
    if (reinterpret_cast<uintptr_t>(buffer.data) % align != 0 || buffer.bytes % block != 0) return false;
  }
  return true;
}

}  // namespace mars::io
