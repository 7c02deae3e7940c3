// Any bytes as a state block, with a hash that fits, and in either slot; what is accepted is what would be written.
#include "format/state_block.h"

#include <algorithm>

#include "base/check.h"
#include "format/seal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars;
  using namespace mars::format;
  ByteView view = bytes_of({reinterpret_cast<const char*>(data), size});
  (void)decode_state_block(view);
  // The input as the fields behind the seal.
  view = view.first(std::min(view.size(), state_slot_bytes - seal_end));
  std::vector<std::byte> slot;
  Writer writer(slot);
  writer.text("MARSSTA1");
  writer.u16(1);
  writer.u16(0);
  writer.u32(static_cast<uint32_t>(seal_end + view.size()));
  writer.zeroes(seal_end - seal_offset);
  writer.bytes(view);
  seal(slot);
  slot.resize(state_slot_bytes);
  auto block = decode_state_block(slot);
  if (block) CHECK(encode_state_block(*block) == slot);
  std::vector<std::byte> file(state_file_bytes);
  std::ranges::copy(slot, file.begin() + (size % 2 == 0 ? 0 : state_slot_bytes));
  (void)newest_state_block(file);
  return 0;
}
