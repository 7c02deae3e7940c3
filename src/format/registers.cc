#include "format/registers.h"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "base/check.h"

namespace mars::format {

namespace {

constexpr std::string_view delta_magic = "MARSDLT1";
constexpr uint16_t delta_version = 1;
constexpr size_t register_fixed_bytes = 4 + 1 + 1 + 1 + 1 + 8 + 12 + 24 + 8 + 4;
constexpr size_t delta_header_bytes = 8 + 2 + 2 + 4 + 4;
constexpr size_t seen_bytes = 24 + 8;
constexpr uint8_t flag_tombstone = 1;

std::unexpected<Error> bad_register(const char* what) {
  return failure(Status::invalid, std::string("a register is malformed: ") + what);
}

std::unexpected<Error> bad_delta(const char* what) {
  return failure(Status::invalid, std::string("the delta is malformed: ") + what);
}

void write_writer(Writer& writer, const WriterId& id) {
  write_uuid(writer, id.host);
  writer.u64(id.incarnation.value);
}

WriterId read_writer(Reader& reader) {
  Uuid host = read_uuid(reader);
  uint64_t incarnation = reader.u64();
  return {host, {incarnation}};
}

Result<void> check_bounds(const Register& value) {
  if (value.scope.empty() || value.scope.size() > register_scope_max) return bad_register("length of the scope");
  if (value.key.empty() || value.key.size() > register_key_max) return bad_register("length of the key");
  if (value.value.size() > register_value_max) return bad_register("value longer than 64 KiB");
  if (value.tombstone && !value.value.empty()) return bad_register("tombstone with a value");
  return {};
}

void write_register(Writer& writer, const Register& value) {
  writer.u32(static_cast<uint32_t>(encoded_bytes(value)));
  writer.u8(value.tombstone ? flag_tombstone : 0);
  writer.u8(static_cast<uint8_t>(value.scope.size()));
  writer.u8(static_cast<uint8_t>(value.key.size()));
  writer.zeroes(1);
  writer.u64(value.version);
  write_stamp(writer, value.stamp);
  write_writer(writer, value.writer);
  writer.u64(value.sequence);
  writer.u32(static_cast<uint32_t>(value.value.size()));
  writer.text(value.scope);
  writer.text(value.key);
  writer.bytes(value.value);
}

Result<Register> read_register(Reader& outer) {
  size_t length = outer.u32();
  if (!outer.ok() || length < register_fixed_bytes || length - 4 > outer.rest()) return bad_register("its length");
  Reader reader(outer.bytes(length - 4));
  Register value;
  uint8_t flags = reader.u8();
  size_t scope_bytes = reader.u8();
  size_t key_bytes = reader.u8();
  reader.reserved(1);
  value.version = reader.u64();
  value.stamp = read_stamp(reader);
  value.writer = read_writer(reader);
  value.sequence = reader.u64();
  size_t value_bytes = reader.u32();
  value.scope = reader.text(scope_bytes);
  value.key = reader.text(key_bytes);
  ByteView bytes = reader.bytes(value_bytes);
  value.value.assign(bytes.begin(), bytes.end());
  value.tombstone = flags == flag_tombstone;
  if (!reader.finished() || flags > flag_tombstone) return bad_register("its fields");
  Result<void> bounded = check_bounds(value);
  if (!bounded) return failure(bounded.error());
  return value;
}

bool by_key(const Register* a, const Register* b) { return std::tie(a->scope, a->key) < std::tie(b->scope, b->key); }

// Sorted pointers into the delta, so that equal deltas have equal bytes whatever order they came in.
std::vector<const Register*> sorted_registers(const Delta& delta) {
  std::vector<const Register*> sorted;
  for (const Register& value : delta.registers) sorted.push_back(&value);
  std::ranges::sort(sorted, by_key);
  return sorted;
}

Result<void> read_claimed(Reader& reader, size_t count, Delta& delta) {
  for (size_t i = 0; i < count; ++i) {
    WriterId writer = read_writer(reader);
    uint64_t sequence = reader.u64();
    if (!delta.claimed.empty() && !(delta.claimed.back().writer < writer)) return bad_delta("order of the vector");
    delta.claimed.push_back({writer, sequence});
  }
  return {};
}

Result<void> read_registers(Reader& reader, size_t count, Delta& delta) {
  for (size_t i = 0; i < count; ++i) {
    auto value = read_register(reader);
    if (!value) return failure(value.error());
    if (!delta.registers.empty() && !by_key(&delta.registers.back(), &*value)) return bad_delta("order of the keys");
    delta.registers.push_back(std::move(*value));
  }
  return {};
}

}  // namespace

bool wish_replaces(const Register& b, const Register& a) {
  return std::tie(b.version, b.stamp, b.writer) > std::tie(a.version, a.stamp, a.writer);
}

bool fact_replaces(const Register& b, const Register& a) {
  return std::tie(b.writer.incarnation, b.sequence) > std::tie(a.writer.incarnation, a.sequence);
}

size_t encoded_bytes(const Register& value) {
  return register_fixed_bytes + value.scope.size() + value.key.size() + value.value.size();
}

Result<std::vector<std::byte>> encode_register(const Register& value) {
  Result<void> bounded = check_bounds(value);
  if (!bounded) return failure(bounded.error());
  std::vector<std::byte> bytes;
  bytes.reserve(encoded_bytes(value));
  Writer writer(bytes);
  write_register(writer, value);
  return bytes;
}

Result<Register> decode_register(ByteView bytes) {
  Reader reader(bytes);
  auto value = read_register(reader);
  if (value && !reader.finished()) return bad_register("bytes behind its end");
  return value;
}

Result<std::vector<std::byte>> encode_delta(const Delta& delta) {
  size_t length = delta_header_bytes + delta.claimed.size() * seen_bytes;
  for (const Register& value : delta.registers) {
    Result<void> bounded = check_bounds(value);
    if (!bounded) return failure(bounded.error());
    length += encoded_bytes(value);
  }
  if (length > delta_bytes_max || delta.claimed.size() > delta_writers_max) {
    return failure(Status::no_space, "the delta would have " + std::to_string(length) + " bytes");
  }
  std::vector<SeenUpTo> claimed = delta.claimed;
  auto by_writer = [](const SeenUpTo& a, const SeenUpTo& b) { return a.writer < b.writer; };
  std::ranges::sort(claimed, by_writer);
  auto registers = sorted_registers(delta);
  auto not_ascending = [](const auto& less) { return [less](const auto& a, const auto& b) { return !less(a, b); }; };
  if (std::ranges::adjacent_find(claimed, not_ascending(by_writer)) != claimed.end()) return bad_delta("writer twice");
  if (std::ranges::adjacent_find(registers, not_ascending(by_key)) != registers.end()) return bad_delta("key twice");
  std::vector<std::byte> bytes;
  bytes.reserve(length);
  Writer writer(bytes);
  writer.text(delta_magic);
  writer.u16(delta_version);
  writer.zeroes(2);
  writer.u32(static_cast<uint32_t>(claimed.size()));
  writer.u32(static_cast<uint32_t>(registers.size()));
  for (const SeenUpTo& seen : claimed) {
    write_writer(writer, seen.writer);
    writer.u64(seen.sequence);
  }
  for (const Register* value : registers) write_register(writer, *value);
  CHECK(bytes.size() == length);
  return bytes;
}

Result<Delta> decode_delta(ByteView bytes) {
  if (bytes.size() > delta_bytes_max) return bad_delta("longer than allowed");
  Reader reader(bytes);
  if (reader.text(delta_magic.size()) != delta_magic) return bad_delta("magic");
  uint16_t version = reader.u16();
  if (reader.ok() && version != delta_version) {
    return failure(Status::unsupported, "the delta has version " + std::to_string(version) +
                                            ", this program knows version " + std::to_string(delta_version));
  }
  reader.reserved(2);
  size_t writers = reader.u32();
  size_t registers = reader.u32();
  if (!reader.ok()) return bad_delta("its header");
  if (writers > delta_writers_max || writers * seen_bytes > reader.rest()) return bad_delta("length of the vector");
  Delta delta;
  Result<void> read = read_claimed(reader, writers, delta);
  if (read) read = read_registers(reader, registers, delta);
  if (!read) return failure(read.error());
  if (!reader.finished()) return bad_delta("bytes behind its end");
  return delta;
}

}  // namespace mars::format
