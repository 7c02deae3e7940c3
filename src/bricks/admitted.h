// Admitted: one write, discard or write_zeroes that was taken into the order of the log. It lies in the pool until it
// is durable in the log *and* either on the data disk or overwritten by something newer that is durable.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "bricks/pool.h"
#include "format/values.h"

namespace mars::bricks {

// A durable batch, for as long as something of it is not on the data disk yet.
struct LoggedBatch {
  std::list<LoggedBatch>::iterator place;  // in the list of whoever owns it
  Tip end;
  uint64_t admitted = 0;    // sequence of the last request that the log contains up to its end
  uint32_t unfinished = 0;  // requests of it that the durable index still holds
};

struct Admitted {
  PoolLease lease;
  RecordOp op = RecordOp::write;
  bool fua = false;
  uint32_t volume = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t sequence = 0;
  Hash128 payload_hash;
  std::byte* data = nullptr;  // null: the range reads as zeroes

  // Who still needs it; zero and zero and zero and false: it can be given back.
  uint32_t newest_pieces = 0;   // in the index that reads ask
  uint32_t durable_pieces = 0;  // in the index that write-back works off
  uint32_t pins = 0;            // write-back in flight, a buffer not put yet
  bool is_logging = false;      // not durable yet
  LoggedBatch* batch = nullptr;
  uint32_t* held = nullptr;  // replay: how many requests still need the batch in memory

  uint64_t end() const { return offset + bytes; }
  bool is_needed() const { return newest_pieces > 0 || durable_pieces > 0 || pins > 0 || is_logging; }
};

// All of one resource. Their number is bounded by the pool's slots; memory is kept for the next one.
class AdmittedStock {
 public:
  Admitted& take() {
    if (free_.empty()) {
      all_.emplace_back();
      return all_.back();
    }
    Admitted& one = *free_.back();
    free_.pop_back();
    one = Admitted();
    return one;
  }
  void give_back(Admitted& one) {
    CHECK(!one.is_needed());
    free_.push_back(&one);
  }
  size_t used() const { return all_.size() - free_.size(); }

 private:
  std::deque<Admitted> all_;
  std::vector<Admitted*> free_;
};

}  // namespace mars::bricks
