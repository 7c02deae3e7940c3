// Null: a device of any size without content. Reads give zeroes, everything else succeeds at once. For measuring what
// lies above it.
#pragma once

#include "xio/request.h"

namespace mars::bricks {

class Null final : public xio::Output {
 public:
  Null(Ready& ready, uint64_t bytes, uint32_t block_bytes = 1);

  xio::Info info() const override;
  void enter(xio::Request& request) override;

 private:
  const uint64_t bytes_;
  const uint32_t block_bytes_;
};

}  // namespace mars::bricks
