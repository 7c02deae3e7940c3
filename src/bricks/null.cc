#include "bricks/null.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace mars::bricks {
namespace {

Hash128 digest_of_zeroes(uint64_t bytes) {
  static constexpr std::array<std::byte, 4096> zeroes{};
  Hasher hasher;
  while (bytes > 0) {
    const uint64_t part = std::min<uint64_t>(bytes, zeroes.size());
    hasher.add(ByteView(zeroes.data(), part));
    bytes -= part;
  }
  return hasher.digest();
}

}  // namespace

Null::Null(Ready& ready, uint64_t bytes, uint32_t block_bytes)
    : Output(ready), bytes_(bytes), block_bytes_(block_bytes) {}

xio::Info Null::info() const {
  return {.bytes = bytes_,
          .block_bytes = block_bytes_,
          .discard = xio::Support::native,
          .write_zeroes = xio::Support::native};
}

void Null::enter(xio::Request& request) {
  if (Status status = check_bounds(request, info()); status != Status::ok) return complete(request, status);
  if (request.op == xio::Op::read && request.step == xio::Step::io) {
    if (request.digest_only) {
      request.digest = digest_of_zeroes(request.bytes);
    } else {
      std::memset(request.data, 0, request.bytes);
    }
  }
  complete(request, Status::ok);
}

}  // namespace mars::bricks
