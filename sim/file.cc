#include "sim/file.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "sim/host.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

uint64_t bytes_of(const io::FileOp& op) {
  if (op.kind != io::FileOp::Kind::read && op.kind != io::FileOp::Kind::write) return op.bytes;
  uint64_t sum = 0;
  for (const io::Buffer& buffer : op.buffers) sum += buffer.bytes;
  return sum;
}

Drive::Work work_of(io::FileOp::Kind kind) {
  if (kind == io::FileOp::Kind::read) return Drive::Work::read;
  return kind == io::FileOp::Kind::flush ? Drive::Work::flush : Drive::Work::write;
}

}  // namespace

struct SimFile::Scratch {
  uint64_t bytes = 0;
  uint64_t ticket = 0;
  bool is_flushing = false;
};

SimFile::Scratch& SimFile::scratch(io::FileOp& op) {
  static_assert(sizeof(Scratch) <= sizeof(op.scratch));
  return *std::launder(reinterpret_cast<Scratch*>(op.scratch));
}

SimFile::SimFile(SimMachine& machine, const std::string& path, Disks::Place place, io::OpenOptions options,
                 std::string hold)
    : machine_(machine),
      path_(path),
      disks_(machine.host().disks()),
      place_(std::move(place)),
      inode_(place_.device != nullptr ? place_.device->inode : *place_.file_system->file(place_.path)),
      hold_(std::move(hold)),
      is_writable_(options.write) {
  describe(options.direct);
  if (place_.device != nullptr) {
    ++inode_.opens;
  } else {
    place_.file_system->opened(inode_);
  }
}

SimFile::~SimFile() {
  CHECK(in_flight_ == 0);
  if (!hold_.empty() && machine_.is_alive()) disks_.let_go(hold_);
  if (place_.device != nullptr) {
    --inode_.opens;
  } else {
    place_.file_system->closed(inode_);
  }
}

void SimFile::describe(bool direct) {
  geometry_.bytes = inode_.size;
  geometry_.is_rotational = place_.drive->is_rotational();
  geometry_.is_direct = direct;
  if (place_.device != nullptr) {
    geometry_.is_block_device = true;
    geometry_.block_bytes = place_.device->options.block_bytes;
    geometry_.punch = place_.device->options.punch;
    geometry_.device_number = place_.device->device_number;
    geometry_.hardware_id = place_.device->options.hardware_id;
  } else {
    const FileSystemOptions& options = place_.file_system->options();
    geometry_.is_direct = direct && options.is_direct;
    geometry_.block_bytes = options.block_bytes;
    geometry_.punch = io::Support::native;
    geometry_.device_number = place_.file_system->device_number();
    geometry_.inode = inode_.number;
  }
}

// As the real machine checks it: offset and sum of lengths in whole blocks; memory of any alignment is copied there.
Status SimFile::check(const io::FileOp& op) const {
  const uint64_t bytes = bytes_of(op);
  if (op.kind == io::FileOp::Kind::flush) return Status::ok;
  if (op.buffers.size() > buffers_max || bytes > UINT64_MAX / 2 || op.offset > UINT64_MAX / 2) return Status::invalid;
  if (op.kind != io::FileOp::Kind::read && !is_writable_) return Status::permission;
  const bool is_fixed = place_.device != nullptr;
  if (is_fixed && op.offset + bytes > inode_.size) return Status::invalid;
  if (op.kind == io::FileOp::Kind::allocate) return is_fixed ? Status::unsupported : Status::ok;
  if (op.kind == io::FileOp::Kind::punch && geometry_.punch == io::Support::none) return Status::unsupported;
  if (op.kind == io::FileOp::Kind::zero && is_fixed && !place_.device->options.can_zero) return Status::unsupported;
  const bool is_move = op.kind == io::FileOp::Kind::read || op.kind == io::FileOp::Kind::write;
  const uint64_t block = geometry_.block_bytes;
  const bool is_aligned = op.offset % block == 0 && bytes % block == 0;
  return is_aligned || !(is_fixed || (geometry_.is_direct && is_move)) ? Status::ok : Status::invalid;
}

void SimFile::complete(io::FileOp& op, Status status) {
  if (scratch(op).is_flushing) inode_.medium.cancel_flush(scratch(op).ticket);
  --in_flight_;
  op.status = status;
  machine_.ready().push(op);
}

void SimFile::submit(io::FileOp& op) {
  new (op.scratch) Scratch{.bytes = bytes_of(op)};
  ++in_flight_;
  if (!machine_.is_alive()) return complete(op, Status::gone);
  const Status status = check(op);
  const bool is_nothing = scratch(op).bytes == 0 && op.kind != io::FileOp::Kind::flush;
  if (status != Status::ok || is_nothing) return complete(op, status);
  if (op.kind == io::FileOp::Kind::flush) {
    scratch(op).ticket = inode_.medium.begin_flush();
    scratch(op).is_flushing = true;
  }
  SimMachine::Operation operation;
  operation.delay = place_.drive->admit(work_of(op.kind), op.offset, scratch(op).bytes, machine_.now());
  operation.drive = place_.drive;
  operation.is_change = op.kind != io::FileOp::Kind::read;
  operation.path = path_;
  operation.how = op.kind == io::FileOp::Kind::flush ? " (flush)" : " (write)";
  operation.effect = [this, &op](Fate fate) { return take_place(op, fate); };
  operation.done = [this, &op](Status status) { complete(op, status); };
  machine_.start(std::move(operation));
}

