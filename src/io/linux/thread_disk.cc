#include "io/linux/thread_disk.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace mars::io {
namespace {

int64_t perform(FileOp& op) {
  DiskOp& state = DiskOp::of(op);
  const int descriptor = state.file().descriptor();
  if (op.kind == FileOp::Kind::flush || state.is_flush_due()) return ::fdatasync(descriptor);
  if (op.kind != FileOp::Kind::read && op.kind != FileOp::Kind::write) {
    return ::fallocate(descriptor, fallocate_mode(op.kind), static_cast<off_t>(op.offset),
                       static_cast<off_t>(op.bytes));
  }
  const Piece piece = state.next(op);
  const int count = static_cast<int>(piece.count);
  const off_t offset = static_cast<off_t>(piece.offset);
  if (op.kind == FileOp::Kind::read) return ::preadv2(descriptor, piece.vectors, count, offset, 0);
  return ::pwritev2(descriptor, piece.vectors, count, offset, state.write_flags(op));
}

}  // namespace

void ThreadDisk::submit(FileOp& op) { pool_.submit(op, op.priority == Priority::background); }

void ThreadDisk::work(Job& job) {
  FileOp& op = static_cast<FileOp&>(job);
  for (;;) {
    const int64_t result = perform(op);
    if (DiskOp::of(op).advance(op, result < 0 ? -errno : result)) return;
  }
}

}  // namespace mars::io
