// Any bytes as each message of remote I/O. What a decoder takes is what its encoder writes, and stays inside the bounds
// that client and server rely on.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "bricks/remote_messages.h"

namespace {

using namespace mars;
using namespace mars::bricks;

void check_welcome(ByteView bytes) {
  const auto welcome = decode_remote_welcome(bytes);
  if (!welcome) return;
  CHECK(std::ranges::equal(encode(*welcome), bytes));
  CHECK(std::has_single_bit(welcome->info.block_bytes) && welcome->info.bytes_max <= remote_data_bytes_max);
  CHECK(welcome->in_flight_max > 0 && welcome->in_flight_max <= remote_in_flight_max);
  (void)xio::to_string(welcome->info);
  (void)xio::stricter(welcome->info, {});
}

// As the server does: what comes out of check_bounds as ok lies inside the device.
void check_request(ByteView bytes) {
  const auto remote = decode_remote_request(bytes);
  if (!remote) return;
  CHECK(std::ranges::equal(encode(*remote), bytes));
  CHECK(remote->data.size() <= remote_data_bytes_max);
  const xio::Info device{.bytes = 1 << 30, .block_bytes = 512, .bytes_max = 1 << 16, .discard = xio::Support::native};
  xio::Request request;
  std::byte place{};
  request.prepare(remote->op, remote->offset, remote->bytes, remote->op == xio::Op::flush ? nullptr : &place);
  request.fua = remote->fua;
  request.digest_only = remote->digest_only;
  if (check_bounds(request, device) != Status::ok || remote->op == xio::Op::flush) return;
  CHECK(remote->bytes > 0 && remote->offset < device.bytes && remote->bytes <= device.bytes - remote->offset);
  CHECK(!request.transfers() || remote->bytes <= device.bytes_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto hello = decode_remote_hello(bytes)) {
    CHECK(std::ranges::equal(encode(*hello), bytes));
    (void)agreed_version(*hello);
  }
  check_welcome(bytes);
  check_request(bytes);
  if (const auto answer = decode_remote_answer(bytes)) {
    CHECK(std::ranges::equal(encode(*answer), bytes));
    CHECK(answer->data.empty() || answer->status == Status::ok);
  }
  return 0;
}
