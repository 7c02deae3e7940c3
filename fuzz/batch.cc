// Any bytes as a batch; and a batch composed from them, with a few bytes changed and sealed again, so that the checks
// behind the hash are reached. What is accepted is what a composer makes of the same records, byte for byte.
#include "format/batch.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "format/seal.h"

namespace {

using namespace mars;
using namespace mars::format;

std::vector<std::byte> joined(const BatchComposer& composer) {
  std::vector<std::byte> bytes;
  for (ByteView piece : composer.pieces()) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

void try_verify(const std::vector<std::byte>& bytes) {
  auto batch = verify_batch(bytes);
  if (!batch) return;
  BatchComposer composer(batch->header.payload_alignment);
  for (const Record& record : batch->records) {
    if (!composer.fits(record.payload_bytes)) return;  // more pieces than a composer makes
    composer.add(record, batch->payload(record));
  }
  composer.finish(batch->header.identity);
  CHECK(joined(composer) == bytes);
}

void try_sealed(std::vector<std::byte> bytes) {
  auto header = decode_batch_header(bytes);
  if (!header || header->table_end > bytes.size()) return;
  seal(ByteSpan(bytes).first(header->table_end));
  try_verify(bytes);
}

// Up to four records whose kinds and sizes the input chooses; control records have the input as payload.
std::vector<std::byte> composed(Reader& input, ByteView payload) {
  BatchComposer composer(512u << (input.u8() % 4));
  size_t count = input.u8() % 4 + 1;
  for (size_t i = 0; i < count; ++i) {
    Record record;
    record.op = static_cast<RecordOp>(input.u8() % 9 + 1);
    size_t bytes = std::min<size_t>(input.u16(), payload.size());
    if (!is_data(record.op)) {
      composer.add_control(record.op, 0, payload.first(std::clamp<size_t>(bytes, 1, packed_payload_max)));
      continue;
    }
    bool writes = record.op == RecordOp::write;
    record.length = writes ? bytes : bytes + 1;
    record.payload_bytes = writes ? static_cast<uint32_t>(bytes) : 0;
    if (record.payload_bytes > 0) record.payload_hash = hash(payload.first(bytes));
    composer.add(record, payload.first(record.payload_bytes));
  }
  BatchIdentity identity;
  identity.cluster.bytes[0] = identity.resource.bytes[0] = 1;
  std::copy_n(reinterpret_cast<const uint8_t*>(payload.data()), 16, identity.epoch.bytes.begin());
  composer.finish(identity);
  return joined(composer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView view = bytes_of({reinterpret_cast<const char*>(data), size});
  std::vector<std::byte> raw(view.begin(), view.end());
  raw.resize((size + 4095) / 4096 * 4096);
  try_verify(raw);
  try_sealed(raw);

  Reader input(view);
  std::vector<std::byte> payload(8192);
  std::copy_n(view.begin(), std::min(view.size(), payload.size()), payload.begin());
  std::vector<std::byte> bytes = composed(input, payload);
  try_verify(bytes);
  for (int i = input.u8() % 3; i >= 0; --i) {
    size_t at = input.u16() % 512;
    bytes[at] = static_cast<std::byte>(input.u8());
  }
  try_sealed(bytes);
  return 0;
}
