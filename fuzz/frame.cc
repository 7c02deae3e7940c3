// Any bytes as a frame header, a hello and a farewell.
#include "format/frame.h"

#include <algorithm>

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars;
  using namespace mars::format;
  ByteView view = bytes_of({reinterpret_cast<const char*>(data), size});
  if (auto header = decode_frame_header(view)) {
    CHECK(std::ranges::equal(encode_frame_header(*header), view.first(frame_header_bytes)));
  }
  if (auto hello = decode_hello(view)) {
    CHECK(decode_hello(encode(*hello)) || hello->version_max > wire_version_max);
    (void)agreed_version(*hello);
  }
  if (auto farewell = decode_farewell(view)) CHECK(std::ranges::equal(encode(*farewell), view));
  return 0;
}
