// Seam: a brick that passes everything on. It stands where a running graph is opened: above it are wirings that come
// and go and know only it, below it one edge, into which an instrument can be put at any time.
#pragma once

#include "xio/request.h"

namespace mars::bricks {

class Seam final : public xio::Output {
 public:
  Seam(Ready& ready, xio::Output& below) : Output(ready), below_(xio::On<&Seam::left>{}, this, this, below) {}

  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override { below_.enter(request); }

  xio::Edge& below() { return below_; }

 private:
  void left(xio::Request& request) { complete(request, request.status); }

  xio::Input<> below_;
};

}  // namespace mars::bricks
