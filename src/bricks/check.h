// Check: an instrument that believes nobody. Counts every request in and out, tells which are lost, sees fields that
// come back changed, and, when told so, compares what is read with its own copy of what was written through it.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "bricks/known_bytes.h"
#include "xio/request.h"

namespace mars::bricks {

struct CheckOptions {
  bool compare = false;         // costs a copy of the device in RAM
  uint32_t unit_bytes = 512;    // of comparing: smaller finds more when writes overlap, and costs 24 bytes each
  size_t in_flight_max = 1024;  // what comes beyond passes unwatched, and nothing is compared any more
};

class Check final : public xio::Output {
 public:
  Check(Ready& ready, xio::Output& below, CheckOptions options);

  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override;

  struct Counts {
    uint64_t in = 0;
    uint64_t out = 0;
    uint64_t failed = 0;  // of those out
  };
  Counts counts(xio::Op op, xio::Step step) const { return counts_[index(op, step)]; }
  Counts counts() const;

  // Wrong bytes, wrong digests, changed fields.
  uint64_t faults() const { return faults_; }
  uint64_t bytes_compared() const { return bytes_compared_; }
  // A request that the origin is never given back stands here for ever.
  uint64_t in_flight() const;

  // A line for each operation, the first fault, and what is in flight, oldest first.
  std::string report() const;

  xio::Edge& below() { return below_; }

 private:
  struct Aspect {
    uint64_t slot;
  };
  struct Entry {
    uint64_t number = 0;  // 0: free
    uint64_t offset = 0;
    uint32_t bytes = 0;
    xio::Op op = xio::Op::read;
    xio::Step step = xio::Step::get;
    bool digest_only = false;
  };
  static size_t index(xio::Op op, xio::Step step) { return static_cast<size_t>(op) * 2 + static_cast<size_t>(step); }

  void left(xio::Request& request, Aspect aspect);
  bool watches(const Entry& entry) const;
  void fault(const Entry& entry, const std::string& what);
  void pass_unwatched(xio::Request& request);
  void check_fields(const Entry& entry, const xio::Request& request);
  void begin(const Entry& entry, const xio::Request& request);
  void end(const Entry& entry, const xio::Request& request);
  void compare(const Entry& entry, const xio::Request& request);

  uint64_t number_ = 0;
  std::array<Counts, xio::op_count * 2> counts_{};
  uint64_t faults_ = 0;
  uint64_t bytes_compared_ = 0;
  std::string first_fault_;
  std::vector<Entry> entries_;
  std::vector<uint64_t> free_;
  uint64_t unwatched_ = 0;
  std::optional<KnownBytes> copy_;  // set when it compares
  xio::Input<Aspect> below_;
};

}  // namespace mars::bricks
