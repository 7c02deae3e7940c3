// What client and server say to each other inside a channel: XIO requests across hosts. The client says hello, the
// server welcomes it with the Info of what it serves; then requests one way, answers the other, in any order. Every
// message is bounded and every field is checked by its decoder. Bytes: doc/format/remote.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "xio/request.h"

namespace mars::bricks {

// The versions that this program speaks.
inline constexpr uint16_t remote_version_min = 1;
inline constexpr uint16_t remote_version_max = 1;

inline constexpr uint32_t remote_data_bytes_max = 1u << 20;  // in one message
inline constexpr uint32_t remote_in_flight_max = 1024;
inline constexpr size_t remote_request_head_bytes = 32;
inline constexpr size_t remote_answer_head_bytes = 24;
inline constexpr size_t remote_digest_bytes = 16;
// What each side grants the other when the channel is opened; at least four messages of the largest size.
inline constexpr uint32_t remote_window_bytes = 8u << 20;
// No message is larger; a channel that takes less is refused.
inline constexpr size_t remote_message_bytes_max = remote_data_bytes_max + remote_request_head_bytes;

// Client to server, first.
struct RemoteHello {
  uint16_t version_min = remote_version_min;
  uint16_t version_max = remote_version_max;
  friend bool operator==(const RemoteHello&, const RemoteHello&) = default;
};

// Server to client, first; carries the version that counts from now on. `alignment` of the Info does not travel: no
// buffer crosses, so it is 1.
struct RemoteWelcome {
  uint16_t version = remote_version_max;
  xio::Info info;
  uint32_t in_flight_max = 0;  // a client with more requests under way is cut off
  friend bool operator==(const RemoteWelcome&, const RemoteWelcome&) = default;
};

struct RemoteRequest {
  uint64_t id = 0;  // the client's; the answer carries it back
  xio::Op op = xio::Op::read;
  xio::Priority priority = xio::Priority::foreground;
  bool fua = false;
  bool digest_only = false;
  uint64_t offset = 0;
  uint32_t bytes = 0;
  ByteView data;  // of a write: `bytes` of them, inside the message
};

struct RemoteAnswer {
  uint64_t id = 0;
  Status status = Status::ok;
  ByteView data;  // of a read that went well: its bytes, or its hash; inside the message
};

std::vector<std::byte> encode(const RemoteHello& hello);
std::vector<std::byte> encode(const RemoteWelcome& welcome);
std::vector<std::byte> encode(const RemoteRequest& request);
std::vector<std::byte> encode(const RemoteAnswer& answer);
// For an answer whose data lie behind `head` already, remote_answer_head_bytes of it.
void encode_answer_head(ByteSpan head, uint64_t id, Status status, uint32_t data_bytes);

// invalid: malformed. unsupported: another version than agreed. Views point into `message`.
Result<RemoteHello> decode_remote_hello(ByteView message);
Result<RemoteWelcome> decode_remote_welcome(ByteView message);
Result<RemoteRequest> decode_remote_request(ByteView message);
Result<RemoteAnswer> decode_remote_answer(ByteView message);

// The highest version that both speak; unsupported, with both ranges named, when there is none.
Result<uint16_t> agreed_version(const RemoteHello& peer);

}  // namespace mars::bricks
