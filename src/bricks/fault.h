// Fault: an instrument that lets chosen requests fail. They do not reach what is below, or, with `done`, they do, and
// only the answer is lost on the way up, as when a cable breaks after the write.
#pragma once

#include <vector>

#include "base/prng.h"
#include "xio/request.h"

namespace mars::bricks {

// Applies to io trips of one operation. Rules are asked in order; the first that hits decides.
struct FaultRule {
  xio::Op op = xio::Op::write;
  uint64_t nth = 0;    // the n-th request of `op` since the rule was added, counted from 1; 0: by chance
  uint64_t parts = 0;  // of `whole`; parts == whole: each
  uint64_t whole = 1;
  Status status = Status::io_error;
  bool done = false;
};

class Fault final : public xio::Output {
 public:
  Fault(Ready& ready, xio::Output& below, uint64_t seed);

  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override;

  void add(FaultRule rule) { rules_.push_back({rule, 0}); }
  void clear() { rules_.clear(); }
  uint64_t injected() const { return injected_; }
  xio::Edge& below() { return below_; }

 private:
  struct Aspect {
    Status answer;  // ok: what came from below
  };
  struct Counted {
    FaultRule rule;
    uint64_t seen;
  };
  const FaultRule* hit(const xio::Request& request);
  void left(xio::Request& request, Aspect aspect);

  Prng prng_;
  std::vector<Counted> rules_;
  uint64_t injected_ = 0;
  xio::Input<Aspect> below_;
};

}  // namespace mars::bricks
