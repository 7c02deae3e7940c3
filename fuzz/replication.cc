// Any bytes as each message between two hosts that is not a register: reports, sync conversations, joining; and as the
// text of a life. What a decoder takes is what its encoder writes; a state of a newer marsd in a report becomes
// "unknown", then nothing changes any more.
#include <algorithm>

#include "base/check.h"
#include "net/join_messages.h"
#include "replication/life.h"
#include "replication/report.h"
#include "replication/sync_messages.h"

namespace {

using namespace mars;

template <class Decode>
void try_decode(Decode decode, ByteView bytes) {
  auto value = decode(bytes);
  if (value) CHECK(std::ranges::equal(encode(*value), bytes));
}

void try_report(ByteView bytes) {
  auto report = replication::decode_report(bytes);
  if (!report) return;
  const std::vector<std::byte> written = encode(*report);
  CHECK(written.size() == bytes.size());
  auto again = replication::decode_report(written);
  CHECK(again && encode(*again) == written);
  if (report->state != control::State::unknown) CHECK(std::ranges::equal(written, bytes));
}

void try_life(ByteView bytes) {
  auto life = replication::parse_life(text_of(bytes));
  if (!life) return;
  auto again = replication::parse_life(replication::to_text(*life));
  CHECK(again && *again == *life);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ByteView view = bytes_of({reinterpret_cast<const char*>(data), size});
  ByteView message = view.subspan(1);
  if (data[0] >= 250) {
    try_life(message);
    return 0;
  }
  switch (data[0] % 6) {
    case 0:
      try_report(message);
      break;
    case 1:
      try_decode(replication::decode_sync_header, message);
      break;
    case 2:
      try_decode(replication::decode_sync_request, message);
      break;
    case 3:
      try_decode(replication::decode_sync_answer, message);
      break;
    case 4:
      try_decode(net::decode_join_request, message);
      break;
    default:
      try_decode(net::decode_join_answer, message);
      break;
  }
  return 0;
}
