// Any bytes as pool header and pool record, with a hash that fits; what is accepted is what would be written.
#include "format/pool_record.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "format/seal.h"

namespace {

using namespace mars;
using namespace mars::format;

// A seal of that magic, then the input.
std::vector<std::byte> sealed(std::string_view magic, ByteView input, size_t size) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  writer.text(magic);
  writer.u16(1);
  writer.bytes(input.first(std::min<size_t>(input.size(), 6)));
  writer.zeroes(seal_end - writer.size());
  writer.bytes(input.subspan(std::min<size_t>(input.size(), 6)));
  bytes.resize(size);
  seal(bytes);
  return bytes;
}

void try_header(ByteView input) {
  (void)decode_pool_header(input);
  auto bytes = sealed("MARSPOL1", input, pool_header_bytes);
  if (auto header = decode_pool_header(bytes)) CHECK(std::ranges::equal(encode_pool_header(*header), bytes));
}

void try_record(ByteView input) {
  alignas(8) std::array<std::byte, pool_record_bytes> slot{};
  std::copy_n(input.begin(), std::min(input.size(), slot.size()), slot.begin());
  (void)load_pool_record(slot);
  std::ranges::copy(sealed("MARSPRC1", input, pool_record_bytes), slot.begin());
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
  try_header(view);
  try_record(view);
  return 0;
}
