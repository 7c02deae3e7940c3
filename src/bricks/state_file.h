// StateFile: the state block of one resource on this host, in memory and in its two slots on disk (D9).
//
// One writer at a time and in order: update() applies a change to the value at once and returns when a slot that
// contains it is durable; changes that come while a slot is being written share the next one. A failed write is final:
// every later update answers io_error, and the slot that was whole stays whole.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "base/aligned.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "format/state_block.h"
#include "io/machine.h"

namespace mars::bricks {

class StateFile {
 public:
  explicit StateFile(io::Machine& machine);

  // Makes the file with this first content; exists when it is there.
  Task<Result<void>> create(std::string path, format::StateBlock first);
  // not_found, damaged, unsupported: the text says what to do.
  Task<Result<void>> open(std::string path);

  const format::StateBlock& value() const { return value_; }
  // Called before each slot is written: what others know best (branch, durable hint) is filled in then.
  void on_write(std::move_only_function<void(format::StateBlock&)> fill) { fill_ = std::move(fill); }

  // The lower of what the two slots say: whichever of them rots, the log below is not needed for our own recovery
  // (D15).
  Lsn durable_applied() const { return std::min(newest_applied_, older_applied_); }
  // Of the newest slot alone: one more update brings durable_applied() here.
  Lsn newest_applied() const { return newest_applied_; }
  // And how far it says that the log was durable: the evidence that tells damage from a tear (D10).
  Lsn durable_evidence() const { return durable_evidence_; }

  // `change` runs once, now. ok: it is durable.
  Task<Status> update(std::move_only_function<void(format::StateBlock&)> change);
  // What the first write that failed said; nothing is written any more.
  Status failed() const { return failed_; }

 private:
  Task<Status> write_slot();

  io::Machine& machine_;
  std::unique_ptr<io::File> file_;
  format::StateBlock value_;
  Lsn newest_applied_;
  Lsn older_applied_;
  Lsn durable_evidence_;
  std::move_only_function<void(format::StateBlock&)> fill_;
  AlignedBuffer slot_;
  uint64_t changes_ = 0;          // made in memory
  uint64_t changes_written_ = 0;  // contained in a durable slot
  Semaphore writing_;
  Status failed_ = Status::ok;
};

}  // namespace mars::bricks
