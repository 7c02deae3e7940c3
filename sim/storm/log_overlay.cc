#include "sim/storm/log_overlay.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "format/batch.h"
#include "format/segment.h"

namespace mars::sim {
namespace {

struct File {
  std::string path;
  format::SegmentHeader header;
};

std::vector<File> files_of(Disks& disks, const std::string& directory, const History& history, const Position& to) {
  std::vector<File> files;
  for (const io::DirectoryEntry& entry : disks.list(directory)) {
    if (!format::parse_segment_name(entry.name)) continue;
    const std::string path = directory + "/" + entry.name;
    const auto header = format::decode_segment_header(disks.peek(path, 0, format::segment_header_bytes));
    if (!header || !history.contains(to, {header->epoch, header->first})) continue;
    files.push_back({path, *header});
  }
  std::ranges::sort(files, {}, [](const File& file) { return file.header.first; });
  return files;
}

void lay_record(const format::Batch& batch, const format::Record& record, std::span<std::byte> image) {
  if (!is_data(record.op)) return;
  for (unsigned sector = 0; sector < sectors; ++sector) {
    const uint64_t offset = offset_of(sector);
    if (offset < record.offset || offset >= record.offset + record.length) continue;
    std::byte* target = image.data() + size_t{sector} * sector_bytes;
    if (record.op == RecordOp::write) {
      std::memcpy(target, batch.payload(record).data() + (offset - record.offset), sector_bytes);
    } else {
      std::memset(target, 0, sector_bytes);
    }
  }
}

}  // namespace

bool overlay_log(Disks& disks, const std::string& directory, const History& history, const Position& from,
                 const Position& to, std::span<std::byte> image) {
  Lsn at = from.lsn;
  for (const File& file : files_of(disks, directory, history, to)) {
    const uint64_t size = disks.file_bytes(file.path);
    for (Lsn lsn = file.header.first; at < to.lsn;) {
      const uint64_t offset = format::segment_header_bytes + (lsn - file.header.first);
      if (offset + format::batch_block_bytes > size) break;
      const auto header = format::decode_batch_header(disks.peek(file.path, offset, format::batch_block_bytes));
      if (!header || header->identity.lsn != lsn || header->identity.epoch != file.header.epoch) break;
      if (!history.contains(to, {file.header.epoch, header->end()})) break;
      lsn = header->end();
      if (lsn <= at) continue;
      if (header->identity.lsn != at) return false;
      const io::Bytes bytes = disks.peek(file.path, offset, header->batch_bytes);
      const auto batch = format::verify_batch(bytes);
      if (!batch) return false;
      for (const format::Record& record : batch->records) lay_record(*batch, record, image);
      at = lsn;
    }
  }
  return at == to.lsn;
}

}  // namespace mars::sim
