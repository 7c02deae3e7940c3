// random_uuid: a new Uuid from whoever has randomness (io::Machine).
#pragma once

#include <array>
#include <span>

#include "format/values.h"

namespace mars {

template <class Source>
Uuid random_uuid(Source& source) {
  std::array<uint8_t, 16> random;
  source.random_bytes(std::as_writable_bytes(std::span(random)));
  return Uuid::from_random(random);
}

}  // namespace mars
