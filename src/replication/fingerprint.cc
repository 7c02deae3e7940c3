#include "replication/fingerprint.h"

#include <algorithm>

#include "base/aligned.h"

namespace mars::replication {

std::string identity_text(const std::string& hardware_id) {
  if (hardware_id.size() <= format::disk_text_max) return hardware_id;
  const std::string rest = "~" + to_string(hash(bytes_of(hardware_id)));
  return hardware_id.substr(0, format::disk_text_max - rest.size()) + rest;
}

format::DiskIdentity identity_of(const io::File& file) {
  const io::Geometry& geometry = file.geometry();
  format::DiskIdentity identity;
  identity.kind = geometry.is_block_device ? format::DiskKind::block_device : format::DiskKind::regular_file;
  identity.bytes = file.size();
  identity.device = geometry.is_block_device ? 0 : geometry.device_number;
  identity.inode = geometry.inode;
  identity.text = identity_text(geometry.hardware_id);
  return identity;
}

namespace {
constexpr uint64_t edge_bytes = 1u << 20;
}

Task<Hash128> fingerprint(io::File& file, uint64_t volume_bytes, uint32_t extent_bytes,
                          std::vector<format::FingerprintExtent> extents) {
  const uint64_t edge = std::min(edge_bytes, volume_bytes);
  AlignedBuffer bytes(std::max<uint64_t>(edge, extent_bytes));
  Hasher hasher;
  Status status = co_await io::read(file, 0, bytes.span().first(edge));
  hasher.add(bytes.span().first(edge));
  if (status == Status::ok) status = co_await io::read(file, volume_bytes - edge, bytes.span().first(edge));
  hasher.add(bytes.span().first(edge));
  for (const format::FingerprintExtent& extent : extents) {
    if (status != Status::ok) break;
    if (extent.volume != 0 || extent.offset >= volume_bytes) continue;
    const auto part = bytes.span().first(std::min<uint64_t>(extent_bytes, volume_bytes - extent.offset));
    status = co_await io::read(file, extent.offset, part);
    hasher.add(part);
  }
  co_return status == Status::ok ? hasher.digest() : Hash128{};
}

Task<Result<std::string>> find_disk(io::Storage& storage, const format::DiskIdentity& identity) {
  if (identity.kind != format::DiskKind::block_device || identity.text.empty()) co_return failure(Status::not_found);
  auto devices = co_await storage.block_devices();
  if (!devices) co_return failure(devices.error());
  std::vector<std::string> paths;
  for (const io::BlockDevice& device : *devices) {
    if (identity_text(device.hardware_id) == identity.text) paths.push_back(device.path);
  }
  if (paths.empty()) co_return failure(Status::not_found);
  if (paths.size() == 1) co_return paths.front();
  std::string all = paths.front();
  for (size_t i = 1; i < paths.size(); ++i) all += (i + 1 == paths.size() ? " and " : ", ") + paths[i];
  co_return failure(Status::exists, all + " have the same identity \"" + identity.text + "\"");
}

bool is_other_disk(const io::File& file, const format::DiskIdentity& identity) {
  const format::DiskIdentity now = identity_of(file);
  return now.kind != identity.kind || now.text != identity.text;
}

Task<std::string> disk_difference(io::File& file, const format::StateBlock& state, uint64_t volume_bytes) {
  if (state.disks.empty()) co_return std::string();
  const format::DiskIdentity& former = state.disks.front();
  const format::DiskIdentity now = identity_of(file);
  if (former.kind != now.kind) co_return "it was a " + std::string(name(former.kind));
  if (former.text != now.text) co_return "its identity was \"" + former.text + "\" and is \"" + now.text + "\"";
  if (former.inode != now.inode) co_return std::string("it is another file (inode)");
  if (former.bytes > now.bytes) co_return "it had " + std::to_string(former.bytes) + " bytes";
  if (!state.clean || former.fingerprint.is_zero()) co_return std::string();
  const Hash128 looks =
      co_await fingerprint(file, volume_bytes, state.fingerprint_extent_bytes, state.fingerprint_extents);
  if (looks.is_zero()) co_return std::string("it cannot be read");
  if (looks != former.fingerprint) co_return std::string("its content was changed while it was detached");
  co_return std::string();
}

}  // namespace mars::replication
