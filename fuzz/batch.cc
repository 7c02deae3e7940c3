// Any bytes as a batch: as they are, and with a hash that fits, so that the checks behind the hash are reached too.
#include "format/batch.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "format/seal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars;
  using namespace mars::format;
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(data[i]);
  bytes.resize((size + 4095) / 4096 * 4096);
  (void)verify_batch(bytes);
  auto header = decode_batch_header(bytes);
  if (!header || header->table_end > bytes.size()) return 0;
  seal(ByteSpan(bytes).first(header->table_end));
  auto batch = verify_batch(bytes);
  if (!batch) return 0;
  for (const Record& record : batch->records)
    CHECK(hash(batch->payload(record)) == record.payload_hash || record.payload_bytes == 0);
  // What is accepted is what a composer makes of the same records, byte for byte.
  BatchComposer composer(batch->header.payload_alignment);
  for (const Record& record : batch->records) {
    if (!composer.fits(record.payload_bytes)) return 0;
    composer.add(record, batch->payload(record));
  }
  composer.finish(batch->header.identity);
  size_t at = 0;
  for (ByteView piece : composer.pieces()) {
    CHECK(std::equal(piece.begin(), piece.end(), bytes.begin() + static_cast<ptrdiff_t>(at)));
    at += piece.size();
  }
  CHECK(at == bytes.size());
  return 0;
}
