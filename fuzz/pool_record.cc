// Any bytes as pool header and pool record, with a hash that fits; what is accepted is what would be written.
#include "format/pool_record.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "format/seal.h"

namespace {

using namespace mars;
using namespace mars::format;

void try_header(std::vector<std::byte> bytes) {
  bytes.resize(pool_header_bytes);
  (void)decode_pool_header(bytes);
  seal(bytes);
  if (auto header = decode_pool_header(bytes)) CHECK(std::ranges::equal(encode_pool_header(*header), bytes));
}

void try_record(const std::vector<std::byte>& bytes) {
  alignas(8) std::array<std::byte, pool_record_bytes> slot{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), slot.size()), slot.begin());
  (void)load_pool_record(slot);
  seal(slot);
  auto record = load_pool_record(slot);
  if (!record) return;
  (void)fits_pool(*record, PoolHeader{record->pool_id, record->boot_id, 4096, 1, 1});
  alignas(8) std::array<std::byte, pool_record_bytes> again{};
  store_pool_record(again, *record);
  CHECK(slot == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView view = bytes_of({reinterpret_cast<const char*>(data), size});
  try_header({view.begin(), view.end()});
  try_record({view.begin(), view.end()});
  return 0;
}
