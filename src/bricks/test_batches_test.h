// Batches of one write each, straight into a Log.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "bricks/test_replica_test.h"
#include "format/batch.h"

namespace mars::bricks {

class TestBatches {
 public:
  struct Batch : Append {
    Batch() : composer(512) {}
    format::BatchComposer composer;
    std::vector<std::byte> payload;
    std::optional<Status> outcome;
    size_t number = 0;
    TestBatches* owner = nullptr;
  };

  explicit TestBatches(TestReplica& replica) : replica_(replica) {}

  // Composes and appends; nothing has happened yet when this returns.
  Batch& append(char letter, size_t bytes = 512, bool is_urgent = false) {
    Log& log = replica_.log();
    Batch& batch = batches_.emplace_back();
    batch.number = batches_.size();
    batch.owner = this;
    batch.payload = filled_with(bytes, letter);
    format::Record record;
    record.length = bytes;
    record.payload_bytes = static_cast<uint32_t>(bytes);
    record.payload_hash = hash(batch.payload);
    batch.composer.add(record, batch.payload);
    format::BatchIdentity identity = log.next_identity();
    identity.admitted = log.admitted() + 1;
    identity.time = {log.last_time().physical_ns, log.last_time().logical + 1};
    batch.header = batch.composer.finish(identity);
    batch.pieces = batch.composer.pieces();
    batch.is_urgent = is_urgent;
    batch.durable = [](Append& append, Status status) {
      auto& self = static_cast<Batch&>(append);
      self.outcome = status;
      self.owner->finished.push_back(self.number);
    };
    log.append(batch);
    return batch;
  }
  // The same, and it is durable.
  Batch& append_durable(char letter, size_t bytes = 512) {
    Batch& batch = append(letter, bytes, true);
    CHECK(settle() && batch.outcome == Status::ok);
    return batch;
  }
  // The same, and it is on the disk as far as a dead process goes, but no flush has covered it.
  Batch& append_written(char letter, size_t bytes = 512) {
    Batch& batch = append(letter, bytes);
    CHECK(replica_.world().run_until([&] { return replica_.log().in_flight_bytes() == 0; }));
    return batch;
  }
  // Until every batch has had its answer.
  bool settle() {
    return replica_.world().run_until([&] { return finished.size() == batches_.size(); }, std::chrono::seconds(5));
  }

  std::vector<size_t> finished;  // numbers, in the order of the answers

 private:
  TestReplica& replica_;
  std::deque<Batch> batches_;
};

inline uint64_t flushes(sim::World& world, const std::function<void()>& during) {
  uint64_t count = 0;
  world.trace().on_event([&](const sim::TraceEvent& event) { count += event.kind == sim::TraceKind::disk_flush; });
  during();
  world.trace().on_event({});
  return count;
}

}  // namespace mars::bricks
