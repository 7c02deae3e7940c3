// LogReader: reads a resource's log in order from a position, verified batch by batch (D3). One activity at a time.
#pragma once

#include "base/aligned.h"
#include "base/status.h"
#include "base/task.h"
#include "bricks/branch.h"
#include "bricks/segments.h"
#include "format/batch.h"

namespace mars::bricks {

class LogReader {
 public:
  // `branch` says which epoch owns which bytes; it must outlive the reader and may grow. `start`: where the first batch
  // begins, with the hash of the one before; zero elsewhere than at LSN 0: not known, the chain is checked
  // from the second batch on.
  LogReader(Segments& segments, const SegmentsOptions& options, const Branch& branch, Tip start);
  ~LogReader();
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  // The next batch; it must end at or below `limit`. The batch borrows the reader's memory until the next call.
  // end: the batch would end beyond the limit, or limit is reached. not_found: no segment holds this position.
  // invalid, damaged, unsupported: what stands there is not the next batch of this history.
  Task<Result<format::Batch>> next(Lsn limit);

  const Tip& tip() const { return tip_; }

 private:
  struct Held {
    explicit Held(std::vector<Segment*> places) : segments(std::move(places)) {
      for (Segment* segment : segments) ++segment->readers;
    }
    ~Held() {
      for (Segment* segment : segments) --segment->readers;
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    const std::vector<Segment*> segments;
  };

  std::vector<Segment*> places(Lsn at) const;
  Task<Result<format::Batch>> read_from(Segment& segment, Lsn limit);
  Task<Status> fill(Segment& segment, Lsn limit, size_t bytes);
  void pin(Segment* segment);
  ByteView buffered() const;

  Segments& segments_;
  Uuid cluster_;
  Uuid resource_;
  const Branch& branch_;
  Tip tip_;
  Segment* segment_ = nullptr;
  AlignedBuffer buffer_;
  Lsn buffer_first_;
  size_t buffer_bytes_ = 0;
};

}  // namespace mars::bricks
