// Any bytes as what an NBD client says: a handshake of options, then requests.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "front/nbd/negotiator.h"

namespace {

using namespace mars;
using namespace mars::nbd;

class Shelf : public Catalogue {
 public:
  std::vector<std::string> names() const override { return {"disk"}; }
  std::optional<Shape> find(std::string_view name) const override {
    return name == "disk" ? std::optional(shape()) : std::nullopt;
  }
  std::string description(std::string_view) const override { return "a disk"; }
  std::string why_not(std::string_view name) const override { return std::string(name) + " is elsewhere"; }

  static Shape shape() {
    xio::Info info;
    info.bytes = 1 << 20;
    info.block_bytes = 512;
    info.write_zeroes = info.discard = xio::Support::emulated;
    return shape_of(info, false);
  }
};

// Options until one does not go on; returns what is left.
ByteView negotiate(Negotiator& negotiator, ByteView bytes) {
  while (bytes.size() >= option_header_bytes) {
    const auto header = decode_option_header(bytes);
    if (!header || header->length > option_bytes_max) return {};
    bytes = bytes.subspan(option_header_bytes);
    Bytes answer;
    const size_t length = std::min<size_t>(header->length, bytes.size());
    const auto next = negotiator.on_option(*header, bytes.first(length), answer);
    bytes = bytes.subspan(length);
    if (next == Negotiator::Next::transmission) {
      CHECK(negotiator.name() == "disk");
      return bytes;
    }
    if (next == Negotiator::Next::close) return {};
    if (next == Negotiator::Next::secure) negotiator.secured();
  }
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  Shelf shelf;
  Negotiator negotiator(shelf, (data[0] & 1) != 0 ? TlsPolicy::required : TlsPolicy::none);
  if (!negotiator.on_client_flags((data[0] >> 1) & 7)) return 0;
  bytes = negotiate(negotiator, bytes.subspan(1));
  const Shape shape = Shelf::shape();
  for (; bytes.size() >= request_header_bytes; bytes = bytes.subspan(request_header_bytes)) {
    const auto request = decode_request(bytes);
    if (!request) break;
    const Errno verdict = judge(*request, shape, negotiator.has_structured_replies(), 1 << 20);
    if (verdict != Errno::none || request->is(Command::flush)) continue;
    CHECK(request->length > 0 && request->length % 512 == 0 && request->offset % 512 == 0);
    CHECK(request->offset <= shape.bytes && request->length <= shape.bytes - request->offset);
  }
  return 0;
}
