#include "bricks/stats.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace mars::bricks {
namespace {

int64_t microseconds(io::Duration time) { return std::chrono::duration_cast<std::chrono::microseconds>(time).count(); }

std::string text_of(io::Duration time) { return std::to_string(microseconds(time)) + "us"; }

}  // namespace

void Histogram::add(io::Duration time) {
  const auto whole = static_cast<uint64_t>(std::max<int64_t>(microseconds(time), 0));
  ++buckets_[std::min<size_t>(std::bit_width(whole), bucket_count - 1)];
}

uint64_t Histogram::count() const { return std::accumulate(buckets_.begin(), buckets_.end(), uint64_t{0}); }

io::Duration Histogram::bound(uint64_t parts) const {
  const uint64_t all = count();
  uint64_t below = 0;
  for (size_t i = 0; i < bucket_count; ++i) {
    below += buckets_[i];
    if (below > 0 && below * 1000 >= all * parts) return std::chrono::microseconds(uint64_t{1} << i);
  }
  return {};
}

Stats::Stats(io::Machine& machine, xio::Output& below)
    : Output(machine.ready()), machine_(machine), below_(xio::On<&Stats::left>{}, this, this, below) {}

void Stats::enter(xio::Request& request) { below_.enter(request, {machine_.now()}); }

void Stats::left(xio::Request& request, Aspect aspect) {
  if (request.step == xio::Step::io) {
    Counts& counts = counts_[static_cast<size_t>(request.op)];
    const io::Duration time = machine_.now() - aspect.entered;
    ++counts.requests;
    if (request.status == Status::ok) {
      counts.bytes += request.bytes;
    } else {
      ++counts.failed;
    }
    counts.longest = std::max(counts.longest, time);
    counts.times.add(time);
  }
  complete(request, request.status);
}

std::string Stats::dump() const {
  std::string text;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const Counts& counts = counts_[i];
    if (counts.requests == 0) continue;
    text.append(name(static_cast<xio::Op>(i))).append(": ");
    text += std::to_string(counts.requests) + " requests, " + std::to_string(counts.failed) + " failed, " +
            std::to_string(counts.bytes) + " bytes, p50 " + text_of(counts.times.bound(500)) + ", p99 " +
            text_of(counts.times.bound(990)) + ", max " + text_of(counts.longest) + '\n';
  }
  return text;
}

}  // namespace mars::bricks
