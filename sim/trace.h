// Trace: what happened in a simulated world, as one number. Every event that matters is mixed in with its kind, host,
// time and sizes (and a digest of written bytes), so two runs of one seed are equal exactly when their hashes are.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "io/time.h"

namespace mars::sim {

enum class TraceKind : uint8_t {
  job,
  timer,
  helper,
  exec,
  start,
  kill,
  power_loss,
  paused,
  resumed,
  disk_read,
  disk_write,
  disk_flush,
  disk_change,
  disk_fault,
  sqlite,
  connected,
  delivered,
  reset,
  cut,
  heal,
};

std::string_view name(TraceKind kind);

struct TraceEvent {
  TraceKind kind = TraceKind::job;
  uint32_t host = 0;  // Host::id()
  io::Instant at = {};
  uint64_t a = 0;  // what the kind says: offset, count, peer
  uint64_t b = 0;  // bytes, digest
};

class Trace {
 public:
  void add(const TraceEvent& event);
  uint64_t hash() const { return hash_; }
  uint64_t count() const { return count_; }
  // Called with every event; for `--trace` and for tests that look for a state. Changes nothing.
  void on_event(std::function<void(const TraceEvent&)> listener) { listener_ = std::move(listener); }

 private:
  uint64_t hash_ = 0x6d617273;
  uint64_t count_ = 0;
  std::function<void(const TraceEvent&)> listener_;
};

// A digest for traces: quick, not for anything else.
uint64_t digest(std::span<const std::byte> bytes);

}  // namespace mars::sim
