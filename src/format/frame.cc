#include "format/frame.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mars::format {

namespace {

constexpr uint32_t frame_magic = 0x4652414d;  // "MARF"
constexpr size_t farewell_text_max = 1024;
constexpr size_t hello_fixed_bytes = 2 + 2 + 1 + 1 + 2 + 16 + 16 + 8 + 8;
constexpr size_t hello_bytes_max = 4096;

uint32_t payload_max(FrameType type) {
  switch (type) {
    case FrameType::hello:
      return hello_bytes_max;
    case FrameType::refusal:
    case FrameType::close:
      return 4 + farewell_text_max;
    case FrameType::ping:
    case FrameType::pong:
      return 16;
    case FrameType::credit:
      return 4;
    case FrameType::open:
    case FrameType::data:
      return frame_payload_max;
  }
  return 0;
}

std::string range_text(uint16_t from, uint16_t to) {
  return from == to ? std::to_string(from) : std::to_string(from) + " to " + std::to_string(to);
}

bool is_sound(const Hello& hello) {
  bool role_known = hello.role >= PeerRole::host && hello.role <= PeerRole::client;
  return role_known && hello.version_min >= 1 && hello.version_min <= hello.version_max &&
         hello.host_name.size() <= host_name_max;
}

}  // namespace

std::string_view name(FrameType type) {
  switch (type) {
    case FrameType::hello:
      return "hello";
    case FrameType::refusal:
      return "refusal";
    case FrameType::ping:
      return "ping";
    case FrameType::pong:
      return "pong";
    case FrameType::open:
      return "open";
    case FrameType::data:
      return "data";
    case FrameType::credit:
      return "credit";
    case FrameType::close:
      return "close";
  }
  return "unknown";
}

bool is_known(FrameType type) { return type >= FrameType::hello && type <= FrameType::close; }

std::string_view name(PeerRole role) {
  switch (role) {
    case PeerRole::host:
      return "host";
    case PeerRole::joiner:
      return "joiner";
    case PeerRole::client:
      return "client";
  }
  return "unknown";
}

std::array<std::byte, frame_header_bytes> encode_frame_header(const FrameHeader& header) {
  CHECK(is_known(header.type) && header.length <= payload_max(header.type));
  std::array<std::byte, frame_header_bytes> bytes{};
  Writer writer(bytes);
  writer.u32(frame_magic);
  writer.u16(header.version);
  writer.u8(std::to_underlying(header.type));
  writer.u8(header.flags);
  writer.u32(header.channel);
  writer.u32(header.length);
  return bytes;
}

Result<FrameHeader> decode_frame_header(ByteView bytes, uint16_t version) {
  Reader reader(bytes);
  uint32_t magic = reader.u32();
  FrameHeader header;
  header.version = reader.u16();
  header.type = static_cast<FrameType>(reader.u8());
  header.flags = reader.u8();
  header.channel = reader.u32();
  header.length = reader.u32();
  if (!reader.ok() || magic != frame_magic) return failure(Status::invalid, "the peer does not speak our protocol");
  bool frozen = header.type == FrameType::hello || header.type == FrameType::refusal;
  if (header.version != (frozen ? 1 : version)) {
    return failure(Status::unsupported, "a frame of protocol version " + std::to_string(header.version) +
                                            " in a session of version " + std::to_string(version));
  }
  if (!is_known(header.type)) {
    return failure(Status::unsupported, "a frame of unknown type " + std::to_string(std::to_underlying(header.type)));
  }
  if (header.flags != 0) return failure(Status::invalid, "a frame with unknown flags");
  if (header.length > payload_max(header.type)) {
    return failure(Status::invalid, "a " + std::string(name(header.type)) + " frame of " +
                                        std::to_string(header.length) + " bytes, allowed are " +
                                        std::to_string(payload_max(header.type)));
  }
  return header;
}

std::vector<std::byte> encode(const Hello& hello) {
  CHECK(is_sound(hello));
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  writer.u16(hello.version_min);
  writer.u16(hello.version_max);
  writer.u8(std::to_underlying(hello.role));
  writer.u8(static_cast<uint8_t>(hello.host_name.size()));
  writer.zeroes(2);
  write_uuid(writer, hello.cluster);
  write_uuid(writer, hello.host);
  writer.u64(hello.incarnation.value);
  writer.zeroes(8);
  CHECK(writer.size() == hello_fixed_bytes);
  writer.text(hello.host_name);
  return bytes;
}

Result<Hello> decode_hello(ByteView payload) {
  Reader reader(payload);
  Hello hello;
  hello.version_min = reader.u16();
  hello.version_max = reader.u16();
  hello.role = static_cast<PeerRole>(reader.u8());
  size_t name_bytes = reader.u8();
  reader.reserved(2);
  hello.cluster = read_uuid(reader);
  hello.host = read_uuid(reader);
  hello.incarnation = {reader.u64()};
  reader.reserved(8);
  hello.host_name = reader.text(name_bytes);
  bool ends_well = reader.rest() == 0 || hello.version_max > wire_version_max;
  if (!reader.ok() || !ends_well || !is_sound(hello)) return failure(Status::invalid, "the hello is malformed");
  return hello;
}

Result<uint16_t> agreed_version(const Hello& peer) {
  uint16_t version = std::min(peer.version_max, wire_version_max);
  if (version < peer.version_min || version < wire_version_min) {
    return failure(Status::unsupported, "host " + peer.host_name + " speaks protocol version " +
                                            range_text(peer.version_min, peer.version_max) + ", this host " +
                                            range_text(wire_version_min, wire_version_max));
  }
  return version;
}

std::vector<std::byte> encode(const Farewell& farewell) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  writer.u16(std::to_underlying(farewell.status));
  size_t text_bytes = std::min(farewell.text.size(), farewell_text_max);
  writer.u16(static_cast<uint16_t>(text_bytes));
  writer.text(std::string_view(farewell.text).substr(0, text_bytes));
  return bytes;
}

Result<Farewell> decode_farewell(ByteView payload) {
  Reader reader(payload);
  Farewell farewell;
  farewell.status = static_cast<Status>(reader.u16());
  farewell.text = reader.text(reader.u16());
  bool known = name(farewell.status) != "unknown";
  if (!reader.finished() || !known || farewell.text.size() > farewell_text_max) {
    return failure(Status::invalid, "the peer's last sentence is malformed");
  }
  return farewell;
}

}  // namespace mars::format
