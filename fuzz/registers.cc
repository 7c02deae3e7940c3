// Any bytes as a register and as a delta; what is accepted is what would be sent.
#include "format/registers.h"

#include <algorithm>

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars;
  using namespace mars::format;
  ByteView view = bytes_of({reinterpret_cast<const char*>(data), size});
  if (auto value = decode_register(view)) CHECK(std::ranges::equal(*encode_register(*value), view));
  if (auto delta = decode_delta(view)) CHECK(std::ranges::equal(*encode_delta(*delta), view));
  return 0;
}
