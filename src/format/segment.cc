#include "format/segment.h"

#include <charconv>

#include "base/check.h"
#include "format/seal.h"

namespace mars::format {

namespace {

constexpr std::string_view segment_magic = "MARSSEG1";
constexpr uint16_t segment_version = 1;
constexpr uint64_t block_bytes = 4096;
constexpr std::string_view suffix = ".seg";

bool is_sound(const SegmentHeader& header) {
  return header.first.value % block_bytes == 0 && header.capacity % block_bytes == 0 &&
         header.capacity > segment_header_bytes && header.first.value <= UINT64_MAX - header.capacity &&
         !header.cluster.is_nil() && !header.resource.is_nil() && !header.epoch.is_nil();
}

template <class Number>
bool parse_all(std::string_view text, Number& value, int base) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::array<std::byte, segment_header_bytes> encode_segment_header(const SegmentHeader& header) {
  CHECK(is_sound(header));
  std::array<std::byte, segment_header_bytes> bytes{};
  Writer writer(bytes);
  writer.text(segment_magic);
  writer.u16(segment_version);
  writer.zeroes(seal_end - writer.size());
  write_uuid(writer, header.cluster);
  write_uuid(writer, header.resource);
  write_uuid(writer, header.epoch);
  writer.u64(header.epoch_number);
  writer.u64(header.first.value);
  writer.u64(header.in_flight_bytes_max);
  writer.u64(header.capacity);
  seal(bytes);
  return bytes;
}

Result<SegmentHeader> decode_segment_header(ByteView bytes) {
  if (bytes.size() < segment_header_bytes) return failure(Status::invalid, "the segment header is cut off");
  bytes = bytes.first(segment_header_bytes);
  Result<void> sealed = check_seal(bytes, segment_magic, segment_version, "segment header");
  if (!sealed) return failure(sealed.error());
  Reader reader(bytes.subspan(seal_end));
  SegmentHeader header;
  header.cluster = read_uuid(reader);
  header.resource = read_uuid(reader);
  header.epoch = read_uuid(reader);
  header.epoch_number = reader.u64();
  header.first = {reader.u64()};
  header.in_flight_bytes_max = reader.u64();
  header.capacity = reader.u64();
  reader.reserved(reader.rest());
  bool reserved_zero = all_zero(bytes.subspan(10, seal_offset - 10)) && reader.ok();
  if (!reserved_zero || !is_sound(header)) return failure(Status::invalid, "the segment header is malformed");
  return header;
}

std::string to_string(const SegmentName& name) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text = std::to_string(name.epoch_number) + "-";
  for (int shift = 60; shift >= 0; shift -= 4) text.push_back(digits[(name.first.value >> shift) & 15]);
  return text.append(suffix);
}

Result<SegmentName> parse_segment_name(std::string_view text) {
  size_t dash = text.find('-');
  SegmentName name;
  bool parsed = dash != std::string_view::npos && text.ends_with(suffix) &&
                text.size() == dash + 1 + 16 + suffix.size() &&
                parse_all(text.substr(0, dash), name.epoch_number, 10) &&
                parse_all(text.substr(dash + 1, 16), name.first.value, 16);
  if (!parsed || to_string(name) != text) {
    return failure(Status::invalid, "\"" + std::string(text.substr(0, 64)) + "\" is not the name of a segment");
  }
  return name;
}

}  // namespace mars::format
