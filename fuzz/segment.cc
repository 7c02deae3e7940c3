// Any bytes as the header and as the name of a segment; what is accepted is what would be written.
#include "format/segment.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "format/seal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars;
  using namespace mars::format;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto name = parse_segment_name(text)) CHECK(to_string(*name) == text);
  ByteView view = bytes_of(text);
  (void)decode_segment_header(view);
  // The input as the fields behind the seal.
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  writer.text("MARSSEG1");
  writer.u16(1);
  writer.zeroes(seal_end - writer.size());
  writer.bytes(view);
  bytes.resize(segment_header_bytes);
  seal(bytes);
  if (auto header = decode_segment_header(bytes)) CHECK(std::ranges::equal(encode_segment_header(*header), bytes));
  return 0;
}
