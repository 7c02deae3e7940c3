#include "bricks/disk.h"

#include <algorithm>

namespace mars::bricks {

using Kind = io::FileOp::Kind;
using XioOp = xio::Op;

namespace {

constexpr size_t zero_buffer_bytes = 1u << 20;

Kind kind_of(XioOp op) {
  switch (op) {
    case XioOp::read:
      return Kind::read;
    case XioOp::write:
      return Kind::write;
    case XioOp::flush:
      return Kind::flush;
    default:
      return Kind::zero;  // a discard reads as zeroes afterwards, on every replica (D16)
  }
}

}  // namespace

Disk::Disk(Ready& ready, io::File& file, uint64_t bytes)
    : Output(ready), file_(file), bytes_(bytes == 0 ? file.size() : bytes) {}

Disk::~Disk() { CHECK(in_flight_ == 0); }

xio::Info Disk::info() const {
  const io::Geometry& geometry = file_.geometry();
  xio::Info info;
  info.bytes = bytes_;
  info.block_bytes = geometry.block_bytes;
  info.alignment = geometry.is_direct ? geometry.block_bytes : 1;
  info.atomic_bytes = geometry.block_bytes;
  info.optimal_bytes = geometry.optimal_bytes;
  info.rotational = geometry.is_rotational;
  info.discard = geometry.punch;
  info.write_zeroes = geometry.punch == io::Support::native ? io::Support::native : io::Support::emulated;
  return info;
}

Disk::Op& Disk::take(xio::Request& request) {
  if (free_.empty()) free_.push_back(&ops_.emplace_back());
  Op& op = *free_.back();
  free_.pop_back();
  op.disk = this;
  op.request = &request;
  op.is_emulating = false;
  op.run = &Disk::on_done;
  return op;
}

void Disk::enter(xio::Request& request) {
  if (request.step == xio::Step::get) return complete(request, Status::ok);
  if (request.op != XioOp::flush && (request.end() > bytes_ || request.end() < request.offset)) {
    return complete(request, Status::invalid);
  }
  auto& op = take(request);
  ++in_flight_;
  op.kind = kind_of(request.op);
  op.priority = request.priority;
  op.fua = request.fua;
  op.offset = request.offset;
  op.bytes = request.bytes;
  op.buffer = {request.data, request.bytes};
  if (request.digest_only) {
    op.memory = AlignedBuffer(request.bytes);
    op.buffer.data = op.memory.data();
  }
  op.buffers = {&op.buffer, request.transfers() ? size_t{1} : size_t{0}};
  file_.submit(op);
}

void Disk::on_done(Job& job) {
  Op& op = static_cast<Op&>(static_cast<io::FileOp&>(job));
  op.disk->done(op);
}

void Disk::done(Op& op) {
  xio::Request& request = *op.request;
  if (op.kind == Kind::zero && op.status == Status::unsupported) {
    op.is_emulating = true;
    op.zeroed = 0;
    op.memory = AlignedBuffer(std::min<size_t>(zero_buffer_bytes, request.bytes));
    return write_zeroes(op);
  }
  if (op.is_emulating && op.status == Status::ok) {
    op.zeroed += op.buffer.bytes;
    if (op.zeroed < request.bytes) return write_zeroes(op);
  }
  Status status = op.status;
  if (request.digest_only && status == Status::ok) request.digest = hash(op.memory.span());
  op.memory = AlignedBuffer();
  --in_flight_;
  free_.push_back(&op);
  complete(request, status);
}

// The device cannot zero a range by itself: zeroes are written, piece by piece.
void Disk::write_zeroes(Op& op) {
  op.kind = Kind::write;
  op.offset = op.request->offset + op.zeroed;
  op.buffer = {op.memory.data(), std::min<size_t>(op.memory.size(), op.request->bytes - op.zeroed)};
  op.buffers = {&op.buffer, 1};
  file_.submit(op);
}

}  // namespace mars::bricks
