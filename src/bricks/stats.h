// Stats: an instrument that counts what passes at its place: requests, bytes, failures, and how long they were below.
#pragma once

#include <array>
#include <string>

#include "io/machine.h"
#include "xio/request.h"

namespace mars::bricks {

// How often what took how long: bucket i counts times below 2^i microseconds, the last one everything longer.
class Histogram {
 public:
  static constexpr size_t bucket_count = 28;  // up to two minutes
  void add(io::Duration time);
  uint64_t count() const;
  // An upper bound of the time that `parts` of 1000 requests kept; zero when there were none.
  io::Duration bound(uint64_t parts) const;

 private:
  std::array<uint64_t, bucket_count> buckets_{};
};

class Stats final : public xio::Output {
 public:
  struct Counts {
    uint64_t requests = 0;  // that came back
    uint64_t failed = 0;
    uint64_t bytes = 0;  // of those that did not fail
    io::Duration longest{0};
    Histogram times;
  };

  Stats(io::Machine& machine, xio::Output& below);

  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override;

  // Of io trips; gets are not counted.
  const Counts& counts(xio::Op op) const { return counts_[static_cast<size_t>(op)]; }
  uint64_t in_flight() const { return below_.counts().in_flight; }
  void reset() { counts_ = {}; }

  // A line for each operation that occurred: "write: 12 requests, 0 failed, 49152 bytes, p50 128us, p99 512us, max
  // 301us".
  std::string dump() const;
  xio::Edge& below() { return below_; }

 private:
  struct Aspect {
    io::Instant entered;
  };
  void left(xio::Request& request, Aspect aspect);

  io::Machine& machine_;
  std::array<Counts, xio::op_count> counts_{};
  xio::Input<Aspect> below_;
};

}  // namespace mars::bricks
