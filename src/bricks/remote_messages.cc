#include "bricks/remote_messages.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/check.h"

namespace mars::bricks {
namespace {

using xio::Op;

constexpr std::string_view magic = "MXIO";
enum class Kind : uint8_t { hello = 1, welcome = 2, request = 3, answer = 4 };
constexpr uint8_t fua_flag = 1;
constexpr uint8_t digest_flag = 2;
constexpr uint16_t last_status = static_cast<uint16_t>(Status::stopped);

void write_head(Writer& writer, uint16_t version, Kind kind) {
  writer.text(magic);
  writer.u16(version);
  writer.u8(static_cast<uint8_t>(kind));
  writer.zeroes(1);
}

struct Head {
  uint16_t version = 0;
  Error problem = Status::ok;
};

Error malformed(const char* what) { return {Status::invalid, std::string("remote I/O: a malformed ") + what}; }

Head read_head(Reader& reader, Kind kind, const char* what) {
  Head head;
  const std::string_view found = reader.text(magic.size());
  head.version = reader.u16();
  const uint8_t number = reader.u8();
  reader.reserved(1);
  if (!reader.ok() || found != magic || number != static_cast<uint8_t>(kind)) {
    head.problem = malformed(what);
  } else if (head.version < remote_version_min || head.version > remote_version_max) {
    head.problem = {Status::unsupported, "remote I/O: a " + std::string(what) + " of version " +
                                             std::to_string(head.version) + ", which is unknown here"};
  }
  return head;
}

template <class Enumeration>
Enumeration read_enumerator(Reader& reader, uint8_t last) {
  const uint8_t value = reader.u8();
  if (value > last) reader.fail();
  return static_cast<Enumeration>(value <= last ? value : 0);
}

xio::Support read_support(Reader& reader) {
  return read_enumerator<xio::Support>(reader, static_cast<uint8_t>(xio::Support::native));
}

// What no device has, and what would make a client divide by zero.
bool is_possible(const RemoteWelcome& welcome) {
  const xio::Info& info = welcome.info;
  return std::has_single_bit(info.block_bytes) && info.atomic_bytes > 0 && info.optimal_bytes > 0 &&
         info.bytes_max > 0 && info.bytes_max <= remote_data_bytes_max && info.bytes_max % info.block_bytes == 0 &&
         welcome.in_flight_max > 0 && welcome.in_flight_max <= remote_in_flight_max;
}

bool is_possible(const RemoteRequest& request) {
  const bool is_write = request.op == Op::write;
  const bool is_change = is_write || request.op == Op::discard || request.op == Op::write_zeroes;
  if (request.fua && !is_change) return false;
  if (request.digest_only && request.op != Op::read) return false;
  if (request.data.size() != (is_write ? request.bytes : 0)) return false;
  if (request.op == Op::flush) return request.bytes == 0 && request.offset == 0;
  if (request.bytes == 0 || request.offset > UINT64_MAX - request.bytes) return false;
  const bool is_transfer = is_write || request.op == Op::read;
  return !is_transfer || request.bytes <= remote_data_bytes_max;
}

}  // namespace

std::vector<std::byte> encode(const RemoteHello& hello) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write_head(writer, 1, Kind::hello);
  writer.u16(hello.version_min);
  writer.u16(hello.version_max);
  writer.zeroes(4);
  return bytes;
}

std::vector<std::byte> encode(const RemoteWelcome& welcome) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write_head(writer, welcome.version, Kind::welcome);
  const xio::Info& info = welcome.info;
  writer.u64(info.bytes);
  writer.u32(info.block_bytes);
  writer.u32(info.atomic_bytes);
  writer.u32(info.optimal_bytes);
  writer.u32(info.bytes_max);
  writer.u32(welcome.in_flight_max);
  writer.u8(info.rotational ? 1 : 0);
  for (const xio::Support support : {info.flush, info.fua, info.discard, info.write_zeroes}) {
    writer.u8(static_cast<uint8_t>(support));
  }
  writer.zeroes(7);
  return bytes;
}

std::vector<std::byte> encode(const RemoteRequest& request) {
  std::vector<std::byte> bytes;
  bytes.reserve(remote_request_head_bytes + request.data.size());
  Writer writer(bytes);
  write_head(writer, remote_version_max, Kind::request);
  writer.u64(request.id);
  writer.u64(request.offset);
  writer.u32(request.bytes);
  writer.u8(static_cast<uint8_t>(request.op));
  writer.u8(static_cast<uint8_t>((request.fua ? fua_flag : 0) | (request.digest_only ? digest_flag : 0)));
  writer.u8(static_cast<uint8_t>(request.priority));
  writer.zeroes(1);
  writer.bytes(request.data);
  return bytes;
}

