// The bytes of the NBD protocol (fixed newstyle), big-endian, as pure functions: constants, decoders that check bounds,
// encoders, and the judgement of one request. Specification: doc/proto.md of the NBD project.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "xio/info.h"

namespace mars::nbd {

using Bytes = std::vector<std::byte>;

inline constexpr size_t greeting_bytes = 18;
inline constexpr size_t client_flags_bytes = 4;
inline constexpr size_t option_header_bytes = 16;
inline constexpr size_t request_header_bytes = 28;
inline constexpr size_t simple_reply_bytes = 16;
inline constexpr size_t chunk_header_bytes = 20;
inline constexpr uint32_t option_bytes_max = 16u << 10;  // of an option's data; the longest that we know needs 4 KiB
inline constexpr uint32_t name_bytes_max = 4096;
inline constexpr uint32_t request_bytes_max = 32u << 20;  // of one read or write

// Handshake flags, of both sides.
inline constexpr uint32_t flag_fixed_newstyle = 1;
inline constexpr uint32_t flag_no_zeroes = 2;

enum class Option : uint32_t {
  export_name = 1,
  abort = 2,
  list = 3,
  starttls = 5,
  info = 6,
  go = 7,
  structured_reply = 8,
};

enum class OptionReply : uint32_t {
  ack = 1,
  server = 2,
  info = 3,
  unsupported = 0x80000001,
  policy = 0x80000002,
  invalid = 0x80000003,
  platform = 0x80000004,
  tls_required = 0x80000005,
  unknown = 0x80000006,
  shutdown = 0x80000007,
  too_big = 0x80000009,
};

enum class InfoType : uint16_t { export_ = 0, name = 1, description = 2, block_size = 3 };

// Transmission flags of an export.
inline constexpr uint16_t has_flags = 1 << 0;
inline constexpr uint16_t read_only = 1 << 1;
inline constexpr uint16_t send_flush = 1 << 2;
inline constexpr uint16_t send_fua = 1 << 3;
inline constexpr uint16_t rotational = 1 << 4;
inline constexpr uint16_t send_trim = 1 << 5;
inline constexpr uint16_t send_write_zeroes = 1 << 6;
inline constexpr uint16_t send_df = 1 << 7;
inline constexpr uint16_t can_multi_conn = 1 << 8;
inline constexpr uint16_t send_fast_zero = 1 << 11;

enum class Command : uint16_t { read = 0, write = 1, disconnect = 2, flush = 3, trim = 4, write_zeroes = 6 };

// Flags of a request.
inline constexpr uint16_t command_fua = 1 << 0;
inline constexpr uint16_t command_no_hole = 1 << 1;
inline constexpr uint16_t command_df = 1 << 2;
inline constexpr uint16_t command_fast_zero = 1 << 4;

enum class Errno : uint32_t {
  none = 0,
  perm = 1,
  io = 5,
  no_memory = 12,
  invalid = 22,
  no_space = 28,
  overflow = 75,
  not_supported = 95,
  shutdown = 108,
};
Errno errno_of(Status status);

// Types and flags of structured reply chunks.
inline constexpr uint16_t chunk_done = 1;
inline constexpr uint16_t chunk_offset_data = 1;
inline constexpr uint16_t chunk_error = (1 << 15) + 1;
inline constexpr uint16_t chunk_error_offset = (1 << 15) + 2;

// What an export is, as a client sees it.
struct Shape {
  uint64_t bytes = 0;
  uint32_t block_bytes = 1;
  uint32_t preferred_bytes = 4096;
  uint16_t flags = has_flags;
  bool is_fast_zero_native = false;
};
Shape shape_of(const xio::Info& info, bool is_read_only);

// ---- handshake

std::array<std::byte, greeting_bytes> greeting();

struct OptionHeader {
  uint32_t option = 0;  // an Option, if we know it
  uint32_t length = 0;  // of its data
};
// `bytes`: option_header_bytes. Nothing: no option at all, the connection is to be closed.
std::optional<OptionHeader> decode_option_header(ByteView bytes);

struct InfoRequest {
  std::string name;
  std::vector<uint16_t> infos;
};
// Data of info and go.
std::optional<InfoRequest> decode_info_request(ByteView data);

Bytes option_reply(uint32_t option, OptionReply type, ByteView data = {});
Bytes option_error(uint32_t option, OptionReply type, std::string_view text);
Bytes server_entry(std::string_view name);  // data of OptionReply::server
Bytes export_info(const Shape& shape);      // data of OptionReply::info
Bytes block_size_info(const Shape& shape);
Bytes text_info(InfoType type, std::string_view text);
// The answer to Option::export_name.
Bytes export_name_answer(const Shape& shape, bool without_zeroes);

// ---- transmission

struct Request {
  uint16_t flags = 0;
  uint16_t type = 0;  // a Command, if we know it
  uint64_t cookie = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  bool is(Command command) const { return type == static_cast<uint16_t>(command); }
};
// `bytes`: request_header_bytes. Nothing: the client has lost its place, the connection is to be closed.
std::optional<Request> decode_request(ByteView bytes);

// Errno::none: the request may be carried out on such an export. `single_bytes_max`: what one chunk can carry.
Errno judge(const Request& request, const Shape& shape, bool has_structured_replies, uint32_t single_bytes_max);

// Write into `into`, return how many bytes.
size_t put_simple_reply(std::span<std::byte> into, Errno error, uint64_t cookie);
size_t put_data_chunk(std::span<std::byte> into, uint64_t cookie, bool is_last, uint64_t offset, uint32_t bytes);
size_t put_error_chunk(std::span<std::byte> into, uint64_t cookie, bool is_last, uint64_t offset, Errno error);
inline constexpr size_t reply_head_bytes_max = 40;

}  // namespace mars::nbd
