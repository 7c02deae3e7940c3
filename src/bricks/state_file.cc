#include "bricks/state_file.h"

#include <array>
#include <cstring>

namespace mars::bricks {

using format::state_file_bytes;
using format::state_slot_bytes;

StateFile::StateFile(io::Machine& machine) : machine_(machine), slot_(state_slot_bytes), writing_(machine.ready(), 1) {}

// The file gets its name when its first slot is durable: a crash leaves nothing by that name.
Task<Result<void>> StateFile::create(std::string path, format::StateBlock first) {
  auto is_there = co_await machine_.storage().exists(path);
  if (!is_there) co_return failure(is_there.error());
  if (*is_there) co_return failure(Status::exists, path + " exists already");
  const std::string unnamed = path + ".new";
  io::OpenOptions options;
  options.create = true;
  options.exclusive = true;
  auto file = co_await machine_.storage().open(unnamed, options);
  if (!file) co_return failure(file.error());
  file_ = std::move(*file);
  if (Status status = co_await io::allocate(*file_, 0, state_file_bytes); status != Status::ok) {
    co_return failure(status, "cannot allocate " + path + ": " + std::string(name(status)));
  }
  AlignedBuffer zeroes(state_file_bytes);
  if (Status status = co_await io::write(*file_, 0, zeroes.span()); status != Status::ok) {
    co_return failure(status, "cannot write " + path + ": " + std::string(name(status)));
  }
  value_ = std::move(first);
  ++changes_;
  Status status = co_await write_slot();
  if (status == Status::ok) status = co_await machine_.storage().rename(unnamed, path);
  if (status != Status::ok) co_return failure(status, "cannot write " + path + ": " + std::string(name(status)));
  co_return Result<void>();
}

Task<Result<void>> StateFile::open(std::string path) {
  io::OpenOptions options;
  options.exclusive = true;
  auto file = co_await machine_.storage().open(path, options);
  if (!file) co_return failure(file.error());
  if ((*file)->size() < state_file_bytes) co_return failure(Status::damaged, path + " is shorter than two slots");
  file_ = std::move(*file);
  // One by one: a sector that cannot be read costs its slot, as rot does, and not the other one.
  std::array<Result<format::StateBlock>, 2> slots;
  for (size_t place = 0; place < slots.size(); ++place) {
    const Status status = co_await io::read(*file_, place * state_slot_bytes, slot_.span());
    if (status == Status::io_error) {
      slots[place] = failure(Status::damaged, "a slot of the state block cannot be read");
    } else if (status != Status::ok) {
      co_return failure(status, "cannot read " + path);
    } else {
      slots[place] = format::decode_state_slot(slot_.span(), place);
    }
  }
  auto block = format::newest_state_block(slots);
  if (!block) co_return failure(block.error().status, path + ": " + block.error().text);
  value_ = std::move(*block);
  // It may never have been flushed; what follows relies on it, and the next one is written over the other slot.
  const auto bytes = format::encode_state_block(value_);
  std::memcpy(slot_.data(), bytes.data(), bytes.size());
  Status status = co_await io::write(*file_, format::slot_of(value_.sequence) * state_slot_bytes, slot_.span());
  if (status == Status::ok) status = co_await io::flush(*file_);
  if (status != Status::ok) co_return failure(status, "cannot write " + path + " again");
  newest_applied_ = older_applied_ = value_.applied.position.lsn;
  if (const auto& other = slots[1 - format::slot_of(value_.sequence)]) older_applied_ = other->applied.position.lsn;
  durable_evidence_ = value_.durable.position.lsn;
  co_return Result<void>();
}

Task<Status> StateFile::update(std::move_only_function<void(format::StateBlock&)> change) {
  change(value_);
  const uint64_t mine = ++changes_;
  co_await writing_.acquire();
  Status status = failed_;
  if (status == Status::ok && changes_written_ < mine) status = co_await write_slot();
  writing_.release(1);
  co_return status;
}

Task<Status> StateFile::write_slot() {
  const uint64_t covered = changes_;
  ++value_.sequence;
  if (fill_) fill_(value_);
  const Lsn applied = value_.applied.position.lsn;
  const Lsn evidence = value_.durable.position.lsn;
  const auto bytes = format::encode_state_block(value_);
  CHECK(bytes.size() == state_slot_bytes);
  std::memcpy(slot_.data(), bytes.data(), bytes.size());
  const uint64_t offset = format::slot_of(value_.sequence) * state_slot_bytes;
  Status status = co_await io::write(*file_, offset, slot_.span());
  if (status == Status::ok) status = co_await io::flush(*file_);
  if (status == Status::ok) {
    changes_written_ = covered;
    older_applied_ = newest_applied_;
    newest_applied_ = applied;
    durable_evidence_ = evidence;
  } else {
    failed_ = status;
  }
  co_return status;
}

}  // namespace mars::bricks
