#include "front/nbd/nbd_protocol.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace mars::nbd {
namespace {

constexpr uint64_t init_magic = 0x4e42444d41474943;    // "NBDMAGIC"
constexpr uint64_t option_magic = 0x49484156454f5054;  // "IHAVEOPT"
constexpr uint64_t option_reply_magic = 0x3e889045565a9;
constexpr uint32_t request_magic = 0x25609513;
constexpr uint32_t simple_reply_magic = 0x67446698;
constexpr uint32_t chunk_magic = 0x668e33ef;

// Big-endian, unlike everything that is ours.
template <class T>
T big(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return std::endian::native == std::endian::little ? std::byteswap(value) : value;
}

class BigWriter {
 public:
  explicit BigWriter(std::span<std::byte> into) : into_(into) {}
  template <class T>
  BigWriter& put(T value) {
    CHECK(at_ + sizeof value <= into_.size());
    if (std::endian::native == std::endian::little) value = std::byteswap(value);
    std::memcpy(into_.data() + at_, &value, sizeof value);
    at_ += sizeof value;
    return *this;
  }
  size_t size() const { return at_; }

 private:
  std::span<std::byte> into_;
  size_t at_ = 0;
};

void append(Bytes& bytes, ByteView more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

size_t put_chunk(BigWriter& writer, uint16_t type, uint64_t cookie, bool is_last, uint32_t length) {
  writer.put(chunk_magic).put(is_last ? chunk_done : uint16_t{0}).put(type).put(cookie).put(length);
  return writer.size();
}

uint16_t allowed_flags(const Request& request, const Shape& shape, bool has_structured_replies) {
  uint16_t allowed = (shape.flags & send_fua) != 0 ? command_fua : 0;
  if (request.is(Command::read) && has_structured_replies) allowed |= command_df;
  if (request.is(Command::write_zeroes)) {
    allowed |= command_no_hole;
    if ((shape.flags & send_fast_zero) != 0) allowed |= command_fast_zero;
  }
  return allowed;
}

Errno judge_range(const Request& request, const Shape& shape) {
  const bool grows = request.is(Command::write) || request.is(Command::write_zeroes);
  if (request.length == 0) return Errno::invalid;
  if (request.offset > shape.bytes || request.length > shape.bytes - request.offset) {
    return grows ? Errno::no_space : Errno::invalid;
  }
  const bool is_aligned = request.offset % shape.block_bytes == 0 && request.length % shape.block_bytes == 0;
  return is_aligned ? Errno::none : Errno::invalid;
}

Errno judge_read(const Request& request, uint32_t single_bytes_max) {
  if (request.length > request_bytes_max) return Errno::invalid;
  const bool is_too_long_for_one = (request.flags & command_df) != 0 && request.length > single_bytes_max;
  return is_too_long_for_one ? Errno::overflow : Errno::none;
}

}  // namespace

Errno errno_of(Status status) {
  switch (status) {
    case Status::ok:
      return Errno::none;
    case Status::no_space:
      return Errno::no_space;
    case Status::invalid:
      return Errno::invalid;
    case Status::unsupported:
      return Errno::not_supported;
    case Status::permission:
    case Status::refused:
      return Errno::perm;
    case Status::gone:
    case Status::stopped:
      return Errno::shutdown;
    default:
      return Errno::io;
  }
}

Shape shape_of(const xio::Info& info, bool is_read_only) {
  Shape shape;
  shape.bytes = info.bytes;
  shape.block_bytes = info.block_bytes;
  shape.preferred_bytes = std::clamp(std::bit_ceil(info.optimal_bytes), std::max(info.block_bytes, 4096u), 1u << 20);
  shape.flags = has_flags | can_multi_conn;
  if (is_read_only) shape.flags |= read_only;
  if (info.rotational) shape.flags |= rotational;
  if (info.flush != xio::Support::none) shape.flags |= send_flush;
  if (info.fua != xio::Support::none) shape.flags |= send_fua;
  if (info.discard != xio::Support::none) shape.flags |= send_trim;
  if (info.write_zeroes != xio::Support::none) shape.flags |= send_write_zeroes | send_fast_zero;
  shape.is_fast_zero_native = info.write_zeroes == xio::Support::native;
  return shape;
}

std::array<std::byte, greeting_bytes> greeting() {
  std::array<std::byte, greeting_bytes> bytes;
  BigWriter(bytes).put(init_magic).put(option_magic).put(static_cast<uint16_t>(flag_fixed_newstyle | flag_no_zeroes));
  return bytes;
}

std::optional<OptionHeader> decode_option_header(ByteView bytes) {
  if (bytes.size() < option_header_bytes || big<uint64_t>(bytes.data()) != option_magic) return std::nullopt;
  return OptionHeader{big<uint32_t>(bytes.data() + 8), big<uint32_t>(bytes.data() + 12)};
}

std::optional<InfoRequest> decode_info_request(ByteView data) {
  if (data.size() < 6) return std::nullopt;
  const uint32_t name_bytes = big<uint32_t>(data.data());
  if (name_bytes > name_bytes_max || data.size() - 6 < name_bytes) return std::nullopt;
  InfoRequest request;
  request.name = text_of(data.subspan(4, name_bytes));
  const size_t count = big<uint16_t>(data.data() + 4 + name_bytes);
  data = data.subspan(6 + name_bytes);
  if (data.size() != count * 2) return std::nullopt;
  for (size_t i = 0; i < count; ++i) request.infos.push_back(big<uint16_t>(data.data() + 2 * i));
  return request;
}

Bytes option_reply(uint32_t option, OptionReply type, ByteView data) {
  Bytes reply(20);
  BigWriter(reply)
      .put(option_reply_magic)
      .put(option)
      .put(static_cast<uint32_t>(type))
      .put(static_cast<uint32_t>(data.size()));
  append(reply, data);
  return reply;
}

Bytes option_error(uint32_t option, OptionReply type, std::string_view text) {
  return option_reply(option, type, bytes_of(text.substr(0, name_bytes_max)));
}

Bytes server_entry(std::string_view name) {
  Bytes data(4);
  BigWriter(data).put(static_cast<uint32_t>(name.size()));
  append(data, bytes_of(name));
  return data;
}

Bytes export_info(const Shape& shape) {
  Bytes data(12);
  BigWriter(data).put(static_cast<uint16_t>(InfoType::export_)).put(shape.bytes).put(shape.flags);
  return data;
}

Bytes block_size_info(const Shape& shape) {
  Bytes data(14);
  BigWriter(data)
      .put(static_cast<uint16_t>(InfoType::block_size))
      .put(shape.block_bytes)
      .put(shape.preferred_bytes)
      .put(request_bytes_max);
  return data;
}

Bytes text_info(InfoType type, std::string_view text) {
  Bytes data(2);
  BigWriter(data).put(static_cast<uint16_t>(type));
  append(data, bytes_of(text.substr(0, name_bytes_max)));
  return data;
}

Bytes export_name_answer(const Shape& shape, bool without_zeroes) {
  Bytes answer(without_zeroes ? 10 : 134);
  BigWriter(answer).put(shape.bytes).put(shape.flags);
  return answer;
}

std::optional<Request> decode_request(ByteView bytes) {
  if (bytes.size() < request_header_bytes || big<uint32_t>(bytes.data()) != request_magic) return std::nullopt;
  Request request;
  request.flags = big<uint16_t>(bytes.data() + 4);
  request.type = big<uint16_t>(bytes.data() + 6);
  request.cookie = big<uint64_t>(bytes.data() + 8);
  request.offset = big<uint64_t>(bytes.data() + 16);
  request.length = big<uint32_t>(bytes.data() + 24);
  return request;
}

Errno judge(const Request& request, const Shape& shape, bool has_structured_replies, uint32_t single_bytes_max) {
  if ((request.flags & ~allowed_flags(request, shape, has_structured_replies)) != 0) return Errno::invalid;
  const bool changes = request.is(Command::write) || request.is(Command::trim) || request.is(Command::write_zeroes);
  if (changes && (shape.flags & read_only) != 0) return Errno::perm;
  switch (static_cast<Command>(request.type)) {
    case Command::read:
      if (Errno error = judge_read(request, single_bytes_max); error != Errno::none) return error;
      return judge_range(request, shape);
    case Command::write:
      return judge_range(request, shape);
    case Command::trim:
      return (shape.flags & send_trim) != 0 ? judge_range(request, shape) : Errno::invalid;
    case Command::write_zeroes:
      if ((shape.flags & send_write_zeroes) == 0) return Errno::invalid;
      if ((request.flags & command_fast_zero) != 0 && !shape.is_fast_zero_native) return Errno::not_supported;
      return judge_range(request, shape);
    case Command::flush: {
      const bool is_right = (shape.flags & send_flush) != 0 && request.offset == 0 && request.length == 0;
      return is_right ? Errno::none : Errno::invalid;
    }
    case Command::disconnect:
      break;
  }
  return Errno::invalid;
}

size_t put_simple_reply(std::span<std::byte> into, Errno error, uint64_t cookie) {
  return BigWriter(into).put(simple_reply_magic).put(static_cast<uint32_t>(error)).put(cookie).size();
}

size_t put_data_chunk(std::span<std::byte> into, uint64_t cookie, bool is_last, uint64_t offset, uint32_t bytes) {
  BigWriter writer(into);
  put_chunk(writer, chunk_offset_data, cookie, is_last, bytes + 8);
  return writer.put(offset).size();
}

size_t put_error_chunk(std::span<std::byte> into, uint64_t cookie, bool is_last, uint64_t offset, Errno error) {
  BigWriter writer(into);
  put_chunk(writer, chunk_error_offset, cookie, is_last, 4 + 2 + 8);
  return writer.put(static_cast<uint32_t>(error)).put(uint16_t{0}).put(offset).size();
}

}  // namespace mars::nbd
