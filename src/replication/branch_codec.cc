#include "replication/branch_codec.h"

namespace mars::replication {

namespace {

void write_epoch(Writer& writer, const format::BranchEpoch& epoch) {
  write_uuid(writer, epoch.id);
  writer.u64(epoch.number);
  write_uuid(writer, epoch.parent);
  write_uuid(writer, epoch.host);
  writer.u64(epoch.incarnation.value);
  writer.u8(static_cast<uint8_t>(epoch.cause));
  writer.u8(epoch.ended ? 1 : 0);
  writer.u64(epoch.first.value);
  writer.u64(epoch.end.value);
  write_hash(writer, epoch.first_previous);
  write_hash(writer, epoch.end_hash);
  write_uuid(writer, epoch.released_to);
  write_uuid(writer, epoch.grant);
}

format::BranchEpoch read_epoch(Reader& reader) {
  format::BranchEpoch epoch;
  epoch.id = read_uuid(reader);
  epoch.number = reader.u64();
  epoch.parent = read_uuid(reader);
  epoch.host = read_uuid(reader);
  epoch.incarnation.value = reader.u64();
  epoch.cause = static_cast<EpochCause>(reader.u8());
  if (!is_known(epoch.cause)) reader.fail();
  const uint8_t ended = reader.u8();
  if (ended > 1) reader.fail();
  epoch.ended = ended == 1;
  epoch.first.value = reader.u64();
  epoch.end.value = reader.u64();
  epoch.first_previous = read_hash(reader);
  epoch.end_hash = read_hash(reader);
  epoch.released_to = read_uuid(reader);
  epoch.grant = read_uuid(reader);
  return epoch;
}

}  // namespace

void write_branch(Writer& writer, const bricks::Branch& branch) {
  writer.u16(static_cast<uint16_t>(branch.size()));
  for (const format::BranchEpoch& epoch : branch) write_epoch(writer, epoch);
}

bricks::Branch read_branch(Reader& reader) {
  bricks::Branch branch;
  const size_t epochs = reader.u16();
  if (epochs > format::branch_epochs_max) reader.fail();
  for (size_t i = 0; i < epochs && reader.ok(); ++i) branch.push_back(read_epoch(reader));
  return branch;
}

}  // namespace mars::replication