void encode_answer_head(ByteSpan head, uint64_t id, Status status, uint32_t data_bytes) {
  CHECK(head.size() == remote_answer_head_bytes);
  Writer writer(head);
  write_head(writer, remote_version_max, Kind::answer);
  writer.u64(id);
  writer.u16(static_cast<uint16_t>(status));
  writer.zeroes(2);
  writer.u32(data_bytes);
}

std::vector<std::byte> encode(const RemoteAnswer& answer) {
  std::vector<std::byte> bytes(remote_answer_head_bytes);
  encode_answer_head(bytes, answer.id, answer.status, static_cast<uint32_t>(answer.data.size()));
  bytes.insert(bytes.end(), answer.data.begin(), answer.data.end());
  return bytes;
}

// A hello has this shape, and version 1 in its head, in every version there will be.
Result<RemoteHello> decode_remote_hello(ByteView message) {
  Reader reader(message);
  Head head = read_head(reader, Kind::hello, "hello");
  if (head.problem.status != Status::ok) return failure(std::move(head.problem));
  RemoteHello hello;
  hello.version_min = reader.u16();
  hello.version_max = reader.u16();
  reader.reserved(4);
  const bool is_range = hello.version_min >= 1 && hello.version_min <= hello.version_max;
  if (!reader.finished() || head.version != 1 || !is_range) return failure(malformed("hello"));
  return hello;
}

Result<RemoteWelcome> decode_remote_welcome(ByteView message) {
  Reader reader(message);
  Head head = read_head(reader, Kind::welcome, "welcome");
  if (head.problem.status != Status::ok) return failure(std::move(head.problem));
  RemoteWelcome welcome;
  welcome.version = head.version;
  xio::Info& info = welcome.info;
  info.bytes = reader.u64();
  info.block_bytes = reader.u32();
  info.atomic_bytes = reader.u32();
  info.optimal_bytes = reader.u32();
  info.bytes_max = reader.u32();
  welcome.in_flight_max = reader.u32();
  info.rotational = read_enumerator<uint8_t>(reader, 1) != 0;
  for (xio::Support* support : {&info.flush, &info.fua, &info.discard, &info.write_zeroes}) {
    *support = read_support(reader);
  }
  reader.reserved(7);
  if (!reader.finished() || !is_possible(welcome)) return failure(malformed("welcome"));
  return welcome;
}

Result<RemoteRequest> decode_remote_request(ByteView message) {
  Reader reader(message);
  Head head = read_head(reader, Kind::request, "request");
  if (head.problem.status != Status::ok) return failure(std::move(head.problem));
  RemoteRequest request;
  request.id = reader.u64();
  request.offset = reader.u64();
  request.bytes = reader.u32();
  request.op = read_enumerator<Op>(reader, xio::op_count - 1);
  const uint8_t flags = reader.u8();
  request.fua = (flags & fua_flag) != 0;
  request.digest_only = (flags & digest_flag) != 0;
  request.priority = read_enumerator<xio::Priority>(reader, static_cast<uint8_t>(xio::Priority::background));
  reader.reserved(1);
  if ((flags & ~(fua_flag | digest_flag)) != 0) reader.fail();
  request.data = reader.bytes(reader.rest());
  if (!reader.finished() || !is_possible(request)) return failure(malformed("request"));
  return request;
}

Result<RemoteAnswer> decode_remote_answer(ByteView message) {
  Reader reader(message);
  Head head = read_head(reader, Kind::answer, "answer");
  if (head.problem.status != Status::ok) return failure(std::move(head.problem));
  RemoteAnswer answer;
  answer.id = reader.u64();
  const uint16_t status = reader.u16();
  reader.reserved(2);
  const uint32_t data_bytes = reader.u32();
  if (status > last_status) reader.fail();
  answer.status = static_cast<Status>(status);
  answer.data = reader.bytes(reader.rest());
  const bool fits = data_bytes == answer.data.size() && data_bytes <= remote_data_bytes_max &&
                    (data_bytes == 0 || answer.status == Status::ok);
  if (!reader.finished() || !fits) return failure(malformed("answer"));
  return answer;
}

Result<uint16_t> agreed_version(const RemoteHello& peer) {
  if (peer.version_max < remote_version_min || peer.version_min > remote_version_max) {
    return failure(Status::unsupported, "remote I/O: the peer speaks versions " + std::to_string(peer.version_min) +
                                            " to " + std::to_string(peer.version_max) + ", this host " +
                                            std::to_string(remote_version_min) + " to " +
                                            std::to_string(remote_version_max) + "; update the older of the two");
  }
  return std::min(peer.version_max, remote_version_max);
}

}  // namespace mars::bricks
