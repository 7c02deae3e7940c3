// Throttle: lets no more bytes and requests pass in a second than told; the others wait in order. Switched off it lets
// what waits go on at once and limits nothing; forced off, what waits ends with Status::gone.
#pragma once

#include "brick/switch.h"
#include "io/machine.h"
#include "xio/request.h"

namespace mars::bricks {

struct ThrottleRates {
  uint64_t bytes_per_second = 0;  // 0: no limit
  uint64_t requests_per_second = 0;
  io::Duration burst = std::chrono::milliseconds(100);  // what was not used in that time may be used at once
};

class Throttle final : public xio::Output, public brick::Switch {
 public:
  Throttle(io::Machine& machine, xio::Output& below, ThrottleRates rates);
  ~Throttle() override { CHECK(waiting_.empty()); }

  xio::Info info() const override { return below_.info(); }
  // Gets pass; only io is limited.
  void enter(xio::Request& request) override;

  // Counts from the next request on.
  void set_rates(ThrottleRates rates) { rates_ = rates; }
  size_t waiting() const { return waiting_.size(); }
  xio::Edge& below() { return below_; }

 private:
  void on_button() override;
  void left(xio::Request& request) { complete(request, request.status); }
  void let_pass();
  io::Duration cost(const xio::Request& request) const;

  io::Machine& machine_;
  ThrottleRates rates_;
  io::Instant next_{0};  // when the next request may pass
  xio::Line waiting_;
  xio::Input<> below_;
  io::Timer timer_;
};

}  // namespace mars::bricks
