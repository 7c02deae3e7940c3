// BatchWriter: makes batches of admitted requests and hands them to the log. While batches are being written the next
// one fills: that is the group commit. Decides when a batch is closed: it is full, somebody waits and nothing is on its
// way, flush-interval has passed since the oldest request that nobody asked to be durable (so long may it take), or a
// flush is expected: who wrote one request and flushed, again and again, as a journal does, will do so once more.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "bricks/admitted.h"
#include "bricks/log.h"
#include "format/batch.h"
#include "io/machine.h"

namespace mars::bricks {

struct BatchWriterOptions {
  io::Duration flush_interval = std::chrono::milliseconds(100);
  uint64_t batch_bytes_target = 1u << 20;
  uint32_t payload_alignment = 4096;  // the log disk's logical block
};

class BatchWriter {
 public:
  // What happened to the requests of one batch, in the order of the log, from the ready queue.
  using Logged =
      std::move_only_function<void(std::vector<Admitted*>& requests, const format::BatchHeader& batch, Status status)>;

  BatchWriter(io::Machine& machine, Log& log, BatchWriterOptions options, Logged logged);
  ~BatchWriter();

  // In the order of admission. `is_urgent`: somebody waits for its durability.
  void add(Admitted& request, bool is_urgent);
  // Everything added so far is to be durable soon.
  void hurry();
  // A client has asked for that, whether anything was left to do or not.
  void note_flush();

  // From the next batch on; what is open already does not wait longer than this.
  void set_flush_interval(io::Duration interval);
  bool idle() const { return open_ == nullptr && in_flight_ == 0; }

 private:
  struct Batch : Append {
    explicit Batch(uint32_t alignment) : composer(alignment) {}
    format::BatchComposer composer;
    std::vector<Admitted*> requests;
    BatchWriter* writer = nullptr;
  };

  static constexpr unsigned flushes_before_one_is_expected = 4;

  bool fits(const Admitted& request) const;
  bool will_be_flushed() const;
  void consider_closing();
  void close(bool is_urgent);
  void on_durable(Batch& batch, Status status);
  Stamp next_time();

  io::Machine& machine_;
  Log& log_;
  BatchWriterOptions options_;
  Logged logged_;
  std::unique_ptr<Batch> open_;
  std::vector<std::unique_ptr<Batch>> free_;
  size_t in_flight_ = 0;
  size_t urgent_in_flight_ = 0;
  bool is_hurried_ = false;
  unsigned lone_flushes_ = 0;  // in a row, each behind one request
  bool is_flush_expected_ = false;
  io::Timer interval_;
};

}  // namespace mars::bricks
