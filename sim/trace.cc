#include "sim/trace.h"

#include "base/hash.h"

namespace mars::sim {
namespace {

// The finisher of splitmix64.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

std::string_view name(TraceKind kind) {
  switch (kind) {
    case TraceKind::job:
      return "job";
    case TraceKind::timer:
      return "timer";
    case TraceKind::helper:
      return "helper";
    case TraceKind::exec:
      return "exec";
    case TraceKind::start:
      return "start";
    case TraceKind::kill:
      return "kill";
    case TraceKind::power_loss:
      return "power_loss";
    case TraceKind::paused:
      return "paused";
    case TraceKind::resumed:
      return "resumed";
    case TraceKind::disk_read:
      return "disk_read";
    case TraceKind::disk_write:
      return "disk_write";
    case TraceKind::disk_flush:
      return "disk_flush";
    case TraceKind::disk_change:
      return "disk_change";
    case TraceKind::disk_fault:
      return "disk_fault";
    case TraceKind::sqlite:
      return "sqlite";
    case TraceKind::connected:
      return "connected";
    case TraceKind::delivered:
      return "delivered";
    case TraceKind::reset:
      return "reset";
    case TraceKind::cut:
      return "cut";
    case TraceKind::heal:
      return "heal";
  }
  return "unknown";
}

void Trace::add(const TraceEvent& event) {
  ++count_;
  hash_ = mix(hash_ + static_cast<uint64_t>(event.kind) + (uint64_t{event.host} << 8));
  hash_ = mix(hash_ ^ static_cast<uint64_t>(event.at.count()));
  hash_ = mix(hash_ + event.a);
  hash_ = mix(hash_ ^ event.b);
  if (listener_) listener_(event);
}

uint64_t digest(std::span<const std::byte> bytes) { return hash(bytes).low; }

}  // namespace mars::sim
