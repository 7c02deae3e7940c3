#include "format/state_block.h"

#include <utility>

#include "base/check.h"
#include "format/seal.h"

namespace mars::format {

namespace {

constexpr std::string_view state_magic = "MARSSTA1";
constexpr uint16_t state_version = 1;
constexpr size_t content_offset = 12;  // u32: bytes that the hash covers; the rest of the slot is zero

constexpr size_t epoch_bytes = 16 + 8 + 16 + 16 + 8 + 8 + 8 + 8 + 16 + 16 + 16 + 16;
constexpr size_t volume_bytes = 4 + 4 + 8;
constexpr size_t disk_bytes_max = 4 + 1 + 1 + 2 + 8 + 8 + 8 + 16 + disk_text_max;
constexpr size_t extent_bytes = 4 + 8;
constexpr size_t fixed_bytes_max = 2048;
static_assert(fixed_bytes_max + branch_epochs_max * epoch_bytes + 2 * volumes_max * volume_bytes + gone_bytes_max +
                  volumes_max * disk_bytes_max + fingerprint_extents_max * extent_bytes <=
              state_slot_bytes);

std::unexpected<Error> malformed() { return failure(Status::invalid, "the state block is malformed"); }

// A bool is one byte, 0 or 1.
bool read_bool(Reader& reader) {
  uint8_t value = reader.u8();
  if (value > 1) reader.fail();
  return value == 1;
}

// A list is u16 count, then its items.
template <class T, class WriteItem>
void write_list(Writer& writer, const std::vector<T>& list, size_t most, WriteItem write_item) {
  CHECK(list.size() <= most);
  writer.u16(static_cast<uint16_t>(list.size()));
  for (const T& item : list) write_item(writer, item);
}

template <class T, class ReadItem>
std::vector<T> read_list(Reader& reader, size_t most, ReadItem read_item) {
  std::vector<T> list;
  size_t count = reader.u16();
  if (count > most) reader.fail();
  for (size_t i = 0; i < count && reader.ok(); ++i) list.push_back(read_item(reader));
  return list;
}

void write_epoch(Writer& writer, const BranchEpoch& epoch) {
  CHECK(is_known(epoch.cause));
  write_uuid(writer, epoch.id);
  writer.u64(epoch.number);
  write_uuid(writer, epoch.parent);
  write_uuid(writer, epoch.host);
  writer.u64(epoch.incarnation.value);
  writer.u8(std::to_underlying(epoch.cause));
  writer.u8(epoch.ended ? 1 : 0);
  writer.zeroes(6);
  writer.u64(epoch.first.value);
  writer.u64(epoch.end.value);
  write_hash(writer, epoch.first_previous);
  write_hash(writer, epoch.end_hash);
  write_uuid(writer, epoch.released_to);
  write_uuid(writer, epoch.grant);
}

BranchEpoch read_epoch(Reader& reader) {
  BranchEpoch epoch;
  epoch.id = read_uuid(reader);
  epoch.number = reader.u64();
  epoch.parent = read_uuid(reader);
  epoch.host = read_uuid(reader);
  epoch.incarnation = {reader.u64()};
  epoch.cause = static_cast<EpochCause>(reader.u8());
  epoch.ended = read_bool(reader);
  reader.reserved(6);
  epoch.first = {reader.u64()};
  epoch.end = {reader.u64()};
  epoch.first_previous = read_hash(reader);
  epoch.end_hash = read_hash(reader);
  epoch.released_to = read_uuid(reader);
  epoch.grant = read_uuid(reader);
  if (!is_known(epoch.cause)) reader.fail();
  return epoch;
}

void write_volume(Writer& writer, const VolumeState& volume) {
  writer.u32(volume.id);
  writer.u32(volume.block_size);
  writer.u64(volume.bytes);
}

VolumeState read_volume(Reader& reader) {
  VolumeState volume;
  volume.id = reader.u32();
  volume.block_size = reader.u32();
  volume.bytes = reader.u64();
  return volume;
}

void write_map(Writer& writer, const MapCheckpoint& map) {
  writer.u64(map.generation);
  write_position(writer, map.position);
  writer.u64(map.floor.value);
}

MapCheckpoint read_map(Reader& reader) {
  MapCheckpoint map;
  map.generation = reader.u64();
  map.position = read_position(reader);
  map.floor = {reader.u64()};
  return map;
}

void write_sweep(Writer& writer, const SweepState& sweep) {
  writer.u8(sweep.active ? 1 : 0);
  writer.u8(sweep.rewrites ? 1 : 0);
  writer.zeroes(2);
  writer.u32(sweep.frontier_volume);
  writer.u64(sweep.frontier_offset);
  write_uuid(writer, sweep.id);
  writer.u64(sweep.map_generation);
  write_tip(writer, sweep.r);
  write_position(writer, sweep.cmax);
  write_tip(writer, sweep.base);
  write_position(writer, sweep.q);
  write_position(writer, sweep.common);
}

SweepState read_sweep(Reader& reader) {
  SweepState sweep;
  sweep.active = read_bool(reader);
  sweep.rewrites = read_bool(reader);
  reader.reserved(2);
  sweep.frontier_volume = reader.u32();
  sweep.frontier_offset = reader.u64();
  sweep.id = read_uuid(reader);
  sweep.map_generation = reader.u64();
  sweep.r = read_tip(reader);
  sweep.cmax = read_position(reader);
  sweep.base = read_tip(reader);
  sweep.q = read_position(reader);
  sweep.common = read_position(reader);
  // What was doubted stays so between two sweeps; and what a replica had that became no version of anything (D12).
  SweepState idle;
  idle.base = sweep.base;
  idle.rewrites = sweep.rewrites;
  if (idle.rewrites) idle.cmax = sweep.cmax;
  if (!sweep.active && sweep != idle) reader.fail();
  return sweep;
}

void write_gap(Writer& writer, const GapState& gap) {
  writer.u8(gap.active ? 1 : 0);
  writer.zeroes(3);
  writer.u32(gap.slot);
  write_uuid(writer, gap.id);
  write_uuid(writer, gap.parent);
  writer.u64(gap.log_end.value);
}

GapState read_gap(Reader& reader) {
  GapState gap;
  gap.active = read_bool(reader);
  reader.reserved(3);
  gap.slot = reader.u32();
  gap.id = read_uuid(reader);
  gap.parent = read_uuid(reader);
  gap.log_end = {reader.u64()};
  if (!gap.active && gap != GapState{}) reader.fail();
  return gap;
}

void write_disk(Writer& writer, const DiskIdentity& disk) {
  CHECK(disk.text.size() <= disk_text_max);
  writer.u32(disk.volume);
  writer.u8(std::to_underlying(disk.kind));
  writer.u8(static_cast<uint8_t>(disk.text.size()));
  writer.zeroes(2);
  writer.u64(disk.bytes);
  writer.u64(disk.device);
  writer.u64(disk.inode);
  write_hash(writer, disk.fingerprint);
  writer.text(disk.text);
}

DiskIdentity read_disk(Reader& reader) {
  DiskIdentity disk;
  disk.volume = reader.u32();
  disk.kind = static_cast<DiskKind>(reader.u8());
  size_t text_bytes = reader.u8();
  reader.reserved(2);
  disk.bytes = reader.u64();
  disk.device = reader.u64();
  disk.inode = reader.u64();
  disk.fingerprint = read_hash(reader);
  bool known = disk.kind == DiskKind::block_device || disk.kind == DiskKind::regular_file;
  if (!known || text_bytes > disk_text_max) reader.fail();
  disk.text = reader.text(text_bytes);
  return disk;
}

void write_extent(Writer& writer, const FingerprintExtent& extent) {
  writer.u32(extent.volume);
  writer.u64(extent.offset);
}

FingerprintExtent read_extent(Reader& reader) {
  uint32_t volume = reader.u32();
  uint64_t offset = reader.u64();
  return {volume, offset};
}

void write_scalars(Writer& writer, const StateBlock& block) {
  CHECK(block.state >= ReplicaState::fresh && block.state <= ReplicaState::consistent);
  writer.u64(block.sequence);
  write_uuid(writer, block.cluster);
  write_uuid(writer, block.resource);
  write_uuid(writer, block.host);
  writer.u64(block.incarnation.value);
  write_uuid(writer, block.boot_id);
  write_uuid(writer, block.pool_id);
  writer.u8(block.clean ? 1 : 0);
  writer.u8(std::to_underlying(block.state));
  writer.zeroes(2);
  writer.u32(block.fingerprint_extent_bytes);
  writer.u64(block.admitted);
  write_tip(writer, block.applied);
  write_tip(writer, block.durable);
  write_map(writer, block.map);
  write_sweep(writer, block.sweep);
  write_gap(writer, block.gap);
}

void read_scalars(Reader& reader, StateBlock& block) {
  block.sequence = reader.u64();
  block.cluster = read_uuid(reader);
  block.resource = read_uuid(reader);
  block.host = read_uuid(reader);
  block.incarnation = {reader.u64()};
  block.boot_id = read_uuid(reader);
  block.pool_id = read_uuid(reader);
  block.clean = read_bool(reader);
  block.state = static_cast<ReplicaState>(reader.u8());
  reader.reserved(2);
  block.fingerprint_extent_bytes = reader.u32();
  block.admitted = reader.u64();
  block.applied = read_tip(reader);
  block.durable = read_tip(reader);
  block.map = read_map(reader);
  block.sweep = read_sweep(reader);
  block.gap = read_gap(reader);
  if (block.fingerprint_extent_bytes > fingerprint_extent_bytes_max) reader.fail();
  const bool is_idle_base = !block.sweep.active && block.sweep.base != Tip{};
  if (is_idle_base && block.state == ReplicaState::consistent) reader.fail();
  if (block.state < ReplicaState::fresh || block.state > ReplicaState::consistent) reader.fail();
}

void write_lists(Writer& writer, const StateBlock& block) {
  write_list(writer, block.branch, branch_epochs_max, write_epoch);
  write_list(writer, block.volumes_applied, volumes_max, write_volume);
  write_list(writer, block.volumes_durable, volumes_max, write_volume);
  write_list(writer, block.gone, gone_bytes_max,
             [](Writer& to, std::byte byte) { to.u8(std::to_integer<uint8_t>(byte)); });
  write_list(writer, block.disks, volumes_max, write_disk);
  write_list(writer, block.fingerprint_extents, fingerprint_extents_max, write_extent);
}

void read_lists(Reader& reader, StateBlock& block) {
  block.branch = read_list<BranchEpoch>(reader, branch_epochs_max, read_epoch);
  block.volumes_applied = read_list<VolumeState>(reader, volumes_max, read_volume);
  block.volumes_durable = read_list<VolumeState>(reader, volumes_max, read_volume);
  block.gone = read_list<std::byte>(reader, gone_bytes_max, [](Reader& from) { return std::byte{from.u8()}; });
  block.disks = read_list<DiskIdentity>(reader, volumes_max, read_disk);
  block.fingerprint_extents = read_list<FingerprintExtent>(reader, fingerprint_extents_max, read_extent);
}

// What a failure of both slots is called: damage outweighs nonsense, nonsense outweighs "never written".
Error worse(const Error& a, const Error& b) {
  for (Status status : {Status::unsupported, Status::damaged, Status::invalid}) {
    if (a.status == status) return a;
    if (b.status == status) return b;
  }
  return a;
}

}  // namespace

std::string_view name(ReplicaState state) {
  switch (state) {
    case ReplicaState::fresh:
      return "new";
    case ReplicaState::syncing:
      return "syncing";
    case ReplicaState::consistent:
      return "consistent";
  }
  return "unknown";
}

std::string_view name(DiskKind kind) { return kind == DiskKind::block_device ? "block" : "file"; }

std::vector<std::byte> encode_state_block(const StateBlock& block) {
  std::vector<std::byte> bytes;
  bytes.reserve(state_slot_bytes);
  Writer writer(bytes);
  writer.text(state_magic);
  writer.u16(state_version);
  writer.zeroes(seal_end - writer.size());
  write_scalars(writer, block);
  CHECK(writer.size() <= fixed_bytes_max);
  write_lists(writer, block);
  writer.patch_u32(content_offset, static_cast<uint32_t>(writer.size()));
  CHECK(bytes.size() <= state_slot_bytes);
  seal(bytes);
  bytes.resize(state_slot_bytes);
  return bytes;
}

Result<StateBlock> decode_state_block(ByteView slot) {
  if (slot.size() != state_slot_bytes) return failure(Status::invalid, "a state block has 64 KiB");
  if (check_magic(slot, state_magic) != Status::ok) {
    if (all_zero(slot)) return failure(Status::not_found, "the state block was never written");
    return failure(Status::invalid, "this is no state block");
  }
  size_t content = load_u32(slot.data() + content_offset);
  if (content < seal_end || content > state_slot_bytes) return malformed();
  if (!all_zero(slot.subspan(content))) {
    return failure(Status::damaged, "the state block is damaged: bytes behind its end are not zero");
  }
  Result<void> sealed = check_seal(slot.first(content), state_magic, state_version, "state block");
  if (!sealed) return failure(sealed.error());
  StateBlock block;
  Reader reader(slot.first(content).subspan(seal_end));
  read_scalars(reader, block);
  read_lists(reader, block);
  if (!reader.finished() || load_u16(slot.data() + 10) != 0) return malformed();
  if (block.cluster.is_nil() || block.resource.is_nil() || block.host.is_nil()) return malformed();
  return block;
}

Result<StateBlock> decode_state_slot(ByteView slot, size_t place) {
  Result<StateBlock> block = decode_state_block(slot);
  if (block && slot_of(block->sequence) != place) return malformed();
  return block;
}

Result<StateBlock> newest_state_block(const std::array<Result<StateBlock>, 2>& slots) {
  for (const auto& slot : slots) {
    if (status_of(slot) == Status::unsupported) return slot;
  }
  if (slots[0] && slots[1]) return slots[0]->sequence > slots[1]->sequence ? slots[0] : slots[1];
  if (slots[0]) return slots[0];
  if (slots[1]) return slots[1];
  return failure(worse(slots[0].error(), slots[1].error()));
}

Result<StateBlock> newest_state_block(ByteView file) {
  if (file.size() != state_file_bytes) return failure(Status::invalid, "a state file has two slots of 64 KiB");
  return newest_state_block(std::array{decode_state_slot(file.first(state_slot_bytes), 0),
                                       decode_state_slot(file.subspan(state_slot_bytes), 1)});
}

}  // namespace mars::format
