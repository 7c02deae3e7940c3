// WriteBack: brings what is durable in the log to the data disk, in rounds: collect in the order of offsets, write side
// by side, flush, then the applied position advances (D13). Before a round is written the state block knows how far the
// log was durable: if its end rots, the next start sees damage and not a tear, for the disk is ahead of it (D10, D12).
// While one round is flushed the next one is written, but no two rounds write at the same time: what is newer lands
// later. Owns the durable index and so knows what is unfinished.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "base/aligned.h"
#include "base/sync.h"
#include "base/task.h"
#include "bricks/shadow_index.h"
#include "bricks/state_file.h"
#include "format/batch.h"
#include "io/machine.h"
#include "xio/port.h"

namespace mars::bricks {

struct WriteBackOptions {
  uint64_t round_bytes_max = 32u << 20;
  uint32_t run_bytes_max = 1u << 20;
  // Zeroes cost no memory, but where the disk does not make them by itself as much of it as data: other data would wait
  // behind them, and the disk would seem to hang. Where it does, 64 times as much.
  uint64_t zeroes_round_bytes_max = 64u << 20;
  uint64_t zeroes_run_bytes_max = 16u << 20;
  uint32_t width = 32;                                  // runs in flight
  uint32_t merge_buffers = 4;                           // for runs of more than one piece
  io::Duration delay = std::chrono::milliseconds(200);  // so long nothing came: it is written back
  io::Duration delay_max = std::chrono::seconds(2);     // or so long anyway, unless memory is short
};

class WriteBack {
 public:
  // `finished(request, offset, bytes)`: this range of the request is on the disk and flushed. `dropped(request)`: the
  // durable index needs it no more. `data`: the data disk. `state`: takes the applied position.
  WriteBack(io::Machine& machine, xio::Output& data, StateFile& state, WriteBackOptions options,
            std::move_only_function<void(Admitted&, uint64_t, uint64_t)> finished,
            std::move_only_function<void(Admitted&)> dropped);
  ~WriteBack();

  void start(Tip applied);
  // The requests of a batch that became durable, in order.
  void add(const std::vector<Admitted*>& requests, const format::BatchHeader& header);
  // A batch without data became durable: an epoch's first batch. Applied may move over it.
  void pass(Tip end, uint64_t admitted);
  // Memory is short, or everything must go: do not wait.
  void hurry();
  // Nothing is durable that could be written.
  bool is_starving() const { return durable_.empty(); }
  bool is_done() const { return applied_ == newest_; }
  // Until everything is on the disk and the state block says so; the disk's error when it failed. timed_out: not until
  // then.
  Task<Status> drain(io::Instant deadline = io::Instant::max());
  // Runs once, when the data disk or the state block failed. What is not written stays in memory (D14).
  void on_failed(std::move_only_function<void()> heard) { heard_ = std::move(heard); }
  // Ends the activity without draining; waits for it.
  Task<void> stop();

  Tip applied() const { return applied_; }   // durable in the state block
  Status failed() const { return failed_; }  // the data disk's error (D14)
  // Applied moved or the disk failed.
  Notifier& changed() { return changed_; }
  size_t batches() const { return batches_.size(); }  // of the log that are kept in mind
  uint64_t written_bytes() const { return written_bytes_; }
  xio::Edge& data() { return data_.below(); }

 private:
  struct Run {
    std::vector<ShadowIndex::Piece> pieces;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    bool is_zeroes = false;
  };

  Task<void> work();
  Task<void> rest();
  ShadowIndex::Piece next_piece(uint64_t from) const;
  std::vector<Run> collect();
  Task<Status> leave_evidence();
  Task<Status> write(const std::vector<Run>& runs);
  Task<void> commit(std::vector<Run> runs, Status written);
  Task<void> write_run(Run run);
  Task<Status> write_merged(const Run& run);
  Task<Status> write_zeroes(const Run& run);
  bool is_hole(const Admitted& request);
  bool is_zeroed_natively(const Admitted& request);
  void settle(const std::vector<Run>& runs);
  void unpin(const std::vector<Run>& runs);
  Task<Status> advance_applied();
  void on_dropped(Admitted& request);

  io::Machine& machine_;
  xio::Port data_;
  StateFile& state_;
  const WriteBackOptions options_;
  std::move_only_function<void(Admitted&, uint64_t, uint64_t)> finished_;
  std::move_only_function<void(Admitted&)> dropped_;
  std::move_only_function<void()> heard_;
  ShadowIndex durable_;
  LoggedBatch& append(Tip end, uint64_t admitted);
  void merge(LoggedBatch& batch);
  std::list<LoggedBatch> batches_;
  Tip applied_;
  Tip newest_;  // of what was added
  io::Instant last_added_{};
  uint64_t cursor_ = 0;
  uint64_t unsettled_from_ = 0;  // the range of the round that is written and not yet flushed
  uint64_t unsettled_to_ = 0;
  uint64_t written_bytes_ = 0;
  bool is_hurried_ = false;
  bool is_started_ = false;
  Status failed_ = Status::ok;
  Status round_status_ = Status::ok;
  std::vector<AlignedBuffer> merge_buffers_;
  Semaphore width_;
  Semaphore merging_;
  Semaphore committing_;
  Event stop_;
  Notifier work_;
  Notifier changed_;
  Scope scope_;
  Scope runs_;
  Scope commits_;
};

}  // namespace mars::bricks
