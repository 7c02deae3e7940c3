// trans_logger: the heart. A block device whose every change goes to the transaction log first, in one total order, and
// to the data disk later. A composition: Pool (memory that outlives the process), BatchWriter (group commit), Log,
// ShadowIndex (what reads see), WriteBack (log to disk). Page: doc/brick/trans_logger.md.
//
// Acknowledged at once are plain writes, when the write cache is on (D6); FUA and FLUSH wait for the durable prefix
// (D7). Life: start() opens it on a recovered log whose last epoch is ours; drain() brings everything to the disk;
// stop() ends it, leaving to the log what is not on the disk. Requests that come while it is not started get gone.
#pragma once

#include <functional>

#include "bricks/admitted.h"
#include "bricks/batch_writer.h"
#include "bricks/log.h"
#include "bricks/pool.h"
#include "bricks/shadow_index.h"
#include "bricks/write_back.h"
#include "io/machine.h"
#include "xio/request.h"

namespace mars::bricks {

struct TransLoggerOptions {
  uint32_t volume = 0;
  uint64_t bytes = 0;          // of the volume
  uint32_t block_bytes = 512;  // of the volume: 512 or 4096
  bool write_cache = true;     // false: every write is durable before it is acknowledged
  BatchWriterOptions batches;
  WriteBackOptions write_back;
};

class TransLogger final : public xio::Output, private xio::Supplier {
 public:
  TransLogger(io::Machine& machine, Pool& pool, Log& log, StateFile& state, xio::Output& data,
              TransLoggerOptions options);
  ~TransLogger() override;

  // `applied`: where the data disk is; everything behind it must have been replayed before.
  void start(Tip applied, uint64_t admitted);
  // For what comes from now on. What was acknowledged from memory until then is made durable at once when the cache is
  // turned off; whoever wants to know when asks with a FLUSH.
  void set_durability(bool write_cache, io::Duration flush_interval);
  // A control batch was appended beside the writes: the applied position may move over it.
  void pass(Tip end) { write_back_.pass(end, admitted_); }
  // Waits until what is under way is answered, everything admitted is durable in the log and on the data disk.
  // timed_out: not until then.
  Task<Status> drain(io::Instant deadline = io::Instant::max());
  // Answers what waits with gone and forgets what is not on the disk; the log has it. After drain(): a clean end.
  Task<void> stop();
  // The acknowledged writes of a predecessor that died: into the log, in order, before anything new (D6).
  // After start(), before the first request. damaged: one is missing (writes-lost); nothing was appended. Waits while
  // the log has no room; io_error: the log has failed, and they are left in the pool.
  // `accepts_gap`: what lies behind a missing one is given up; without, nothing is touched then (damaged).
  Task<Status> adopt(bool accepts_gap = false);

  xio::Info info() const override;
  void enter(xio::Request& request) override;

  bool has_failed() const { return log_.failed(); }  // log-failed: writes and flushes get io_error, reads go on
  Status disk_status() const { return write_back_.failed(); }  // disk-failed (D14)
  Notifier& changed() { return write_back_.changed(); }
  uint64_t admitted() const { return admitted_; }
  Tip applied() const { return write_back_.applied(); }
  size_t waiting_for_memory() const { return waiting_.size(); }
  bool has_waiting() const { return !waiting_.empty() || !unanswered_.empty(); }
  // What has not been logged is all that there is to do.
  bool waits_for_log() const { return durable_sequence_ < admitted_ && write_back_.is_done(); }
  // What the log has is on the disk.
  bool is_written_back() const { return write_back_.is_done(); }
  uint64_t durable_sequence() const { return durable_sequence_; }
  uint64_t dirty_requests() const { return stock_.used(); }
  uint64_t written_bytes() const { return write_back_.written_bytes(); }  // to the data disk, since start()
  // S3: every change that is admitted now is in the log up to the position that this returns, once it is durable.
  Task<Result<Lsn>> durable_admitted(io::Instant deadline = io::Instant::max());

 private:
  struct Pending {  // kept on a request that waits for durability
    uint64_t sequence = 0;
  };
  struct Gather {                      // kept on a read that is put together from several places
    AlignedBuffer* scratch = nullptr;  // of a digest_only read, which brings no buffer
    uint32_t left = 1;
    Status status = Status::ok;
  };
  struct Part : xio::Request {
    xio::Request* parent = nullptr;
  };

  void get(xio::Request& request);
  void change(xio::Request& request);
  Admitted* take_memory(xio::Request& request);
  void wait_for_memory();
  void admit(xio::Request& request, Admitted& mine);
  void seal(const Admitted& mine);
  void flush(xio::Request& request);
  void read(xio::Request& request);
  void gather(xio::Request& request);
  void read_gap(xio::Request& parent, uint64_t offset, uint64_t bytes, std::byte* into);
  void part_left(xio::Request& request);
  void passed(xio::Request& request);
  void part_done(xio::Request& parent, Status status);
  void answer(xio::Request& request, Status status);

  void on_logged(std::vector<Admitted*>& requests, const format::BatchHeader& batch, Status status);
  void take_back(xio::Request& request) override;
  void release(Admitted& request);
  static void on_memory(PoolWaiter& waiter);
  void retry_waiting();
  void leave_unlogged();

  struct MemoryWaiter : PoolWaiter {
    TransLogger* logger = nullptr;
  };
  struct Retry : Job {
    TransLogger* logger = nullptr;
    bool is_queued = false;
  };

  io::Machine& machine_;
  Pool& pool_;
  Log& log_;
  TransLoggerOptions options_;
  xio::Input<> below_;  // whole reads, passed on
  xio::Input<> parts_;  // parts of reads
  AdmittedStock stock_;
  ShadowIndex newest_;
  WriteBack write_back_;
  BatchWriter writer_;
  std::deque<Part> part_stock_;
  std::vector<Part*> free_parts_;
  std::vector<Admitted*> unlogged_;  // acknowledged, and the log failed before it had them
  xio::Line waiting_;                // for memory, in order
  xio::Line unanswered_;             // for durability, in the order of their sequence
  MemoryWaiter memory_;
  Retry retry_;
  Notifier answered_;
  uint64_t admitted_ = 0;
  uint64_t durable_sequence_ = 0;
  PoolShare share_;         // of the pool
  uint32_t under_way_ = 0;  // requests inside
  bool is_started_ = false;
};

}  // namespace mars::bricks
