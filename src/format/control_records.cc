#include "format/control_records.h"

#include <utility>

#include "base/check.h"

namespace mars::format {

namespace {

template <class Write>
std::vector<std::byte> written(Write write) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  write(writer);
  return bytes;
}

std::unexpected<Error> malformed(const char* what) {
  return failure(Status::invalid, std::string("the ") + what + " record is malformed");
}

bool is_consistent(const EpochStart& start) {
  bool creates = start.cause == EpochCause::create;
  bool granted = start.cause == EpochCause::grant;
  return !start.id.is_nil() && !start.host.is_nil() && creates == start.parent.is_nil() &&
         (!creates || start.parent_hash.is_zero()) && granted != start.grant.is_nil();
}

}  // namespace

std::vector<std::byte> encode(const EpochStart& start) {
  CHECK(is_known(start.cause) && is_consistent(start));
  return written([&](Writer& writer) {
    write_uuid(writer, start.id);
    writer.u64(start.number);
    write_uuid(writer, start.host);
    writer.u64(start.incarnation.value);
    writer.u8(std::to_underlying(start.cause));
    writer.zeroes(7);
    write_uuid(writer, start.parent);
    writer.u64(start.parent_end.value);
    write_hash(writer, start.parent_hash);
    write_uuid(writer, start.grant);
  });
}

Result<EpochStart> decode_epoch_start(ByteView payload) {
  Reader reader(payload);
  EpochStart start;
  start.id = read_uuid(reader);
  start.number = reader.u64();
  start.host = read_uuid(reader);
  start.incarnation = {reader.u64()};
  start.cause = static_cast<EpochCause>(reader.u8());
  reader.reserved(7);
  start.parent = read_uuid(reader);
  start.parent_end = {reader.u64()};
  start.parent_hash = read_hash(reader);
  start.grant = read_uuid(reader);
  if (!reader.finished()) return malformed("epoch");
  if (!is_known(start.cause)) return failure(Status::unsupported, "the epoch record has an unknown cause");
  if (!is_consistent(start)) return malformed("epoch");
  return start;
}

std::vector<std::byte> encode(const Release& release) {
  CHECK(!release.grant.is_nil() && !release.from.is_nil() && !release.to.is_nil());
  return written([&](Writer& writer) {
    write_uuid(writer, release.grant);
    write_uuid(writer, release.from);
    write_uuid(writer, release.to);
  });
}

Result<Release> decode_release(ByteView payload) {
  Reader reader(payload);
  Release release;
  release.grant = read_uuid(reader);
  release.from = read_uuid(reader);
  release.to = read_uuid(reader);
  if (!reader.finished() || release.grant.is_nil() || release.from.is_nil() || release.to.is_nil()) {
    return malformed("release");
  }
  return release;
}

std::vector<std::byte> encode(const Gap& gap) {
  return written([&](Writer& writer) {
    write_uuid(writer, gap.id);
    write_uuid(writer, gap.parent);
    writer.u64(gap.log_end.value);
  });
}

Result<Gap> decode_gap(ByteView payload) {
  Reader reader(payload);
  Gap gap;
  gap.id = read_uuid(reader);
  gap.parent = read_uuid(reader);
  gap.log_end = {reader.u64()};
  if (!reader.finished()) return malformed("gap");
  return gap;
}

std::vector<std::byte> encode(const VolumeCreate& volume) {
  return written([&](Writer& writer) {
    writer.u32(volume.id);
    writer.u32(volume.block_size);
    writer.u64(volume.bytes);
  });
}

Result<VolumeCreate> decode_volume_create(ByteView payload) {
  Reader reader(payload);
  VolumeCreate volume;
  volume.id = reader.u32();
  volume.block_size = reader.u32();
  volume.bytes = reader.u64();
  if (!reader.finished() || (volume.block_size != 512 && volume.block_size != 4096)) return malformed("volume");
  if (volume.bytes == 0 || volume.bytes % volume.block_size != 0) return malformed("volume");
  return volume;
}

std::vector<std::byte> encode(const VolumeSize& size) {
  return written([&](Writer& writer) {
    writer.u32(size.id);
    writer.zeroes(4);
    writer.u64(size.bytes);
  });
}

Result<VolumeSize> decode_volume_size(ByteView payload) {
  Reader reader(payload);
  VolumeSize size;
  size.id = reader.u32();
  reader.reserved(4);
  size.bytes = reader.u64();
  if (!reader.finished() || size.bytes == 0 || size.bytes % 512 != 0) return malformed("size");
  return size;
}

std::vector<std::byte> encode(const Mark& mark) {
  CHECK(!mark.name.empty() && mark.name.size() <= mark_name_max);
  return written([&](Writer& writer) { writer.text(mark.name); });
}

Result<Mark> decode_mark(ByteView payload) {
  if (payload.empty() || payload.size() > mark_name_max) return malformed("mark");
  return Mark{std::string(text_of(payload))};
}

}  // namespace mars::format
