// Valve: the brick between the FUSE session and the memory of a test: shows less than there is, holds or fails what
// passes, and remembers how deep it got.
#pragma once

#include <algorithm>
#include <cstdint>

#include "xio/request.h"

namespace mars::test {

class Valve final : public xio::Output {
 public:
  Valve(Ready& ready, xio::Output& below, uint64_t bytes, bool discards)
      : Output(ready), bytes_(bytes), discards_(discards), below_(xio::On<&Valve::left>{}, this, this, below) {}

  xio::Info info() const override {
    xio::Info info = below_.info();
    info.bytes = bytes_;
    if (!discards_) info.discard = xio::Support::none;
    return info;
  }
  void enter(xio::Request& request) override {
    if (request.step == xio::Step::io) deepest_ = std::max(deepest_, ++depth_);
    if (fails_) return finish(request, Status::io_error);
    if (holds_) return held_.push(request);
    below_.enter(request);
  }

  void grow(uint64_t bytes) { bytes_ = bytes; }
  void fail() { fails_ = true; }
  void hold() { holds_ = true; }
  void let_go() {
    holds_ = false;
    while (xio::Request* request = held_.pop()) below_.enter(*request);
  }
  size_t deepest() const { return deepest_; }
  size_t held() const { return held_.size(); }

 private:
  void left(xio::Request& request) { finish(request, request.status); }
  void finish(xio::Request& request, Status status) {
    if (request.step == xio::Step::io) --depth_;
    complete(request, status);
  }

  uint64_t bytes_;
  const bool discards_;
  bool fails_ = false;
  bool holds_ = false;
  size_t depth_ = 0;
  size_t deepest_ = 0;
  xio::Line held_;
  xio::Input<> below_;
};

}  // namespace mars::test
