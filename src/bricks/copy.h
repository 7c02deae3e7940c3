// Copy: makes the target equal to the source, or says where they differ. Compares digests of ranges, made where the
// bytes lie, and moves only ranges that differ; zeroes are not moved but told. Both inputs may lead to other hosts.
// Page: doc/brick/copy.md.
//
// An origin with two inputs and a Switch. On: it goes on at durable(). Off: it finishes the ranges in flight, flushes
// the target and rests; forced off, it rests as soon as what is below has come back. What changes while it runs, behind
// position() or in a range in flight, is not its business: whoever writes to the source meanwhile does it to the target
// too, or starts again.
#pragma once

#include <array>
#include <deque>
#include <vector>

#include "base/aligned.h"
#include "base/task.h"
#include "brick/switch.h"
#include "xio/port.h"

namespace mars::bricks {

enum class CopyMode : uint8_t { sync, verify };  // verify changes nothing

struct CopyOptions {
  CopyMode mode = CopyMode::sync;
  uint64_t start = 0;                       // everything before is taken as equal; rounded down to a block
  uint32_t range_bytes = 64u << 10;         // compared, and moved, at once; at most what both sides take
  uint32_t width = 16;                      // ranges in flight, each with a buffer of range_bytes
  uint64_t checkpoint_bytes = 64ull << 20;  // the target is flushed so often; what is moved twice after a failure
  xio::Priority priority = xio::Priority::background;
};

struct CopyRange {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  friend bool operator==(const CopyRange&, const CopyRange&) = default;
};

struct CopyCounts {
  uint64_t compared = 0;   // bytes whose digests were asked
  uint64_t different = 0;  // of those
  uint64_t moved = 0;      // read from the source and written to the target
  uint64_t zeroed = 0;     // made zero at the target without reading the source
};

class Copy final : public brick::Switch {
 public:
  static constexpr size_t mismatches_max = 1024;  // that are listed

  Copy(Ready& ready, xio::Output& source, xio::Output& target, CopyOptions options);

  // Everything before is equal; before durable(), also when the target loses its power now. Store durable() to go on
  // with as `start` in another process.
  uint64_t position() const;
  uint64_t durable() const { return durable_; }
  bool is_done() const { return is_done_; }
  // Why it rests with the button on, ok while all is well: which side said no, where, and how.
  const Error& failed() const { return failed_; }
  // After a failure: goes on at durable().
  void retry();

  const CopyCounts& counts() const { return counts_; }
  // What verify found, in order, neighbours joined; counts().different has the sum, also of what the list has no room
  // for.
  std::vector<CopyRange> mismatches() const;

  xio::Edge& source() { return source_.below(); }
  xio::Edge& target() { return target_.below(); }

 private:
  struct Worker {
    CopyRange range;
    bool is_busy = false;  // with the range; stays so when it failed
    AlignedBuffer buffer;
  };
  struct Digests {
    Hash128 source;
    Hash128 target;
  };

  void on_button() override;
  bool is_running() const { return scope_.count() > 0; }
  bool goes_on() const { return button() && failed_.status == Status::ok; }

  Task<void> run();
  Error prepare();
  Task<void> work(Worker& worker);
  Task<Status> handle(Worker& worker);
  Task<Status> compare(CopyRange range, Digests& digests);
  Task<Status> move(Worker& worker, Hash128 source);
  Task<Status> zero(Worker& worker);
  Task<void> checkpoint();
  Status noted(Status status, const char* side, const char* what, uint64_t offset);

  const CopyOptions options_;
  xio::Port source_;
  xio::Port target_;
  uint64_t total_ = 0;
  uint64_t next_ = 0;  // the next range begins here
  uint64_t durable_;
  uint32_t range_bytes_ = 0;
  bool is_done_ = false;
  bool is_flushing_ = false;
  bool has_flush_failed_ = false;  // since prepare()
  uint64_t lost_end_ = 0;          // what was written between durable() and here may be lost, whatever is read there
  Error failed_ = Status::ok;
  CopyCounts counts_;
  std::vector<CopyRange> mismatches_;  // in the order in which they were found
  std::deque<Worker> workers_;
  Scope working_;
  Scope scope_;
};

}  // namespace mars::bricks
