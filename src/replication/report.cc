#include "replication/report.h"

#include "replication/branch_codec.h"

namespace mars::replication {

namespace {

constexpr uint32_t report_magic = 0x5052524d;  // "MRRP"
constexpr uint16_t report_version = 1;
constexpr size_t text_max = 1024;
constexpr size_t hosts_max = 1024;
constexpr size_t transfers_max = 16;

void write_text(Writer& writer, const std::string& text) {
  const std::string_view part = std::string_view(text).substr(0, text_max);
  writer.u16(static_cast<uint16_t>(part.size()));
  writer.text(part);
}

std::string read_text(Reader& reader) {
  const size_t bytes = reader.u16();
  if (bytes > text_max) reader.fail();
  return std::string(reader.text(reader.ok() ? bytes : 0));
}

bool read_flag(Reader& reader) {
  const uint8_t value = reader.u8();
  if (value > 1) reader.fail();
  return value == 1;
}

void write_transfer(Writer& writer, const control::Transfer& transfer) {
  writer.u8(static_cast<uint8_t>(transfer.kind));
  writer.u64(transfer.done_bytes);
  writer.u64(transfer.total_bytes);
  writer.u64(transfer.bytes_per_second);
  write_text(writer, transfer.source);
}

control::Transfer read_transfer(Reader& reader) {
  control::Transfer transfer;
  const uint8_t kind = reader.u8();
  if (kind > static_cast<uint8_t>(control::TransferKind::sync)) reader.fail();
  transfer.kind = static_cast<control::TransferKind>(kind);
  transfer.done_bytes = reader.u64();
  transfer.total_bytes = reader.u64();
  transfer.bytes_per_second = reader.u64();
  transfer.source = read_text(reader);
  return transfer;
}

void write_for_people(Writer& writer, const Report& report) {
  writer.u8(static_cast<uint8_t>(report.state));
  for (const std::string* text : {&report.reason, &report.next_step, &report.device}) write_text(writer, *text);
  const control::Switches& on = report.switches;
  for (const bool flag : {on.attach, on.fetch, on.replay, on.sync}) writer.u8(flag ? 1 : 0);
  writer.u64(report.log_bytes);
  const size_t count = std::min(report.transfers.size(), transfers_max);
  writer.u8(static_cast<uint8_t>(count));
  for (size_t i = 0; i < count; ++i) write_transfer(writer, report.transfers[i]);
}

void read_for_people(Reader& reader, Report& report) {
  const uint8_t state = reader.u8();
  // A newer marsd may have a state that we do not know.
  report.state = state < control::states().size() ? static_cast<control::State>(state) : control::State::unknown;
  for (std::string* text : {&report.reason, &report.next_step, &report.device}) *text = read_text(reader);
  control::Switches& on = report.switches;
  for (bool* flag : {&on.attach, &on.fetch, &on.replay, &on.sync}) *flag = read_flag(reader);
  report.log_bytes = reader.u64();
  const size_t count = reader.u8();
  if (count > transfers_max) reader.fail();
  for (size_t i = 0; i < count && reader.ok(); ++i) report.transfers.push_back(read_transfer(reader));
}

}  // namespace

void complete(Report& report, const Report& former) {
  if (report.is_attached || (!report.life.is_nil() && report.life != former.life)) return;
  report.life = former.life;
  report.branch = former.branch;
  report.durable = former.durable;
  report.durable_time = former.durable_time;
  report.oldest = former.oldest;
  report.applied = former.applied;
  report.applied_time = former.applied_time;
  report.is_consistent = former.is_consistent;
  report.is_whole = former.is_whole;
}

bool have_parted(const Report& one, const Report& other) {
  if (bricks::have_lost_sight(one.branch, other.branch)) return true;
  return bricks::common_position(one.branch, one.durable.position.lsn, other.branch, other.durable.position.lsn)
      .forked();
}

std::vector<std::byte> encode(const Report& report) {
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  writer.u32(report_magic);
  writer.u16(report_version);
  writer.u16(0);
  write_uuid(writer, report.resource);
  write_uuid(writer, report.life);
  write_branch(writer, report.branch);
  write_tip(writer, report.durable);
  writer.u64(report.oldest.value);
  write_tip(writer, report.applied);
  write_stamp(writer, report.durable_time);
  write_stamp(writer, report.applied_time);
  for (const bool flag : {report.is_consistent, report.is_attached, report.is_holder, report.is_primary,
                          report.is_in_use, report.is_whole}) {
    writer.u8(flag ? 1 : 0);
  }
  writer.u64(report.volume_bytes);
  writer.u16(static_cast<uint16_t>(report.remembered.size()));
  for (const auto& [host, remembered] : report.remembered) {
    write_uuid(writer, host);
    write_tip(writer, remembered.tip);
    write_uuid(writer, remembered.life);
  }
  write_for_people(writer, report);
  return bytes;
}

Result<Report> decode_report(ByteView bytes) {
  if (bytes.size() > report_bytes_max) return failure(Status::invalid, "a report is too long");
  Reader reader(bytes);
  if (reader.u32() != report_magic) return failure(Status::invalid, "no report");
  if (reader.u16() != report_version) return failure(Status::unsupported, "a report of another version");
  reader.reserved(2);
  Report report;
  report.resource = read_uuid(reader);
  report.life = read_uuid(reader);
  report.branch = read_branch(reader);
  report.durable = read_tip(reader);
  report.oldest.value = reader.u64();
  report.applied = read_tip(reader);
  report.durable_time = read_stamp(reader);
  report.applied_time = read_stamp(reader);
  for (bool* flag : {&report.is_consistent, &report.is_attached, &report.is_holder, &report.is_primary,
                     &report.is_in_use, &report.is_whole}) {
    *flag = read_flag(reader);
  }
  report.volume_bytes = reader.u64();
  const size_t hosts = reader.u16();
  if (hosts > hosts_max) reader.fail();
  for (size_t i = 0; i < hosts && reader.ok(); ++i) {
    const Uuid host = read_uuid(reader);
    // Each host once, in order: there is one way only to write a report.
    if (!report.remembered.empty() && host <= report.remembered.rbegin()->first) reader.fail();
    Remembered& remembered = report.remembered[host];
    remembered.tip = read_tip(reader);
    remembered.life = read_uuid(reader);
  }
  read_for_people(reader, report);
  if (!reader.finished()) return failure(Status::invalid, "a malformed report");
  return report;
}

}  // namespace mars::replication
