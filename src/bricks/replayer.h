// replayer: brings the durable log of this host to its data disk, in order (D12). On a replica it runs all the time, on
// a primary before the device opens (redo). A window of the log is coalesced; only whole batches count as applied.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>

#include "base/sync.h"
#include "base/task.h"
#include "bricks/log.h"
#include "bricks/log_reader.h"
#include "bricks/write_back.h"
#include "io/machine.h"

namespace mars::bricks {

struct ReplayerOptions {
  uint32_t volume = 0;
  uint64_t bytes = 0;  // of the volume
  uint32_t block_bytes = 512;
  uint64_t window_bytes = 8u << 20;
  WriteBackOptions write_back{.delay_max = std::chrono::milliseconds(200)};  // who follows does not put off
};

class Replayer {
 public:
  Replayer(io::Machine& machine, Log& log, StateFile& state, xio::Output& data, ReplayerOptions options);
  ~Replayer();

  void start(Tip applied);
  // Off: what is in the window is still finished, then it rests.
  void allow(bool on);
  // Until applied reaches `lsn` and the state block says so. stopped, or what made replay stop.
  Task<Status> catch_up(Lsn lsn, io::Instant deadline = io::Instant::max());
  // Whoever waits in catch_up() waits no more: stopped.
  void interrupt();
  // Write back now what is in the window.
  void hurry() { write_back_.hurry(); }
  // Takes nothing more from the log, as allow(false), and waits until what is in the window is on the disk: its error,
  // or timed_out.
  Task<Status> rest(io::Instant deadline);
  // Finishes what is in the window; the state block says where it ended.
  Task<void> stop();

  Tip applied() const { return write_back_.applied(); }
  // What made it stop: io_error of the data disk (disk-failed), or damage in the log, with the sentence.
  const Error& failed() const { return failed_; }
  // The data disk's error, whatever the log said before: the window is written on when the log has ended it.
  Status disk_status() const { return write_back_.failed(); }
  bool is_resting() const { return !allowed_; }
  Notifier& changed() { return write_back_.changed(); }
  uint64_t written_bytes() const { return write_back_.written_bytes(); }

 private:
  // A batch in memory while its writes are on their way.
  struct Held {
    AlignedBuffer bytes;
    uint32_t used = 0;
  };

  // A batch that is larger than the whole window goes through it alone.
  uint64_t claim_of(size_t batch_bytes) const { return std::min<uint64_t>(batch_bytes, options_.window_bytes); }
  Task<void> work();
  Task<bool> take(LogReader& reader);
  Status check(const format::Batch& batch) const;
  void feed(const format::Batch& batch);
  void release(Admitted& request);
  void let_go();

  io::Machine& machine_;
  Log& log_;
  const ReplayerOptions options_;
  AdmittedStock stock_;
  std::deque<std::unique_ptr<Held>> held_;
  WriteBack write_back_;
  Semaphore window_;
  Error failed_{Status::ok};
  bool allowed_ = true;
  bool is_taking_ = false;  // a batch is read, or waits for the window
  bool is_interrupted_ = false;
  Event stop_;
  Notifier wake_;
  Scope scope_;
};

}  // namespace mars::bricks
