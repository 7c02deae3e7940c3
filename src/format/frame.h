// What travels in a session between two hosts: frames with a header of 16 bytes, and the hello that opens the session.
// The bytes inside a frame belong to the stream of its channel. Bytes: doc/format/frame.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "format/values.h"

namespace mars::format {

inline constexpr size_t frame_header_bytes = 16;
inline constexpr uint32_t frame_payload_max = 2u << 20;
inline constexpr size_t host_name_max = 63;

// The versions of the wire protocol that this program speaks.
inline constexpr uint16_t wire_version_min = 1;
inline constexpr uint16_t wire_version_max = 1;

enum class FrameType : uint8_t {
  hello = 1,    // channel 0, first frame of each side
  refusal = 2,  // channel 0, last frame: status and sentence
  ping = 3,     // channel 0: any payload up to 16 bytes
  pong = 4,     // channel 0: the ping's payload
  open = 5,     // begins a stream on a new channel; payload says which
  data = 6,     // bytes or a message of that stream
  credit = 7,   // u32: so many further bytes may be sent on that channel
  close = 8,    // ends a stream: status and sentence
};

std::string_view name(FrameType type);
bool is_known(FrameType type);

struct FrameHeader {
  uint16_t version = wire_version_max;  // a hello and a refusal always carry 1
  FrameType type = FrameType::data;
  uint8_t flags = 0;  // none exist yet: zero
  uint32_t channel = 0;
  uint32_t length = 0;  // of the payload behind the header
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

std::array<std::byte, frame_header_bytes> encode_frame_header(const FrameHeader& header);
// `bytes`: at least frame_header_bytes. `version`: what this session has agreed on; 1 before.
// invalid: another magic, flags set, too long for its type. unsupported: another version or an unknown type.
Result<FrameHeader> decode_frame_header(ByteView bytes, uint16_t version = 1);

enum class PeerRole : uint8_t { host = 1, joiner = 2, client = 3 };

std::string_view name(PeerRole role);

// Payload of a hello frame. It keeps this shape in every version of the protocol; a later one appends.
struct Hello {
  uint16_t version_min = wire_version_min;
  uint16_t version_max = wire_version_max;
  PeerRole role = PeerRole::host;
  Uuid cluster;
  Uuid host;
  Incarnation incarnation;
  std::string host_name;  // at most host_name_max bytes
  friend bool operator==(const Hello&, const Hello&) = default;
};

std::vector<std::byte> encode(const Hello& hello);
// Bytes behind the known ones are skipped when the peer speaks a newer version, else refused.
Result<Hello> decode_hello(ByteView payload);

// The highest version that both speak; unsupported, with both ranges named, when there is none.
Result<uint16_t> agreed_version(const Hello& peer);

// Payload of refusal and close.
struct Farewell {
  Status status = Status::ok;
  std::string text;  // at most 1024 bytes; the encoder cuts
  friend bool operator==(const Farewell&, const Farewell&) = default;
};

std::vector<std::byte> encode(const Farewell& farewell);
Result<Farewell> decode_farewell(ByteView payload);

}  // namespace mars::format