Status SimFile::take_place(io::FileOp& op, Fate fate) {
  switch (op.kind) {
    case io::FileOp::Kind::read:
      return read(op);
    case io::FileOp::Kind::write:
      return write(op, fate);
    case io::FileOp::Kind::flush:
      return flush(op, fate);
    default:
      return change_range(op);
  }
}

void SimFile::note(TraceKind kind, uint64_t a, uint64_t b) { machine_.world().note(kind, machine_.host().id(), a, b); }

Status SimFile::read(io::FileOp& op) {
  const uint64_t bytes = scratch(op).bytes;
  note(TraceKind::disk_read, op.offset, bytes);
  const uint64_t block = geometry_.block_bytes;
  if (op.offset + bytes > (inode_.size + block - 1) / block * block) return Status::invalid;
  const Disks::Hit hit = disks_.hit(path_, DiskOp::read);
  if (hit.is_hit && hit.status != Status::ok) {
    note(TraceKind::disk_fault, op.offset, static_cast<uint64_t>(hit.status));
    return hit.status;
  }
  if (!inode_.medium.is_readable(op.offset, bytes)) return Status::io_error;
  uint64_t at = op.offset;
  for (const io::Buffer& buffer : op.buffers) {
    inode_.medium.read(at, {buffer.data, buffer.bytes});
    at += buffer.bytes;
    // What a volatile truncation left behind the end is not read.
    if (at > inode_.size) {
      const uint64_t behind = std::min<uint64_t>(at - inode_.size, buffer.bytes);
      std::memset(buffer.data + buffer.bytes - behind, 0, behind);
    }
  }
  return Status::ok;
}

Status SimFile::write_through(uint64_t offset, std::span<const std::byte> content, bool fua) {
  if (place_.device == nullptr) return place_.file_system->write(inode_, offset, content, fua);
  if (offset + content.size() > inode_.size) return Status::invalid;
  inode_.medium.write(offset, content, fua);
  return Status::ok;
}

// A part of the blocks arrives: the first ones, or any.
Status SimFile::write_torn(const io::FileOp& op, std::span<const std::byte> content) {
  Prng& prng = disks_.prng();
  const uint64_t grain = geometry_.block_bytes;
  const bool is_prefix = prng.chance(1, 2);
  uint64_t left = is_prefix ? prng.below(content.size() / grain + 1) : 0;
  for (uint64_t at = 0; at < content.size(); at += grain) {
    const bool arrives = is_prefix ? left > 0 : prng.chance(1, 2);
    if (left > 0) --left;
    if (!arrives) continue;
    const Status status =
        write_through(op.offset + at, content.subspan(at, std::min(grain, content.size() - at)), op.fua);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

std::span<const std::byte> SimFile::join(const io::FileOp& op) {
  if (op.buffers.size() == 1) return {op.buffers.front().data, op.buffers.front().bytes};
  joined_.clear();
  for (const io::Buffer& buffer : op.buffers) joined_.insert(joined_.end(), buffer.data, buffer.data + buffer.bytes);
  return joined_;
}

Status SimFile::write(io::FileOp& op, Fate fate) {
  const std::span<const std::byte> content = join(op);
  note(TraceKind::disk_write, op.offset, digest(content));
  if (fate == Fate::torn) return write_torn(op, content);
  const bool fua = op.fua && !disks_.flush_lies(path_);
  const Disks::Hit hit = disks_.hit(path_, DiskOp::write);
  if (!hit.is_hit) return write_through(op.offset, content, fua);
  note(TraceKind::disk_fault, op.offset, static_cast<uint64_t>(hit.status));
  if (hit.status != Status::ok) {
    static_cast<void>(write_torn(op, content));
    return hit.status;
  }
  if (hit.misdirect > 0) static_cast<void>(write_through(op.offset + hit.misdirect, content, fua));
  return Status::ok;
}

Status SimFile::flush(io::FileOp& op, Fate fate) {
  const uint64_t ticket = scratch(op).ticket;
  note(TraceKind::disk_flush, ticket, inode_.size);
  if (fate == Fate::torn) return Status::ok;  // a part of the cache: what power loss leaves anyway
  const Disks::Hit hit = disks_.hit(path_, DiskOp::flush);
  if (hit.is_hit) note(TraceKind::disk_fault, ticket, static_cast<uint64_t>(hit.status));
  scratch(op).is_flushing = hit.is_hit && hit.status == Status::ok;
  if (scratch(op).is_flushing) return Status::ok;  // the lie: complete() forgets the flush
  if (hit.is_hit) {
    inode_.medium.fail_flush(ticket);
    return hit.status;
  }
  if (place_.device != nullptr) {
    inode_.medium.end_flush(ticket);
  } else {
    place_.file_system->end_flush(inode_, ticket);
  }
  return Status::ok;
}

Status SimFile::change_range(const io::FileOp& op) {
  note(TraceKind::disk_write, op.offset, op.bytes);
  const Disks::Hit hit = disks_.hit(path_, DiskOp::write);
  if (hit.is_hit) return hit.status;
  if (op.kind == io::FileOp::Kind::allocate) return place_.file_system->allocate(inode_, op.offset, op.bytes);
  if (place_.device != nullptr) {
    inode_.medium.zero(op.offset, op.bytes);
    return Status::ok;
  }
  if (op.kind == io::FileOp::Kind::zero) return place_.file_system->zero(inode_, op.offset, op.bytes);
  place_.file_system->punch(inode_, op.offset, op.bytes);
  return Status::ok;
}

}  // namespace mars::sim
