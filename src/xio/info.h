// Info: what an XIO output promises to whoever is wired to it. Asked at wiring; a re-wiring never makes it stricter.
#pragma once

#include <cstdint>
#include <string>

#include "io/file.h"

namespace mars::xio {

// Who pays for an operation: none (the request is refused as unsupported), emulated (software, at the price of other
// requests), native.
using Support = io::Support;

struct Info {
  uint64_t bytes = 0;         // size of the device
  uint32_t block_bytes = 1;   // offset and length of every request are multiples of it; a power of two
  uint32_t alignment = 1;     // of a buffer that a request brings along, so that it need not be copied; a power of two
  uint32_t atomic_bytes = 1;  // an aligned unit of this size is written whole or not at all when the power fails
  uint32_t optimal_bytes = 4096;  // best size and alignment of requests; a hint
  uint32_t bytes_max = 1 << 20;   // longest read or write; discard and write_zeroes may be longer
  bool rotational = false;        // a hint
  Support flush = Support::native;
  Support fua = Support::native;
  Support discard = Support::none;
  Support write_zeroes = Support::none;

  friend bool operator==(const Info&, const Info&) = default;
};

// Which promise `offered` does not keep; null when it keeps all of them.
const char* stricter(const Info& promised, const Info& offered);

// One line for graph dumps: "size 8192, block 1, align 1, atomic 1, max 1048576, flush native, ...".
std::string to_string(const Info& info);

}  // namespace mars::xio
