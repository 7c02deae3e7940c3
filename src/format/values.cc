#include "format/values.h"

#include <chrono>
#include <cstdio>
#include <span>

namespace mars {

namespace {

constexpr char hex_digits[] = "0123456789abcdef";
constexpr size_t uuid_text_bytes = 36;

bool is_dash_place(size_t at) { return at == 8 || at == 13 || at == 18 || at == 23; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::unexpected<Error> no_uuid(std::string_view text) {
  return failure(Status::invalid, "\"" + std::string(text.substr(0, 64)) + "\" is not a uuid");
}

}  // namespace

Uuid Uuid::from_random(std::array<uint8_t, 16> random) {
  random[6] = static_cast<uint8_t>((random[6] & 0x0f) | 0x40);
  random[8] = static_cast<uint8_t>((random[8] & 0x3f) | 0x80);
  return {random};
}

std::string to_string(const Uuid& uuid) {
  std::string text;
  for (uint8_t byte : uuid.bytes) {
    if (is_dash_place(text.size())) text.push_back('-');
    text.push_back(hex_digits[byte >> 4]);
    text.push_back(hex_digits[byte & 15]);
  }
  return text;
}

std::string short_text(const Uuid& uuid) { return to_string(uuid).substr(0, 8); }

Result<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != uuid_text_bytes) return no_uuid(text);
  Uuid uuid;
  size_t byte = 0;
  for (size_t at = 0; at < text.size();) {
    if (is_dash_place(at)) {
      if (text[at++] != '-') return no_uuid(text);
      continue;
    }
    int high = hex_value(text[at]);
    int low = hex_value(text[at + 1]);
    if (high < 0 || low < 0) return no_uuid(text);
    uuid.bytes[byte++] = static_cast<uint8_t>(high * 16 + low);
    at += 2;
  }
  return uuid;
}

Uuid read_uuid(Reader& reader) {
  Uuid uuid;
  reader.copy(std::as_writable_bytes(std::span(uuid.bytes)));
  return uuid;
}

void write_uuid(Writer& writer, const Uuid& uuid) { writer.bytes(std::as_bytes(std::span(uuid.bytes))); }

std::string to_string(Lsn lsn) { return std::to_string(lsn.value); }

std::string to_string(const Position& position) { return to_string(position.epoch) + ":" + to_string(position.lsn); }

std::string short_text(const Position& position) { return short_text(position.epoch) + ":" + to_string(position.lsn); }

Position read_position(Reader& reader) {
  Uuid epoch = read_uuid(reader);
  uint64_t lsn = reader.u64();
  return {epoch, {lsn}};
}

void write_position(Writer& writer, const Position& position) {
  write_uuid(writer, position.epoch);
  writer.u64(position.lsn.value);
}

std::string to_string(const Tip& tip) { return to_string(tip.position) + ":" + to_string(tip.hash); }

Tip read_tip(Reader& reader) {
  Position position = read_position(reader);
  Hash128 hash = read_hash(reader);
  return {position, hash};
}

void write_tip(Writer& writer, const Tip& tip) {
  write_position(writer, tip.position);
  write_hash(writer, tip.hash);
}

std::string to_string(const Stamp& stamp) {
  constexpr uint64_t second_ns = 1'000'000'000;
  std::chrono::sys_seconds seconds{std::chrono::seconds(stamp.physical_ns / second_ns)};
  auto day = std::chrono::floor<std::chrono::days>(seconds);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss time(seconds - day);
  char text[48];
  std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02d.%09uZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()), static_cast<unsigned>(stamp.physical_ns % second_ns));
  return text;
}

Stamp read_stamp(Reader& reader) {
  uint64_t physical_ns = reader.u64();
  uint32_t logical = reader.u32();
  return {physical_ns, logical};
}

void write_stamp(Writer& writer, const Stamp& stamp) {
  writer.u64(stamp.physical_ns);
  writer.u32(stamp.logical);
}

std::string_view name(RecordOp op) {
  switch (op) {
    case RecordOp::write:
      return "write";
    case RecordOp::discard:
      return "discard";
    case RecordOp::write_zeroes:
      return "write_zeroes";
    case RecordOp::mark:
      return "mark";
    case RecordOp::epoch:
      return "epoch";
    case RecordOp::release:
      return "release";
    case RecordOp::gap:
      return "gap";
    case RecordOp::volume:
      return "volume";
    case RecordOp::size:
      return "size";
  }
  return "unknown";
}

bool is_known(RecordOp op) { return op >= RecordOp::write && op <= RecordOp::size; }

bool is_data(RecordOp op) { return op >= RecordOp::write && op <= RecordOp::write_zeroes; }

std::string_view name(EpochCause cause) {
  switch (cause) {
    case EpochCause::create:
      return "create";
    case EpochCause::recover:
      return "recover";
    case EpochCause::grant:
      return "grant";
    case EpochCause::force:
      return "force";
    case EpochCause::gap:
      return "gap";
  }
  return "unknown";
}

bool is_known(EpochCause cause) { return cause >= EpochCause::create && cause <= EpochCause::gap; }

}  // namespace mars
