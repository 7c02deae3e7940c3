#include "replication/sync_messages.h"

#include "format/batch.h"
#include "replication/branch_codec.h"

namespace mars::replication {

namespace {

constexpr uint16_t sync_version = 1;

void write_head(Writer& writer, uint8_t kind) {
  writer.u16(sync_version);
  writer.u8(kind);
  writer.u8(0);
}

constexpr uint8_t header_kind = 0x10;
constexpr uint8_t request_kind = 0x11;

uint8_t read_head(Reader& reader) {
  if (reader.u16() != sync_version) reader.fail();
  const uint8_t kind = reader.u8();
  reader.reserved(1);
  return kind;
}

}  // namespace

std::vector<std::byte> encode(const SyncHeader& header) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write_head(writer, header_kind);
  write_tip(writer, header.q);
  writer.u64(header.admitted);
  writer.u64(header.volume_bytes);
  write_branch(writer, header.branch);
  return bytes;
}

std::vector<std::byte> encode(const SyncRequest& request) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write_head(writer, request_kind);
  writer.u64(request.offset);
  writer.u32(request.bytes);
  write_hash(writer, request.digest);
  return bytes;
}

std::vector<std::byte> encode(const SyncAnswer& answer) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write_head(writer, static_cast<uint8_t>(answer.kind));
  writer.u64(answer.offset);
  writer.u32(answer.bytes);
  write_position(writer, answer.c);
  writer.bytes(answer.payload);
  return bytes;
}

Result<SyncHeader> decode_sync_header(ByteView bytes) {
  Reader reader(bytes);
  SyncHeader header;
  if (read_head(reader) != header_kind) reader.fail();
  header.q = read_tip(reader);
  header.admitted = reader.u64();
  header.volume_bytes = reader.u64();
  header.branch = read_branch(reader);
  const uint64_t lsn = header.q.position.lsn.value;
  const bool is_sound =
      lsn % format::batch_block_bytes == 0 && lsn <= format::lsn_max && header.admitted <= format::admitted_max;
  if (!reader.finished() || !is_sound) return failure(Status::invalid, "a malformed sync header");
  return header;
}

Result<SyncRequest> decode_sync_request(ByteView bytes) {
  Reader reader(bytes);
  SyncRequest request;
  if (read_head(reader) != request_kind) reader.fail();
  request.offset = reader.u64();
  request.bytes = reader.u32();
  request.digest = read_hash(reader);
  if (!reader.finished() || request.bytes == 0) return failure(Status::invalid, "a malformed sync request");
  return request;
}

Result<SyncAnswer> decode_sync_answer(ByteView bytes) {
  Reader reader(bytes);
  SyncAnswer answer;
  const uint8_t kind = read_head(reader);
  if (kind < 1 || kind > 3) reader.fail();
  answer.kind = static_cast<SyncKind>(kind);
  answer.offset = reader.u64();
  answer.bytes = reader.u32();
  answer.c = read_position(reader);
  const ByteView payload = reader.bytes(reader.rest());
  answer.payload.assign(payload.begin(), payload.end());
  const size_t expected = answer.kind == SyncKind::bytes ? answer.bytes : 0;
  if (!reader.finished() || answer.payload.size() != expected)
    return failure(Status::invalid, "a malformed sync answer");
  return answer;
}

}  // namespace mars::replication
