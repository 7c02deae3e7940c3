#include "bricks/disk.h"

#include <algorithm>
#include <cstring>

#include "base/probe.h"

namespace mars::bricks {

using Kind = io::FileOp::Kind;
using XioOp = xio::Op;

namespace {

constexpr size_t zero_buffer_bytes = 1u << 20;

bool is_range(Kind kind) { return kind == Kind::zero || kind == Kind::punch; }

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

// A discarded range reads as zeroes afterwards, on every replica (D16): a hole only where that is guaranteed.
Kind Disk::kind_of(XioOp op) const {
  switch (op) {
    case XioOp::read:
      return Kind::read;
    case XioOp::write:
      return Kind::write;
    case XioOp::flush:
      return Kind::flush;
    case XioOp::discard:
      if (file_.geometry().punch != io::Support::native) return Kind::zero;
      reached("disk: a hole is made");
      return Kind::punch;
    default:
      return Kind::zero;
  }
}

Disk::Op& Disk::take(xio::Request& request) {
  if (free_.empty()) free_.push_back(&ops_.emplace_back());
  Op& op = *free_.back();
  free_.pop_back();
  op.disk = this;
  op.request = &request;
  op.is_emulating = op.is_bounced = false;
  op.run = &Disk::on_done;
  return op;
}

void Disk::enter(xio::Request& request) {
  if (request.step == xio::Step::get) return complete(request, Status::ok);
  if (request.op != XioOp::flush && (request.end() > bytes_ || request.end() < request.offset)) {
    return complete(request, Status::invalid);
  }
  if (request.op != XioOp::read && request.op != XioOp::flush) recent_.add(request.offset, request.bytes);
  auto& op = take(request);
  ++in_flight_;
  op.kind = kind_of(request.op);
  op.priority = request.priority;
  op.fua = request.fua;
  op.offset = request.offset;
  op.bytes = request.bytes;
  if (request.transfers()) place_buffer(op);
  op.buffers = {&op.buffer, request.transfers() ? size_t{1} : size_t{0}};
  file_.submit(op);
}

void Disk::place_buffer(Op& op) {
  xio::Request& request = *op.request;
  const io::Geometry& geometry = file_.geometry();
  op.buffer = {request.data, request.bytes};
  const bool is_aligned = !geometry.is_direct || reinterpret_cast<uintptr_t>(request.data) % geometry.block_bytes == 0;
  op.is_bounced = !request.digest_only && !is_aligned;
  if (!request.digest_only && !op.is_bounced) return;
  op.memory = AlignedBuffer(request.bytes);
  op.buffer.data = op.memory.data();
  if (request.op == XioOp::write) std::memcpy(op.memory.data(), request.data, request.bytes);
}

void Disk::on_done(Job& job) {
  Op& op = static_cast<Op&>(static_cast<io::FileOp&>(job));
  op.disk->done(op);
}

void Disk::done(Op& op) {
  if (goes_on(op)) return;
  xio::Request& request = *op.request;
  const Status status = op.status;
  if (status == Status::ok && request.op == XioOp::read) {
    if (request.digest_only) request.digest = hash(op.memory.span());
    if (op.is_bounced) std::memcpy(request.data, op.memory.data(), request.bytes);
  }
  op.memory = AlignedBuffer();
  --in_flight_;
  free_.push_back(&op);
  complete(request, status);
}

// Zeroing may take more than one step: writing the zeroes where the file cannot do it by itself, and a flush behind it
// for FUA, which only writes carry.
bool Disk::goes_on(Op& op) {
  const xio::Request& request = *op.request;
  if (is_range(op.kind) && op.status == Status::unsupported) {
    reached("disk: zeroes are written");
    op.is_emulating = true;
    op.zeroed = 0;
    op.memory = AlignedBuffer(std::min<size_t>(zero_buffer_bytes, request.bytes));
    write_zeroes(op);
    return true;
  }
  if (op.status != Status::ok) return false;
  if (op.is_emulating) {
    op.zeroed += op.buffer.bytes;
    if (op.zeroed == request.bytes) return false;
    write_zeroes(op);
    return true;
  }
  if (!is_range(op.kind) || !request.fua) return false;
  op.kind = Kind::flush;
  op.buffers = {};
  file_.submit(op);
  return true;
}

void Disk::write_zeroes(Op& op) {
  op.kind = Kind::write;
  op.offset = op.request->offset + op.zeroed;
  op.buffer = {op.memory.data(), std::min<size_t>(op.memory.size(), op.request->bytes - op.zeroed)};
  op.buffers = {&op.buffer, 1};
  file_.submit(op);
}

}  // namespace mars::bricks
