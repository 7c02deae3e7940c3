// Delay: an instrument that keeps each request for a seeded random time before it passes it on, so that requests
// overtake each other. Switched off it lets what it holds go on at once and keeps nothing more; forced off, what it
// holds ends with Status::gone.
#pragma once

#include <map>

#include "base/prng.h"
#include "brick/switch.h"
#include "io/machine.h"
#include "xio/request.h"

namespace mars::bricks {

struct DelayOptions {
  io::Duration shortest{0};
  io::Duration longest{0};  // included
  uint64_t seed = 0;
};

class Delay final : public xio::Output, public brick::Switch {
 public:
  Delay(io::Machine& machine, xio::Output& below, DelayOptions options);
  ~Delay() override { CHECK(held_.empty()); }

  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override;

  size_t holds() const { return held_.size(); }
  xio::Edge& below() { return below_; }

 private:
  void on_button() override;
  void left(xio::Request& request) { complete(request, request.status); }
  void on_time();
  void arm();

  io::Machine& machine_;
  const DelayOptions options_;
  Prng prng_;
  uint64_t number_ = 0;
  std::map<std::pair<io::Instant, uint64_t>, xio::Request*> held_;  // by the instant at which it goes on
  xio::Input<> below_;
  io::Timer timer_;
};

}  // namespace mars::bricks
