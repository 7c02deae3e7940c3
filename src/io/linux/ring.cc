#include "io/linux/ring.h"

#include <atomic>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "io/linux/errno_status.h"

namespace mars::io {
namespace {

constexpr unsigned submissions_max = 256;   // per call into the kernel
constexpr unsigned completions_max = 1024;  // and so the bound of what is in flight
constexpr unsigned workers_max = 512;       // several times what one file has in flight

// Class "best effort", its last level: IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7). In some kernels linux/ioprio.h has a
// parameter named "class" (linux-libc-dev 6.1.192 has), which is no C++.
constexpr uint16_t lowest_priority = 2 << 13 | 7;

int open_ring(io_uring& ring, unsigned flags) {
  io_uring_params parameters = {};
  parameters.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  parameters.cq_entries = completions_max;
  return io_uring_queue_init_params(submissions_max, &ring, &parameters);
}

void prepare_move(io_uring_sqe& sqe, FileOp& op, int descriptor) {
  const Piece piece = DiskOp::of(op).next(op);
  if (op.kind == FileOp::Kind::read) {
    io_uring_prep_readv(&sqe, descriptor, piece.vectors, piece.count, piece.offset);
  } else {
    const int flags = DiskOp::of(op).write_flags(op);
    io_uring_prep_writev2(&sqe, descriptor, piece.vectors, piece.count, piece.offset, flags);
  }
  if (op.priority == Priority::background) sqe.ioprio = lowest_priority;
}

void prepare(io_uring_sqe& sqe, FileOp& op) {
  const int descriptor = DiskOp::of(op).file().descriptor();
  switch (DiskOp::of(op).is_flush_due() ? FileOp::Kind::flush : op.kind) {
    case FileOp::Kind::read:
    case FileOp::Kind::write:
      prepare_move(sqe, op, descriptor);
      break;
    case FileOp::Kind::flush:
      io_uring_prep_fsync(&sqe, descriptor, IORING_FSYNC_DATASYNC);
      break;
    case FileOp::Kind::punch:
    case FileOp::Kind::zero:
    case FileOp::Kind::allocate:
      io_uring_prep_fallocate(&sqe, descriptor, fallocate_mode(op.kind), static_cast<off_t>(op.offset),
                              static_cast<off_t>(op.bytes));
      break;
  }
  io_uring_sqe_set_data(&sqe, &op);
}

}  // namespace

Result<std::unique_ptr<Ring>> Ring::make(Ready& ready, int doorbell) {
  auto ring = std::make_unique<Ring>(ready);
  int result = open_ring(ring->ring_, IORING_SETUP_COOP_TASKRUN);
  if (result == -EINVAL) result = open_ring(ring->ring_, 0);  // before 5.19
  if (result < 0) return errno_failure(-result, "io_uring_setup");
  ring->is_open_ = true;
  // What the kernel cannot do at once waits in workers of this ring, by default four for each processor: one disk that
  // hangs would take them all, and the log of another with it. An older kernel keeps its default.
  unsigned workers[2] = {workers_max, 0};
  io_uring_register_iowq_max_workers(&ring->ring_, workers);
  result = io_uring_register_eventfd(&ring->ring_, doorbell);
  if (result < 0) return errno_failure(-result, "io_uring_register(eventfd)");
  ring->can_be_silent_ = io_uring_cq_eventfd_toggle(&ring->ring_, true) == 0;
  return ring;
}

Ring::~Ring() {
  CHECK(in_flight_ == 0);
  if (is_open_) io_uring_queue_exit(&ring_);
}

void Ring::submit(FileOp& op) {
  const bool is_background = op.priority == Priority::background;
  if (waiting_.empty() && try_queue(op)) return;
  waiting_.push(op, is_background);
  queue_waiting();  // whose turn it is, and that may be the background's
}

bool Ring::try_queue(FileOp& op) {
  if (in_flight_ >= completions_max) return false;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return false;
  prepare(*sqe, op);
  ++in_flight_;
  return true;
}

void Ring::turn() {
  if (can_be_silent_ && io_uring_cq_eventfd_enabled(&ring_)) io_uring_cq_eventfd_toggle(&ring_, false);
  queue_waiting();
  submit_queued();
  reap();
  submit_queued();  // the second call of a durable write: the reactor may look for other work for a while now
}

void Ring::submit_queued() {
  if (io_uring_sq_ready(&ring_) == 0) return;
  // EAGAIN, EBUSY: the kernel is short of something until completions are taken; what is queued stays queued.
  const int result = io_uring_submit(&ring_);
  CHECK(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR);
}

void Ring::queue_waiting() {
  while (!waiting_.empty() && try_queue(static_cast<FileOp&>(*waiting_.front()))) waiting_.pop();
}

void Ring::reap() {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
    FileOp& op = *static_cast<FileOp*>(io_uring_cqe_get_data(cqe));
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    --in_flight_;
    if (DiskOp::of(op).advance(op, result)) {
      ready_.push(op);
    } else {
      submit(op);
    }
  }
}

bool Ring::has_completed() const { return io_uring_cq_ready(&ring_) > 0; }

bool Ring::prepare_to_wait() {
  if (can_be_silent_) io_uring_cq_eventfd_toggle(&ring_, true);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // a completion is seen below, or it sees that it has to ring
  return io_uring_cq_ready(&ring_) == 0 && io_uring_sq_ready(&ring_) == 0 && waiting_.empty();
}

// The kernel has no fence between storing a completion and asking whether to ring, so once in an age it does not.
Duration Ring::wait_max() const { return can_be_silent_ && in_flight_ > 0 ? Duration(50ms) : Duration::max(); }

}  // namespace mars::io
