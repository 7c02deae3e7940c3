#include "net/join_messages.h"

#include <algorithm>
#include <string_view>

#include "format/frame.h"

namespace mars::net {

namespace {

constexpr std::string_view request_magic = "MJRQ";
constexpr std::string_view answer_magic = "MJAN";
constexpr uint16_t join_version = 1;
constexpr size_t pem_bytes_max = 16u << 10;
constexpr size_t address_bytes_max = 255;
constexpr size_t addresses_max = 16;

void put_text(Writer& writer, const std::string& text) {
  writer.u32(static_cast<uint32_t>(text.size()));
  writer.text(text);
}

std::string get_text(Reader& reader, size_t most) {
  const uint32_t bytes = reader.u32();
  if (bytes > most) reader.fail();
  return std::string(reader.text(reader.ok() ? bytes : 0));
}

void put_head(Writer& writer, std::string_view magic) {
  writer.text(magic);
  writer.u16(join_version);
  writer.zeroes(2);
}

Status check_head(Reader& reader, std::string_view magic) {
  const std::string_view found = reader.text(magic.size());
  const uint16_t version = reader.u16();
  reader.reserved(2);
  if (!reader.ok() || found != magic) return Status::invalid;
  return version == join_version ? Status::ok : Status::unsupported;
}

}  // namespace

std::vector<std::byte> encode(const JoinRequest& request) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  put_head(writer, request_magic);
  writer.bytes(std::as_bytes(std::span(request.secret)));
  write_uuid(writer, request.host);
  put_text(writer, request.name);
  put_text(writer, request.request_pem);
  writer.u8(static_cast<uint8_t>(std::min(request.addresses.size(), addresses_max)));
  for (size_t i = 0; i < std::min(request.addresses.size(), addresses_max); ++i) put_text(writer, request.addresses[i]);
  return bytes;
}

Result<JoinRequest> decode_join_request(ByteView bytes) {
  Reader reader(bytes);
  const Status head = check_head(reader, request_magic);
  if (head != Status::ok) return failure(head, "the joining host speaks another version of marsd");
  JoinRequest request;
  reader.copy(std::as_writable_bytes(std::span(request.secret)));
  request.host = read_uuid(reader);
  request.name = get_text(reader, format::host_name_max);
  request.request_pem = get_text(reader, pem_bytes_max);
  const size_t count = reader.u8();
  if (count > addresses_max) reader.fail();
  for (size_t i = 0; i < count && reader.ok(); ++i) request.addresses.push_back(get_text(reader, address_bytes_max));
  if (!reader.finished()) return failure(Status::invalid, "a malformed request to join");
  return request;
}

std::vector<std::byte> encode(const JoinAnswer& answer) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  put_head(writer, answer_magic);
  put_text(writer, answer.certificate_pem);
  put_text(writer, answer.ca_certificate_pem);
  put_text(writer, answer.ca_key_pem);
  return bytes;
}

Result<JoinAnswer> decode_join_answer(ByteView bytes) {
  Reader reader(bytes);
  const Status head = check_head(reader, answer_magic);
  if (head != Status::ok) return failure(head, "the member speaks another version of marsd");
  JoinAnswer answer;
  answer.certificate_pem = get_text(reader, pem_bytes_max);
  answer.ca_certificate_pem = get_text(reader, pem_bytes_max);
  answer.ca_key_pem = get_text(reader, pem_bytes_max);
  if (!reader.finished()) return failure(Status::invalid, "a malformed answer to the request to join");
  return answer;
}

}  // namespace mars::net
